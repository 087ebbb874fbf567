"""A model as judge of texts: 0, 1 or 2 by several criteria, in several rounds.

Q-Bench (Wu et al., ICLR 2024) lets a judge grade descriptions by completeness, preciseness and relevance against a
golden one, five times, and averages; Q-Bench-Video does so with answers to open questions. The prompts here are our
own (``prompts/judge``). Rounds differ in the order in which both texts are shown, and by their number, so that each
is an answer of its own: an endpoint's answers are kept by content, and no round is paid for twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mllmqa import prompts
from mllmqa.errors import MllmqaError, UsageError
from mllmqa.evaluation.answers.ask import written
from mllmqa.models.base import Backend, Request
from mllmqa.schema import Record

DESCRIPTION = ("completeness", "preciseness", "relevance")
"""Criteria of descriptions."""
ANSWER = ("answer",)
"""Of answers to open questions."""
HIGHEST = 2
_TOKENS = 64

_SAID = re.compile(
    r"\bscore\b[^\w-]{0,6}(?:is[^\w-]{1,3})?(-?\d+(?:\.\d+)?)(?!\s*(?:,|or|to|-)\s*\d)", re.IGNORECASE
)


@dataclass(frozen=True)
class Case:
    """What is judged.

    Attributes:
        id: Of the question.
        question: What was asked.
        reference: What is right.
        said: What is judged.
        medium: ``image`` or ``video``.
    """

    id: str
    question: str
    reference: str
    said: str
    medium: str = "image"


class Judged(Record):
    """Scores of one case by one criterion."""

    id: str
    criterion: str
    scores: tuple[int | None, ...]
    """Of each round; None: the judge's answer cannot be read, or there is none."""
    reasons: tuple[str | None, ...]
    """Of each round without an answer: why."""

    @property
    def mean(self) -> float | None:
        """Over the rounds that were read; None where there is none."""
        read = [score for score in self.scores if score is not None]
        return sum(read) / len(read) if read else None


class Criterion(Record):
    """Scores of all cases by one criterion, 0 .. 2."""

    criterion: str
    n: int
    """Cases with a score."""
    n_unscored: int
    """Cases that no round scored."""
    rounds: int
    n_rounds_unread: int
    """Rounds whose answer cannot be read, or that have none."""
    mean: float | None
    standard_error: float | None
    """Of the mean over cases; None for fewer than two."""
    between_rounds: float | None
    """Mean over cases of the standard deviation between their rounds: how far the judge agrees with itself."""


def judge(
    backend: Backend, cases: Sequence[Case], criteria: Sequence[str], *, rounds: int = 5, batch_size: int = 16
) -> list[Judged]:
    """Let a model judge.

    Args:
        backend: The judge; it is shown texts only.
        cases: What is judged.
        criteria: Names of files in ``prompts/judge``.
        rounds: How often each is judged.
        batch_size: Requests at once.

    Raises:
        UsageError: No round.
        UnknownNameError: No such criterion.
    """
    if rounds < 1:
        raise UsageError(f"{rounds} rounds", expected="at least 1")
    requests = [
        Request(_prompt(case, criterion, number), ())
        for criterion in criteria
        for case in cases
        for number in range(1, rounds + 1)
    ]
    answers: list[str | MllmqaError] = []
    for start in range(0, len(requests), batch_size):
        answers += written(backend, requests[start : start + batch_size], _TOKENS)
    told = iter(answers)
    return [
        _judged(case, criterion, [next(told) for _ in range(rounds)]) for criterion in criteria for case in cases
    ]


def read_score(text: str) -> int | None:
    """Return the score that a judge gives; None where it gives none, several, or one off the scale.

    >>> read_score("The answer is right in part.\\nScore: 1")
    1
    """
    bare = re.fullmatch(r"\W*(\d+)\W*", text)
    said = {float(bare[1])} if bare else {float(found) for found in _SAID.findall(text)}
    value = said.pop() if len(said) == 1 else None
    return int(value) if value is not None and value in range(HIGHEST + 1) else None


def summed(judged: Sequence[Judged]) -> list[Criterion]:
    """Return figures by criterion, in the order in which they first come."""
    return [
        _criterion(name, [one for one in judged if one.criterion == name])
        for name in dict.fromkeys(one.criterion for one in judged)
    ]


def _prompt(case: Case, criterion: str, number: int) -> prompts.Prompt:
    told = {"question": case.question, "reference": case.reference, "said": case.said, "medium": case.medium}
    return prompts.render(prompts.load(f"judge/{criterion}"), round=number, **told)


def _judged(case: Case, criterion: str, answers: Sequence[str | MllmqaError]) -> Judged:
    return Judged(
        id=case.id,
        criterion=criterion,
        scores=tuple(None if isinstance(one, MllmqaError) else read_score(one) for one in answers),
        reasons=tuple(one.code if isinstance(one, MllmqaError) else None for one in answers),
    )


def _criterion(name: str, many: Sequence[Judged]) -> Criterion:
    means = [one.mean for one in many if one.mean is not None]
    mean = sum(means) / len(means) if means else None
    spreads = list(_spreads(many))
    return Criterion(
        criterion=name,
        n=len(means),
        n_unscored=len(many) - len(means),
        rounds=max(len(one.scores) for one in many),
        n_rounds_unread=sum(score is None for one in many for score in one.scores),
        mean=mean,
        standard_error=_deviation(means) / math.sqrt(len(means)) if len(means) > 1 else None,
        between_rounds=sum(spreads) / len(spreads) if spreads else None,
    )


def _spreads(many: Sequence[Judged]) -> Iterator[float]:
    for one in many:
        read = [float(score) for score in one.scores if score is not None]
        if len(read) > 1:
            yield _deviation(read)


def _deviation(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
