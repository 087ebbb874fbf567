"""Level words for distorted photos, by pseudo-MOS: what full-reference metrics would say with the photo at hand.

    mllmqa build levels --src photos=PHOTOS --n 3000 --out data/levels

One question about one version of a photo: one or two distortions, a few versions with none. Opinions on photos say
little of single distortions; this teaches a scorer how far each lowers the score. The pseudo-MOS is a rank among
distorted pictures and no MOS (:mod:`mllmqa.data.fullref.pseudo_mos`), so sets of this recipe stand beside rated
ones, not instead of them.
"""

from __future__ import annotations

from mllmqa.data.build import Item, Recipe, draw
from mllmqa.data.sample import Sample

CLEAN, TWO = 0.1, 0.25


def item(made: Item) -> list[Sample]:
    """One question."""
    chance = made.chance("plan")
    pristine, share = made.photo(chance), float(chance.random())
    picture = pristine
    if share >= CLEAN:
        picture = (draw.two if share < CLEAN + TWO else draw.one)(pristine, chance)
    score, level = made.judged(pristine, picture, assumed_std=made.share_of("assumed_std"))
    return [made.sample("level", picture, mos=[score], levels=[level])]


RECIPE = Recipe(
    "Level words for distorted photos, by pseudo-MOS", item, ("photos",),
    options={"short_px": 512, "assumed_std": 0.6},
)  # fmt: skip
