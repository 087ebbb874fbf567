"""Measure distorted versions of pristine pictures, to fit a pseudo opinion score on them.

One row is a function of (picture, its name, distortion, severity, seed) alone, so rows can be made in any order, by
any number of processes, and a broken run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mllmqa.data.fullref.metrics import NAMES, Pixels, known, measure
from mllmqa.data.streams import stream
from mllmqa.data.video_distortions.lift import ImageDistortion
from mllmqa.errors import DataError


@dataclass(frozen=True)
class Plan:
    """One picture to be distorted: its name, the distortion, the severity 1..5."""

    picture: str
    name: str
    severity: int


def plan(pictures: Sequence[str], names: Sequence[str], *, per_picture: int, seed: int) -> Iterator[Plan]:
    """Choose, for every picture, so many different distortions, each at a random severity.

    Every distortion is as likely as every other, and so is every severity: the scores are ranks in this mixture.

    Raises:
        DataError: More distortions are wanted than there are.
    """
    if not 1 <= per_picture <= len(names):
        raise DataError(f"{per_picture} distortions for each picture", expected=f"1 to {len(names)}")
    for picture in pictures:
        rng = stream(seed, "plan", picture)
        for place in rng.permutation(len(names))[:per_picture]:
            yield Plan(picture, names[place], int(rng.integers(1, 6)))


def measured(
    pixels: Pixels, one: Plan, function: ImageDistortion, *, seed: int, metrics: Sequence[str] = NAMES
) -> dict[str, Any]:
    """Distort a picture as planned and measure it.

    Args:
        pixels: The pristine picture, uint8 (H, W, 3).
        one: What to do.
        function: Distorts one picture, as ``mllmqa.data.distortions.apply``.
        seed: With the plan it gives the draws.
        metrics: What to measure.

    Returns:
        ``picture``, ``name``, ``severity``, and ``values`` by metric.

    Raises:
        DataError: See :func:`mllmqa.data.fullref.measure`.
    """
    rng = stream(seed, one.picture, one.name, str(one.severity))
    done = function(pixels, one.name, one.severity, rng)
    values = measure(pixels, done.pixels, known(metrics))
    return {"picture": one.picture, "name": one.name, "severity": one.severity, "values": values}
