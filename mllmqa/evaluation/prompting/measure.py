"""From a log to figures: one mode at a time, then the modes against each other. Needs no model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mllmqa.evaluation.prompting import habits
from mllmqa.evaluation.prompting.answers import Answer, Failure, FailureKind
from mllmqa.evaluation.prompting.bench import Bench
from mllmqa.evaluation.prompting.habits import Cycles, Numbers, Places, Share
from mllmqa.evaluation.prompting.log import Line
from mllmqa.evaluation.prompting.strategies import Answered, Response, Scores, Strategy
from mllmqa.evaluation.prompting.trials import Trial, files
from mllmqa.evaluation.stats import (
    Correlations,
    Figure,
    Grouped,
    Resampled,
    Retest,
    bootstrap,
    bootstrap_statistic,
    compare,
    correlate,
    holm,
    paired_splits,
    per_group,
    retest,
)
from mllmqa.evaluation.stats import letters as stats_letters
from mllmqa.models.api.options import Price

RESAMPLES = 10_000
ALPHA = 0.05


@dataclass(frozen=True)
class Spent:
    """What a mode cost, whoever paid and when.

    Attributes:
        images: Pictures of the questions that were answered or failed.
        tokens_in: Sum over the answers that state it.
        tokens_out: Likewise.
        uncounted: Answers that state none.
        money: At the price; None without a price, or without counts.
        srcc_per_unit: SRCC divided by that money; None where there is none.
    """

    images: int
    tokens_in: int
    tokens_out: int
    uncounted: int
    money: float | None
    srcc_per_unit: float | None


@dataclass(frozen=True)
class ModeReport:
    """One mode.

    Attributes:
        mode: Its name.
        asked: Questions that have an outcome.
        planned: Questions of the plan.
        answered: Readable answers.
        failures: Share of each kind of failure among the asked.
        srcc: The headline: over all pictures, or the mean over references.
        interval: Of SRCC, resampling pictures, or references where there are any (NaN below 5); None without SRCC.
        overall: All figures over all pictures; None with references, whose scores do not compare.
        references: SRCC inside each reference; None without references.
        scores: Of the pictures.
        places: Position bias; None for single pictures.
        cycles: Transitivity; None for single pictures.
        numbers: Habits with numbers; None for other than single pictures.
        retest: Agreement of repeats; None without repeats.
        spent: Cost.
        originals: Share of questions whose pictures all went as their own bytes; of nothing for local models.
    """

    mode: str
    asked: int
    planned: int
    answered: int
    failures: dict[FailureKind, Share]
    srcc: Figure
    interval: Resampled | None
    overall: Correlations | None
    references: Grouped | None
    scores: Scores
    places: Places | None
    cycles: Cycles | None
    numbers: Numbers | None
    retest: Retest | None
    spent: Spent
    originals: Share


@dataclass(frozen=True)
class Contrast:
    """Two modes on the same pictures.

    Attributes:
        a: First mode.
        b: Second mode.
        difference: SRCC of a minus b, over the pictures (or references) that both have.
        test: Name: rank jackknife over pictures, Wilcoxon over references.
        p_value: Two-sided; NaN without outcome.
        adjusted: Holm, over all pairs of modes.
        reason: Why there is no outcome.
    """

    a: str
    b: str
    difference: float
    test: str
    p_value: float
    adjusted: float
    reason: str | None = None


def outcomes(
    strategy: Strategy, trials: Sequence[Trial], lines: Mapping[str, Line]
) -> list[tuple[Trial, Answer | Failure]]:
    """Read the logged texts anew, so that a log can be scored by a better reader without asking again."""
    found: list[tuple[Trial, Answer | Failure]] = []
    for trial in trials:
        line = lines.get(trial.id)
        if line is None:
            continue
        if line.text is None and line.logits is None:
            found.append((trial, Failure(line.failure or "transport", line.said)))
        else:
            found.append((trial, strategy.read(trial, Response(line.text, line.truncated, line.logits))))
    return found


def measure(
    bench: Bench, lines: Mapping[str, Line], price: Price | None = None, *, resamples: int = RESAMPLES
) -> list[ModeReport]:
    """Return the report of each mode; independent of the order and of the number of runs that made the log."""
    return [_mode(strategy, bench, lines, price, resamples) for strategy in bench.strategies]


def _mode(
    strategy: Strategy, bench: Bench, lines: Mapping[str, Line], price: Price | None, resamples: int
) -> ModeReport:
    trials = bench.of(strategy.name)
    found = outcomes(strategy, trials, lines)
    answered = [(trial, one) for trial, one in found if isinstance(one, Answer)]
    scores = strategy.score(bench.items, answered)
    opinions, groups = bench.items.opinions, bench.items.group_names()
    overall = correlate(scores.values, opinions) if groups is None else None
    inside = per_group(scores.values, opinions, groups) if groups is not None else None
    srcc = overall.srcc if overall is not None else inside.mean  # type: ignore[union-attr]
    interval = None
    if overall is not None and not math.isnan(srcc.value):
        interval = bootstrap(scores.values, opinions, resamples=resamples, seed=bench.design.seed).srcc[0]
    if inside is not None:
        interval = _over_references(inside, bench.design.seed, resamples)
    own = [lines[trial.id] for trial, _ in found]
    kinds = habits.failures([one for _, one in found])
    several = strategy.stimulus in ("double", "multiple", "two-afc")
    sent = [line.original for line in own if line.original is not None]
    return ModeReport(
        mode=strategy.name,
        asked=len(found),
        planned=len(trials),
        answered=len(answered),
        failures=kinds,
        srcc=srcc,
        interval=interval,
        overall=overall,
        references=inside,
        scores=scores,
        places=habits.places(answered) if several else None,
        cycles=habits.cycles(answered) if several else None,
        numbers=habits.numbers(answered),
        retest=_retest(answered, trials),
        spent=_spent([trial for trial, _ in found], own, bench, price, srcc.value),
        originals=Share.of(sum(sent), len(sent)),
    )


def _over_references(inside: Grouped, seed: int, resamples: int) -> Resampled | None:
    """Resample the references that have a figure."""
    values = np.array([group.figure.value for group in inside.groups])
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    return bootstrap_statistic(lambda i: float(values[i].mean()), len(values), resamples=resamples, seed=seed)


def _retest(answered: Answered, trials: Sequence[Trial]) -> Retest | None:
    """Compare the repeats of each question; of a ranking, the rank of the picture shown first."""
    repeats = 1 + max((trial.repeat for trial in trials), default=0)
    if repeats < 2:
        return None
    table = np.full((1 + max(trial.number for trial in trials), repeats), np.nan)
    for trial, answer in answered:
        table[trial.number, trial.repeat] = answer.values[0]
    return retest(table)


def _spent(trials: Sequence[Trial], own: Sequence[Line], bench: Bench, price: Price | None, srcc: float) -> Spent:
    into, out = sum(line.tokens_in or 0 for line in own), sum(line.tokens_out or 0 for line in own)
    uncounted = sum(line.tokens_in is None and line.failure not in ("transport", "model") for line in own)
    counted = price is not None and uncounted == 0 and own
    money = (into * price.tokens_in + out * price.tokens_out) / 1e6 if counted and price else None
    images = sum(len(files(trial, bench.items)) for trial in trials)
    per_unit = srcc / money if money and not math.isnan(srcc) else None
    return Spent(images, into, out, uncounted, money, per_unit)


def contrasts(bench: Bench, reports: Sequence[ModeReport]) -> list[Contrast]:
    """Test all pairs of modes, with Holm's correction."""
    made = [_contrast(bench, a, b) for a, b in combinations(reports, 2)]
    adjusted = holm([one.p_value for one in made]) if made else []
    return [
        Contrast(one.a, one.b, one.difference, one.test, one.p_value, p, one.reason)
        for one, p in zip(made, adjusted, strict=True)
    ]


