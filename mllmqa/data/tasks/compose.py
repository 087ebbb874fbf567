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

from collections.abc import Iterable

from mllmqa.data.sample import DerivedFrom, Message, Part, Sample
from mllmqa.data.streams import stream
from mllmqa.data.tasks.makers import TASKS, Make
from mllmqa.data.tasks.wording import wording
from mllmqa.errors import DataError, UnknownNameError

AND = "+"
"""Joins the tasks of a sample that asks several questions, one after the other: ``level+identify``."""


def told(sample: Sample, task: str, seed: int) -> Sample:
    """Return a sample with messages made of its labels.

    The draws are those of (seed, id of the sample, task, place of the question), so that messages can be made
    again from what the sample itself records.

    Args:
        sample: With the labels that the task needs; messages that it has are replaced.
        task: A name of :data:`~mllmqa.data.tasks.makers.TASKS`, or several joined by ``+``.
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


def possible(sample: Sample, tasks: Iterable[str]) -> list[str]:
    """Return the tasks that the labels of a sample allow, of some, in their order.

    Raises:
        UnknownNameError: No such task.
    """
    found = []
    for name in tasks:
        try:
            told(sample, name, seed=0)
        except DataError:
            continue  # the labels do not allow it: that is the answer
        found.append(name)
    return found


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
