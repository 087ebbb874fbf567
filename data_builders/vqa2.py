"""VQA² (Jia et al., arXiv 2411.03795), its three stages of training data.

    mllmqa build vqa2 stage=1 --src photos=PRISTINE --src clips=CLIPS --n 12000 --out data/vqa2-1
    mllmqa build vqa2 stage=2 --src lsvq=LSVQ --part train --out data/vqa2-2
    mllmqa build vqa2 stage=3 --src clips=CLIPS --n 20000 --out data/vqa2-3

1: which distortion dominates, in photos (of space) and clips (of space or time). 2: level words, VQA²'s own: high,
good, fair, poor, low; where labels state stalls, the question tells them. 3: understanding of clips with one or two
distortions in known spans: whether, what, how strong, when, multiple choice, several turns, and "hence the quality
is …" where the distortions are of space (their pseudo-MOS is measured on the frames).
"""

from __future__ import annotations

from mllmqa.data.build import Item, Recipe, draw
from mllmqa.data.build.recipe import Kind, Options
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Labels
from mllmqa.errors import UsageError

SECONDS = 3.0
OF_TIME = 0.5
TWO, SPATIAL = 0.3, 0.4
UNDERSTANDING = (
    "yes_no", "what", "how", "ground", "mcq_category", "mcq_severity", "mcq_yes_no", "causal", "yes_no+how",
    "what+ground",
)  # fmt: skip


def item(made: Item) -> list[Sample]:
    """The samples of one item of the wanted stage."""
    return {1: dominant, 2: rated, 3: understanding}[stage(made.options)](made)


def stage(options: Options) -> int:
    """Return the stage."""
    if options["stage"] not in (1, 2, 3):
        raise UsageError(f"stage={options['stage']}", expected="1, 2 or 3")
    return int(options["stage"])


def needs(options: Options) -> tuple[Kind, ...]:
    """Return what a stage is made of."""
    share = float(options["clips"])
    first: tuple[Kind, ...] = ("photos",) if share <= 0 else ("clips",) if share >= 1 else ("photos", "clips")
    kinds: dict[int, tuple[Kind, ...]] = {1: first, 2: ("rated",), 3: ("clips",)}
    return kinds[stage(options)]


def dominant(made: Item) -> list[Sample]:
    """Stage 1: a photo or a clip with one distortion."""
    chance = made.chance("plan")
    if chance.random() >= float(made.options["clips"]):
        return [made.sample("dominant", draw.one(made.photo(chance), chance))]
    pristine = made.video(chance, SECONDS)
    of_time = chance.random() < OF_TIME
    clip = (
        draw.in_time(pristine, chance, ("flicker", "freeze", "stutter"))
        if of_time
        else draw.in_frames(pristine, chance)
    )
    return [made.sample("dominant", clip)]


def rated(made: Item) -> list[Sample]:
    """Stage 2: a rated medium."""
    one = made.rated()
    return [made.sample("level", one, mos=[one.mos("A")], levels=[one.level("A", words="levels-vqa2")])]


def understanding(made: Item) -> list[Sample]:
    """Stage 3: several questions about one clip."""
    chance = made.chance("plan")
    pristine = made.video(chance, SECONDS)
    count = made.number_of("questions")
    if chance.random() < SPATIAL:
        clip = draw.in_frames(pristine, chance, in_span=chance.random() < 0.5)
        score, level = made.judged(pristine, clip)
        return made.questions(count, UNDERSTANDING, [clip], Labels(mos=(score,), levels=(level,)))
    clip = draw.in_time(pristine, chance)
    if chance.random() < TWO:
        clip = draw.in_frames(clip, chance, in_span=True)
    return made.questions(count, UNDERSTANDING, [clip])


RECIPE = Recipe(
    "Dominant distortion, level, understanding of videos (VQA²)", item, needs,
    options={"stage": 3, "short_px": 224, "clips": 0.4, "questions": 6},
    rated_once=lambda options: stage(options) == 2,
)  # fmt: skip
