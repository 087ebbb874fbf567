"""What a sample says of its media, in the terms of the tasks."""

from __future__ import annotations

from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion, Level, Preference
from mllmqa.data.tasks.reasoning import orientation
from mllmqa.data.tasks.truth import Finding, Side, order_by_mos, order_by_severity
from mllmqa.errors import DataError


def stimuli(sample: Sample) -> tuple[str, ...]:
    """Return the keys of the media that are asked about, in order; references are not."""
    return tuple(medium.key for medium in sample.media if medium.role != "reference")


def has_reference(sample: Sample) -> bool:
    """Tell whether a pristine reference is shown."""
    return any(medium.role == "reference" for medium in sample.media)


def the_one(sample: Sample) -> str:
    """Return the key of the only medium that is asked about.

    Raises:
        DataError: There are none or several.
    """
    keys = stimuli(sample)
    if len(keys) != 1:
        raise DataError(f"{len(keys)} media to be judged", where=f"sample {sample.id}", expected="one")
    return keys[0]


def kind(sample: Sample) -> str:
    """Return what the media are called: ``image`` or ``video``.

    Raises:
        DataError: Both occur.
    """
    kinds = {medium.kind for medium in sample.media}
    if len(kinds) != 1:
        raise DataError("images and videos are mixed", where=f"sample {sample.id}", expected="one kind")
    return kinds.pop()


def findings(sample: Sample, key: str) -> tuple[Finding, ...]:
    """Return the distortions of a medium in the order in which they were applied; empty: it is clean.

    Boxes become shares of width and height.

    Raises:
        DataError: Distortions are not labelled, one has no severity, or a box is there and the size is not.
    """
    if sample.labels.distortions is None:
        raise _missing(sample, "distortions")
    found = [one for one in sample.labels.distortions if one.media == key]
    return tuple(_finding(sample, one) for one in sorted(found, key=lambda one: one.order or 0))


def all_findings(sample: Sample) -> dict[str, tuple[Finding, ...]]:
    """Return :func:`findings` of each medium that is asked about."""
    return {key: findings(sample, key) for key in stimuli(sample)}


def order(sample: Sample) -> tuple[str, ...]:
    """Return the media from best to worst, by opinions where all have them, else by their distortions.

    Raises:
        DataError: Neither tells them all apart.
    """
    keys = stimuli(sample)
    rated = {key: sample.mos_of(key) for key in keys}
    if all(rated.values()):
        stds = {key: mos.std / (mos.high - mos.low) for key, mos in rated.items() if mos and mos.std is not None}
        means = {key: mos.goodness for key, mos in rated.items() if mos}
        found = order_by_mos(means, stds if len(stds) == len(keys) else None)
    else:
        found = order_by_severity(all_findings(sample))
    if found is None:
        raise DataError("the order of its media is not known", where=f"sample {sample.id}")
    return found


def score(sample: Sample, key: str) -> tuple[float, float, float]:
    """Return the opinion score of a medium with the ends of its scale; lower-better scores are turned round.

    Raises:
        DataError: It is not labelled.
    """
    mos = sample.mos_of(key)
    if mos is None:
        raise _missing(sample, f"opinion score of {key}")
    value = mos.value if mos.direction == "higher-better" else mos.low + mos.high - mos.value
    return min(max(value, mos.low), mos.high), mos.low, mos.high  # a turned end may be off by a rounding


def stalls(sample: Sample, key: str) -> tuple[list[tuple[float, float]], float]:
    """Return (start, duration) of the stalls of a clip in seconds, and the length of the clip.

    Raises:
        DataError: The length is not known.
    """
    duration_s = sample.medium(key).duration_s
    if duration_s is None:
        raise _missing(sample, f"length of {key}")
    return [(one.start_s, one.duration_s) for one in sample.labels.stalls if one.media == key], duration_s


def content(sample: Sample, key: str) -> str:
    """Return what a medium shows: its caption, or else its orientation.

    Raises:
        DataError: Neither a caption nor the size is known.
    """
    for caption in sample.labels.captions:
        if caption.media == key:
            return caption.text
    medium = sample.medium(key)
    if medium.width is None or medium.height is None:
        raise _missing(sample, f"caption or size of {key}")
    return orientation(medium.width, medium.height, medium.kind)


def level(sample: Sample, key: str, aspect: str = "quality") -> Level:
    """Return the level of a medium.

    Raises:
        DataError: It is not labelled.
    """
    for one in sample.labels.levels:
        if (one.media, one.aspect) == (key, aspect):
            return one
    raise _missing(sample, f"level of {key}")


def preference(sample: Sample) -> Preference:
    """Return which medium is preferred.

    Raises:
        DataError: It is not labelled.
    """
    if sample.labels.preference is None:
        raise _missing(sample, "preference")
    return sample.labels.preference


def better_side(sample: Sample) -> Side:
    """Return the better one of A and B.

    Raises:
        DataError: It is not labelled, a tie, or the media are not A and B.
    """
    found = preference(sample)
    if found.among != ("A", "B") or found.better not in ("A", "B"):
        what = f"{found.better or 'a tie'} is preferred among {', '.join(found.among)}"
        raise DataError(what, where=f"sample {sample.id}", expected="A or B, among A, B")
    return "A" if found.better == "A" else "B"


def _finding(sample: Sample, one: Distortion) -> Finding:
    if one.severity is None:
        raise _missing(sample, f"severity of {one.category}")
    box = None
    if one.box is not None:
        medium = sample.medium(one.media)
        if medium.width is None or medium.height is None:
            raise _missing(sample, f"size of {one.media}")
        x0, y0, x1, y1 = one.box
        box = (x0 / medium.width, y0 / medium.height, x1 / medium.width, y1 / medium.height)
    return Finding(one.category, one.severity, box, one.span_s)


def _missing(sample: Sample, what: str) -> DataError:
    return DataError(f"has no label: {what}", where=f"sample {sample.id}")
