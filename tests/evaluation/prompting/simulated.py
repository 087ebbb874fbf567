"""Whole benchmarks of an observer that is known: what each report estimates, its interval, and what is true.

One run is that of ``mllmqa bench prompts``: plan, requests with pictures, answers in words, log, reading, report.
Between runs only the qualities of the pictures and the chance of the observer change. What is true is computed here
anew, from what the observer is told and not by its code. It is shared by the tests and by benchmarks/observer.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from mllmqa.evaluation import stats
from mllmqa.evaluation.prompting.answers import FailureKind
from mllmqa.evaluation.prompting.asking import Asker
from mllmqa.evaluation.prompting.bench import Bench, Design, make
from mllmqa.evaluation.prompting.items import Items, read_items
from mllmqa.evaluation.prompting.log import AnswerLog
from mllmqa.evaluation.prompting.measure import Contrast, ModeReport, contrasts, measure
from mllmqa.evaluation.prompting.runner import Limits, run
from mllmqa.loading import load
from tests.evaluation.prompting.synthetic import samples

MODES = ("single", "single-cot", "double", "multiple", "2afc")
Z = 1.96
RESAMPLES = 1000


@dataclass(frozen=True)
class Known:
    """The observer: noise and bias in latent units (qualities span 4), the others as shares of its answers."""

    noise: float = math.sqrt(0.5)
    bias: float = 0.4
    refuse: float = 0.05
    garble: float = 0.03
    beyond: float = 0.02
    cut: float = 0.02
    foreign: float = 0.02
    pictures: int = 30
    opponents: float = 4
    repeats: int = 2

    def name(self, seed: int) -> str:
        """As ``--model`` takes it."""
        told = ("noise", "bias", "refuse", "garble", "beyond", "cut", "foreign")
        return "fake:" + ",".join(f"{key}={getattr(self, key)!r}" for key in told) + f",seed={seed}"

    @property
    def lost(self) -> float:
        """Share of answers that cannot be used."""
        return self.refuse + self.garble + self.beyond + self.cut + self.foreign

    @property
    def gap(self) -> float:
        """Deviation of a difference of two percepts: the unit of the scores of pairs."""
        return math.sqrt(2) * self.noise


@dataclass(frozen=True)
class Estimate:
    """One figure of one report.

    Attributes:
        name: Of the figure.
        value: The estimate.
        low: Lower end of its 95 % interval; NaN without.
        high: Upper end.
        truth: What it should be; None: the mean of all runs (a figure whose expectation has no closed form).
    """

    name: str
    value: float
    low: float
    high: float
    truth: float | None


def pictures(folder: Path, known: Known) -> Items:
    """Write the pictures once; their opinions are drawn anew for each run."""
    return read_items(samples(folder, known.pictures))


def simulate(items: Items, known: Known, seed: int, folder: Path) -> list[Estimate]:
    """Run one benchmark and return all its estimates. Its log is written into the folder and removed."""
    quality = np.random.default_rng([seed, 7]).uniform(0.1, 0.9, len(items.rated))
    rated = tuple(replace(item, opinion=float(q)) for item, q in zip(items.rated, quality, strict=True))
    design = Design(MODES, opponents=known.opponents, repeats=known.repeats, seed=seed)
    bench = make(replace(items, rated=rated), design)
    asker = Asker(load(known.name(seed)), bench.items)
    path = folder / f"{seed}.jsonl"
    with AnswerLog(path, bench.head(asker.info)) as log:
        stopped = run(bench.work, asker, log, Limits(), lambda done, total: None)
    path.unlink()
    if stopped is not None:
        raise AssertionError(stopped)
    found = measure(bench, log.lines, resamples=RESAMPLES)
    modes = {mode.mode: mode for mode in found}
    made = [*_of_single(modes["single"], known), *_of_contrast(contrasts(bench, found))]
    made += _of_failures(modes["single"], known, ("refusal", "format", "range", "truncated", "language"))
    made += _of_failures(modes["double"], known, ("refusal", "truncated"))
    for name in ("double", "multiple", "2afc"):
        made += _of_pairs(modes[name], bench, known)
    return made + list(_of_places(modes["double"], bench, known))


def _of_single(mode: ModeReport, known: Known) -> Iterator[Estimate]:
    truth = of_single(known)
    assert mode.interval is not None and mode.overall is not None and mode.retest is not None
    srcc, closed = mode.srcc.value, mode.overall.srcc_interval
    yield Estimate("single: SRCC, bootstrap", srcc, mode.interval.low, mode.interval.high, truth.srcc)
    yield Estimate("single: SRCC, Bonett–Wright", srcc, closed.low, closed.high, truth.srcc)
    linear = mode.overall.plcc_interval
    yield Estimate("single: PLCC, Fisher", mode.overall.plcc.value, linear.low, linear.high, truth.plcc)
    yield _bare("single: retest, ICC", mode.retest.icc_agreement.value, truth.icc)
    yield _bare("single: retest, mean change", mode.retest.mean_absolute_change.value, truth.change)
    yield _bare("single: retest, changed", mode.retest.changed.value, truth.changed)


def _of_contrast(found: list[Contrast]) -> Iterator[Estimate]:
    """Single with and without thinking are equally good: one test in twenty may part them."""
    one = next(c for c in found if (c.a, c.b) == ("single", "single-cot"))
    yield Estimate("single and single-cot, test of SRCC", one.difference, 0.05, 1.0, one.p_value)


def _of_failures(mode: ModeReport, known: Known, kinds: tuple[FailureKind, ...]) -> Iterator[Estimate]:
    told = {"refusal": "refuse", "format": "garble", "range": "beyond", "truncated": "cut", "language": "foreign"}
    for kind in kinds:
        share = mode.failures[kind]
        truth = getattr(known, told[kind])
        yield Estimate(f"{mode.mode}: {kind}, Wilson", share.value, share.interval.low, share.interval.high, truth)


def _of_pairs(mode: ModeReport, bench: Bench, known: Known) -> Iterator[Estimate]:
    """Latent scores (of the pictures that were compared, which sum to 0), the order effect, and SRCC."""
    scores = mode.scores
    latent = 4 * (bench.items.opinions - 0.5) / known.gap
    there = ~np.isnan(scores.values)
    centred = latent[there] - latent[there].mean()
    for value, error, truth in zip(scores.values[there], scores.errors[there], centred, strict=True):
        half = Z * float(error)
        yield Estimate(f"{mode.mode}: latent scores", float(value), float(value) - half, float(value) + half, truth)
    slope = float(scores.values[there] @ centred / (centred @ centred))
    yield _bare(f"{mode.mode}: scale of the latent scores", slope, 1.0)
    if not math.isnan(scores.order):
        truth = known.bias / known.gap * (1.0 if mode.mode == "double" else 5 / 9)  # 1/3 a place, 6 pairs of 4
        half = Z * scores.order_error
        yield Estimate(f"{mode.mode}: order effect", scores.order, scores.order - half, scores.order + half, truth)
    assert mode.interval is not None
    yield Estimate(f"{mode.mode}: SRCC, bootstrap", mode.srcc.value, mode.interval.low, mode.interval.high, None)


def _of_places(mode: ModeReport, bench: Bench, known: Known) -> Iterator[Estimate]:
    assert mode.places is not None
    latent = 4 * (bench.items.opinions - 0.5)
    shown = np.array([trial.shown for trial in bench.of("double")])
    ahead = latent[shown[:, 0]] - latent[shown[:, 1]]
    first, swapped = ndtr((ahead + known.bias) / known.gap), ndtr((-ahead + known.bias) / known.gap)
    same = first * (1 - swapped) + (1 - first) * swapped
    for name, share, truth in (
        ("first place preferred", mode.places.first, first.mean()),
        ("same verdict after a swap", mode.places.consistent, same.mean()),
    ):
        ends = share.interval.low, share.interval.high
        yield Estimate(f"double: {name}, Wilson", share.value, *ends, float(truth))


def _bare(name: str, value: float, truth: float) -> Estimate:
    return Estimate(name, value, math.nan, math.nan, truth)


@dataclass(frozen=True)
class Single:
    """What is true of the scores of single pictures, by half a million of them."""

    srcc: float
    plcc: float
    icc: float
    change: float
    changed: float


@cache
def of_single(known: Known, n: int = 500_000) -> Single:
    """Draw qualities and answers as the observer is described: percept, clipped to 0..100, a whole number."""
    rng = np.random.default_rng(12345)
    quality = rng.uniform(0.1, 0.9, n)
    percept = 4 * (quality[:, None] - 0.5) + known.noise * rng.standard_normal((n, known.repeats))
    said = np.round(np.clip(100 * (percept / 4 + 0.5), 0, 100))
    readable = rng.random(said.shape) >= known.lost
    with np.errstate(invalid="ignore"):
        mean = np.where(readable, said, 0).sum(axis=1) / readable.sum(axis=1)
    there = readable.any(axis=1)
    both = said[readable.all(axis=1)]
    icc = stats.retest(both).icc_agreement.value
    change = np.abs(both[:, 0] - both[:, 1])
    agree = (stats.srcc(mean[there], quality[there]), stats.plcc(mean[there], quality[there]))
    return Single(*agree, icc, float(change.mean()), float((change > 0).mean()))
