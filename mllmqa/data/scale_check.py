"""Do the opinion scores of a file make sense together: one scale per source, and the right way up.

A DMOS that is declared as higher-better looks fine record by record. Over a file it shows: what is better by other
labels has the worse score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from mllmqa.data.flaws import Flaw
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Level, Mos

LEAST_PAIRS = 20
"""Scores with another label from which on a conclusion is drawn."""
TURNED = -0.3
"""A correlation below this says that the direction is wrong, if chance does not explain it:"""
CHANCE = 4.0
"""Fisher's z of it must lie so many of its standard errors, 1/√(n − 3), below 0. A file may have hundreds of
sources with two dozen scores each, and severities of different distortions order them loosely."""


@dataclass
class Correlation:
    """Pearson's correlation of pairs that come one by one (Welford's update), in constant memory."""

    n: int = 0
    _mean_x: float = 0.0
    _mean_y: float = 0.0
    _xx: float = 0.0
    _yy: float = 0.0
    _xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        """Add one pair."""
        self.n += 1
        dx, dy = x - self._mean_x, y - self._mean_y
        self._mean_x += dx / self.n
        self._mean_y += dy / self.n
        self._xx += dx * (x - self._mean_x)
        self._yy += dy * (y - self._mean_y)
        self._xy += dx * (y - self._mean_y)

    @property
    def value(self) -> float | None:
        """The correlation; None where one side does not vary."""
        scale = math.sqrt(self._xx) * math.sqrt(self._yy)
        return self._xy / scale if scale > 0 else None


@dataclass
class _Seen:
    """What is known of the scores of one source and aspect."""

    scale: tuple[float, float, str]
    line: int
    by: dict[str, Correlation] = field(default_factory=dict)


class ScaleCheck:
    """Looks at samples one by one; :meth:`conclusions` at the end.

    Args:
        unit: What the numbers of samples count: lines, or records.
    """

    def __init__(self, unit: str = "line") -> None:
        self._unit = unit
        self._seen: dict[tuple[str | None, str], _Seen] = {}

    def flaws(self, sample: Sample, line: int) -> Iterator[Flaw]:
        """Yield a flaw for each score on another scale than the first of its source and aspect."""
        for k, mos in enumerate(sample.labels.mos):
            scale = (mos.low, mos.high, mos.direction)
            seen = self._seen.setdefault((sample.source, mos.aspect), _Seen(scale, line))
            if scale != seen.scale:
                low, high, direction = seen.scale
                first = f"{sample.source or 'the source'} has in {self._unit} {seen.line}"
                yield Flaw(
                    f"labels.mos.{k}",
                    f"on the scale {mos.low:g} to {mos.high:g}, {mos.direction}",
                    f"{low:g} to {high:g}, {direction}, as {first}",
                )
                continue
            for name, goodness in _other_labels(sample, mos):
                seen.by.setdefault(name, Correlation()).add(mos.goodness, goodness)

    def conclusions(self) -> Iterator[Flaw]:
        """Yield a flaw for each source whose scores run against its other labels."""
        for (source, aspect), seen in self._seen.items():
            for name, correlation in seen.by.items():
                r = correlation.value
                if correlation.n >= LEAST_PAIRS and r is not None and r < TURNED and _is_sure(r, correlation.n):
                    found = f"{seen.scale[2]} for {source or 'the unnamed source'}, {aspect}"
                    found += f", but scores and {name} correlate with {r:.2f} (n={correlation.n})"
                    yield Flaw("labels.mos.direction", found, "the direction that the scores have; is it a DMOS?")


def _is_sure(r: float, n: int) -> bool:
    """Tell whether a correlation of n pairs is below 0 beyond chance (Fisher, 1921)."""
    return math.atanh(max(r, -1 + 1e-9)) * math.sqrt(n - 3) < -CHANCE


def _other_labels(sample: Sample, mos: Mos) -> Iterator[tuple[str, float]]:
    """Yield what other labels of the same medium say of its goodness, higher is better."""
    labels = sample.labels
    for level in labels.levels:
        if (level.media, level.aspect) == (mos.media, mos.aspect):
            yield "levels", _goodness(level)
    severities = [one.severity for one in labels.distortions or () if one.media == mos.media]
    known = [severity for severity in severities if severity is not None]
    if labels.distortions is not None and len(known) == len(severities):
        yield "severities", -sum(known)
    preference = labels.preference
    if preference and preference.better and mos.media in preference.among and preference.aspect == mos.aspect:
        yield "preferences", 1.0 if preference.better == mos.media else 0.0


def _goodness(level: Level) -> float:
    return -level.scale.index(level.word) / (len(level.scale) - 1)
