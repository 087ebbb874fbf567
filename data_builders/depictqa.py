"""DepictQA-Wild (You et al., arXiv 2405.18842), single distortions: which, how bad, which is better, why.

    mllmqa build depictqa --src photos=PRISTINE --n 20000 --out data/depictqa --format depictqa

One distortion on each picture, 5 % clean copies, half of the questions with the reference. All photos are shrunk to
one size first. Two versions are compared only where the truth is known: the same function at two severities, or
against a clean copy. The level of a picture is that of its pseudo-MOS (nine full-reference metrics): `assess` is
the slow task. A question whose distortion cannot be seen without the reference is asked with it.
"""

from __future__ import annotations

from mllmqa.data.build import Item, Picture, Recipe, draw
from mllmqa.data.sample import Sample

SHARES = {"identify": 0.55, "rate": 0.25, "compare": 0.12, "assess": 0.08}
CLEAN = 0.05


def item(made: Item) -> list[Sample]:
    """One question about one picture or two."""
    return [draw.asked(made, SHARES, version)]


def version(pristine: Picture, chance: draw.Chance) -> Picture:
    """The picture that is asked about: with one distortion, or a clean copy."""
    return pristine if chance.random() < CLEAN else draw.one(pristine, chance)


RECIPE = Recipe(
    "Identify, rate, compare and assess single distortions (DepictQA-Wild)", item, ("photos",),
    options={"short_px": 224},
)  # fmt: skip
