"""DepictQA-Wild (You et al., arXiv 2405.18842), single distortions: which, how bad, which is better, why.

    mllmqa build depictqa --src photos=PRISTINE --n 20000 --out data/depictqa --format depictqa

One distortion on each picture, 5 % clean copies, half of the questions with the reference. All photos are shrunk to
one size first. Two versions are compared only where the truth is known: the same function at two severities, or
against a clean copy. The level of a picture is that of its pseudo-MOS (nine full-reference metrics): `assess` is
the slow task. A question whose distortion cannot be seen without the reference is asked with it.
"""

from __future__ import annotations

from mllmqa.data.build import Item, Recipe, draw
from mllmqa.data.sample import Sample

SHARES = {"identify": 0.55, "rate": 0.25, "compare": 0.12, "assess": 0.08}
CLEAN = 0.05
WITH_REFERENCE = 0.5


def item(made: Item) -> list[Sample]:
    """One question about one picture or two."""
    chance = made.chance("plan")
    task = str(chance.choice(list(SHARES), p=list(SHARES.values())))
    pristine = made.photo(chance)
    reference = pristine if chance.random() < WITH_REFERENCE else None
    if task in ("rate", "compare"):
        a, b = draw.ladder(pristine, 2, chance)
        return [made.sample(task, a, b, reference=reference, preference=draw.preferred(a, b))]
    picture = pristine if chance.random() < CLEAN else draw.one(pristine, chance)
    if not draw.visible(picture.distortions):
        reference = pristine
    if task == "assess":
        score, level = made.judged(pristine, picture)
        return [made.sample(task, picture, reference=reference, mos=[score], levels=[level])]
    return [made.sample(task, picture, reference=reference)]


RECIPE = Recipe(
    "Identify, rate, compare and assess single distortions (DepictQA-Wild)", item, ("photos",),
    options={"short_px": 224},
)  # fmt: skip
