"""DepictQA-Wild (You et al., arXiv 2405.18842), one or two distortions on each picture.

    mllmqa build depictqa_wild --src photos=PRISTINE --n 20000 --out data/depictqa_wild --format depictqa

As `depictqa`, with pairs of distortions in the 78 allowed orders, severities 1..3 each. Which of two pictures is
better is asked only where one is clean or both have the same function at two severities: what two distortions do
together is not known from their severities, so such pairs are described (`assess`), not rated.
"""

from __future__ import annotations

from mllmqa.data.build import Item, Recipe, draw
from mllmqa.data.sample import Sample

SHARES = {"identify": 0.6, "rate": 0.18, "compare": 0.1, "assess": 0.12}
CLEAN, TWO = 0.05, 0.6
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
    kind = float(chance.random())
    picture = pristine if kind < CLEAN else (draw.two if kind < CLEAN + TWO else draw.one)(pristine, chance)
    if not draw.visible(picture.distortions):
        reference = pristine
    if task == "assess":
        score, level = made.judged(pristine, picture)
        return [made.sample(task, picture, reference=reference, mos=[score], levels=[level])]
    return [made.sample(task, picture, reference=reference)]


RECIPE = Recipe(
    "Identify, rate, compare and assess one or two distortions (DepictQA-Wild)", item, ("photos",),
    options={"short_px": 224},
)  # fmt: skip
