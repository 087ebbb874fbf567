"""Rows of the first sheet of an Excel workbook (ECMA-376), as several data sets distribute their scores."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring
from zipfile import BadZipFile, ZipFile

from mllmqa.errors import DataError

Cell = str | int | float | None
LARGEST = 256 * 2**20
"""Bytes that one part may unpack to."""


def sheet_rows(path: Path) -> Iterator[tuple[int, list[Cell]]]:
    """Read the first sheet.

    Args:
        path: ``.xlsx`` file.

    Yields:
        Row number as in Excel, and its cells from column A on; empty cells are None, whole numbers int.

    Raises:
        DataError: It is no such workbook, or unreasonably large.
    """
    try:
        with ZipFile(path) as book:
            strings = _strings(book, path)
            sheet = _part(book, _first_sheet(book, path), path)
    except (BadZipFile, KeyError, ParseError, StopIteration) as error:
        raise DataError(f"is not an XLSX workbook ({error})", where=path) from error
    for row in _all(sheet, "row"):
        cells: list[Cell] = []
        for cell in _all(row, "c"):
            column = _column(cell.get("r"), len(cells))
            cells += [None] * (column - len(cells))
            try:
                cells.append(_value(cell, strings))
            except (IndexError, ValueError) as error:
                where = f"{path}, cell {cell.get('r')}"
                raise DataError(f"is not an XLSX workbook ({error})", where=where) from error
        yield int(row.get("r") or 0), cells


def _part(book: ZipFile, name: str, path: Path) -> Element:
    if book.getinfo(name).file_size > LARGEST:
        raise DataError(f"{name} unpacks to more than {LARGEST >> 20} MB", where=path)
    # expat itself bounds the expansion of entities, and external ones are not loaded.
    return fromstring(book.read(name))  # noqa: S314


def _all(element: Element, tag: str) -> Iterator[Element]:
    """All descendants of this name in any namespace (there are a strict and a transitional one)."""
    return (one for one in element.iter() if one.tag.rpartition("}")[2] == tag)


def _first_sheet(book: ZipFile, path: Path) -> str:
    first = next(_all(_part(book, "xl/workbook.xml", path), "sheet"))
    wanted = next(value for key, value in first.attrib.items() if key.rpartition("}")[2] == "id")
    for relation in _all(_part(book, "xl/_rels/workbook.xml.rels", path), "Relationship"):
        if relation.get("Id") == wanted:
            return posixpath.normpath(posixpath.join("/xl", relation.get("Target") or "")).lstrip("/")
    raise KeyError(wanted)


def _strings(book: ZipFile, path: Path) -> list[str]:
    if "xl/sharedStrings.xml" not in book.namelist():
        return []
    return [_text(one) for one in _all(_part(book, "xl/sharedStrings.xml", path), "si")]


def _text(element: Element) -> str:
    return "".join(one.text or "" for one in _all(element, "t"))


def _column(reference: str | None, following: int) -> int:
    letters = re.match(r"[A-Z]+", reference or "")
    if letters is None:
        return following
    number = 0
    for letter in letters[0]:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _value(cell: Element, strings: list[str]) -> Cell:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _text(cell)
    raw = next((one.text for one in _all(cell, "v")), None)
    if raw is None:
        return None
    if kind == "s":
        return strings[int(raw)]
    if kind != "n":
        return raw
    number = float(raw)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
