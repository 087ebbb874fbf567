"""Answers composed from readings alone: for a model that cannot follow, or whose own text does not hold.

They state what reaches the thresholds of :mod:`mllmqa.asking.thresholds` and nothing else, in words that
:mod:`mllmqa.asking.claims` reads back: a composed text never contradicts the evidence that it is made of.
"""

from __future__ import annotations

from collections.abc import Sequence

from mllmqa.asking import places, thresholds
from mllmqa.asking.records import Box, Evidence, FileEvidence, PairEvidence, Span
from mllmqa.asking.texts import say
from mllmqa.data.tasks.phrases import capital
from mllmqa.data.tasks.wording import join, vocabulary


def assessment(evidence: Evidence, keys: Sequence[str]) -> str:
    """Say how good each file is and what distorts it."""
    if len(keys) == 1 and len(evidence.files) == 1:
        file = evidence.files[0]
        return f"{level(evidence, keys)} {_shows(evidence, file)}"
    return " ".join(side(evidence, evidence.of(key)) for key in keys)


def comparison(evidence: Evidence, keys: Sequence[str]) -> str:
    """Say which file is better and what distorts each; of three and more, in which order they come."""
    sides = [side(evidence, evidence.of(key)) for key in keys]
    if len(keys) == 2 and (pair := evidence.pair(keys[0], keys[1])) is not None:
        return " ".join([verdict(pair, "compose"), *sides])
    order = [key for key in evidence.order() if key in keys]
    return " ".join([say("compose", "order", order=", ".join(order)), *sides])


def identification(evidence: Evidence, keys: Sequence[str]) -> str:
    """Name the distortions of each file."""
    return " ".join(_shows(evidence, evidence.of(key)) for key in keys)


def level(evidence: Evidence, keys: Sequence[str]) -> str:
    """Say how good each file is."""
    files = [evidence.of(key) for key in keys]
    told = [{"what": _what(evidence, one), "level": one.level, "score": f"{one.score.value:.1f}"} for one in files]
    return " ".join(say("compose", "whole", **one) for one in told)


def presence(evidence: Evidence, keys: Sequence[str], category: str) -> str:
    """Say whether each file shows a distortion, and how strong it is."""
    return " ".join(_presence(evidence, evidence.of(key), category) for key in keys)


def place(evidence: Evidence, keys: Sequence[str]) -> str:
    """Say where in an image, or when in a video, quality is lowest."""
    return " ".join(_place(evidence, evidence.of(key)) for key in keys)


def verdict(pair: PairEvidence, file: str) -> str:
    """Say which of two is better, in the words of ``compose`` or of ``model``."""
    p = pair.first_better
    if abs(p - 0.5) < thresholds.EVEN_MARGIN:
        pool = "equal" if file == "compose" else "pair_even"
        return say(file, pool, first=pair.first, second=pair.second, p=f"{p:.2f}")
    better, worse = (pair.first, pair.second) if p > 0.5 else (pair.second, pair.first)
    pool = "better" if file == "compose" else "pair"
    return say(file, pool, better=better, worse=worse, p=f"{max(p, 1 - p):.2f}")


def side(evidence: Evidence, file: FileEvidence) -> str:
    """Say how good one of several files is and what distorts it."""
    return say(
        "compose", "side", key=file.key, level=file.level, score=f"{file.score.value:.1f}",
        listed=listed(evidence, file),
    )  # fmt: skip


def listed(evidence: Evidence, file: FileEvidence) -> str:
    """List what distorts a file with strengths and places: "serious blur and slight noise", or "no distortion"."""
    if not file.presence:
        return say("compose", "unread")
    found = evidence.found(file.key)[: thresholds.MOST_NAMED]
    return join([distortion(file, category) for category in found]) if found else vocabulary().clean


def distortion(file: FileEvidence, category: str) -> str:
    """Name a distortion of a file with its strength, and its place where it has one."""
    severity, label = file.severity(category), vocabulary().label(category)
    where = places_text(*places_of(file, category))
    if severity is None:
        return say("compose", "found_ungraded", label=label, where=where)
    return say("compose", "found", severity=vocabulary().grade(severity.value), label=label, where=where)


def places_of(file: FileEvidence, category: str) -> tuple[list[Box], list[Span]]:
    """Return the boxes and spans of a distortion; none where it is everywhere, or was not looked for."""
    boxes = places.boxes_of(category, file.tiles) if file.tiles else []
    own = next((one for one in file.presence if one.category == category), None)
    if own is not None and own.spans_s is not None:
        return boxes, list(own.spans_s)
    if own is None or own.per_frame is None:
        return boxes, []
    times = file.score.provenance.timestamps_s
    return boxes, places.spans_of(own.per_frame, times, duration_of(file))


def worst_places(file: FileEvidence) -> tuple[list[Box], list[Span]]:
    """Return where and when the quality of a file is lowest; none where it is even, or was not looked for.

    Of frames it is the mean of score and fidelity, where heads tell that: scores alone follow what the frames show.
    """
    boxes = places.worst_boxes(file.tiles) if file.tiles else []
    frames = file.score.frames or ()
    near = file.fidelities or [one.value for one in frames]
    values = [(one.value + fidelity) / 2 for one, fidelity in zip(frames, near, strict=True)]
    times = [one.timestamp_s for one in frames]
    return boxes, places.worst_spans(values, times, duration_of(file)) if frames else []


def duration_of(file: FileEvidence) -> float:
    """Return the length of a video in seconds; of an array, which does not tell, half a step more than that."""
    times, told = file.score.provenance.timestamps_s, file.score.media.duration_s
    if told is not None or not times:
        return told or 0.0
    return times[-1] + (times[-1] - times[0]) / max(1, 2 * (len(times) - 1))


def places_text(boxes: Sequence[Box], spans: Sequence[Span]) -> str:
    """Write places as texts do, with a blank before; "" where there are none."""
    written = [f"({', '.join(map(str, box))})" for box in boxes]
    parts = [f" at {join(written)}"] if written else []
    parts += [f" {join([f'from {start:.1f} s to {end:.1f} s' for start, end in spans])}"] if spans else []
    return "".join(parts)


def _what(evidence: Evidence, file: FileEvidence) -> str:
    """Return what texts call a file: by its medium where it is the only one."""
    return file.key if len(evidence.files) > 1 else f"the {file.medium}"


def _shows(evidence: Evidence, file: FileEvidence) -> str:
    return say("compose", "shows", What=capital(_what(evidence, file)), listed=listed(evidence, file))


def _presence(evidence: Evidence, file: FileEvidence, category: str) -> str:
    p, what = evidence.probability(file.key, category), _what(evidence, file)
    if p is None:
        return say("compose", "not_asked", what=what)
    told = {"p": f"{p:.2f}", "what": what, "label": vocabulary().label(category)}
    suffix = "_key" if len(evidence.files) > 1 else ""
    if p >= thresholds.PRESENT:
        return say("compose", f"there{suffix}", **told, listed=distortion(file, category))
    return say("compose", f"absent{suffix}", **told)


def _place(evidence: Evidence, file: FileEvidence) -> str:
    (boxes, spans), what = worst_places(file), _what(evidence, file)
    if boxes:
        return say("compose", "lowest_box", what=what, places=places_text(boxes, []).removeprefix(" at "))
    if spans:
        return say("compose", "lowest_span", what=what, places=places_text([], spans).strip())
    looked = file.tiles is not None or bool(file.score.frames)
    return say("compose", "even", what=what) if looked else say("compose", "no_places")
