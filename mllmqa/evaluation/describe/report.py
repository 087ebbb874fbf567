"""Verdicts on many answers → figures per task."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from mllmqa.evaluation.answers.log import Answers
from mllmqa.evaluation.answers.tally import Count, Outcome
from mllmqa.evaluation.describe.asked import Labelled
from mllmqa.evaluation.describe.sets import CategoryCount, category_counts
from mllmqa.evaluation.describe.verdicts import Verdict, verdict
from mllmqa.schema import Record


class Mean(Record):
    """Mean of a finer measure over the answers that have it."""

    value: float
    n: int


class TaskResult(Record):
    """How often the answers of one task are right."""

    task: str
    count: Count
    constant: float
    """Accuracy of always giving the most frequent right answer of these questions."""
    figures: dict[str, Mean]
    """E.g. ``jaccard``, ``error_steps``; see :mod:`mllmqa.evaluation.describe.verdicts`."""
    categories: tuple[CategoryCount, ...] = ()
    """Of tasks that name categories, over the answers that were read."""

    def flat(self) -> dict[str, Any]:
        """Return all as ``--json`` shows it."""
        shown = [{**one.model_dump(), "precision": one.precision, "recall": one.recall} for one in self.categories]
        figures = {name: mean.model_dump() for name, mean in self.figures.items()}
        return {"task": self.task, **self.count.flat(), "constant": self.constant, "figures": figures} | (
            {"categories": shown} if shown else {}
        )


class Graded(Record):
    """One question with what was found about its answer."""

    id: str
    task: str
    outcome: Outcome
    truth: str | None
    said: str | None
    text: str | None
    reason: str | None = None


def grade(asked: Iterable[Labelled], answers: Answers) -> tuple[list[TaskResult], list[Graded]]:
    """Grade the answers of a log.

    Args:
        asked: The questions; those that the log does not have are unscored.
        answers: Of the log.

    Returns:
        Results by task, in the order in which they first come, and each answer's grade.
    """
    found: dict[str, list[tuple[Outcome, Verdict | None, str]]] = defaultdict(list)
    each = []
    for one in asked:
        item, answer = one.item, answers.of(one.item)
        made = None
        truth = verdict(item.task, one.sample, one.question, one.truth, one.truth).truth
        if answer is not None and answer.text is not None:
            made = verdict(item.task, one.sample, one.question, one.truth, answer.text)
        outcome: Outcome = "unscored" if made is None else made.outcome
        found[item.task].append((outcome, made, truth))
        text, reason = (None, "not asked") if answer is None else (answer.text, answer.reason)
        said = None if made is None else made.said
        each.append(
            Graded(id=item.id, task=item.task, outcome=outcome, truth=truth, said=said, text=text, reason=reason)
        )
    return [_result(task, many) for task, many in found.items()], each


def _result(task: str, many: Sequence[tuple[Outcome, Verdict | None, str]]) -> TaskResult:
    verdicts = [made for _, made, _ in many if made is not None]
    names = list(dict.fromkeys(name for made in verdicts for name in made.figures))
    figures = {}
    for name in names:
        values = [made.figures[name] for made in verdicts if name in made.figures]
        figures[name] = Mean(value=sum(values) / len(values), n=len(values))
    sets = [made.sets for made in verdicts if made.sets is not None]
    (_, most), *_ = Counter(truth for _, _, truth in many).most_common(1)
    return TaskResult(
        task=task,
        count=Count.of(outcome for outcome, _, _ in many),
        constant=most / len(many),
        figures=figures,
        categories=category_counts(sets),
    )
