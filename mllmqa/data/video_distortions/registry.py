"""All distortions of videos by name, one after another, with spans that stay right when a stall moves them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mllmqa.data.video_distortions import appearance, codecs, packet_loss, timing
from mllmqa.data.video_distortions.clip import EPSILON_S, Applied, Clip, DistortedClip, Span, measure_effect
from mllmqa.data.video_distortions.severities import TABLE, values
from mllmqa.errors import DataError, UnknownNameError

Distortion = Callable[[Clip, int, np.random.Generator, Span], DistortedClip]
STALLS = ("stall", "stall_spinner")


def _codec(name: str, clip: Clip, severity: int, rng: np.random.Generator, within: Span) -> DistortedClip:
    return codecs.with_codec(clip, name, severity, within)


REGISTRY: dict[str, Distortion] = {
    "freeze": timing.freeze,
    "stutter": timing.stutter,
    "frame_drop": timing.frame_drop,
    "jitter": timing.jitter,
    "stall": timing.stall,
    "stall_spinner": timing.stall_spinner,
    "flicker": appearance.flicker,
    "shake": appearance.shake,
    "interlace": appearance.interlace,
    "packet_loss": packet_loss.packet_loss,
    "bitrate_switch": codecs.bitrate_switch,
    **{name: partial(_codec, name) for name in TABLE if name.removesuffix("_bitrate") in codecs.ENCODERS},
}
NAMES: tuple[str, ...] = tuple(REGISTRY)
_CATEGORIES = {"frame_drop": "drop", "stall_spinner": "stall"}
"""Names that differ from their category; codecs are ``compression``, all others are a category of their own."""


def category_of_video(name: str) -> str:
    """Return the category of a distortion of videos, which ``prompts/build/words.yaml`` has a word for.

    Raises:
        UnknownNameError: No such distortion.
    """
    if name not in REGISTRY:
        raise UnknownNameError(f"no video distortion is called {name!r}", expected="one of " + ", ".join(REGISTRY))
    return "compression" if name.removesuffix("_bitrate") in codecs.ENCODERS else _CATEGORIES.get(name, name)


IN_TIME: tuple[str, ...] = tuple(
    dict.fromkeys(category for category in map(category_of_video, NAMES) if category != "compression")
)
"""Categories that are no property of a frame."""


def apply(
    clip: Clip, name: str, severity: int, rng: np.random.Generator, *, within: Span | None = None
) -> DistortedClip:
    """Apply one distortion.

    Args:
        clip: Not changed.
        name: One of :data:`NAMES`.
        severity: 1 (just visible) .. 5 (severe); see ``severities.TABLE``.
        rng: The only source of randomness.
        within: Span that may be touched. Flicker, shake, interlacing, jitter, drops and codecs fill it; freezes,
            stalls and losses find a place in it. None for the whole clip.

    Returns:
        The distorted clip and one record for each thing done, with its measured effect.

    Raises:
        UnknownNameError: No such distortion.
        UsageError: An encoder is missing in this build of PyAV.
        DataError: Severity outside 1..5, a span that is none, or one too short for this distortion.
    """
    values(name, severity)
    span = within or clip.whole
    if not (0 <= span[0] < span[1] <= clip.duration_s + EPSILON_S):
        raise DataError(
            f"{name}: the span is {span[0]:g} to {span[1]:g} s",
            expected=f"0 ≤ start < end ≤ {clip.duration_s:g} s, the end of the clip",
        )
    result = REGISTRY[name](clip, severity, rng, span)
    if name in STALLS:
        return result
    measured = (
        replace(one, effect=measure_effect(clip, result.clip, one.span_s, one.box)) for one in result.applied
    )
    return DistortedClip(result.clip, tuple(measured))


@dataclass(frozen=True)
class Step:
    """One distortion of a chain; the span is in the time of the clip as the step before left it."""

    name: str
    severity: int
    within: Span | None = None


def apply_all(clip: Clip, steps: Iterable[Step], rng: np.random.Generator) -> DistortedClip:
    """Apply several distortions, one after another, each with a child of the generator.

    Records of earlier steps are moved where a later stall delays them, so all are in the time of the result.

    Raises:
        As :func:`apply`.
    """
    done: tuple[Applied, ...] = ()
    for step in steps:
        (child,) = rng.spawn(1)
        result = apply(clip, step.name, step.severity, child, within=step.within)
        if step.name in STALLS:
            done = tuple(delayed(one, result.applied) for one in done)
        clip, done = result.clip, (*done, *result.applied)
    return DistortedClip(clip, done)


def delayed(record: Applied, stalls: Iterable[Applied]) -> Applied:
    """Return a record in the time after stalls were put in; a span that one falls into becomes longer."""
    pauses = [(one.parameters["at_s"], one.parameters["length_s"]) for one in stalls]

    def moved(span: Span) -> Span:
        start = sum(length for at, length in pauses if at <= span[0] + EPSILON_S)
        end = sum(length for at, length in pauses if at < span[1] - EPSILON_S)
        return (span[0] + start, span[1] + end)

    return replace(record, span_s=moved(record.span_s), events_s=tuple(moved(one) for one in record.events_s))


def random_span(clip: Clip, rng: np.random.Generator, *, share: tuple[float, float] = (0.2, 0.5)) -> Span:
    """Draw a span that begins and ends with frames.

    Args:
        clip: Of at least three frames.
        rng: Source.
        share: Shortest and longest part of the clip, 0..1.

    Raises:
        DataError: Fewer than three frames.
    """
    if len(clip) < 3:
        raise DataError(f"the clip has {len(clip)} frames", expected="at least 3")
    length = int(np.clip(round(float(rng.uniform(*share)) * len(clip)), 1, len(clip)))
    first = int(rng.integers(0, len(clip) - length + 1))
    return (float(clip.timestamps_s[first]), float(clip.ends_s[first + length - 1]))
