"""How often the 95 % intervals of this project hold the truth, over simulated runs with known truth.

    python benchmarks/coverage.py [RUNS] [--only NAME]

Each study draws RUNS (500) data sets from a known model, makes the intervals as the reports do, and counts how
often they hold the true value. The share itself is uncertain: with 500 runs, ±0.019 around 0.95. One process, no
model, no media; a few CPU-minutes.

What is true is known in closed form, or by one huge sample of the same model. For the scores of pictures the share
is over runs × pictures.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr

from mllmqa.data.streams import stream
from mllmqa.evaluation import stats
from mllmqa.evaluation.prompting.preference import Choice, effect, fit

Float = npt.NDArray[np.float64]
RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Result:
    """Of one interval: its name, the share of cases in which it holds the truth, mean width, cases, runs."""

    name: str
    share: float
    width: float
    cases: int
    runs: int


class Count:
    """Counts intervals by name."""

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[bool, float]]] = {}

    def add(self, name: str, low: float, high: float, truth: float) -> None:
        """Count one interval; one that is NaN holds nothing."""
        self._found.setdefault(name, []).append((low <= truth <= high, high - low))

    def results(self, runs: int) -> list[Result]:
        """Return the shares."""
        return [
            Result(
                name,
                float(np.mean([hit for hit, _ in all_])),
                float(np.nanmean([w for _, w in all_])),
                len(all_),
                runs,
            )
            for name, all_ in self._found.items()
        ]


def correlations(runs: int, seed: int) -> Iterator[Result]:
    """SRCC and PLCC: bootstrap by items, Bonett–Wright, Fisher; normal, and with few steps of the scores."""
    rho = 0.8
    for n in (50, 200, 1000):
        count = Count()
        truth = 6 / math.pi * math.asin(rho / 2)
        for run in range(runs):
            rng = _rng(seed, "correlations", n, run)
            x, y = _binormal(rng, n, rho)
            boot = stats.bootstrap(x, y, resamples=RESAMPLES, seed=run)
            count.add(f"SRCC, bootstrap of items, n {n}", boot.srcc[0].low, boot.srcc[0].high, truth)
            count.add(f"PLCC, bootstrap of items, n {n}", boot.plcc[0].low, boot.plcc[0].high, rho)
            closed = stats.bonett_wright(stats.srcc(x, y), n)
            count.add(f"SRCC, Bonett–Wright, n {n}", closed.low, closed.high, truth)
            fisher = stats.fisher(stats.plcc(x, y), n)
            count.add(f"PLCC, Fisher, n {n}", fisher.low, fisher.high, rho)
        yield from count.results(runs)


def references(runs: int, seed: int) -> Iterator[Result]:
    """SRCC where items of one reference share an error: bootstrap of items is too narrow, of references less so."""
    for n_references in (10, 30, 100):
        count, per = Count(), 10
        big = _clustered(_rng(seed, "truth"), 20_000, per)
        truth = stats.srcc(*big[:2])
        for run in range(runs):
            x, y, names = _clustered(_rng(seed, "references", n_references, run), n_references, per)
            for what, groups in (("items", None), ("references", names.tolist())):
                found = stats.bootstrap(x, y, groups=groups, resamples=RESAMPLES, seed=run).srcc[0]
                count.add(
                    f"SRCC, bootstrap of {what}, {n_references} references × {per}", found.low, found.high, truth
                )
        yield from count.results(runs)


def differences(runs: int, seed: int) -> Iterator[Result]:
    """Difference of SRCC of two scorers, paired bootstrap; and how often equal scorers are not called different."""
    n, count = 200, Count()
    big = _two_scorers(_rng(seed, "two"), 400_000, 0.5, 0.8)
    truth = stats.srcc(big[0], big[2]) - stats.srcc(big[1], big[2])
    for run in range(runs):
        rng = _rng(seed, "differences", run)
        a, b, y = _two_scorers(rng, n, 0.5, 0.8)
        found = stats.bootstrap(np.stack([a, b]), y, resamples=RESAMPLES, seed=run).srcc_difference[0]
        count.add(f"difference of SRCC, paired bootstrap, n {n}", found.low, found.high, truth)
    yield from count.results(runs)


EQUAL = (("SRCC .78", 0.7, 0.3, None), ("SRCC .97", 0.2, 0.1, None), ("SRCC .76, 5 levels", 0.7, 0.3, 5))
"""Name, noise, common noise, and levels that the scores are rounded to."""


def equals(runs: int, seed: int) -> Iterator[Result]:
    """How often two equally good scorers are not called different at 5 %: rank jackknife and Williams on SRCC."""
    for n in (50, 200):
        for name, noise, common, levels in EQUAL:
            count = Count()
            for run in range(runs):
                a, b, y = _two_scorers(_rng(seed, "equals", n, name, run), n, noise, noise, common)
                if levels is not None:
                    a, b = (np.clip(np.round(one), -2, levels - 3) for one in (a, b))
                ours = stats.rank_difference(a, b, y).p_value
                theirs = stats.williams(stats.srcc(a, y), stats.srcc(b, y), stats.srcc(a, b), n).p_value
                count.add(f"equal scorers not told apart, rank jackknife, {name}, n {n}", 0.05, 1.0, ours)
                count.add(f"equal scorers not told apart, Williams, {name}, n {n}", 0.05, 1.0, theirs)
            yield from count.results(runs)


def bands(runs: int, seed: int) -> Iterator[Result]:
    """The band of the logistic curve, pointwise at five scores. A tenth of the runs: a fit has 24 starts."""
    at, count, some = np.linspace(-1.5, 1.5, 5), Count(), max(1, runs // 10)
    for run in range(some):
        rng = _rng(seed, "bands", run)
        x = rng.normal(size=200)
        y = 1.5 + 3 * expit(1.8 * x) + 0.4 * rng.normal(size=200) * (1 + 0.5 * (x > 0))
        low, high = stats.curve_band(stats.fit_logistic(x, y), x, y, at)
        for a, b, t in zip(low, high, 1.5 + 3 * expit(1.8 * at), strict=True):
            count.add("logistic curve, sandwich band, n 200", a, b, float(t))
    yield from count.results(some)


def comparisons(runs: int, seed: int) -> Iterator[Result]:
    """Scores of 30 pictures from pairs by their standard errors, and the order effect."""
    for name, link in (("Thurstone", "normal"), ("Bradley–Terry", "logistic")):
        for bias in (0.0, 0.5):
            count = Count()
            for run in range(runs):
                rng = _rng(seed, "comparisons", name, bias, run)
                z = rng.normal(size=30)
                choices = _choices(rng, z, bias, link)
                found = effect([choices], link)  # type: ignore[arg-type]
                made = fit(30, choices, link, order=found.order, precision=found.precision)  # type: ignore[arg-type]
                for score, error, true in zip(made.scores, made.errors, z - z.mean(), strict=True):
                    count.add(
                        f"{name} scores ± 1.96 errors, order effect {bias}",
                        score - 1.96 * error,
                        score + 1.96 * error,
                        true,
                    )
                half = 1.96 * found.error
                count.add(f"{name} order effect {bias}", found.order - half, found.order + half, bias)
            yield from count.results(runs)


def shares(runs: int, seed: int) -> Iterator[Result]:
    """Failure rates and the share of the first place: Wilson."""
    for n, p in ((40, 0.05), (300, 0.05), (300, 0.01), (300, 0.6)):
        count = Count()
        for run in range(runs):
            found = stats.wilson(int(_rng(seed, "shares", n, p, run).binomial(n, p)), n)
            count.add(f"share of {p}, Wilson, n {n}", found.low, found.high, p)
        yield from count.results(runs)


STUDIES: dict[str, Callable[[int, int], Iterator[Result]]] = {
    "correlations": correlations, "references": references, "differences": differences, "equals": equals,
    "bands": bands, "comparisons": comparisons, "shares": shares,
}  # fmt: skip


def _rng(seed: int, *words: object) -> np.random.Generator:
    return stream(seed, *map(str, words))


def _binormal(rng: np.random.Generator, n: int, rho: float) -> tuple[Float, Float]:
    x = rng.normal(size=n)
    return x, rho * x + math.sqrt(1 - rho**2) * rng.normal(size=n)


def _clustered(rng: np.random.Generator, n_references: int, per: int) -> tuple[Float, Float, npt.NDArray[np.intp]]:
    """Return scores, opinions and references: a scorer whose error is half of the content."""
    names = np.repeat(np.arange(n_references), per)
    y = rng.normal(size=len(names))
    return y + 0.6 * rng.normal(size=n_references)[names] + 0.4 * rng.normal(size=len(names)), y, names


def _two_scorers(
    rng: np.random.Generator, n: int, noise_a: float, noise_b: float, shared: float = 0.3
) -> tuple[Float, Float, Float]:
    """Return two scorers with a common part of their errors, and the opinions."""
    y, common = rng.normal(size=n), shared * rng.normal(size=n)
    return y + common + noise_a * rng.normal(size=n), y + common + noise_b * rng.normal(size=n), y


def _choices(rng: np.random.Generator, z: Float, bias: float, link: str) -> list[Choice]:
    """Return ten comparisons of each picture as first, in balanced random orders."""
    cdf = ndtr if link == "normal" else expit
    found = []
    for first in range(len(z)):
        for second in rng.choice(np.delete(np.arange(len(z)), first), 10, replace=False).tolist():
            won = rng.random() < cdf(z[first] - z[second] + bias)
            found.append(Choice(first, second, float(won)))
    return found


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="?", type=int, default=500)
    parser.add_argument("--only", choices=STUDIES)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| 95 % interval of | holds the truth | ± | mean width | runs |\n|---|---:|---:|---:|---:|")
    begun = time.process_time()
    for name, study in STUDIES.items():
        for one in study(args.runs, args.seed) if args.only in (None, name) else ():
            spread = 1.96 * math.sqrt(LEVEL * (1 - LEVEL) / one.runs)
            print(f"| {one.name} | {one.share:.3f} | {spread:.3f} | {one.width:.3f} | {one.runs} |", flush=True)
    print(f"\n{time.process_time() - begun:.0f} CPU-seconds")


if __name__ == "__main__":
    main()
