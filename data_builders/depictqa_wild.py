"""DepictQA-Wild (You et al., arXiv 2405.18842), one or two distortions on each picture.

    mllmqa build depictqa_wild --src photos=PRISTINE --n 20000 --out data/depictqa_wild --format depictqa

As `depictqa`, with pairs of distortions in the 78 allowed orders, severities 1..3 each. Which of two pictures is
better is asked only where one is clean or both have the same function at two severities: what two distortions do
together is not known from their severities, so such pairs are described (`assess`), not rated.
"""

from __future__ import annotations

from mllmqa.data.build import Item, Picture, Recipe, draw
from mllmqa.data.sample import Sample

SHARES = {"identify": 0.6, "rate": 0.18, "compare": 0.1, "assess": 0.12}
CLEAN, TWO = 0.05, 0.6


def item(made: Item) -> list[Sample]:
    """One question about one picture or two."""
    return [draw.asked(made, SHARES, version)]


def version(pristine: Picture, chance: draw.Chance) -> Picture:
    """The picture that is asked about: with one distortion or two, or a clean copy."""
    kind = float(chance.random())
    return pristine if kind < CLEAN else (draw.two if kind < CLEAN + TWO else draw.one)(pristine, chance)


RECIPE = Recipe(
    "Identify, rate, compare and assess one or two distortions (DepictQA-Wild)", item, ("photos",),
    options={"short_px": 224},
)  # fmt: skip
