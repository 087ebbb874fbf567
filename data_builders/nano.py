"""The data of nano, the model inside the package: distortions, pairs and clips in one mixture.

    mllmqa build nano --src photos=PRISTINE --src biq2021=BIQ2021 --src clips=CLIPS --part train --n 60000 --out OUT

Photos: none, one or two distortions, the level of their pseudo-MOS. Pairs of a photo's versions: one distortion
at two severities, or any two whose pseudo-MOS is clearly apart; a part of them with the reference. Pairs of
rated media: opinions clearly apart. Clips, real ones and moving views of photos: distortions of time and of
frames, or none; moving views of rated pictures with their levels. Shares of sources that are not given go to
the others. Levels of the rated pictures themselves: recipe `deqa`. `judged` is the share of photos and pairs
that are judged by pseudo-MOS, which costs more than all else.
"""

from __future__ import annotations

from mllmqa.data.build import Item, Picture, Rated, Recipe, Video, draw
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Labels, Preference
from mllmqa.errors import DataError

SHARES = {"photo": 0.5, "pair": 0.2, "rated pair": 0.08, "clip": 0.15, "rated clip": 0.07}
CLEAN, TWO = 0.25, 0.25
REFERENCE = 0.25
GAP, RATED_GAP = 0.75, 0.8
"""Least difference of a pair, in levels: of pseudo-MOS, of opinions."""
CLEAN_CLIP, IN_TIME, MOVING = 0.2, 0.55, 0.4
SECONDS = 2.0
TRIES = 8
ABOUT_ONE = ("level", "identify", "yes_no", "how", "what", "assess", "mcq_severity", "identify+how")
ABOUT_CLIP = ("dominant", "yes_no", "how", "ground", "what", "identify")


def item(made: Item) -> list[Sample]:
    """Several questions about one medium or a pair."""
    shares = {kind: share for kind, share in SHARES.items() if made.sources.rated or "rated" not in kind}
    total = sum(shares.values())
    kind = str(made.chance("kind").choice(list(shares), p=[share / total for share in shares.values()]))
    makers = {"photo": _photo, "pair": _pair, "rated pair": _rated_pair, "clip": _clip, "rated clip": _rated_clip}
    return makers[kind](made, made.chance("plan"))


def _version(pristine: Picture, chance: draw.Chance, clean: float = CLEAN) -> Picture:
    share = float(chance.random())
    return pristine if share < clean else (draw.two if share < clean + TWO else draw.one)(pristine, chance)


def _photo(made: Item, chance: draw.Chance) -> list[Sample]:
    pristine = made.photo(chance)
    picture = _version(pristine, chance)
    labels = Labels()
    if chance.random() < made.share_of("judged"):
        score, level = made.judged(pristine, picture, assumed_std=made.share_of("assumed_std"))
        labels = Labels(mos=(score,), levels=(level,))
    samples = made.questions(made.number_of("questions"), ABOUT_ONE, [picture], labels)
    if chance.random() < REFERENCE:
        samples.append(made.sample("identify", picture, reference=pristine))
    return samples


def _pair(made: Item, chance: draw.Chance) -> list[Sample]:
    pristine = made.photo(chance)
    if chance.random() >= made.share_of("judged"):
        a, b = draw.ladder(pristine, 2, chance)
        preference = draw.preferred(a, b)
    else:
        a, b, preference = _apart(made, pristine, chance)
    if chance.random() < REFERENCE:
        return [made.sample(task, a, b, reference=pristine, preference=preference) for task in ("rate", "compare")]
    return made.questions(2, ("rate", "compare"), [a, b], Labels(preference=preference))


def _apart(made: Item, pristine: Picture, chance: draw.Chance) -> tuple[Picture, Picture, Preference]:
    """Two versions whose pseudo-MOS is clearly apart."""
    for _ in range(TRIES):
        a, b = _version(pristine, chance, 0.15), _version(pristine, chance, 0.15)
        gap = made.judged(pristine, a)[0].value - made.judged(pristine, b)[0].value
        if abs(gap) >= GAP:
            return a, b, Preference(among=("A", "B"), better="A" if gap > 0 else "B")
    raise DataError(f"no two versions in {TRIES} tries differ by {GAP:g} levels", where=pristine.path.name)


def _rated_pair(made: Item, chance: draw.Chance) -> list[Sample]:
    first = made.rated()
    for _ in range(TRIES):
        second: Rated = made.fellow(first, chance)
        if abs(first.mean - second.mean) >= RATED_GAP:
            better = "A" if first.mean > second.mean else "B"
            preference = Preference(among=("A", "B"), better=better)
            mos = [first.mos("A"), second.mos("B")]
            return [made.sample("rate", first, second, mos=mos, preference=preference)]
    raise DataError(f"no fellow in {TRIES} tries differs by {RATED_GAP:g} levels", where=first.rating.where)


def _clip(made: Item, chance: draw.Chance) -> list[Sample]:
    real = bool(made.sources.clips) and chance.random() >= MOVING
    pristine: Video = made.video(chance, SECONDS) if real else made.moving(chance, SECONDS)
    share = float(chance.random())
    clip = pristine
    if share >= CLEAN_CLIP:
        clip = (draw.in_time if share < CLEAN_CLIP + IN_TIME else draw.in_frames)(pristine, chance)
    return made.questions(made.number_of("questions") + 1, ABOUT_CLIP, [clip])


def _rated_clip(made: Item, chance: draw.Chance) -> list[Sample]:
    rated = made.rated()
    clip = made.moving(chance, SECONDS, rated)
    level = rated.level("A", variant="tilted", assumed_std=made.share_of("assumed_std"))
    return [made.sample("level", clip, mos=[rated.mos("A")], levels=[level])]


RECIPE = Recipe(
    "The mixture that nano is trained on", item, ("photos",), ("rated", "clips"),
    options={"short_px": 256, "questions": 3, "judged": 0.5, "assumed_std": 0.6},
)  # fmt: skip
