"""Excel workbooks: cells of all kinds in their columns, and files that are none."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from mllmqa.data import xlsx
from mllmqa.data.rate import read_ratings
from mllmqa.data.ratings import Columns, RatingScale
from mllmqa.data.tables import TableForm, open_table
from mllmqa.errors import DataError

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRINGS = ("Image name", "MOS", "<r><t>00001</t></r><r><t>.jpg</t></r>", "00002.jpg")
ROWS = """
<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c></row>
<row r="2"><c r="A2" t="s"><v>2</v></c><c r="C2"><v>48.86</v></c></row>
<row r="3"/>
<row r="4"><c r="A4" t="s"><v>3</v></c><c r="B4" t="inlineStr"><is><t>x y</t></is></c><c r="C4"><v>62</v></c></row>
<row r="5"><c r="A5"><v>1600</v></c><c r="C5" t="str"><v>12.5</v></c><c r="AB5" t="b"><v>1</v></c></row>
"""


NARROW = ROWS.replace('<c r="AB5" t="b"><v>1</v></c>', '<c r="AB5" t="str"><v> </v></c>')
"""No cell right of the header, but a blank one."""


def workbook(path: Path, rows: str = ROWS, *, target: str = "worksheets/sheet7.xml", leave_out: str = "") -> Path:
    shared = "".join(f"<si>{s if s.startswith('<') else f'<t>{s}</t>'}</si>" for s in STRINGS)
    sheets = '<sheet name="first" sheetId="3" r:id="rId9"/><sheet name="second" sheetId="1" r:id="rId1"/>'
    relations = (
        f'<Relationship Id="rId1" Target="worksheets/sheet1.xml"/><Relationship Id="rId9" Target="{target}"/>'
    )
    parts = {
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{REL}"><sheets>{sheets}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f"<Relationships>{relations}</Relationships>",
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{shared}</sst>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData/></worksheet>',
        "xl/worksheets/sheet7.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>',
    }
    with ZipFile(path, "w") as book:
        for name, text in parts.items():
            if name != leave_out:
                book.writestr(name, text)
    return path


@pytest.mark.parametrize("target", ["worksheets/sheet7.xml", "/xl/worksheets/sheet7.xml"])
def test_the_first_sheet_is_read(tmp_path: Path, target: str) -> None:
    rows = list(xlsx.sheet_rows(workbook(tmp_path / "a.xlsx", target=target)))
    assert rows[:4] == [
        (1, ["Image name", None, "MOS"]),
        (2, ["00001.jpg", None, 48.86]),
        (3, []),
        (4, ["00002.jpg", "x y", 62]),
    ]
    assert rows[4][1][:3] == [1600, None, "12.5"]
    assert (len(rows[4][1]), rows[4][1][27]) == (28, "1")


def test_as_a_table(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", NARROW)
    with open_table(path, TableForm()) as table:
        assert table.columns == ["Image name", "", "MOS"]
        lines = list(table.lines)
    assert [line.where for line in lines] == [f"{path}, row {k}" for k in (2, 4, 5)]
    assert lines[0].cells == {"Image name": "00001.jpg", "": None, "MOS": 48.86}


def test_as_ratings(tmp_path: Path) -> None:
    for name in ("00001.jpg", "00002.jpg", "1600"):
        (tmp_path / name).touch()
    path = workbook(tmp_path / "a.xlsx", NARROW)
    rows = read_ratings(path, Columns("Image name", "MOS"), RatingScale("mos", 0, 100))
    assert [(row.name, row.score) for row in rows] == [("00001.jpg", 48.86), ("00002.jpg", 62), ("1600", 12.5)]


def test_rows_wider_than_the_header_are_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx")
    wide = r"a\.xlsx, row 5: 28 cells; expected 3: Image name, , MOS"
    with open_table(path, TableForm()) as table, pytest.raises(DataError, match=wide):
        list(table.lines)


@pytest.mark.parametrize("missing", ["xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/worksheets/sheet7.xml"])
def test_incomplete_workbooks_are_named(tmp_path: Path, missing: str) -> None:
    path = workbook(tmp_path / "a.xlsx", leave_out=missing)
    with pytest.raises(DataError, match=r"a\.xlsx: is not an XLSX workbook"):
        list(xlsx.sheet_rows(path))


def test_other_content_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"old binary workbook")
    with pytest.raises(DataError, match="is not an XLSX workbook"):
        list(xlsx.sheet_rows(path))
    for rows in (
        "<row",
        '<row r="2"><c r="A2" t="s"><v>99</v></c></row>',
        '<row r="2"><c r="A2"><v>x</v></c></row>',
    ):
        workbook(path, rows)
        with pytest.raises(DataError, match="is not an XLSX workbook"):
            list(xlsx.sheet_rows(path))


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "LARGEST", 2**10)
    with pytest.raises(DataError, match=r"sheet7.xml unpacks to more than"):
        list(xlsx.sheet_rows(workbook(tmp_path / "a.xlsx", rows="<row/>" * 1000)))
