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
from mllmqa.sinks import journal_of, open_sink
from tests.records_made import SPEC, scored, unscored

KINDS = ("jsonl", "csv", "parquet")


def _sources(kind: str, path: Path) -> list[str]:
    if kind == "jsonl":
        return [r.source for r in read_jsonl(path)]
    if kind == "csv":
        with path.open(newline="") as file:
            return [row["source"] for row in csv.DictReader(file)]
    return list(pyarrow.parquet.read_table(path).column("source").to_pylist())


def _write(kind: str, path: Path, results: list[Score | Unscored], continued: bool = False) -> set[str]:
    sink, done = open_sink(kind, path, continued=continued, spec=SPEC)
    for result in results:
        sink.write(result)
    sink.close()
    return done


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_file_is_continued_not_repeated(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{kind}"
    assert _write(kind, path, [scored("a"), scored("b")]) == set()
    assert _write(kind, path, [scored("c")], continued=True) == {"a", "b"}
    assert _sources(kind, path) == ["a", "b", "c"]
    assert not journal_of(path).exists()


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


def test_a_foreign_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(scored("a").model_dump_json() + '\n{"hello": 1}\n')
    with pytest.raises(DataError, match="line 2 is not a result record"):
        open_sink("jsonl", path, continued=True, spec=SPEC)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="columns are not those"):
        open_sink("csv", path, continued=True, spec=SPEC)


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
