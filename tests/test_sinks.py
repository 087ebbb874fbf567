"""Files of results: what is written, what survives a kill, what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import DataError, UsageError
from mllmqa.records import columns, flat, read_jsonl
from mllmqa.schema import Score, Unscored, read_result
from mllmqa.sinks import open_sink
from tests.records_made import SPEC, content_hash, scored, unscored

KINDS = ("jsonl", "csv", "parquet")


def _sources(kind: str, path: Path) -> list[str]:
    if kind == "jsonl":
        return [r.source for r in read_jsonl(path)]
    if kind == "csv":
        with path.open(newline="") as file:
            return [row["source"] for row in csv.DictReader(file)]
    return list(pyarrow.parquet.read_table(path).column("source").to_pylist())


def _write(kind: str, path: Path, results: list[Score | Unscored], continued: bool = False) -> set[str]:
    """Write results as a run would; returns the sources that the run would not ask about again."""
    sink, known = open_sink(kind, path, continued=continued, spec=SPEC)
    for result in results:
        sink.write(result)
    sink.close()
    return {source for source, entry in known.items() if entry.is_done(content_hash(source))}


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_file_is_continued_not_repeated(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{kind}"
    assert _write(kind, path, [scored("a"), scored("b")]) == set()
    assert _write(kind, path, [scored("c")], continued=True) == {"a", "b"}
    assert _sources(kind, path) == ["a", "b", "c"]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", KINDS)
def test_an_existing_file_is_never_overwritten(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("precious")
    with pytest.raises(UsageError, match="--resume"):
        open_sink(kind, path, continued=False, spec=SPEC)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_that_could_not_be_opened_are_tried_again(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    _write(kind, path, [scored("a"), unscored("gone"), scored("b")])
    assert _write(kind, path, [scored("gone")], continued=True) == {"a", "b"}
    assert _sources(kind, path) == ["a", "b", "gone"]


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_whose_content_changed_are_done_again(kind: str, tmp_path: Path) -> None:
    changed = tmp_path / "photo.png"
    changed.write_bytes(b"one")
    path = tmp_path / "out"
    _write(kind, path, [scored(str(changed)), scored("b")])
    changed.write_bytes(b"two")
    assert _write(kind, path, [scored(str(changed))], continued=True) == {"b"}
    assert _sources(kind, path) == ["b", str(changed)]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_made_with_other_settings_are_not_mixed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    _write(kind, path, [scored("a")])
    with pytest.raises(DataError, match=r"other settings \(spec 0123456789abcdef, now feedfeedfeedfeed\)"):
        open_sink(kind, path, continued=True, spec="feed" * 4)


@given(keep=st.integers(0, 3), torn=st.integers(0, 400))
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_file_cut_at_any_byte_can_be_continued(kind: str, keep: int, torn: int, tmp_path_factory: object) -> None:
    folder = tmp_path_factory.mktemp("torn")  # type: ignore[attr-defined]
    path = folder / "out"
    _write(kind, path, [scored(f"s{i}") for i in range(4)])
    lines = path.read_bytes().splitlines(keepends=True)
    head = lines[: keep + (kind == "csv")]
    rest = b"".join(lines[len(head) :])[:torn]
    path.write_bytes(b"".join(head) + rest)
    whole = keep + rest.count(b"\n")
    assert _write(kind, path, [], continued=True) == {f"s{i}" for i in range(whole)}
    assert _sources(kind, path) == [f"s{i}" for i in range(whole)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content", [b"one line", b"two\nlines\n", b"a,b\n1,2", b"\x89PNG\r\n\x1a\n\xff\xfe", b'{"hello": 1}\n']
)
def test_files_of_others_are_refused_and_stay_as_they_are(kind: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_bytes(content)
    with pytest.raises(DataError, match="precious"):
        open_sink(kind, path, continued=True, spec=SPEC)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]


def test_a_foreign_line_is_named_and_nothing_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(scored("a").model_dump_json() + '\n{"hello": 1}\n{"schema_ver')
    before = path.read_bytes()
    with pytest.raises(DataError, match="line 2 is not a result record"):
        open_sink("jsonl", path, continued=True, spec=SPEC)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_done_twice_keeps_its_last_record(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    _write(kind, path, [scored("a", 2.0), scored("b"), scored("a", 4.0)])
    assert _sources(kind, path) == ["b", "a"]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_two_runs_cannot_write_one_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    sink, _ = open_sink(kind, path, continued=False, spec=SPEC)
    sink.write(scored("a"))
    with pytest.raises(UsageError, match="another run is writing this file"):
        open_sink(kind, path, continued=True, spec=SPEC)
    sink.close()
    assert _write(kind, path, [], continued=True) == {"a"}


def test_what_is_no_file_cannot_be_an_output(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a regular file"):
        open_sink("jsonl", tmp_path, continued=True, spec=SPEC)
    with pytest.raises(UsageError, match="name too long"):
        open_sink("jsonl", tmp_path / ("x" * 300), continued=False, spec=SPEC)


@pytest.mark.parametrize(
    ("reason", "final"),
    [
        *[(name, True) for name in ("corrupt", "limit", "api-refused", "truncated", "unparsed")],
        *[(name, False) for name in ("inference", "missing-extra", "budget", "api-unreachable", "api-auth")],
    ],
)
def test_only_refusals_of_the_content_are_final(reason: str, final: bool, tmp_path: Path) -> None:
    path = tmp_path / "out"
    refused = unscored("a").model_copy(update={"reason": reason, "media": scored("a").media})
    _write("jsonl", path, [refused])
    assert _write("jsonl", path, [], continued=True) == ({"a"} if final else set())


def test_a_killed_parquet_run_keeps_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    sink, _ = open_sink("parquet", path, continued=False, spec=SPEC)
    sink.write(scored("a"))
    sink._journal.close()  # type: ignore[attr-defined]  # but not the sink: the process died
    assert not path.exists()
    with pytest.raises(UsageError, match="--resume"):
        open_sink("parquet", path, continued=False, spec=SPEC)
    assert _write("parquet", path, [scored("b")], continued=True) == {"a"}
    assert _sources("parquet", path) == ["a", "b"]


def test_parquet_rows_hold_the_full_record(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    made = [scored("a", 2.5), unscored("b")]
    _write("parquet", path, made)
    rows = pyarrow.parquet.read_table(path).to_pylist()
    assert [read_result(row["record"]) for row in rows] == made
    assert [row["value"] for row in rows] == [2.5, None]
    assert list(rows[0]) == [*columns(), "record"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        open_sink("jsonl", tmp_path / "no" / "out.jsonl", continued=False, spec=SPEC)


def test_flat_rows_have_all_columns() -> None:
    assert list(flat(scored("a"))) == list(flat(unscored("b"))) == columns()
    assert flat(unscored("b"))["message"] == "b: no such file"