def _contrast(bench: Bench, a: ModeReport, b: ModeReport) -> Contrast:
    if a.references is None or b.references is None:
        found = compare(a.scores.values, b.scores.values, bench.items.opinions, resamples=1)
        test = found.tests[0]
        return Contrast(a.mode, b.mode, found.a - found.b, test.name, test.p_value, math.nan, test.reason)
    pairs = zip(a.references.groups, b.references.groups, strict=True)
    both = [(x.figure.value, y.figure.value) for x, y in pairs]
    usable = np.array([pair for pair in both if not math.isnan(sum(pair))]).reshape(-1, 2)
    if len(usable) < 2:
        reason = f"{len(usable)} references have both figures, 2 are needed"
        return Contrast(a.mode, b.mode, math.nan, "Wilcoxon", math.nan, math.nan, reason)
    test = paired_splits(usable[:, 0], usable[:, 1])[0]
    difference = float((usable[:, 0] - usable[:, 1]).mean())
    return Contrast(a.mode, b.mode, difference, test.name, test.p_value, math.nan, test.reason)


def letters(modes: Sequence[str], values: Sequence[float], found: Sequence[Contrast]) -> dict[str, str]:
    """Return letters so that two modes share one unless they differ significantly (Piepho, JCGS 13, 2004).

    Args:
        modes: Names.
        values: Their SRCC; the best gets ``a``. A mode without SRCC gets none.
        found: All pairs, adjusted.
    """
    return stats_letters(modes, values, {frozenset((c.a, c.b)) for c in found if c.adjusted < ALPHA})


def scores_table(bench: Bench, reports: Sequence[ModeReport]) -> NDArray[np.float64]:
    """Return the scores of all pictures in all modes, shape (N, M)."""
    return np.stack([report.scores.values for report in reports], axis=1)
