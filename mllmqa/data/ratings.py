"""Rated media from tables: path, opinion score and, where there are, deviation, opinions, reference and part.

Direction and range of the scores are stated by the caller, never guessed: a DMOS taken for a MOS turns a data set
upside down without any error (it happened to published training files).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from mllmqa.data.findings import Findings
from mllmqa.data.media_index import MediaIndex
from mllmqa.data.tables import Line, Table, TableForm, open_table
from mllmqa.errors import DataError, UsageError


@dataclass(frozen=True)
class RatingScale:
    """What the numbers mean.

    Attributes:
        direction: ``mos``: higher is better; ``dmos``: lower is better.
        low: Lowest possible score.
        high: Highest possible score.
        std_width: Width of the scale that the deviations are on, where it is another one (KonIQ-10k: scores 0..100,
            deviations on 1..5); None: high − low.
    """

    direction: Literal["mos", "dmos"]
    low: float
    high: float
    std_width: float | None = None

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

    def level(self, score: float) -> float:
        """Return the score on 1 (worst possible) .. 5 (best possible)."""
        return 1.0 + 4.0 * self.goodness(score)

    def std_levels(self, std: float) -> float:
        """Return a deviation of opinions in levels."""
        return 4.0 * std / (self.std_width or self.high - self.low)


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read.

    Attributes:
        path: Path of the media file, from the folder of the table on, or absolute.
        score: Opinion score; None: the mean of the histogram, at equal distances over the scale.
        std: Standard deviation of the opinions; None if the file has none.
        variance: Variance of the opinions, instead of ``std``.
        n: Number of opinions.
        reference: The undistorted original, or what else tells contents apart.
        distortion: Kind of distortion.
        split: Part that the row belongs to.
        histogram: Numbers of opinions, worst first.
    """

    path: str
    score: str | None
    std: str | None = None
    variance: str | None = None
    n: str | None = None
    reference: str | None = None
    distortion: str | None = None
    split: str | None = None
    histogram: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Columns:
        """Read ``path=NAME,score=NAME[,std=NAME…]``.

        Raises:
            UsageError: Not of this form, or without path and score.
        """
        known = [one.name for one in fields(cls) if one.name != "histogram"]
        given: dict[str, str] = {}
        for part in text.split(","):
            key, equals, name = (piece.strip() for piece in part.partition("="))
            if key not in known or not equals or not name or key in given:
                raise UsageError(f"columns {text!r}: {part!r}", expected=f"ROLE=COLUMN, of {', '.join(known)}")
            given[key] = name
        if "path" not in given or "score" not in given:
            raise UsageError(f"columns {text!r}", expected="at least path=NAME,score=NAME")
        return cls(**given)  # type: ignore[arg-type]

    def named(self) -> list[str]:
        """All column names that must be there."""
        one = (self.path, self.score, self.std, self.variance, self.n, self.reference, self.distortion, self.split)
        return [name for name in (*one, *self.histogram) if name is not None]


@dataclass(frozen=True)
class Rating:
    """One rated item.

    Attributes:
        name: As in the file.
        path: Of the media file; where it should be, if it is missing.
        score: In the file's units; what they mean is in the :class:`RatingScale` that it was read with.
        std: Standard deviation of the opinions; None: not stated.
        where: File and line.
        n: Number of opinions; None: not stated.
        histogram: Numbers of opinions, worst first.
        reference: Name of the original, or of the content.
        distortion: Kind of distortion.
        split: ``train``, ``validation`` or ``test``; None: not stated.
        extra: All other cells.
    """

    name: str
    path: Path
    score: float
    std: float | None
    where: str
    n: float | None = None
    histogram: tuple[float, ...] | None = None
    reference: str | None = None
    distortion: str | None = None
    split: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """How lines become ratings, beside the columns.

    Attributes:
        media: Name of the media file from the root on, with ``{path}`` for the cell and ``{COLUMN}`` for others.
        splits: Word in the file → train, validation or test.
        split: The part of all rows of this file.
        patterns: ``reference`` or ``distortion`` → regular expression on the media name; its first group is it.
    """

    media: str = "{path}"
    splits: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    patterns: Mapping[str, str] = field(default_factory=dict)


AS_NAMED = Reading()


def read_ratings(path: Path, columns: Columns, scale: RatingScale, form: TableForm | None = None) -> list[Rating]:
    """Read all rows of a table, and stop at the first mistake.

    Args:
        path: CSV, JSON, JSONL or Parquet file; CSV with a header, in UTF-8 unless ``form`` says otherwise.
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

    Rows without a usable score, and repeated ones, are left out and counted. Scores off the scale and rows whose
    media file is missing stay and are counted.

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
        if media is not None:
            rating = _located(rating, columns.path, media, findings)
        if rating.name in seen:
            what = f"field {columns.path}: {rating.name!r} is also in {seen[rating.name]}"
            findings.error("duplicate", what, where=line.where)
            continue
        seen[rating.name] = line.where.rpartition(", ")[2]
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
    path, found = media.find(rating.path.as_posix() if rating.name else "")
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
            value = float(text) if not isinstance(raw, bool) else math.nan
        except ValueError:
            value = math.nan
        if low <= value <= high and math.isfinite(value):
            return value
        expected = f"a number from {low:g} to {high:g}"
        what = f"field {field} is {text.strip()!r}" if text.strip() else f"field {field} is missing"
        usable = math.isfinite(value)
        self.findings.error("off-scale" if usable else "not-a-number", what, where=where, expected=expected)
        return value if usable else None
