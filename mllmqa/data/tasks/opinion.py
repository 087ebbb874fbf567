"""Questions about opinions: a number on a stated scale, and the level of a streamed video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal

import numpy as np

from mllmqa.data.tasks.phrases import Turn, turn
from mllmqa.data.tasks.wording import join, vocabulary, wording
from mllmqa.errors import DataError


def score(
    value: float, low: float, high: float, medium: str, rng: np.random.Generator, aspect: str = "quality"
) -> Turn:
    """Rate with a number; the question states both ends of the scale.

    Args:
        value: E.g. a MOS; written as :func:`number_text` says.
        low: The worst value of the scale.
        high: The best value; a scale on which less is better (DMOS) has to be turned before.
        medium: ``image`` or ``video``.
        rng: Draws the wording; a third of the answers are the bare number.
        aspect: What is rated.

    Raises:
        DataError: As :func:`number_text`.
    """
    pools = wording("score")
    number = number_text(value, low, high)
    ends = {"low": _plain(low), "high": _plain(high)}
    question = pools.pick("question", rng, medium=medium, aspect=aspect, **ends)
    return turn("score", question, pools.pick("answer", rng, medium=medium, aspect=aspect, number=number), pools)


def number_text(value: float, low: float, high: float) -> str:
    """Write a value with one decimal, or two where the scale is at most 1 long.

    Rounded half up (2.25 → 2.3, −2.25 → −2.2), on the decimal digits of the value. A value whose rounding falls
    off the end of the scale is written as the last step inside (4.96 on 1..4.97 → 4.9).

    Raises:
        DataError: A number is not finite, low ≥ high, the value is off the scale, or the scale has no such step.
    """
    if not all(map(math.isfinite, (value, low, high))) or not low <= value <= high or low >= high:
        raise DataError(f"score {value} on a scale of {low} to {high}", expected="finite, low ≤ score ≤ high")
    step = Decimal("0.01") if high - low <= 1 else Decimal("0.1")
    least, most = Decimal(str(float(low))), Decimal(str(float(high)))
    steps = (Decimal(str(float(value))) / step + Decimal("0.5")).to_integral_value(ROUND_FLOOR)
    if steps * step > most:
        steps -= 1
    if steps * step < least:
        steps += 1
    number = steps * step
    if not least <= number <= most:
        raise DataError(f"a scale of {low} to {high}", expected=f"a step of {step} inside")
    return f"{number + 0:f}"


def streaming_level(
    word: str,
    stalls: Sequence[tuple[float, float]],
    duration_s: float,
    rng: np.random.Generator,
    aspect: str = "quality",
) -> Turn:
    """Rate a streamed video with a level word, told how its playback stalled (VQA², stage 2).

    Args:
        word: The level.
        stalls: (start, duration) in seconds, the start in the time of the clip without the waits; none: the
            question says so. Written in tenths.
        duration_s: Of the clip, without the waits.
        rng: Draws the wording.
        aspect: What is rated.

    Raises:
        DataError: A stall is outside the clip, or shorter than the 0.05 s that can be written.
    """
    pools, number = wording("streaming"), len(stalls)
    for start, length in stalls:
        if not (0 <= start <= duration_s + 0.05 and 0.05 < length < math.inf):
            raise DataError(
                f"a stall at {start:g} s for {length:g} s", expected=f"from 0 to {duration_s:g} s, for over 0.05 s"
            )
    told = [pools.pick("stall", rng, start=f"{start:.1f}", length=f"{length:.1f}") for start, length in stalls]
    variables = {"duration": f"{duration_s:.1f}", "plural": "" if number == 1 else "s"}
    if stalls:
        be = "was" if number == 1 else "were"
        variables |= {"number": vocabulary().number(number), "be": be, "stalls": join(told)}
    facts = pools.pick("facts" if stalls else "facts_none", rng, **variables)
    question = f"{facts} {pools.pick('question', rng, aspect=aspect)}"
    return turn("streaming_level", question, pools.pick("answer", rng, aspect=aspect, level=word), pools)


def _plain(end: float) -> str:
    """Write an end of a scale with the digits it has: 1, 92.43."""
    return np.format_float_positional(float(end), trim="-")
