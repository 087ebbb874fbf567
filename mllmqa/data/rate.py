"""Turn the lines of a table into ratings; every mistake is counted and named, or stops the reading."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from mllmqa.data.findings import Findings
from mllmqa.data.flaws import shown
from mllmqa.data.media_index import MediaIndex
from mllmqa.data.ratings import AS_NAMED, Columns, Rating, RatingScale, Reading, number
from mllmqa.data.tables import Line, Table, TableForm, open_table
from mllmqa.errors import DataError


def read_ratings(path: Path, columns: Columns, scale: RatingScale, form: TableForm | None = None) -> list[Rating]:
    """Read all rows of a table, and stop at the first mistake.

    Args:
        path: CSV, JSON, JSONL, Parquet or Excel file; CSV with a header, in UTF-8 unless ``form`` says otherwise.
        columns: Which columns hold what.
        scale: What the scores mean; every score must lie on it.
        form: How the file is to be read.

    Raises:
        DataError: The file, a column, a value or a media file is missing or wrong; names file, line and field.
    """
    with open_table(path, form or TableForm()) as table:
        media = MediaIndex(path.parent, search=False)
        found = list(rate(table, columns, scale, media, Findings(strict=True)))
    if not found:
        raise DataError("no rows", where=path)
    return found


def rate(
    table: Table,
    columns: Columns,
    scale: RatingScale,
    media: MediaIndex | None,
    findings: Findings,
    how: Reading = AS_NAMED,
) -> Iterator[Rating]:
    """Turn lines into ratings; what is wrong with them goes to ``findings``.

    Rows without a usable score or without a path, and repeated ones, are left out and counted. Scores off the scale
    and rows whose media file is missing stay and are counted.

    Args:
        table: Open table.
        columns: Which columns hold what.
        scale: What the scores mean.
        media: Where the media are; None: media are not looked for.
        findings: Takes what is found; a strict one raises.
        how: Names, parts and patterns.

    Raises:
        DataError: A column is missing or there twice; or anything, if ``findings`` is strict.
    """
    for name in columns.named():
        if table.columns.count(name) != 1:
            what = f"{table.columns.count(name)} columns are named {name!r}"
            raise DataError(what, where=table.where, expected=f"one of {', '.join(table.columns) or 'a header'}")
    seen: dict[str, str] = {}
    for line in table.lines:
        rating = _rating(line, columns, scale, findings, how)
        if rating is None:
            continue
        if not rating.name:
            expected = "the path of a media file"
            findings.error("no-path", f"field {columns.path} is empty", where=line.where, expected=expected)
            continue
        if media is not None:
            rating = _located(rating, columns.path, media, findings)
        file = str(rating.path) if media is not None else rating.name  # one file may go by several names
        first = seen.get(rating.name) or seen.get(file)
        if first is not None:
            what = f"field {columns.path}: {rating.name!r} is also in {first}"
            findings.error("duplicate", what, where=line.where)
            continue
        seen[rating.name] = seen[file] = line.where.rpartition(", ")[2]
        yield rating


def _rating(line: Line, columns: Columns, scale: RatingScale, findings: Findings, how: Reading) -> Rating | None:
    cells, span = line.cells, scale.std_width or scale.high - scale.low
    reader = _Numbers(line, findings)
    votes = tuple(reader.get(name, 0, math.inf) for name in columns.histogram) or None
    score = reader.get(columns.score, scale.low, scale.high) if columns.score else _mean(votes, scale)
    std = reader.get(columns.std, 0, span) if columns.std and cells.get(columns.std, "") is not None else None
    if columns.variance:
        variance = reader.get(columns.variance, 0, span**2)
        std = math.sqrt(variance) if variance is not None and variance >= 0 else None
    n = reader.get(columns.n, 0, math.inf) if columns.n else None
    if score is None or (votes and None in votes):
        return None
    if std == 0:
        findings.note("zero-std", f"field {columns.std or columns.variance} is 0 (one opinion?)", where=line.where)
    name = _text(cells.get(columns.path)) or ""
    used = set(columns.named())
    return Rating(
        name=name, path=Path(how.media.format_map({**cells, "path": name})), score=score, std=std, where=line.where,
        n=n, histogram=tuple(v for v in votes if v is not None) if votes else None,
        reference=_group(columns.reference, "reference", cells, name, how),
        distortion=_group(columns.distortion, "distortion", cells, name, how),
        split=_split(columns.split, line, findings, how),
        extra={key: value for key, value in cells.items() if key not in used},
    )  # fmt: skip


def _mean(votes: tuple[float | None, ...] | None, scale: RatingScale) -> float | None:
    known = [v for v in votes or () if v is not None]
    if not known or len(known) != len(votes or ()) or sum(known) <= 0:
        return None
    step = (scale.high - scale.low) / (len(known) - 1)
    return sum(v * (scale.low + k * step) for k, v in enumerate(known)) / sum(known)


def _located(rating: Rating, column: str, media: MediaIndex, findings: Findings) -> Rating:
    path, found = media.find(rating.path.as_posix())
    if found == "missing":
        findings.error("missing-media", f"field {column}: no file {rating.name!r}", where=rating.where)
    elif found != "exact":
        findings.note(found, f"{rating.name!r} is {path.relative_to(media.root).as_posix()!r}", where=rating.where)
    return replace(rating, path=path)


def _text(value: object) -> str | None:
    return str(value).strip() or None if value is not None else None


def _group(column: str | None, role: str, cells: Mapping[str, Any], name: str, how: Reading) -> str | None:
    if column is not None:
        return _text(cells.get(column))
    pattern = how.patterns.get(role)
    match = re.search(pattern, PurePosixPath(name).as_posix()) if pattern else None
    return match.group(1) if match else None


def _split(column: str | None, line: Line, findings: Findings, how: Reading) -> str | None:
    word = _text(line.cells.get(column)) if column is not None else None
    if word is None:
        return how.split
    part = how.splits.get(word.casefold(), word.casefold())
    if part in ("train", "validation", "test"):
        return part
    expected = " | ".join([*how.splits, "train", "validation", "test"])
    findings.error("unknown-split", f"field {column} is {word!r}", where=line.where, expected=expected)
    return None


class _Numbers:
    """Numbers of one line; what is odd about them goes to the findings."""

    def __init__(self, line: Line, findings: Findings) -> None:
        self.line = line
        self.findings = findings

    def get(self, field: str, low: float, high: float) -> float | None:
        """The cell as a number, also off the range (counted); None if it is not a finite number."""
        raw, where = self.line.cells.get(field), self.line.where
        text = "" if raw is None else str(raw)
        if isinstance(raw, str) and text.strip() and text != text.strip():
            self.findings.note("blanks", f"field {field} is {text!r}, with blanks", where=where)
        try:
            value = number(text) if not isinstance(raw, bool) else math.nan
        except ValueError:
            value = math.nan
        if low <= value <= high and math.isfinite(value):
            return value
        expected = f"a number from {low:g} to {high:g}"
        what = f"field {field} is {shown(text.strip())}" if text.strip() else f"field {field} is missing"
        usable = math.isfinite(value)
        self.findings.error("off-scale" if usable else "not-a-number", what, where=where, expected=expected)
        return value if usable else None
