"""The data of nano, the model inside the package: distortions, opinions, pairs and clips in one mixture.

    mllmqa build nano --src photos=PRISTINE --src biq2021=BIQ2021 --src clips=CLIPS --part train --n 60000 --out OUT

Photos: one or two distortions, pairs, levels of their pseudo-MOS. Rated media: level with the soft label that their
opinions allow. Clips: distortions of time and of frames. Shares of sources that are not given go to the others.
"""

from __future__ import annotations

from mllmqa.data.build import Item, Recipe, draw
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Labels

SHARES = {"photo": 0.4, "pair": 0.2, "rated": 0.3, "clip": 0.1}
CLEAN, TWO, JUDGED = 0.1, 0.3, 0.5
SECONDS = 2.0
ABOUT_ONE = ("level", "identify", "yes_no", "how", "what", "assess", "mcq_severity", "identify+how")
ABOUT_CLIP = ("dominant", "yes_no", "how", "ground", "what")


def item(made: Item) -> list[Sample]:
    """Several questions about one medium or a pair."""
    chance = made.chance("plan")
    there = {"photo": True, "pair": True, "rated": bool(made.sources.rated), "clip": bool(made.sources.clips)}
    shares = {kind: share for kind, share in SHARES.items() if there[kind]}
    kind = str(chance.choice(list(shares), p=[share / sum(shares.values()) for share in shares.values()]))
    count = made.number_of("questions")
    if kind == "rated":
        one = made.rated()
        return [made.sample("level", one, mos=[one.mos("A")], levels=[one.level("A", variant="tilted")])]
    if kind == "clip":
        pristine = made.video(chance, SECONDS)
        clip = draw.in_time(pristine, chance) if chance.random() < 0.6 else draw.in_frames(pristine, chance)
        return made.questions(count, ABOUT_CLIP, [clip])
    pristine_photo = made.photo(chance)
    if kind == "pair":
        a, b = draw.ladder(pristine_photo, 2, chance)
        return made.questions(count, ("rate", "compare"), [a, b], Labels(preference=draw.preferred(a, b)))
    share = float(chance.random())
    version = draw.two if share < CLEAN + TWO else draw.one
    picture = pristine_photo if share < CLEAN else version(pristine_photo, chance)
    labels = Labels()
    if chance.random() < JUDGED:
        score, level = made.judged(pristine_photo, picture)
        labels = Labels(mos=(score,), levels=(level,))
    return made.questions(count, ABOUT_ONE, [picture], labels)


RECIPE = Recipe(
    "The mixture that nano is trained on", item, ("photos",), ("rated", "clips"),
    options={"short_px": 224, "questions": 3},
)  # fmt: skip
