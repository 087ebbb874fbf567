"""Q-Instruct (Wu et al., CVPR 2024): whether, what and how of low-level vision, open and as multiple choice.

    mllmqa build qinstruct --src photos=PRISTINE --src biq2021=BIQ2021 --part train --n 20000 --out data/qinstruct

Several questions about each picture: one or two distortions on a pristine photo, or, where rated media are given,
a rated one (level and its multiple choice). Slight distortions that only a reference would show are not drawn.
"""

from __future__ import annotations

from mllmqa.data.build import Item, Picture, Recipe, draw
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Labels

RATED, CLEAN, TWO = 0.3, 0.1, 0.3
ABOUT_DISTORTIONS = (
    "yes_no", "what", "how", "identify", "mcq_category", "mcq_severity", "mcq_yes_no", "yes_no+how", "what+how",
)  # fmt: skip
ABOUT_LEVEL = ("level", "mcq_level", "score")


def item(made: Item) -> list[Sample]:
    """Several questions about one picture."""
    chance = made.chance("plan")
    count = made.number_of("questions")
    if made.sources.rated and chance.random() < RATED:
        one = made.rated()
        return made.questions(count, ABOUT_LEVEL, [one], Labels(mos=(one.mos("A"),), levels=(one.level("A"),)))
    pristine = made.photo(chance)
    return made.questions(count, ABOUT_DISTORTIONS, [visible(pristine, made)])


def visible(pristine: Picture, made: Item) -> Picture:
    """Draw a version until what was done to it can be seen."""
    for k in range(100):
        chance = made.chance("picture", str(k))
        kind = float(chance.random())
        picture = pristine if kind < CLEAN else (draw.two if kind < CLEAN + TWO else draw.one)(pristine, chance)
        if draw.visible(picture.distortions):
            return picture
    return pristine


RECIPE = Recipe(
    "Whether, what and how of low-level vision (Q-Instruct)", item, ("photos",), ("rated",),
    options={"short_px": 224, "questions": 4},
)  # fmt: skip
