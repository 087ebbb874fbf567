"""Files through a teacher: both outputs, resume, a kill in the middle, other people's files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mllmqa.data.sample import Sample
from mllmqa.data.sample_file import partial_of, read_samples, write_samples
from mllmqa.data.teacher import Counts, Dropped, Teacher, dropped_of, rewrite_file
from mllmqa.errors import ApiAuthError, DataError, UsageError
from tests.data.teacher.made import School, as_json, flaw, right_answer, sent_pictures, single
from tests.loopback import Received, Reply, chat, error_body

Connect = Callable[..., Teacher]
BLUR = flaw("A", "blur", 2)


@pytest.fixture
def source(folder: Path) -> Path:
    """Twelve samples."""
    write_samples([single("assess", BLUR, number=k) for k in range(12)], folder / "set.jsonl")
    return folder / "set.jsonl"


def _dropped(out: Path) -> list[Dropped]:
    return [Dropped.model_validate_json(line) for line in dropped_of(out).read_bytes().splitlines()]


def _ids(out: Path) -> list[str]:
    return [sample.id for sample in read_samples(out)]


def _half_bad(folder: Path) -> Callable[[Received], Reply]:
    """Answers right about even photos, and wrong, each in another way, about odd ones."""
    photos = {(folder / f"photo{k}.png").read_bytes(): k for k in range(12)}
    bad = {
        1: chat("I'm sorry."),
        3: chat("A boat."),
        5: chat("{}"),
    }

    def answer(request: Received) -> Reply:
        number = photos[sent_pictures(request)[0]]
        parts = right_answer(request)
        if number in bad:
            return Reply(200, bad[number])
        if number == 7:
            parts["conclusion"] = "So the quality of the image is excellent."
        if number == 9:
            parts["content"] = "A boat that the original image shows better."
        if number == 11:
            parts["distortions"] = "Slight blur."
        return as_json(parts)

    return answer


# ------------------------------------------------------------------ what goes where


def test_every_sample_is_in_one_of_the_files(
    school: School, connect: Connect, folder: Path, source: Path, tmp_path: Path
) -> None:
    school.answer = _half_bad(folder)
    out = tmp_path / "new.jsonl"
    counts = rewrite_file(source, out, connect())
    assert _ids(out) == [f"assess{k}" for k in range(0, 12, 2)]
    assert [(one.id, one.reason) for one in _dropped(out)] == [
        ("assess1", "refusal"), ("assess3", "not-json"), ("assess5", "schema"), ("assess7", "wrong-level"),
        ("assess9", "leaks-reference"), ("assess11", "wrong-grade"),
    ]  # fmt: skip
    assert counts.line() == (
        "rewritten 6, dropped 6 (leaks-reference 1, not-json 1, refusal 1, schema 1, wrong-grade 1, wrong-level 1)"
    )
    assert not partial_of(out).exists()
    assert not partial_of(dropped_of(out)).exists()


def test_media_are_found_from_the_new_place(
    school: School, connect: Connect, folder: Path, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "elsewhere" / "new.jsonl"
    out.parent.mkdir()
    rewrite_file(source, out, connect())
    first = next(read_samples(out))
    assert first.media[0].path == "../set/photo0.png"
    assert (out.parent / str(first.media[0].path)).resolve() == folder / "photo0.png"


def test_lines_that_are_no_samples_are_records_too(
    school: School, connect: Connect, folder: Path, source: Path
) -> None:
    lines = source.read_bytes().splitlines()[:3]
    source.write_bytes(b"\n".join([lines[0], b'{"id": 7}', "名".encode("gbk"), b"", lines[2]]) + b"\n")
    out = folder / "new.jsonl"
    counts = rewrite_file(source, out, connect())
    assert _ids(out) == ["assess0", "assess2"]
    assert [(one.id, one.reason) for one in _dropped(out)] == [("line 2", "data"), ("line 3", "data")]
    assert "set.jsonl, line 2: field id" in _dropped(out)[0].found[0]
    assert "GBK" in _dropped(out)[1].found[0]
    assert (counts.rewritten, counts.dropped.total()) == (2, 2)


def test_samples_with_the_same_id_all_stay(school: School, connect: Connect, folder: Path) -> None:
    source, out = folder / "twice.jsonl", folder / "new.jsonl"
    write_samples([single("assess", BLUR), single("assess", BLUR, number=1).model_copy(update={"id": "assess0"})], source)  # fmt: skip # noqa: E501
    rewrite_file(source, out, connect())
    assert _ids(out) == ["assess0", "assess0"]


def test_an_empty_set_gives_empty_files(school: School, connect: Connect, folder: Path) -> None:
    (folder / "none.jsonl").write_text("")
    assert rewrite_file(folder / "none.jsonl", folder / "new.jsonl", connect()) == Counts(0, Counts(0, {}).dropped)  # type: ignore[arg-type]
    assert (folder / "new.jsonl").read_bytes() == dropped_of(folder / "new.jsonl").read_bytes() == b""


# ------------------------------------------------------------------ files of others


def test_what_is_there_is_not_replaced(school: School, connect: Connect, source: Path, folder: Path) -> None:
    out = folder / "new.jsonl"
    rewrite_file(source, out, connect())
    before = out.read_bytes()
    with pytest.raises(UsageError, match="--resume"):
        rewrite_file(source, out, connect())
    assert out.read_bytes() == before


@pytest.mark.parametrize("place", ["new.jsonl", "new.jsonl.partial", "new.dropped.jsonl"])
def test_files_of_others_are_refused(
    place: str, school: School, connect: Connect, source: Path, folder: Path
) -> None:
    (folder / place).write_text("theirs\n")
    with pytest.raises(UsageError, match=r"is not a file that|exists already|unfinished"):
        rewrite_file(source, folder / "new.jsonl", connect(), continued=True)
    assert (folder / place).read_text() == "theirs\n"
    assert school.received == []


def test_another_teacher_or_none_is_refused(school: School, connect: Connect, source: Path, folder: Path) -> None:
    out = folder / "new.jsonl"
    rewrite_file(source, out, connect())
    school.model = "other"
    with pytest.raises(UsageError, match=r"was written by api:eye \(served-1\), not by api:other"):
        rewrite_file(source, out, connect("api:other"), continued=True)
    write_samples(read_samples(source), folder / "built.jsonl")
    with pytest.raises(UsageError, match="was written by no teacher"):
        rewrite_file(source, folder / "built.jsonl", connect(), continued=True)


def test_input_and_output_differ(connect: Connect, source: Path) -> None:
    with pytest.raises(UsageError, match="both input and output"):
        rewrite_file(source, source, connect(), continued=True)


def test_resume_needs_the_cache(connect: Connect, source: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="--no-cache"):
        rewrite_file(source, folder / "new.jsonl", connect(cache="off"), continued=True)


def test_no_source_no_files(connect: Connect, folder: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jsonl: cannot be read"):
        rewrite_file(folder / "gone.jsonl", folder / "new.jsonl", connect())
    assert not list(folder.glob("new*"))


def test_a_place_that_cannot_be_written(connect: Connect, folder: Path, source: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        rewrite_file(source, folder / "no" / "folder" / "new.jsonl", connect())


# ------------------------------------------------------------------ resume


def test_a_spent_budget_is_continued_to_the_same_files(
    school: School, connect: Connect, folder: Path, source: Path, tmp_path: Path
) -> None:
    from mllmqa.models.api import Budget

    school.answer = _half_bad(folder)
    out, whole = folder / "new.jsonl", folder / "whole.jsonl"
    counts = rewrite_file(source, out, connect(concurrency=1, budget=Budget(requests=5)))
    assert counts.dropped["budget"] == 7
    assert "not asked" in _dropped(out)[-1].found[0]
    counts = rewrite_file(source, out, connect(), continued=True)
    assert counts.dropped["budget"] == 0
    assert len(school.received) == 12
    rewrite_file(source, whole, connect(cache=tmp_path / "other", concurrency=1))
    assert out.read_bytes() == whole.read_bytes()
    assert dropped_of(out).read_bytes() == dropped_of(whole).read_bytes()


def test_a_refused_key_leaves_unfinished_files_to_go_on_from(
    school: School, connect: Connect, folder: Path, source: Path
) -> None:
    out = folder / "new.jsonl"
    school.script.extend([Reply()] * 3 + [Reply(403, error_body("no"))])
    with pytest.raises(ApiAuthError):
        rewrite_file(source, out, connect(concurrency=1))
    assert not out.exists()
    assert len(partial_of(out).read_bytes().splitlines()) == 3
    rewrite_file(source, out, connect(), continued=True)
    assert _ids(out) == [f"assess{k}" for k in range(12)]
    assert len(school.paid) == len(set(school.paid)) == 12


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mllmqa", "data", "rewrite", *map(str, arguments)]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_killed_in_the_middle_and_resumed(
    concurrency: int, school: School, connect: Connect, folder: Path, source: Path, tmp_path: Path
) -> None:
    """SIGKILL, then the same command: identical files, and only what was in flight may be paid for twice."""
    school.answer = _half_bad(folder)
    gate = threading.Semaphore(5)
    school.on_request = lambda: gate.acquire() and None  # type: ignore[assignment, return-value]
    out, cache = folder / "new.jsonl", tmp_path / "cache"
    arguments = (source, "--out", out, "--model", "api:eye", "--base-url", school.url, "--cache", cache,
                 "--concurrency", concurrency)  # fmt: skip
    first = subprocess.Popen(_command(*arguments), stderr=subprocess.DEVNULL)
    while (first.poll() is None and school._at_once < concurrency) or len(school.paid) < 5:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not out.exists()
    gate.release(100)
    while school._at_once:  # requests in flight when it was killed: their answers nobody read
        time.sleep(0.02)
    lost = len(school.paid) - 5
    second = subprocess.run(_command(*arguments, "--resume"), capture_output=True, text=True, check=False)
    assert second.returncode == 1, second.stderr
    assert "rewritten 6, dropped 6" in second.stderr
    assert "5 from the cache" in second.stderr
    counts = sorted(school.paid.count(body) for body in set(school.paid))
    assert counts == [1] * (12 - lost) + [2] * lost
    assert lost <= concurrency
    whole = folder / "whole.jsonl"
    rewrite_file(source, whole, connect(cache=tmp_path / "other", concurrency=1))
    assert out.read_bytes() == whole.read_bytes()
    assert dropped_of(out).read_bytes() == dropped_of(whole).read_bytes()


def test_ctrl_c_is_one_line_and_waits_for_what_is_paid_for(
    school: School, folder: Path, source: Path, tmp_path: Path
) -> None:
    gate = threading.Semaphore(3)
    school.on_request = lambda: gate.acquire() and None  # type: ignore[assignment, return-value]
    out = folder / "new.jsonl"
    arguments = (source, "--out", out, "--model", "api:eye", "--base-url", school.url, "--concurrency", 1)
    first = subprocess.Popen(
        _command(*arguments), stderr=subprocess.PIPE, text=True, env=dict(os.environ),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    while len(school.paid) < 3 or school._at_once == 0:  # the fourth is in flight
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    time.sleep(0.2)  # gives a client that would not wait the time to go away; nothing is measured
    gate.release(100)
    _, err = first.communicate()
    assert (first.returncode, err) == (130, "mllmqa: interrupted\n")
    assert len(school.paid) == 4
    second = subprocess.run(_command(*arguments, "--resume"), capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert "endpoint: 8 answers paid for, 4 from the cache, 8 requests" in second.stderr
    assert len(school.paid) == len(set(school.paid)) == 12


def test_two_runs_do_not_write_the_same_file(school: School, connect: Connect, folder: Path, source: Path) -> None:
    out = folder / "new.jsonl"
    seen: list[str] = []

    def answer(request: Received) -> Reply:
        if not seen:
            seen.append("")
            with pytest.raises(UsageError, match="another run is writing") as caught:
                rewrite_file(source, out, connect(), continued=True)
            seen[0] = str(caught.value)
        return as_json(right_answer(request))

    school.answer = answer
    rewrite_file(source, out, connect())
    assert "new.jsonl" in seen[0]
    assert len(_ids(out)) == 12


def test_records_say_what_was_found_and_expected(
    school: School, connect: Connect, folder: Path, source: Path
) -> None:
    school.answer = _half_bad(folder)
    out = folder / "new.jsonl"
    rewrite_file(source, out, connect())
    level = _dropped(out)[3]
    assert level.found == ("excellent", "excellent at the end")
    assert level.expected == ("poor", "poor")
    assert level.teacher == "api:eye (served-1)"
    assert '"conclusion": "So the quality of the image is excellent."' in str(level.text)
    assert isinstance(next(read_samples(out)), Sample)
