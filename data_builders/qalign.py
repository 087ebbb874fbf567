"""Q-Align (Wu et al., ICML 2024): rated images and videos → "The quality of the image is good."

    mllmqa build qalign --src biq2021=BIQ2021 --part train --out data/qalign --format llava

One question for each rated medium; more samples than media are further passes with other wordings. Levels are five
bins of equal width over the scale of the data set.
"""

from __future__ import annotations

from mllmqa.data.build import Item, Recipe
from mllmqa.data.sample import Sample


def item(made: Item) -> list[Sample]:
    """One question about one rated medium."""
    rated = made.rated()
    return [made.sample("level", rated, mos=[rated.mos("A")], levels=[rated.level("A")])]


RECIPE = Recipe("Level words for rated images and videos (Q-Align, OneAlign)", item, ("rated",), rated_once=True)
