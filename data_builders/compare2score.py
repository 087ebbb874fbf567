"""Compare2Score (Zhu et al., NeurIPS 2024): pairs of rated media → how the second compares with the first.

    mllmqa build compare2score --src koniq10k=KonIQ --n 180000 --part train --out data/compare2score

Both are of one data set. The word follows from the gap of their opinions against the spread of both, on one scale
for all sets: superior, better, similar, worse, inferior. Media without a stated deviation are left out and counted.
"""

from __future__ import annotations

from mllmqa.data.build import Item, Recipe
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Preference
from mllmqa.data.tasks.truth import comparative_word
from mllmqa.errors import DataError


def item(made: Item) -> list[Sample]:
    """One question about two rated media."""
    first = made.rated()
    second = made.fellow(first, made.chance("second"))
    if first.std is None or second.std is None:
        raise DataError("states no deviation of its opinions", where=first.rating.where)
    means = (first.mean, second.mean)
    word = comparative_word(means, (first.std, second.std))
    better = "A" if means[0] > means[1] else "B" if means[1] > means[0] else None
    preference = Preference(among=("A", "B"), better=better, strength=word)
    mos = [first.mos("A"), second.mos("B")]
    return [made.sample("comparative", first, second, mos=mos, preference=preference)]


RECIPE = Recipe("Comparative words for pairs of rated media (Compare2Score)", item, ("rated",), rated_once=True)
