"""Whole benchmarks of a known observer, a few of them: benchmarks/observer.py is the same over hundreds of runs."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.prompting.simulated import Estimate, Known, of_single, pictures, simulate

RUNS = 5
KNOWN = Known()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Estimate]]]:
    """Figures by name, for each of some runs."""
    folder = tmp_path_factory.mktemp("runs")
    items = pictures(folder, KNOWN)
    found = []
    for seed in range(RUNS):
        by_name: dict[str, list[Estimate]] = defaultdict(list)
        for one in simulate(items, KNOWN, seed, folder):
            by_name[one.name].append(one)
        found.append(dict(by_name))
    return found


def held(runs: list[dict[str, list[Estimate]]], name: str) -> list[bool]:
    return [one.low <= one.truth <= one.high for run in runs for one in run[name] if one.truth is not None]


def mean(runs: list[dict[str, list[Estimate]]], name: str) -> float:
    return float(np.mean([one.value for run in runs for one in run[name]]))


@pytest.mark.parametrize("mode", ["double", "multiple", "2afc"])
def test_standard_errors_of_scores_hold_the_latent_qualities(
    runs: list[dict[str, list[Estimate]]], mode: str
) -> None:
    inside = held(runs, f"{mode}: latent scores")
    assert len(inside) >= 0.9 * RUNS * KNOWN.pictures
    assert np.mean(inside) > 0.89  # 95 %, less three deviations of some 150 scores that depend on each other
    assert 0.55 < mean(runs, f"{mode}: scale of the latent scores") < 1.1  # drawn to 0 by the prior, never doubled


def test_intervals_hold_what_the_observer_was_told(runs: list[dict[str, list[Estimate]]]) -> None:
    """Of five runs each interval misses at most two: at 95 % that is the case in 99.9 % of such tests."""
    names = [name for name, own in runs[0].items() if len(own) == 1 and own[0].low == own[0].low]
    known = [name for name in names if runs[0][name][0].truth is not None]
    assert len(known) == 15
    for name in known:
        assert sum(held(runs, name)) >= RUNS - 2, name
    assert sum(sum(held(runs, name)) for name in known) >= 0.86 * len(known) * RUNS


def test_what_has_no_interval_is_near_the_truth(runs: list[dict[str, list[Estimate]]]) -> None:
    truth = of_single(KNOWN)
    assert mean(runs, "single: retest, ICC") == pytest.approx(truth.icc, abs=0.12)
    assert mean(runs, "single: retest, mean change") == pytest.approx(truth.change, rel=0.25)
    assert mean(runs, "single: retest, changed") == pytest.approx(truth.changed, abs=0.06)
    assert mean(runs, "double: order effect") == pytest.approx(KNOWN.bias / KNOWN.gap, abs=0.15)


def test_an_interval_of_another_observer_does_not_hold(
    runs: list[dict[str, list[Estimate]]], tmp_path: Path
) -> None:
    """The tests above can fail: without bias and refusals the same truths lie outside."""
    other = Known(bias=0.0, refuse=0.0)
    found = {one.name: one for one in simulate(pictures(tmp_path, other), other, 0, tmp_path)}
    true = {name: own[0].truth for name, own in runs[0].items()}
    for name in ("double: order effect", "double: refusal, Wilson"):
        assert not found[name].low <= (true[name] or 0.0) <= found[name].high
