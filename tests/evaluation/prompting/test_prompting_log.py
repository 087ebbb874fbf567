"""The log: typed, append-only, torn lines cut off, other people's files untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.errors import DataError
from mllmqa.evaluation.prompting.log import AnswerLog, Head, Line, read_log

HEAD = Head(spec="abc", model="m", questions=2)


def written(path: Path, *lines: Line) -> Path:
    with AnswerLog(path, HEAD) as log:
        for line in lines:
            log.append(line)
    return path


def test_lines_come_back(tmp_path: Path) -> None:
    line = Line(trial="single/0.0", values=(85.0,), text="Score: 85", tokens_in=100, tokens_out=3, seconds=0.5)
    bad = Line(trial="single/1.0", failure="refusal", text="I cannot.", said="I cannot.")
    path = written(tmp_path / "a.jsonl", line, bad)
    assert list(read_log(path, HEAD)) == [line, bad]
    assert line.done
    assert bad.done


def test_the_last_line_of_a_question_counts_and_lost_ones_are_not_done(tmp_path: Path) -> None:
    lost = Line(trial="a/0.0", failure="transport", said="no answer")
    path = written(tmp_path / "a.jsonl", lost)
    with AnswerLog(path, HEAD) as log:
        assert not log.lines["a/0.0"].done
        log.append(Line(trial="a/0.0", values=(1.0,)))
    with AnswerLog(path, HEAD) as log:
        assert log.lines["a/0.0"].values == (1.0,)
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize("cut", [1, 10, 20])
def test_a_torn_line_is_cut_off_and_the_rest_stays(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "a.jsonl", Line(trial="a/0.0", values=(1.0,)), Line(trial="a/1.0", values=(2.0,)))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with AnswerLog(path, HEAD) as log:
        assert list(log.lines) == ["a/0.0"]
        log.append(Line(trial="a/1.0", values=(2.0,)))
    assert path.read_bytes() == whole


def test_a_torn_head_starts_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    path.write_bytes(path.read_bytes()[:9])
    assert list(read_log(written(path, Line(trial="a/0.0")), HEAD)) == [Line(trial="a/0.0")]


def test_the_log_of_another_run_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match=r"another run.*another folder"):
        AnswerLog(path, Head(spec="xyz", model="m", questions=2))


@pytest.mark.parametrize("text", ["hello\n", "hello", '{"trial":"a"}\n'])
def test_other_files_are_refused_and_stay_as_they_are(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(DataError):
        AnswerLog(path, HEAD)
    assert path.read_text() == text


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", Line(trial="a/0.0"))
    with path.open("a") as file:
        file.write('{"trial":"b/0.0","failure":"mood"}\n')
    with pytest.raises(DataError, match="line 3"):
        list(read_log(path))
