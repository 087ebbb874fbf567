"""How a model answers, whatever people think of the pictures: places, swaps, cycles, round numbers, failures."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mllmqa.evaluation.prompting.answers import FAILURES, SAME, Answer, Failure, FailureKind
from mllmqa.evaluation.prompting.strategies import Answered, choice_of, choices_of
from mllmqa.evaluation.prompting.trials import Trial
from mllmqa.evaluation.stats import Interval, wilson

CHANCE_OF_CYCLE = 0.25
"""Of three pictures whose three pairs are decided by coins, without ties."""


@dataclass(frozen=True)
class Share:
    """A share with its Wilson interval, 95 %; NaN of nothing.

    Attributes:
        value: k / n.
        k: Cases.
        n: Of how many.
        interval: Wilson.
    """

    value: float
    k: int
    n: int
    interval: Interval

    @classmethod
    def of(cls, k: int, n: int) -> Share:
        """Return k of n."""
        return cls(k / n if n else math.nan, k, n, wilson(k, n))


def failures(found: Sequence[Answer | Failure]) -> dict[FailureKind, Share]:
    """Return the share of each kind of failure among the outcomes."""
    kinds = Counter(one.kind for one in found if isinstance(one, Failure))
    return {kind: Share.of(kinds[kind], len(found)) for kind in FAILURES}


@dataclass(frozen=True)
class Places:
    """What the place of display does.

    Attributes:
        first: Share of decided pairs in which the picture shown first is preferred; one half is right in a
            balanced design. Of rankings, all pairs of a list count.
        ties: Share of ties.
        consistent: Share of swapped pairs that get the same verdict in both orders (ties count as a verdict).
        kappa: Cohen's kappa of the two orders: agreement beyond chance; NaN without swapped pairs.
    """

    first: Share
    ties: Share
    consistent: Share
    kappa: float


def places(answered: Answered) -> Places:
    """Measure position bias over answers about two or more pictures."""
    decided = first = ties = 0
    by_pair: dict[tuple[int, int, int], dict[bool, float]] = defaultdict(dict)
    for trial, answer in answered:
        for choice in choice_list(trial, answer):
            ties += choice.share == 0.5
            decided += choice.share != 0.5
            first += choice.share > 0.5
            if len(trial.shown) == 2:
                low, high = sorted((choice.first, choice.second))
                forward = choice.first == low
                by_pair[low, high, trial.repeat][forward] = choice.share if forward else 1 - choice.share
    both = [(found[True], found[False]) for found in by_pair.values() if len(found) == 2]
    same = sum(a == b for a, b in both)
    return Places(Share.of(first, decided), Share.of(ties, ties + decided), Share.of(same, len(both)), _kappa(both))


def choice_list(trial: Trial, answer: Answer) -> list:  # type: ignore[type-arg]
    """Return the comparisons that an answer means; none for single pictures."""
    if trial.stimulus in ("double", "two-afc"):
        return [choice_of(trial, answer)] if answer.values[0] in (0, 1, SAME) else []
    return choices_of(trial, answer) if trial.stimulus == "multiple" else []


def _kappa(both: Sequence[tuple[float, float]]) -> float:
    if not both:
        return math.nan
    n = len(both)
    left, right = Counter(a for a, _ in both), Counter(b for _, b in both)
    chance = sum(left[v] * right[v] for v in left) / n**2
    agree = sum(a == b for a, b in both) / n
    return math.nan if chance == 1 else (agree - chance) / (1 - chance)


@dataclass(frozen=True)
class Cycles:
    """Transitivity of the verdicts.

    Attributes:
        cyclic: Share of decided triads that are cycles (a over b, b over c, c over a).
        chance: Share that coins would give.
    """

    cyclic: Share
    chance: float = CHANCE_OF_CYCLE


def cycles(answered: Answered) -> Cycles:
    """Count cycles among all triads whose three pairs have a majority verdict over all questions about them."""
    margin: dict[tuple[int, int], float] = defaultdict(float)
    for trial, answer in answered:
        for choice in choice_list(trial, answer):
            low, high = sorted((choice.first, choice.second))
            margin[low, high] += (choice.share - 0.5) * (1 if choice.first == low else -1)
    beats: dict[int, set[int]] = defaultdict(set)
    linked: dict[int, set[int]] = defaultdict(set)
    for (low, high), ahead in margin.items():
        if ahead:
            winner, loser = (low, high) if ahead > 0 else (high, low)
            beats[winner].add(loser)
            linked[low].add(high)
    triads = cyclic = 0
    for a in list(linked):
        for b, c in combinations(sorted(linked[a]), 2):
            if c in linked.get(b, ()):
                triads += 1
                cyclic += (b in beats[a]) == (c in beats[b]) == (a in beats[c])
    return Cycles(Share.of(cyclic, triads))


@dataclass(frozen=True)
class Numbers:
    """Habits with numbers, of scores 0..100.

    Attributes:
        distinct: Different scores.
        top_three: Share of the three most used scores.
        tens: Share of multiples of ten; an even use of whole numbers would give 0.11.
        fives: Share of multiples of five (0.21).
        entropy_bits: Of the distribution of scores; 0 if all are equal.
    """

    distinct: int
    top_three: Share
    tens: Share
    fives: Share
    entropy_bits: float


def numbers(answered: Answered) -> Numbers | None:
    """Return the habits of a mode that scores single pictures; None for others."""
    said = [answer.values[0] for trial, answer in answered if trial.stimulus == "single"]
    if not said:
        return None
    counts = Counter(said)
    n = len(said)
    p = np.array(list(counts.values())) / n
    top = sum(k for _, k in counts.most_common(3))
    tens, fives = (sum(k for value, k in counts.items() if value % step == 0) for step in (10, 5))
    entropy = max(0.0, float(-(p * np.log2(p)).sum()))
    return Numbers(len(counts), Share.of(top, n), Share.of(tens, n), Share.of(fives, n), entropy)
