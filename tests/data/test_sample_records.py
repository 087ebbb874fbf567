"""Records of samples from lines and from Parquet: the same texts, the same problems, each with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mllmqa.data.formats import FORMATS, export_file
from mllmqa.data.problems import iter_problems
from mllmqa.data.sample import parse_sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_records import numbered_records, place, unit
from mllmqa.data.text_check import TextCheck, iter_text_problems
from mllmqa.errors import DataError
from tests.data.samples_made import full, plain
from tests.data.test_text_check import asked, said

pa: Any = pytest.importorskip("pyarrow")
pq: Any = pytest.importorskip("pyarrow.parquet")


def columns(file: Path, **values: list[Any]) -> Path:
    pq.write_table(pa.table(values), file)
    return file


def test_lines_and_parquet_hold_the_same_texts(tmp_path: Path) -> None:
    samples = [plain(), full()]
    write_samples(samples, tmp_path / "s.jsonl")
    export_file(samples, FORMATS["parquet"], tmp_path / "s.parquet")
    lines, rows = (list(numbered_records(tmp_path / name)) for name in ("s.jsonl", "s.parquet"))
    assert lines == rows
    assert [(number, parse_sample(text)) for number, text in rows] == [(1, plain()), (2, full())]


def test_places_are_named() -> None:
    assert (unit(Path("a.jsonl")), unit(Path("a.parquet"))) == ("line", "record")
    assert place(Path("a.parquet"), 3) == "a.parquet, record 3"


def test_problems_of_parquet_are_those_of_the_lines(tmp_path: Path) -> None:
    good = asked("a").to_json()
    wrong = said(asked("b"), "The quality of the image is bad.").to_json()
    texts = [good, good, wrong, "{}", good.replace('"id":"a"', '"id":"x","id":"c"')]
    (tmp_path / "s.jsonl").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    columns(tmp_path / "s.parquet", record=texts)
    told = {}
    for name in ("s.jsonl", "s.parquet"):
        counts = TextCheck()
        path = tmp_path / name
        found = [*iter_problems(path, "exists"), *iter_text_problems(path, counts)]
        told[name] = [(one.line, one.id, one.flaw.field) for one in found], counts
        text = "\n".join(map(str, found))
    assert told["s.jsonl"] == told["s.parquet"]
    problems, counts = told["s.parquet"]
    assert {line for line, _, _ in problems} == {1, 2, 3, 4, 5} and counts.n == counts.n_read_back == 3
    assert "s.parquet, record 2: field id is 'a', as in record 1" in text and "line" not in text


def test_a_record_without_content_is_a_problem(tmp_path: Path) -> None:
    path = columns(tmp_path / "s.parquet", record=[None, plain().to_json()])
    (one,) = iter_problems(path, "none")
    assert (one.line, one.flaw.field) == (1, "") and "not JSON" in one.flaw.found


def test_an_empty_parquet_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    export_file([], FORMATS["parquet"], path)
    (one,) = iter_problems(path, "none")
    assert str(one) == f"{path}: the record is an empty file; expected at least one sample"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": ["a.png"], "mos": [3.0]}, "has the columns path, mos; expected a column record"),
        ({"record": [1, 2]}, "record 1: its column record holds 1; expected texts, as mllmqa writes them"),
    ],
)
def test_parquet_of_something_else_is_named(tmp_path: Path, values: dict[str, list[Any]], message: str) -> None:
    path = columns(tmp_path / "s.parquet", **values)
    with pytest.raises(DataError, match=rf"s\.parquet(:|,) {message}"):
        list(iter_problems(path, "none"))
