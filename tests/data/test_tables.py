"""Tables of every format: the same rows, and errors that name file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mllmqa.data.tables import TableForm, open_table
from mllmqa.errors import DataError, UsageError

ROWS = [{"name": "ü 1.png", "mos": 3.5, "n": 20}, {"name": "b.png", "mos": 4.25, "n": 21}]


def read(path: Path, form: TableForm | None = None) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    with open_table(path, form or TableForm()) as table:
        return list(table.columns), [(line.where, dict(line.cells)) for line in table.lines]


def test_csv_cells_are_text_with_places(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffname, mos\n"x, y.png", 3.5\n\nb.png,4 \n', encoding="utf-8")
    columns, rows = read(path)
    assert columns == ["name", "mos"]
    assert rows == [
        (f"{path}, line 2", {"name": "x, y.png", "mos": "3.5"}),
        (f"{path}, line 4", {"name": "b.png", "mos": "4 "}),
    ]


def test_csv_without_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a.png,1\nb.png,2\n")
    assert read(path, TableForm(header=("image", "mos")))[1][0] == (
        f"{path}, line 1",
        {"image": "a.png", "mos": "1"},
    )


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_typed_formats_give_the_same_rows(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif kind == "json":
        path.write_text(json.dumps(ROWS))
    else:
        path.write_text("\n\n".join(json.dumps(row) for row in ROWS) + "\n")
    columns, rows = read(path)
    assert columns == ["name", "mos", "n"]
    assert [cells for _, cells in rows] == ROWS
    assert rows[1][0] == (f"{path}, line 3" if kind == "jsonl" else f"{path}, record 1")


@pytest.mark.parametrize(("separator", "text"), [(",", "a b.mp4, 8.0, 3.5\n"), (None, "x.mp4   8.0\t3.5\n")])
def test_plain_text_has_the_stated_columns(tmp_path: Path, separator: str | None, text: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text + "\n")
    _, rows = read(path, TableForm(header=("video", "duration", "mos"), separator=separator))
    assert rows == [(f"{path}, line 1", {"video": text.split(separator)[0], "duration": "8.0", "mos": "3.5"})]


def test_gbk_is_read_when_stated_and_named_when_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("图像,分数\n猫.png,3\n".encode("gbk"))
    assert read(path, TableForm(encoding="gb18030"))[1][0][1] == {"图像": "猫.png", "分数": "3"}
    with pytest.raises(DataError, match=r"a\.csv: is not a CSV in UTF-8 .*say --encoding gb18030"):
        read(path)


def test_bytes_that_no_encoding_explains_get_no_hint(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"name,mos\n\xff.png,3\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert "gb18030" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", 'name,mos\n"a.png,3\n', "is not a CSV in UTF-8"),
        ("a.json", "[{]", "is not a JSON in UTF-8"),
        ("a.json", '{"a": 1}', "holds a JSON dict; expected a list of objects"),
        ("a.json", '[{"a": 1}, 3]', "a.json, record 1: is a JSON int; expected an object"),
        ("a.jsonl", '{"a": 1}\n{"a"\n', "a.jsonl, line 2: is not JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl, line 1: is a JSON list"),
        ("a.parquet", "no", "a.parquet: is not Parquet"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_of_another_width_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("a.mp4, 3\nb.mp4, 3, 4\n")
    with pytest.raises(DataError, match=r"line 2: 3 fields; expected 2: video, mos"):
        read(path, TableForm(header=("video", "mos"), separator=","))


def test_what_is_not_stated_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("a.mp4, 3\n")
    with pytest.raises(UsageError, match="does not name its columns"):
        read(path)
    (tmp_path / "a.ods").touch()
    with pytest.raises(UsageError, match="unknown format 'ods'; expected csv"):
        read(tmp_path / "a.ods")
    with pytest.raises(UsageError, match="encoding 'klingon' is not known"):
        read(path, TableForm(encoding="klingon"))


def test_empty_files_have_no_rows(tmp_path: Path) -> None:
    for name, text in (("a.csv", ""), ("a.json", "[]"), ("a.jsonl", "\n")):
        (tmp_path / name).write_text(text)
        assert read(tmp_path / name) == ([], [])


def test_mistakes_of_the_reader_are_not_taken_for_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,mos\na,1\n")
    with pytest.raises(KeyError), open_table(path, TableForm()) as table:
        next(iter(table.lines)).cells["absent"]


@pytest.mark.parametrize("encoding", ["klingon", "zlib", "rot13"])
def test_what_is_no_encoding_of_text_is_refused(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,mos\na,1\n", encoding="utf-8")
    with pytest.raises(UsageError, match=f"encoding '{encoding}' is not known"):
        read(path, TableForm(encoding=encoding))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "ascii", "idna"])
def test_utf8_is_hinted_at_when_another_encoding_was_stated(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,mos\nd\u00e9j\u00e0 \u00fc,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"a.csv: is not a CSV in {encoding} .*valid UTF-8: leave out --encoding"):
        read(path, TableForm(encoding=encoding))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_json_of_endless_depth_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("[" * 100_000)
    with pytest.raises(DataError, match=f"{name}.*recursion") as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_decimal_comma_is_not_read_as_a_whole_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,mos\na.png,3,\nb.png,3,4\n")
    with pytest.raises(DataError, match=r"a\.csv, line 3: 3 cells; expected 2: name, mos; quote commas"):
        read(path)
    path.write_text('name,mos\na.png,3, \nb.png,"3,4"\n')
    assert [cells["mos"] for _, cells in read(path)[1]] == ["3", "3,4"]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_an_integer_of_thousands_of_digits_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"mos": ' + "1" * 5000 + "}\n")
    with pytest.raises(DataError, match=name) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.jsonl",
            '{"mos": 2}\n{"mos": 1, "mos": 4}\n',
            "line 2: field mos is there twice; expected each key once",
        ),
        ("a.jsonl", '{"mos": {"a": 1, "a": 2}}\n', r"line 1: field mos\.a is there twice"),
        ("a.json", '[{"mos": 2}, {"mos": 1, "mos": 4}]', "record 1: field mos is there twice"),
    ],
)
def test_a_key_that_is_there_twice_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert caught.value.where is not None and caught.value.where.startswith(str(path))
