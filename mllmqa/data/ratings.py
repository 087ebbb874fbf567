"""Rated images from a CSV file: path, opinion score and, where there is one, the deviation of the opinions.

Direction and range of the scores are stated by the caller, never guessed: a DMOS taken for a MOS turns a data set
upside down without any error (it happened to published training files).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mllmqa.errors import DataError, UsageError


@dataclass(frozen=True)
class RatingScale:
    """What the numbers mean.

    Attributes:
        direction: ``mos``: higher is better; ``dmos``: lower is better.
        low: Lowest possible score.
        high: Highest possible score.
    """

    direction: Literal["mos", "dmos"]
    low: float
    high: float

    @classmethod
    def parse(cls, direction: str, limits: str) -> RatingScale:
        """Read ``mos`` or ``dmos`` and ``LOW:HIGH``.

        Raises:
            UsageError: Not of this form.
        """
        if direction not in ("mos", "dmos"):
            expected = "mos (higher is better) or dmos (lower is better)"
            raise UsageError(f"direction {direction!r}", expected=expected)
        low, colon, high = limits.partition(":")
        try:
            scale = cls("mos" if direction == "mos" else "dmos", float(low), float(high))
        except ValueError:
            colon = ""
        if not colon or not -float("inf") < scale.low < scale.high < float("inf"):
            raise UsageError(f"range {limits!r}", expected="LOW:HIGH of the rating scale, e.g. 1:5")
        return scale

    def goodness(self, score: float) -> float:
        """Return the score on 0 (worst possible) .. 1 (best possible)."""
        share = (score - self.low) / (self.high - self.low)
        return share if self.direction == "mos" else 1.0 - share


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read.

    Attributes:
        path: Path of the image, relative to the folder of the CSV file or absolute.
        score: Opinion score.
        std: Standard deviation of the opinions; None if the file has none.
    """

    path: str
    score: str
    std: str | None = None


@dataclass(frozen=True)
class Rating:
    """One rated image: ``name`` as in the file, ``score`` and ``std`` in its units, ``where`` it stands."""

    name: str
    path: Path
    score: float
    std: float | None
    where: str


def read_ratings(path: Path, columns: Columns, scale: RatingScale) -> list[Rating]:
    """Read all rows of a CSV file with a header.

    Args:
        path: CSV in UTF-8.
        columns: Which columns hold what.
        scale: What the scores mean; every score must lie on it.

    Raises:
        DataError: The file, a column, a value or an image is missing or wrong; names file, line and field.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = list(_rows(csv.reader(file, strict=True), path, columns, scale))
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is not a CSV in UTF-8 ({error})", where=path) from error
    if not found:
        raise DataError("no rows", where=path)
    return found


def _rows(lines: Iterator[list[str]], path: Path, columns: Columns, scale: RatingScale) -> Iterator[Rating]:
    header = [cell.strip() for cell in next(lines, [])]
    wanted = [name for name in (columns.path, columns.score, columns.std) if name is not None]
    for name in wanted:
        if header.count(name) != 1:
            what = f"{header.count(name)} columns are named {name!r}"
            raise DataError(what, where=f"{path}, line 1", expected=f"one of {', '.join(header) or 'a header'}")
    seen: dict[str, str] = {}
    for cells in lines:
        where = f"{path}, line {getattr(lines, 'line_num', 0)}"
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        name = row.get(columns.path, "")
        file = path.parent / name
        if not name or not file.is_file():
            raise DataError(f"field {columns.path}: no file {name!r}", where=where)
        if name in seen:
            raise DataError(f"field {columns.path}: {name!r} is also in {seen[name]}", where=where)
        seen[name] = where.rpartition(", ")[2]
        score = _number(row, columns.score, where, scale.low, scale.high)
        std = _number(row, columns.std, where, 0, scale.high - scale.low) if columns.std is not None else None
        yield Rating(name, file, score, std, where)


def _number(row: dict[str, str], field: str, where: str, low: float, high: float) -> float:
    text = row.get(field, "")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        what = f"field {field} is {text!r}" if text else f"field {field} is missing"
        raise DataError(what, where=where, expected=f"a number from {low:g} to {high:g}")
    return value
