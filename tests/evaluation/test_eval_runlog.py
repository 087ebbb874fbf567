"""The log: what it holds comes back, torn lines, other people's files, a full disk, one writer at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.runlog import LOG_FILE, Header, Log, LogWriter, Prediction, log_path, read_log
from mllmqa.evaluation.scorers import of_result
from tests import eval_logs, records_made


def written(folder: Path, n: int = 3) -> Log:
    log = eval_logs.log([1.0, 2.0, 3.0][:n], {"a": [1.0, None, 3.0][:n]})
    writer = LogWriter(folder, title="a title")
    for items in log.items.values():
        for one in items.values():
            writer.write(one)
    for line in (*log.data.values(), *log.scorers.values()):
        writer.write(line)
    for said in log.predictions.values():
        for made in said.values():
            writer.write(made)
    writer.close()
    return writer.log


def test_what_is_written_is_read_again_from_folder_or_file(tmp_path: Path) -> None:
    log = written(tmp_path / "deep" / "run")  # the folder is made
    assert read_log(tmp_path / "deep" / "run") == log
    assert read_log(tmp_path / "deep" / "run" / LOG_FILE) == log
    assert log.header.title == "a title"
    assert log.of("a", "set")["i1"].reason == "corrupt"
    assert log.of("a", "other") == {}
    first = json.loads(log_path(tmp_path / "deep" / "run").read_text().splitlines()[0])
    assert (first["record"], first["log_version"]) == ("header", 1)


def test_the_last_of_several_lines_counts(tmp_path: Path) -> None:
    written(tmp_path)
    writer = LogWriter(tmp_path, continued=True)
    again = eval_logs.prediction("a", writer.log.items["set"]["i1"], 2.5)
    writer.write(again)
    writer.close()
    assert read_log(tmp_path).of("a", "set")["i1"].value == 2.5
    assert read_log(tmp_path).missing("a", "set") == []
    assert read_log(tmp_path).missing("b", "set") == ["i0", "i1", "i2"]


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_line_is_left_out_and_cut_off_when_continued(tmp_path: Path, cut: int) -> None:
    written(tmp_path)
    path = log_path(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    kept = whole[: whole[:-1].rindex(b"\n") + 1]
    assert read_log(tmp_path).missing("a", "set") == ["i2"]
    writer = LogWriter(tmp_path, continued=True)
    writer.close()
    assert path.read_bytes() == kept


def test_a_log_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    written(tmp_path)
    before = log_path(tmp_path).read_bytes()
    with pytest.raises(UsageError, match="a run is there already; continue it with --resume"):
        LogWriter(tmp_path)
    assert log_path(tmp_path).read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"status":"scored"}\n', "line 1 is not of a log"),
        (b"not json\n", "line 1 is not of a log"),
        (b"somebody's notes", "torn and not a record of ours"),
        (b'{"record":"header","log_version":2,"mllmqa_version":"9"}\n', "line 1 is not of a log.*version 1"),
        (b'{"record":"scorer","name":"a","kind":"metric","spec":"x"}\n', "line 1 is no header"),
        (b'{"record":"header","log_version":1,"extra":0}\n', "header.extra"),
        (b"", "is empty"),
    ],
)
def test_other_files_are_refused_and_left_alone(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / LOG_FILE
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_log(tmp_path)
    if content:
        with pytest.raises(DataError, match=words):
            LogWriter(tmp_path, continued=True)
    assert path.read_bytes() == content


def test_a_folder_without_a_log(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no log of an evaluation; expected the folder of a run"):
        read_log(tmp_path / "nowhere")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot be written"):
        LogWriter(tmp_path / "file" / "run")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path)
    with pytest.raises(UsageError, match="another run is writing this file"):
        LogWriter(tmp_path, continued=True)
    writer.close()
    LogWriter(tmp_path, continued=True).close()


def test_a_prediction_has_a_value_or_a_reason(tmp_path: Path) -> None:
    one = eval_logs.item(0)
    for value, reason in ((None, None), (1.0, "corrupt")):
        with pytest.raises(ValidationError, match="has a value, or a reason"):
            Prediction(scorer="a", data="set", item=one.id, spec="x", value=value, reason=reason)
    with pytest.raises(ValidationError):
        Prediction(scorer="a", data="set", item=one.id, spec="x", value=float("nan"))
    assert eval_logs.prediction("a", one, 1.0).is_final
    assert eval_logs.prediction("a", one, None).is_final  # broken content stays broken
    assert not eval_logs.prediction("a", one, None, reason="not-found").is_final


def test_the_whole_result_of_a_model_is_kept(tmp_path: Path) -> None:
    scorer = eval_logs.scorer("m", kind="model")
    good = of_result(records_made.scored("i0", 3.5), scorer, "set")
    bad = of_result(records_made.unscored("i1"), scorer, "set")
    assert (good.value, good.std, good.item, good.data) == (3.5, 0, "i0", "set")
    assert good.sha256 == records_made.content_hash("i0")
    assert (bad.value, bad.reason, bad.message) == (None, "not-found", "i1: no such file")
    writer = LogWriter(tmp_path)
    for one in (good, bad):
        writer.write(one)
    writer.close()
    read = read_log(tmp_path).of("m", "set")
    assert read["i0"].result == records_made.scored("i0", 3.5)
    assert read["i1"].result == records_made.unscored("i1")


def test_an_empty_log_has_a_header_only(tmp_path: Path) -> None:
    LogWriter(tmp_path).close()
    assert read_log(tmp_path) == Log(Header())
