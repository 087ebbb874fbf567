"""DeQA-Score (You et al., CVPR 2025): rated media with deviations → level words with distributions over them.

    mllmqa build deqa --src koniq10k=KonIQ --part train --out data/deqa variant=deqa

The soft label is in ``labels.levels[0].probabilities``, for the KL loss at the level word. ``variant``: ``tilted``
(the default: sums to 1, its mean is the MOS exactly), ``affine``, or ``deqa`` as published. Media without a stated
deviation or histogram of opinions are left out and counted, unless `assumed_std` (in levels) stands for it: then
the label says so.
"""

from __future__ import annotations

from typing import get_args

from mllmqa.data.build import Item, Recipe
from mllmqa.data.labels import Variant
from mllmqa.data.sample import Sample
from mllmqa.errors import DataError, UsageError


def item(made: Item) -> list[Sample]:
    """One question about one rated medium."""
    variant = made.options["variant"]
    if variant not in get_args(Variant):
        raise UsageError(f"variant={variant}", expected=" | ".join(get_args(Variant)))
    rated = made.rated()
    level = rated.level("A", variant=variant, assumed_std=made.share_of("assumed_std"))
    if level.probabilities is None:
        raise DataError("states no deviation of its opinions", where=rated.rating.where)
    return [made.sample("level", rated, mos=[rated.mos("A")], levels=[level])]


RECIPE = Recipe(
    "Level words with soft labels (DeQA-Score)", item, ("rated",),
    options={"variant": "tilted", "assumed_std": 0.0}, rated_once=True,
)  # fmt: skip
