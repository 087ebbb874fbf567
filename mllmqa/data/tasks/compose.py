"""Messages from the labels of a sample, and the same messages again at any later time.

>>> from mllmqa.data.sample import Sample
>>> from mllmqa.data.tasks.compose import rebuilt, told
>>> sample = Sample.model_validate_json('''{"id": "s", "media": [{"key": "A", "kind": "image", "path": "a.png"}],
...   "labels": {"levels": [{"media": "A", "word": "good", "scale": ["good", "bad"]}]}}''')
>>> asked = told(sample, "level", seed=0)
>>> asked.messages[-1].text
'The quality of the image is good.'
>>> rebuilt(asked) == asked
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mllmqa import prompts
from mllmqa.data.sample import DerivedFrom, Message, Part, Sample
from mllmqa.data.streams import stream
from mllmqa.data.tasks import subject, turns
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.turns import Turn
from mllmqa.data.tasks.wording import vocabulary, wording
from mllmqa.errors import DataError, UnknownNameError

Chance = np.random.Generator
Make = Callable[[Sample, Chance], Turn]
AND = "+"
"""Joins the tasks of a sample that asks several questions, one after the other: ``level+identify``."""


def told(sample: Sample, task: str, seed: int) -> Sample:
    """Return a sample with messages made of its labels.

    The draws are those of (seed, id of the sample, task, place of the question), so that messages can be made
    again from what the sample itself records.

    Args:
        sample: With the labels that the task needs; messages that it has are replaced.
        task: A name of :data:`TASKS`, or several joined by ``+``.
        seed: Of the whole set.

    Raises:
        UnknownNameError: No such task.
        DataError: The labels do not allow it.
    """
    made = [_make(name)(sample, stream(seed, sample.id, task, str(k))) for k, name in enumerate(task.split(AND))]
    messages: list[Message] = []
    for turn in made:
        shown = () if messages else media_parts(sample)
        messages.append(Message(role="user", content=(*shown, Part(text=turn.question))))
        messages.append(Message(role="assistant", content=(Part(text=turn.answer),)))
    used = (turn.wording for turn in made)
    several = (wording("layout").ref,) if len(sample.media) > 1 else ()
    source = DerivedFrom(task=task, prompts=tuple(dict.fromkeys((*used, *several))), seed=seed)
    return sample.model_copy(update={"messages": tuple(messages), "derived_from": source, "task": task})


def rebuilt(sample: Sample) -> Sample:
    """Return the sample with its messages made again from its labels and what it records of them.

    Raises:
        DataError: It does not say how they were made, or another version of the wordings made them.
    """
    if sample.derived_from is None:
        raise DataError("does not say how its messages were made", where=f"sample {sample.id}")
    again = told(sample, sample.derived_from.task, sample.derived_from.seed)
    if again.derived_from != sample.derived_from:
        raise DataError(
            f"its messages were made with {', '.join(sample.derived_from.prompts)}",
            where=f"sample {sample.id}",
            expected=", ".join(again.derived_from.prompts if again.derived_from else ()),
            hint="build the set again with this version",
        )
    return again


def media_parts(sample: Sample) -> tuple[Part, ...]:
    """Return the media as they are shown: alone, or with names before them where there are several."""
    if len(sample.media) == 1:
        return (Part(media=sample.media[0].key),)
    pools, parts = wording("layout"), list[Part]()
    chance = stream(0, "layout")
    for medium in sample.media:
        pool = "reference" if medium.role == "reference" else "stimulus"
        name = pools.pick(pool, chance, medium=medium.kind, key=medium.key)
        parts += [Part(text=name), Part(media=medium.key)]
    return tuple(parts)


def _make(name: str) -> Make:
    if name not in TASKS:
        raise UnknownNameError(f"no task {name!r}", expected=" | ".join(TASKS))
    return TASKS[name]


# ------------------------------------------------------------------ one medium


def _level(sample: Sample, chance: Chance) -> Turn:
    return turns.level(subject.level(sample, subject.the_one(sample)).word, subject.kind(sample), chance)


def _identify(sample: Sample, chance: Chance) -> Turn:
    found, reference = _findings(sample), subject.has_reference(sample)
    return turns.identify(found, subject.kind(sample), chance, reference=reference)


def _assess(sample: Sample, chance: Chance) -> Turn:
    key = subject.the_one(sample)
    return turns.assess(
        subject.findings(sample, key), subject.level(sample, key).word, subject.kind(sample), chance
    )


def _ground(sample: Sample, chance: Chance) -> Turn:
    """About one of the categories that are there; it is drawn."""
    found = [one for one in _findings(sample) if one.box is not None or one.span_s is not None]
    names = list(dict.fromkeys(one.category for one in found))
    if not names:
        raise DataError("no distortion has a place", where=f"sample {sample.id}")
    chosen = names[int(chance.integers(len(names)))]
    return turns.ground([one for one in found if one.category == chosen], subject.kind(sample), chance)


def _mcq_category(sample: Sample, chance: Chance) -> Turn:
    return turns.category_choice(_findings(sample), subject.kind(sample), chance)


def _mcq_severity(sample: Sample, chance: Chance) -> Turn:
    return turns.severity_choice(single(_findings(sample), chance), subject.kind(sample), chance)


def _mcq_level(sample: Sample, chance: Chance) -> Turn:
    return turns.level_choice(subject.level(sample, subject.the_one(sample)).word, subject.kind(sample), chance)


def _mcq_yes_no(sample: Sample, chance: Chance) -> Turn:
    category, present = present_or_not(_findings(sample), subject.kind(sample), chance)
    return turns.yes_no(category, present, subject.kind(sample), chance)


def _findings(sample: Sample) -> tuple[Finding, ...]:
    return subject.findings(sample, subject.the_one(sample))


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


TASKS: Mapping[str, Make] = {
    "level": _level,
    "identify": _identify,
    "assess": _assess,
    "ground": _ground,
    "mcq_category": _mcq_category,
    "mcq_severity": _mcq_severity,
    "mcq_level": _mcq_level,
    "mcq_yes_no": _mcq_yes_no,
    "rate": _rate,
    "compare": _compare,
    "comparative": _comparative,
}
"""Task → the function that asks and answers it."""
