"""JSON records one at a time: any layout, any chunk, errors with their line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mllmqa.data.formats import json_stream
from mllmqa.data.formats.json_stream import json_records
from mllmqa.errors import DataError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
@given(ROWS, st.sampled_from([None, 0, 3]), st.booleans(), st.integers(1, 40))
def test_arrays_of_any_layout_in_any_pieces(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[Any],
    indent: int | None,
    ascii_only: bool,
    chunk: int,
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    assert list(json_records(path)) == rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), min_size=1, max_size=6))
def test_lines(tmp_path: Path, rows: list[Any]) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    assert list(json_records(path)) == rows


@pytest.mark.parametrize("text", ["[]", " [ ] ", "\ufeff[]\n", "[\n]\n"])
def test_empty_arrays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    assert list(json_records(path)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ('[{"a": 1},\n{"a": 2}', "line 2: is cut off; expected a comma or ]"),
        ('[{"a": 1},\n{"a": ', "line 2: is not JSON"),
        ('[{"a": 1}\n{"a": 2}]', "line 2: has '{' after a record"),
        ('[{"a": 1},\n\n{"b" 2}]', "line 3: is not JSON"),
        ("[1,]", "line 1: is not JSON"),
        ("[1]]", "has text after the array"),
        ("[1]\n[2]", "line 2: has text after the array"),
        ('{"a": 1}\n{"a": }', "line 2: is not JSON"),
        ("hello", "line 1: is not JSON"),
    ],
)
def test_what_is_not_json_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(json_records(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_records_before_the_damage_come_first(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"a": 1}, {"a": 2}, {"a"')
    records = json_records(path)
    assert [next(records), next(records)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(DataError):
        next(records)


def test_a_syntax_error_early_in_a_long_file_does_not_read_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", 1000)
    path = tmp_path / "x.json"
    path.write_text('[{"a": 1},\n{"a" 2},\n' + '{"a": 3},\n' * 5000 + "{}]")
    with pytest.raises(DataError, match="line 2: is not JSON"):
        list(json_records(path))


@pytest.mark.parametrize("lines", [False, True])
def test_encodings_are_named(tmp_path: Path, lines: bool) -> None:
    path = tmp_path / "x.json"
    body = '{"a": "模糊"}' if lines else '[{"a": "模糊"}]'
    path.write_bytes(body.encode("gbk"))
    with pytest.raises(DataError, match=r"is not UTF-8|is not UTF-8|not UTF-8"):
        list(json_records(path))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"id": 1}\n{"id": 2, "x": {"y": 1, "y": 2}}\n', 2),
        ('[{"id": 1},\n {"id": 2,\n  "x": {"y": 1, "y": 2}}]', 2),
    ],
)
@pytest.mark.parametrize("chunk", [3, 1 << 20])
def test_a_key_that_is_there_twice_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, chunk: int
) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    records = json_records(path)
    assert next(records) == {"id": 1}
    with pytest.raises(
        DataError, match=rf"x\.json, line {line}: field x\.y is there twice; expected each key once"
    ):
        next(records)
