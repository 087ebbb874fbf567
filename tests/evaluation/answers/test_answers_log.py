"""The log of answers: what tells runs apart, which answers are final, torn lines, a full disk, two writers."""

from __future__ import annotations

import math
import resource
from pathlib import Path

import pytest

from mllmqa.errors import ApiRefusedError, ApiUnreachableError, UsageError
from mllmqa.evaluation.answers.ask import Reply
from mllmqa.evaluation.answers.item import Item
from mllmqa.evaluation.answers.log import Answer, AnswerLog, Answers, Header, read_log
from tests.data.samples_made import plain, said

MODEL = {"model": "nano", "weights_sha256": "ab12", "device": "cpu", "dtype": "float32"}
HEADER = Header.of(MODEL, {"view": "square", "max_tokens": 8})


def item(name: str = "q1", question: str = "How good is it?", folder: Path = Path()) -> Item:
    sample = plain(id=name, messages=(said("user", "@A", question),))
    return Item(name, "what", sample, folder)


def answers(n: int) -> list[Answer]:
    return [Answer.of(Reply(item(f"q{k}"), f"answer {k}")) for k in range(n)]


def write(path: Path, found: list[Answer], *, continued: bool = False) -> None:
    with AnswerLog(path, HEADER, continued=continued) as log:
        for one in found:
            log.write(one)


def test_a_device_and_a_name_do_not_tell_runs_apart_but_weights_and_settings_do() -> None:
    settings = {"view": "square", "max_tokens": 8}
    assert Header.of({**MODEL, "device": "cuda", "model": "./copy"}, settings).spec == HEADER.spec
    assert Header.of({**MODEL, "weights_sha256": "cd34"}, settings).spec != HEADER.spec
    assert Header.of({**MODEL, "dtype": "bfloat16"}, settings).spec != HEADER.spec
    assert Header.of(MODEL, {**settings, "max_tokens": 9}).spec != HEADER.spec
    nameless = [Header.of({"model": name, "weights_sha256": None}, settings).spec for name in ("api:a", "api:b")]
    assert len(set(nameless)) == 2  # without weights the name is all there is


def test_a_reply_becomes_a_record_with_text_probabilities_or_a_reason() -> None:
    written = Answer.of(Reply(item(), "B"))
    assert (written.text, written.reason, written.final) == ("B", None, True)
    read = Answer.of(Reply(item(), logprobs={"A": -0.1, "B": -math.inf}, coverage=0.5))
    assert read.logprobs == {"A": -0.1, "B": None}
    assert Answer.model_validate_json(read.model_dump_json()) == read
    refused = Answer.of(Reply(item(), error=ApiRefusedError("declines", where="api:eye")))
    assert (refused.text, refused.reason, refused.final) == (None, "api-refused", True)  # it was paid for
    lost = Answer.of(Reply(item(), error=ApiUnreachableError("no answer in 60 s")))
    assert (lost.reason, lost.final) == ("api-unreachable", False)
    assert "no answer in 60 s" in (lost.message or "")


def test_an_answer_belongs_to_its_very_question() -> None:
    known = Answers()
    known.add(Answer.of(Reply(item(), "old")))
    known.add(Answer.of(Reply(item(), "new")))
    found = known.of(item())
    assert found is not None
    assert (found.text, len(known)) == ("new", 1)
    assert known.of(item(question="How bad is it?")) is None
    assert known.of(item("q2")) is None


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_torn_last_line_is_passed_over_and_cut_off_when_continued(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "log.jsonl"
    write(path, answers(3))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    header, found = read_log(path)
    assert (header.spec, len(found)) == (HEADER.spec, 2)
    assert path.read_bytes() == whole[:-cut]  # reading changes nothing
    write(path, answers(3)[2:], continued=True)
    assert path.read_bytes() == whole


def test_a_full_disk_keeps_what_was_written_and_the_log_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, answers(2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(path, answers(3)[2:], continued=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(read_log(path)[1]) == 2
    write(path, answers(3)[2:], continued=True)
    assert [read_log(path)[1].of(item(f"q{k}")) for k in range(3)] == answers(3)


def test_one_writer_at_a_time_and_a_place_that_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with AnswerLog(path, HEADER, continued=False), pytest.raises(UsageError):
        AnswerLog(path, HEADER, continued=True)
    with pytest.raises(UsageError):
        AnswerLog(tmp_path / "no" / "log.jsonl", HEADER, continued=False)
