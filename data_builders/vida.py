"""ViDA-UGC (arXiv 2508.12605): local distortions in boxes; where, how strong, and reasoning in steps to a level.

    mllmqa build vida --src photos=PRISTINE --n 20000 --out data/vida

One to four boxes on each photo that do not overlap, a distortion in each, now and then one on the whole. Boxes are
asked for and written on a scale of 0 to 1000. The level is that of the pseudo-MOS of the whole picture.
"""

from __future__ import annotations

import numpy as np

from mllmqa.data.build import Item, Picture, Recipe, draw
from mllmqa.data.distortions.local import Box
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Labels
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
    score, level = made.judged(pristine, picture)
    return made.questions(made.number_of("questions"), TASKS, [picture], Labels(mos=(score,), levels=(level,)))


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
