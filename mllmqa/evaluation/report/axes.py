"""Axes of charts: round ticks, linear or logarithmic, and where a value stands."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        low: Value at its start.
        high: Value at its end, above ``low``.
        ticks: Values that are labelled.
        label: What it shows.
        log: Whether it is logarithmic.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    label: str = ""
    log: bool = False

    def share(self, value: float) -> float:
        """Return where a value stands, 0 at the start and 1 at the end; what lies beyond is at the nearer end."""
        low, high, x = self.low, self.high, min(self.high, max(self.low, value))
        if self.log:
            low, high, x = math.log(low), math.log(high), math.log(x)
        return (x - low) / (high - low)


def linear(values: Iterable[float], label: str = "", *, ticks: int = 5) -> Axis:
    """Return an axis with round ends that holds all finite values; 0..1 without any.

    Args:
        values: What must be on it.
        label: What it shows.
        ticks: About so many.
    """
    known = [value for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / ticks
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * one for one in _STEPS if size * one >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = tuple(round(k * step, 12) for k in range(first, last + 1))
    return Axis(marks[0], marks[-1], marks, label)


def logarithmic(values: Iterable[float], label: str = "") -> Axis:
    """Return a logarithmic axis with all finite values above 0, and ticks at 1, 2 and 5; 1..10 without any."""
    known = [value for value in values if math.isfinite(value) and value > 0]
    low, high = (min(known), max(known)) if known else (1.0, 10.0)
    low, high = low / 1.25, high * 1.25
    tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 300 else (1,)
    marks = [factor * 10.0**ten for ten in tens for factor in factors]
    return Axis(low, high, tuple(mark for mark in marks if low <= mark <= high), label, log=True)


def minus(text: str) -> str:
    """Return a number as text with a minus for its hyphen."""
    return text.replace("-", "−")


def short(value: float) -> str:
    """Return a number as a tick shows it: 1.5k, 20M, −0.25."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return minus(f"{value / unit:g}{name}")
    return minus(f"{value:g}")
