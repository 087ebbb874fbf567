"""Samples with labels → the questions that a model is asked, one for each answer that their messages give."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from mllmqa.data.sample import Sample
from mllmqa.data.sample_file import read_samples
from mllmqa.data.tasks.compose import AND
from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.answers.item import Item
from mllmqa.evaluation.describe.verdicts import GRADED


@dataclass(frozen=True)
class Labelled:
    """One question about a labelled sample.

    Attributes:
        item: As it is asked. Of a sample with several questions each is asked behind the true answers to those
            before it.
        sample: Whole, with its labels.
        question: The text.
        truth: What the sample answers.
    """

    item: Item
    sample: Sample
    question: str
    truth: str


def questions_of(sample: Sample, folder: Path) -> list[Labelled]:
    """Return the questions of a sample, in order.

    Args:
        sample: With a task and messages.
        folder: Of the sample file.

    Raises:
        DataError: It has no task that can be graded, or not one answer for each.
    """
    tasks, where = (sample.task or "").split(AND), f"sample {sample.id}"
    if unknown := [name for name in tasks if name not in GRADED]:
        raise DataError(
            f"answers to the task {unknown[0]!r} cannot be graded", where=where, expected=", ".join(GRADED)
        )
    answers = [k for k, message in enumerate(sample.messages) if message.role == "assistant"]
    if len(answers) != len(tasks) or any(k == 0 or sample.messages[k - 1].role != "user" for k in answers):
        raise DataError(
            f"{len(answers)} answers for {sample.task}", where=where, expected="a question for each task"
        )
    found = []
    for number, (task, k) in enumerate(zip(tasks, answers, strict=True), 1):
        name = sample.id if len(tasks) == 1 else f"{sample.id}#{number}"
        up_to = sample.model_copy(update={"messages": sample.messages[:k], "derived_from": None})
        item = Item(name, task, up_to, folder)
        found.append(Labelled(item, sample, sample.messages[k - 1].text, sample.messages[k].text))
    return found


def read_questions(
    path: Path, tasks: Collection[str] | None = None, limit: int | None = None
) -> Iterator[Labelled]:
    """Read the questions of a file of samples lazily.

    Args:
        path: JSON lines.
        tasks: Only these; None: all that can be graded. Samples of others are passed over where tasks are named.
        limit: Questions at most.

    Raises:
        UsageError: An unknown task.
        DataError: The file cannot be read, or a sample's task cannot be graded and no tasks were named.
    """
    if unknown := [name for name in tasks or () if name not in GRADED]:
        raise UsageError(f"answers to the task {unknown[0]!r} cannot be graded", expected=", ".join(GRADED))
    left = limit
    for sample in read_samples(path):
        if tasks is not None and not set(tasks) & set((sample.task or "").split(AND)):
            continue
        for one in questions_of(sample, path.parent):
            if tasks is not None and one.item.task not in tasks:
                continue
            if left == 0:
                return
            left = None if left is None else left - 1
            yield one
