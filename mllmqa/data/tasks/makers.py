"""From the labels of a sample to one question and its answer: one function for each task.

What a question is about, where labels leave a choice, is drawn. Severities are compared inside a category only:
the question for the most visible of several is asked only where all are of one category.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mllmqa import prompts
from mllmqa.data.sample import Sample
from mllmqa.data.tasks import open_questions, opinion, reasoning, several, subject, turns
from mllmqa.data.tasks.phrases import Turn, one_kind
from mllmqa.data.tasks.truth import Finding, grouped, only_key_with
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.errors import DataError

Chance = np.random.Generator
Make = Callable[[Sample, Chance], Turn]


# ------------------------------------------------------------------ one medium


def _level(sample: Sample, chance: Chance) -> Turn:
    return turns.level(subject.level(sample, subject.the_one(sample)).word, subject.kind(sample), chance)


def _identify(sample: Sample, chance: Chance) -> Turn:
    kinds, reference = grouped(_findings(sample)), subject.has_reference(sample)
    found = [findings[0] for findings in kinds.values()]  # two regions of blur are blur, not "blur and blur"
    return turns.identify(found, subject.kind(sample), chance, reference=reference)


def _score(sample: Sample, chance: Chance) -> Turn:
    value, low, high = subject.score(sample, subject.the_one(sample))
    return opinion.score(value, low, high, subject.kind(sample), chance)


def _streaming_level(sample: Sample, chance: Chance) -> Turn:
    key = subject.the_one(sample)
    stalls, duration_s = subject.stalls(sample, key)
    return opinion.streaming_level(subject.level(sample, key).word, stalls, duration_s, chance)


def _dominant(sample: Sample, chance: Chance) -> Turn:
    return open_questions.dominant(_of_one_kind(sample)[0], subject.kind(sample), chance)


def _what(sample: Sample, chance: Chance) -> Turn:
    return open_questions.what(_of_one_kind(sample), subject.kind(sample), chance)


def _how(sample: Sample, chance: Chance) -> Turn:
    return open_questions.how(single(_findings(sample), chance), subject.kind(sample), chance)


def _yes_no(sample: Sample, chance: Chance) -> Turn:
    category, present = present_or_not(_findings(sample), subject.kind(sample), chance)
    return open_questions.yes_no_open(category, present, subject.kind(sample), chance)


def _causal(sample: Sample, chance: Chance) -> Turn:
    word = subject.level(sample, subject.the_one(sample)).word
    return open_questions.causal(_findings(sample), word, subject.kind(sample), chance)


def _reason_five(sample: Sample, chance: Chance) -> Turn:
    key = subject.the_one(sample)
    return reasoning.reason_five(
        subject.findings(sample, key), subject.level(sample, key).word, subject.kind(sample), chance,
        subject.content(sample, key), duration_s=sample.medium(key).duration_s,
    )  # fmt: skip


def _reason_three(sample: Sample, chance: Chance) -> Turn:
    return reasoning.reason_three(_placed(sample, chance), subject.kind(sample), chance)


def _assess(sample: Sample, chance: Chance) -> Turn:
    key = subject.the_one(sample)
    return turns.assess(
        subject.findings(sample, key), subject.level(sample, key).word, subject.kind(sample), chance
    )


def _ground(sample: Sample, chance: Chance) -> Turn:
    return turns.ground(_placed(sample, chance), subject.kind(sample), chance)


def _mcq_category(sample: Sample, chance: Chance) -> Turn:
    strongest = max(_of_one_kind(sample), key=lambda one: one.severity)
    return turns.category_choice([strongest], subject.kind(sample), chance)


def _mcq_severity(sample: Sample, chance: Chance) -> Turn:
    return turns.severity_choice(single(_findings(sample), chance), subject.kind(sample), chance)


def _mcq_level(sample: Sample, chance: Chance) -> Turn:
    label = subject.level(sample, subject.the_one(sample))
    others = [word for word in label.scale if word != label.word]
    return turns.choice("level", label.word, others, subject.kind(sample), chance)


def _mcq_yes_no(sample: Sample, chance: Chance) -> Turn:
    category, present = present_or_not(_findings(sample), subject.kind(sample), chance)
    return turns.yes_no(category, present, subject.kind(sample), chance)


def _findings(sample: Sample) -> tuple[Finding, ...]:
    return subject.findings(sample, subject.the_one(sample))


def _of_one_kind(sample: Sample) -> tuple[Finding, ...]:
    found = _findings(sample)
    if not one_kind(found):
        what = f"{len(found)} distortions of different categories" if found else "no distortion"
        raise DataError(what, where=f"sample {sample.id}", expected="one category: others are not on its scale")
    return found


def _placed(sample: Sample, chance: Chance) -> list[Finding]:
    """Draw a category, all of whose findings have a place, and return them."""
    found = _findings(sample)
    names = dict.fromkeys(one.category for one in found)
    somewhere = {one.category for one in found if one.box is None and one.span_s is None}
    wanted = [name for name in names if name not in somewhere]
    if not wanted:
        raise DataError("no distortion has a place", where=f"sample {sample.id}", expected="a box or a span")
    chosen = wanted[int(chance.integers(len(wanted)))]
    return [one for one in found if one.category == chosen]


def single(found: tuple[Finding, ...], chance: Chance) -> Finding:
    """Draw one finding whose category occurs once.

    Raises:
        DataError: There is none.
    """
    names = [one.category for one in found]
    alone = [one for one in found if names.count(one.category) == 1]
    if not alone:
        raise DataError(f"{len(found)} distortions, none of a category of its own", expected="one")
    return alone[int(chance.integers(len(alone)))]


def present_or_not(found: tuple[Finding, ...], medium: str, chance: Chance) -> tuple[str, bool]:
    """Draw a category that is there, or with the same probability one that is not; a clean medium has none."""
    there = list(dict.fromkeys(one.category for one in found))
    absent = [name for name in vocabulary().possible(medium) if name not in there]
    present = bool(there) and chance.random() < 0.5
    names = there if present else absent
    return names[int(chance.integers(len(names)))], present


# ------------------------------------------------------------------ two media


def _rate(sample: Sample, chance: Chance) -> Turn:
    reference = subject.has_reference(sample)
    return turns.rate(subject.better_side(sample), subject.kind(sample), chance, reference=reference)


def _compare(sample: Sample, chance: Chance) -> Turn:
    a, b = (subject.findings(sample, key) for key in ("A", "B"))
    return turns.compare(subject.better_side(sample), a, b, subject.kind(sample), chance)


def _comparative(sample: Sample, chance: Chance) -> Turn:
    found = subject.preference(sample)
    words = prompts.word_scale("comparison").words
    if found.strength not in words:
        raise DataError(
            f"strength of the preference is {found.strength!r}",
            where=f"sample {sample.id}", expected="one of " + ", ".join(words),
        )  # fmt: skip
    return turns.comparative(found.strength, subject.kind(sample), chance)


# ------------------------------------------------------------------ three or four media


def _best_of(sample: Sample, chance: Chance) -> Turn:
    return several.best_of(subject.order(sample), subject.kind(sample), chance)


def _worst_of(sample: Sample, chance: Chance) -> Turn:
    return several.worst_of(subject.order(sample), subject.kind(sample), chance)


def _rank(sample: Sample, chance: Chance) -> Turn:
    return several.rank(subject.order(sample), subject.kind(sample), chance)


def _which_has(sample: Sample, chance: Chance) -> Turn:
    """About a category that one of them has alone; it is drawn."""
    found = subject.all_findings(sample)
    having = {one.category: only_key_with(one.category, found) for many in found.values() for one in many}
    alone = [(category, key) for category, key in having.items() if key is not None]
    if not alone:
        raise DataError("no distortion is in one medium alone", where=f"sample {sample.id}")
    category, key = alone[int(chance.integers(len(alone)))]
    return several.which_has(category, key, tuple(found), subject.kind(sample), chance)


def _describe_several(sample: Sample, chance: Chance) -> Turn:
    best = subject.order(sample)[0]
    return several.describe_several(subject.all_findings(sample), best, subject.kind(sample), chance)


TASKS: Mapping[str, Make] = {
    "score": _score,
    "level": _level,
    "streaming_level": _streaming_level,
    "identify": _identify,
    "dominant": _dominant,
    "what": _what,
    "how": _how,
    "yes_no": _yes_no,
    "assess": _assess,
    "causal": _causal,
    "ground": _ground,
    "reason_five": _reason_five,
    "reason_three": _reason_three,
    "mcq_category": _mcq_category,
    "mcq_severity": _mcq_severity,
    "mcq_level": _mcq_level,
    "mcq_yes_no": _mcq_yes_no,
    "rate": _rate,
    "compare": _compare,
    "comparative": _comparative,
    "best_of": _best_of,
    "worst_of": _worst_of,
    "rank": _rank,
    "which_has": _which_has,
    "describe_several": _describe_several,
}
"""Task → the function that asks and answers it."""
