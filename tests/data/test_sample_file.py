"""Files of samples: streaming, whole or not there, continued after a kill, and named errors."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mllmqa.data.sample import Sample
from mllmqa.data.sample_file import SampleWriter, numbered_lines, partial_of, read_samples, write_samples
from mllmqa.errors import DataError, UsageError
from tests.data.samples_made import plain, samples


def some(n: int) -> Iterator[Sample]:
    return (plain(id=f"s{k}") for k in range(n))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(samples(), max_size=4))
def test_what_is_written_is_read(tmp_path: Path, made: list[Sample]) -> None:
    path = tmp_path / "s.jsonl"
    path.unlink(missing_ok=True)
    assert write_samples(made, path) == len(made)
    assert list(read_samples(path)) == made


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with SampleWriter(path) as writer:
        writer.write(plain())
        assert not path.exists()
        assert partial_of(path).read_bytes().endswith(b"\n")  # flushed: a kill loses nothing
    assert path.read_text(encoding="utf-8") == plain().to_json() + "\n"
    assert not partial_of(path).exists()


def test_a_failed_run_leaves_what_can_be_continued(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with pytest.raises(ZeroDivisionError), SampleWriter(path) as writer:
        writer.write(plain(id="s0"))
        raise ZeroDivisionError
    assert not path.exists()
    with pytest.raises(UsageError, match="an unfinished file is there; continue it with --resume"):
        SampleWriter(path)
    with SampleWriter(path, continued=True) as again:
        assert (again.done, again.last_id) == (1, "s0")
        for sample in itertools.islice(some(3), again.done, None):
            again.write(sample)
    assert [sample.id for sample in read_samples(path)] == ["s0", "s1", "s2"]


@pytest.mark.parametrize("torn", range(0, 400, 7))
def test_cut_anywhere_the_continued_file_is_identical(tmp_path: Path, torn: int) -> None:
    whole, path = tmp_path / "whole.jsonl", tmp_path / "s.jsonl"
    write_samples(some(4), whole)
    partial_of(path).write_bytes(whole.read_bytes()[:torn])
    assert write_samples(some(4), path, continued=True) == 4
    assert path.read_bytes() == whole.read_bytes()


def test_a_killed_process_is_continued_to_the_identical_file(tmp_path: Path) -> None:
    path, whole = tmp_path / "s.jsonl", tmp_path / "whole.jsonl"
    code = (
        "import sys; from pathlib import Path; from tests.data.test_sample_file import slowly\n"
        "from mllmqa.data.sample_file import write_samples\n"
        "write_samples(slowly(), Path(sys.argv[1]))"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, "-c", code, path], cwd=root, env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    write_samples(some(500), whole)
    assert write_samples(some(500), path, continued=True) == 500
    assert path.read_bytes() == whole.read_bytes()


def slowly() -> Iterator[Sample]:
    """Samples that stop in the middle, to be killed."""
    yield from some(321)
    print("here", flush=True)
    sys.stdin.read()
    signal.pause()


def test_a_finished_file_is_continued_behind_its_end(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write_samples(some(2), path)
    with pytest.raises(UsageError, match="exists already"):
        write_samples(some(2), path)
    assert write_samples(some(3), path, continued=True) == 3
    assert [sample.id for sample in read_samples(path)] == ["s0", "s1", "s2"]
    assert write_samples(some(3), path, continued=True) == 3  # nothing is done twice


def test_other_samples_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    write_samples(some(3), path)
    before = path.read_bytes()
    with pytest.raises(DataError, match="line 2 of its unfinished file is another sample than 's9'"):
        write_samples([plain(id="s0"), plain(id="s9")], path, continued=True)
    partial_of(path).unlink()
    with pytest.raises(DataError, match="line 3 of its unfinished file is more samples than are made now"):
        write_samples(some(2), path, continued=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ['{"schema_version":1,"status":"sco', "id,mos\n1,2", "My diary"])
def test_files_of_others_are_not_cut(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError):
        SampleWriter(path, continued=True)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks")
def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with SampleWriter(path), pytest.raises(UsageError, match="another run is writing this file"):
        SampleWriter(path, continued=True)


def test_folders_and_places_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a regular file"):
        SampleWriter(tmp_path)
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        SampleWriter(tmp_path / "no" / "s.jsonl")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        next(read_samples(tmp_path / "no.jsonl"))


def test_blank_lines_a_bom_and_a_last_line_without_break_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    line = plain().to_json()
    path.write_bytes(b"\xef\xbb\xbf" + f"{line}\r\n\n  \n{line}".encode())
    assert [number for number, _ in numbered_lines(path)] == [1, 4]
    assert list(read_samples(path)) == [plain(), plain()]


def test_errors_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(plain().to_json() + "\n" + plain().to_json()[:-9] + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"s\.jsonl, line 2: the record is not JSON \(EOF"):
        list(read_samples(path))


@pytest.mark.parametrize(
    ("word", "encoding", "expected"),
    [
        ("模糊的图", "gbk", "it decodes as GBK: '模糊的图'"),
        ("flou é", "latin-1", "0xe9"),
        ('é"', "latin-1", "not GBK"),
    ],
)
def test_encodings_are_named(tmp_path: Path, word: str, encoding: str, expected: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(plain().to_json().replace("Good.", word).encode(encoding) + b"\n")
    with pytest.raises(DataError, match=r"line 1: the record is not UTF-8 \(byte 0x") as caught:
        list(read_samples(path))
    assert expected in str(caught.value)
    assert "iconv" in str(caught.value)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(n: int) -> int:
        path = tmp_path / f"{n}.jsonl"
        tracemalloc.start()
        write_samples(some(n), path)
        assert sum(1 for _ in read_samples(path)) == n
        _, high = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return high

    peak(50)
    assert peak(4000) < peak(400) + 400_000  # pydantic keeps short strings, up to 16384 of them
