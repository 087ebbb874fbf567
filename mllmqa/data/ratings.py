"""Rated media from tables: path, opinion score and, where there are, deviation, opinions, reference and part.

Direction and range of the scores are stated by the caller, never guessed: a DMOS taken for a MOS turns a data set
upside down without any error (it happened to published training files).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from mllmqa.errors import UsageError


def number(text: str) -> float:
    """Return a number that is written as text.

    Raises:
        ValueError: It is none; also with an underscore (``1_0``), which Python takes for 10.
    """
    if "_" in text:
        raise ValueError(text)
    return float(text)


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
            scale = cls("mos" if direction == "mos" else "dmos", number(low), number(high))
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
