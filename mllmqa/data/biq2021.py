"""Reader of BIQ2021 (Ahmed & Asif, J. Electronic Imaging 31(5), 2022): 12,000 photos with a MOS in 0..1.

The folder is a checkout of the public repository `nisarahmedrana/BIQ2021`: `Images/` and one CSV per split.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mllmqa.errors import DataError

Split = Literal["train", "test"]
FILES: dict[Split, str] = {"train": "Train (Images and MOS).csv", "test": "Test (Images and MOS).csv"}
HEADER = ("Image Name", "MOS")


@dataclass(frozen=True)
class BiqRow:
    """One rated photo: `name` as in the CSV, `path` of the JPEG, `mos` in 0 (worst) .. 1 (best)."""

    name: str
    path: Path
    mos: float

    @property
    def level(self) -> float:
        """The MOS on the 1..5 level scale."""
        return 1.0 + 4.0 * self.mos


def read_split(folder: Path | str, split: Split) -> list[BiqRow]:
    """Read the official rows of one split, in file order.

    Raises:
        DataError: a file, column or value is missing or wrong; names file, line and field.
    """
    root = Path(folder)
    if split not in FILES:
        raise DataError(f"unknown split {split!r}", where=root, expected="train or test")
    path = root / FILES[split]
    if not path.is_file():
        raise DataError("no such label file", where=path, hint="clone nisarahmedrana/BIQ2021 there")
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(_rows(csv.reader(handle), path, _files(root / "Images")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is not a CSV in UTF-8 ({error})", where=path) from error
    if not rows:
        raise DataError("no rows", where=path)
    return rows


def _files(folder: Path) -> dict[str, Path]:
    """Name, and lower-case name, → file: the label file spells one name (`ss02 (1014).JPG`) with another case."""
    if not folder.is_dir():
        raise DataError("no such folder", where=folder)
    paths = sorted(folder.iterdir())
    return {path.name.lower(): path for path in paths} | {path.name: path for path in paths}


def _rows(lines: Iterator[list[str]], path: Path, files: dict[str, Path]) -> Iterator[BiqRow]:
    header = tuple(cell.strip() for cell in next(lines, [])[:2])
    if header != HEADER:
        raise DataError(f"header is {header}", where=f"{path}, line 1", expected=str(HEADER))
    seen: set[str] = set()
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}, line {number}"
        if len(cells) < len(HEADER):
            raise DataError("field MOS is missing", where=where)
        name = cells[0].strip()
        if not name or name in seen:
            raise DataError("field Image Name is empty or repeated", where=where)
        seen.add(name)
        file = files.get(name) or files.get(name.lower())
        if file is None:
            raise DataError(f"field Image Name: no file {name!r} in Images", where=where)
        yield BiqRow(name, file, _mos(cells[1], where))


def _mos(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.0 <= value <= 1.0:
        raise DataError(f"field MOS is {text!r}", where=where, expected="a number in 0..1")
    return value
