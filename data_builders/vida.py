"""ViDA-UGC (arXiv 2508.12605): local distortions in boxes; where, how strong, and reasoning in steps to a level.

    mllmqa build vida --src photos=PRISTINE --n 20000 --out data/vida

One to four boxes on each photo that do not overlap, a distortion in each, now and then one on the whole. Boxes are
asked for and written on a scale of 0 to 1000. People judge by the worst part: the score is the mean of the
pseudo-MOS of the whole picture and that of its worst region (a distorted box, widened to 168 pixels).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mllmqa.data.build import Item, Picture, Recipe, draw, quality_level
from mllmqa.data.build.item import PSEUDO
from mllmqa.data.distortions.local import Box
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Labels, Level, Mos
from mllmqa.errors import DataError

WHOLE = 0.2
TASKS = (
    "reason_five",
    "reason_three",
    "ground",
    "assess",
    "how",
    "yes_no",
    "mcq_severity",
    "mcq_category",
    "score",
)
TRIES = 200
LEAST_SEVERITY = 2
REGION_PX = 168


def item(made: Item) -> list[Sample]:
    """Several questions about one picture with local distortions."""
    chance = made.chance("plan")
    pristine = made.photo(chance)
    picture = pristine
    if chance.random() < WHOLE:
        picture = picture.distorted([(draw.one_name(chance), int(chance.integers(1, 4)))], chance)
    for box in boxes(pristine, int(chance.integers(1, 5)), chance):
        name = draw.one_name(chance)
        picture = picture.distorted_in(box, name, int(chance.integers(LEAST_SEVERITY, 6)), chance)
    score, level = pooled(made, pristine, picture)
    return made.questions(made.number_of("questions"), TASKS, [picture], Labels(mos=(score,), levels=(level,)))


def pooled(made: Item, pristine: Picture, picture: Picture) -> tuple[Mos, Level]:
    """Return half of the score of the whole and half of that of the worst region, and its level."""
    whole, _ = made.judged(pristine, picture)
    places = [region(pristine, one.box) for one in picture.distortions if one.box]
    parts = [
        (replace(pristine, pixels=pristine.pixels[at]), replace(picture, pixels=picture.pixels[at]))
        for at in places
    ]
    worst = min(made.judged(*pair)[0].value for pair in parts)
    value = (whole.value + worst) / 2
    return whole.model_copy(update={"value": value}), quality_level(
        value, "A", f"{PSEUDO} of whole and worst region"
    )


def region(picture: Picture, box: Box) -> tuple[slice, slice]:
    """Return rows and columns of a box, widened on both sides where it is shorter than metrics need."""
    sides = []
    for low, high, length in zip(box[1::-1], box[3:1:-1], picture.pixels.shape[:2], strict=True):
        size = min(max(high - low, REGION_PX), length)
        start = min(max((low + high - size) // 2, 0), length - size)
        sides.append(slice(start, start + size))
    return sides[0], sides[1]


def boxes(picture: Picture, count: int, chance: np.random.Generator) -> list[Box]:
    """Draw boxes that do not overlap; fewer where no more find a place."""
    height, width = picture.pixels.shape[:2]
    found: list[Box] = []
    for _ in range(TRIES):
        x0, y0, x1, y1 = box = draw.box_in(height, width, chance, least=0.15, most=0.45)
        if all(x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0 for a0, b0, a1, b1 in found):
            found.append(box)
        if len(found) == count:
            break
    if not found:
        raise DataError("no box found a place")
    return found


RECIPE = Recipe(
    "Boxes, grades and reasoning about local distortions (ViDA)", item, ("photos",),
    options={"short_px": 384, "questions": 4},
)  # fmt: skip
