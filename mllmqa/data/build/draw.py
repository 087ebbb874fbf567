"""Draws that several recipes share: which distortions, and pairs of versions whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mllmqa.data import distortions, video_distortions
from mllmqa.data.build.pictures import Picture, Video
from mllmqa.data.distortions.local import Box
from mllmqa.data.sample_labels import Distortion, Preference
from mllmqa.data.tasks.truth import Finding, better_by_severity
from mllmqa.data.video_distortions import Step
from mllmqa.errors import DataError

if TYPE_CHECKING:
    from mllmqa.data.build.item import Item
    from mllmqa.data.sample import Sample

Chance = np.random.Generator
NOT_MONOTONE = frozenset({"quantization_otsu", "quantization_hist", "contrast_strengthen_stretch"})
"""A higher severity of these is not the greater damage on every photo (docs/distortions.md)."""
NEEDS_REFERENCE = frozenset(
    {
        "brighten", "darken", "contrast_strengthen", "contrast_weaken", "saturate_strengthen", "saturate_weaken",
        "quantization", "oversharpen",
    }
)  # fmt: skip
"""Slight ones of these categories cannot be seen without the reference (DepictQA-Wild's exclusion)."""
VISIBLE_FROM = 2.0
WITH_REFERENCE = 0.5


def one_name(chance: Chance, *, ordered: bool = False) -> str:
    """Draw a category, and a function in it, both evenly.

    Args:
        chance: Generator.
        ordered: Only functions whose severities order the damage.
    """
    category = distortions.CATEGORIES[int(chance.integers(len(distortions.CATEGORIES)))]
    names = [name for name in distortions.names_of(category) if not (ordered and name in NOT_MONOTONE)]
    return names[int(chance.integers(len(names)))]


def one(pristine: Picture, chance: Chance) -> Picture:
    """Return a version with one distortion, severity 1..5."""
    return pristine.distorted([(one_name(chance), int(chance.integers(1, 6)))], chance)


def two(pristine: Picture, chance: Chance) -> Picture:
    """Return a version with two distortions of an allowed pair of categories, severities 1..3, in their order."""
    pairs = distortions.ordered_pairs()
    names = []
    for category in pairs[int(chance.integers(len(pairs)))]:
        among = distortions.names_of(category)
        names.append(among[int(chance.integers(len(among)))])
    return pristine.distorted([(name, int(chance.integers(1, 4))) for name in names], chance)


def asked(made: Item, shares: Mapping[str, float], version: Callable[[Picture, Chance], Picture]) -> Sample:
    """Make one question of DepictQA about one version of a photo, or about two.

    Half of the questions have the reference, and so have those whose distortion cannot be seen without it.

    Args:
        made: The item.
        shares: Of ``identify``, ``rate``, ``compare`` and ``assess``.
        version: Makes the version that one picture is asked about.
    """
    chance = made.chance("plan")
    task = str(chance.choice(list(shares), p=list(shares.values())))
    pristine = made.photo(chance)
    reference = pristine if chance.random() < WITH_REFERENCE else None
    if task in ("rate", "compare"):
        a, b = ladder(pristine, 2, chance)
        return made.sample(task, a, b, reference=reference, preference=preferred(a, b))
    picture = version(pristine, chance)
    if not visible(picture.distortions):
        reference = pristine
    if task == "assess":
        score, level = made.judged(pristine, picture)
        return made.sample(task, picture, reference=reference, mos=[score], levels=[level])
    return made.sample(task, picture, reference=reference)


def ladder(pristine: Picture, count: int, chance: Chance) -> list[Picture]:
    """Return versions with one distortion at different severities, in random order; one may be the clean one."""
    name = one_name(chance, ordered=True)
    severities = chance.choice(6, size=count, replace=False).tolist()
    return [pristine.distorted([(name, severity)], chance) if severity else pristine for severity in severities]


def preferred(a: Picture | Video, b: Picture | Video) -> Preference:
    """Return which of two versions is better, by their distortions.

    Raises:
        DataError: It is not known.
    """
    better = better_by_severity(_findings(a.distortions), _findings(b.distortions))
    if better is None:
        raise DataError("which of two versions is better is not known", expected="one category, two severities")
    return Preference(among=("A", "B"), better=better)


def visible(found: Sequence[Distortion]) -> bool:
    """Tell whether all distortions can be seen without the reference."""
    return all(one.category not in NEEDS_REFERENCE or (one.severity or 0) >= VISIBLE_FROM for one in found)


def box_in(height: int, width: int, chance: Chance, *, least: float = 0.2, most: float = 0.6) -> Box:
    """Draw a box: each side a share of the picture's, at least as long as a distortion needs.

    Returns:
        x0, y0, x1, y1 in pixels.
    """
    w, h = (
        min(max(round(float(chance.uniform(least, most)) * side), distortions.SMALLEST_PX), side)
        for side in (width, height)
    )
    x0, y0 = int(chance.integers(0, width - w + 1)), int(chance.integers(0, height - h + 1))
    return (x0, y0, x0 + w, y0 + h)


def _findings(found: Sequence[Distortion]) -> list[Finding]:
    return [Finding(one.category, one.severity or 0.0) for one in found]


# ------------------------------------------------------------------ clips

PLACED = ("flicker", "shake", "interlace", "jitter", "frame_drop")
"""Distortions that fill the span that they are given; the others find a place of their own."""
TEMPORAL = (*PLACED, "freeze", "stutter", "packet_loss", "bitrate_switch")
CODECS = ("h264", "hevc", "vp9", "av1")


def in_time(pristine: Video, chance: Chance, names: Sequence[str] = TEMPORAL) -> Video:
    """Return a version with one distortion of time or transmission; those that fill a span get a random one.

    A severity that does not fit into the clip (a freeze that is longer) is lowered until it does.

    Raises:
        DataError: None fits, or nothing would be seen of it.
    """
    name, severity = names[int(chance.integers(len(names)))], int(chance.integers(1, 6))
    within = video_distortions.random_span(pristine.clip, chance) if name in PLACED else None
    while True:
        try:
            return pristine.distorted([Step(name, severity, within)], chance)
        except DataError:
            if severity == 1:
                raise
            severity -= 1


def in_frames(pristine: Video, chance: Chance, *, in_span: bool = False) -> Video:
    """Return a version with a distortion of pictures on its frames, or recoded by a codec (one of four).

    Args:
        pristine: The clip.
        chance: Generator.
        in_span: In a random span only.
    """
    within = video_distortions.random_span(pristine.clip, chance) if in_span else None
    severity = int(chance.integers(1, 6))
    if chance.random() < 0.25:
        codec = CODECS[int(chance.integers(len(CODECS)))]
        return pristine.distorted([Step(codec, severity, within)], chance)
    return pristine.lifted(one_name(chance), severity, chance, within)
