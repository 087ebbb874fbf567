"""Co-Instruct (Wu et al., ECCV 2024): two to four pictures at once: which, in which order, what each shows.

    mllmqa build coinstruct --src photos=PRISTINE --src biq2021=BIQ2021 --n 20000 --out data/coinstruct

Orders are asked for where they are known: versions of one photo under one function at different severities, or
rated pictures of one data set whose opinions lie apart: by their deviations, or, where none are stated, by `gap`.
Versions of different photos, each with another distortion, are asked about which shows what.
"""

from __future__ import annotations

import numpy as np

from mllmqa.data import distortions
from mllmqa.data.build import Item, Picture, Rated, Recipe, draw
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Labels
from mllmqa.data.tasks.truth import order_by_mos
from mllmqa.errors import DataError

RATED, LADDER = 0.3, 0.6
COUNTS = (2, 3, 4)
TRIES = 200
OF_ORDER = ("best_of", "worst_of", "rank", "describe_several")


def item(made: Item) -> list[Sample]:
    """Several questions about several pictures."""
    chance = made.chance("plan")
    count, size = made.number_of("questions"), int(chance.choice(COUNTS))
    if made.sources.rated and chance.random() < RATED:
        shown = apart(made, max(size, 3), chance)
        mos = tuple(one.mos(key) for one, key in zip(shown, "ABCD", strict=False))
        return made.questions(count, OF_ORDER, shown, Labels(mos=mos))
    if size == 2:
        a, b = draw.ladder(made.photo(chance), 2, chance)
        return made.questions(count, ("rate", "compare"), [a, b], Labels(preference=draw.preferred(a, b)))
    if chance.random() < LADDER:
        return made.questions(count, OF_ORDER, draw.ladder(made.photo(chance), size, chance))
    return made.questions(count, ("which_has",), different(made, size, chance))


def different(made: Item, size: int, chance: np.random.Generator) -> list[Picture]:
    """Pictures of any photos, each with a distortion of another category."""
    categories = chance.permutation(distortions.CATEGORIES)[:size]
    names = [distortions.names_of(str(category)) for category in categories]
    return [
        made.photo(chance).distorted([(some[int(chance.integers(len(some)))], int(chance.integers(2, 6)))], chance)
        for some in names
    ]


def apart(made: Item, size: int, chance: np.random.Generator) -> list[Rated]:
    """Rated media of one data set whose order is known."""
    first = made.rated()
    for _ in range(TRIES):
        shown = [first, *(made.fellow(first, chance) for _ in range(size - 1))]
        means = {key: one.mean for one, key in zip(shown, "ABCD", strict=False)}
        stds = {key: one.std for one, key in zip(shown, "ABCD", strict=False) if one.std is not None}
        gaps = np.diff(sorted(means.values()))
        if order_by_mos(means, stds) if len(stds) == size else gaps.min() >= float(made.options["gap"]):
            return shown
    raise DataError("no media of its data set are far enough apart", where=first.path.name)


RECIPE = Recipe(
    "Which of several pictures, their order, what each shows (Co-Instruct)", item, ("photos",), ("rated",),
    options={"short_px": 224, "questions": 2, "gap": 0.5}, most=max(COUNTS),
)  # fmt: skip
