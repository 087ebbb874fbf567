"""Difficult pictures: greedy, diverse, and without the published slips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.prompting.select import Evidence, difficult, difficult_references


def evidence(n: int = 12, seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    return Evidence.of(rng.uniform(size=n), rng.uniform(size=n), rng.uniform(0, 0.3, n), rng.normal(size=(n, 5)))


def test_without_diversity_it_is_the_order_of_the_errors() -> None:
    found = evidence()
    assert difficult(found, 12, 0.0) == np.argsort(-found.error, kind="stable").tolist()


@pytest.mark.parametrize("weight", [0.01, 0.5, 5.0])
def test_is_the_plain_greedy_rule(weight: float) -> None:
    e = evidence(15, 3)
    unit = e.features / np.linalg.norm(e.features, axis=1, keepdims=True)
    chosen: list[int] = []
    for _ in range(9):
        best, gain = -1, -np.inf
        for i in range(15):
            if i in chosen:
                continue
            g = (e.predictions[i] - e.opinions[i]) ** 2 / (e.stds[i] ** 2 + 1)
            if chosen:
                mean = unit[chosen].mean(axis=0)
                g += weight * (1 - unit[i] @ mean / np.linalg.norm(mean))
            if g > gain:
                best, gain = i, g
        chosen.append(best)
    assert difficult(e, 9, weight) == chosen


def test_diversity_leaves_a_twin_for_later() -> None:
    features = np.array([[1.0, 0], [1.0, 0], [0, 1.0]])
    e = Evidence.of([0.9, 0.89, 0.5], [0.0, 0.0, 0.0], None, features)
    assert difficult(e, 3, 0.0) == [0, 1, 2]
    assert difficult(e, 3, 2.0) == [0, 2, 1]


def test_lengths_of_features_do_not_count_but_their_values_do() -> None:
    e = evidence(10, 1)
    longer = Evidence.of(e.predictions, e.opinions, e.stds, e.features * np.arange(1, 11)[:, None])
    assert difficult(e, 10, 1.0) == difficult(longer, 10, 1.0)
    signs = Evidence.of(e.predictions, e.opinions, e.stds, np.sign(e.features))  # the published slip
    assert difficult(e, 10, 5.0) != difficult(signs, 10, 5.0)


def test_of_equal_pictures_the_first_is_taken() -> None:
    assert difficult(Evidence.of([1, 1], [0, 0], None, [[1.0], [1.0]]), 1) == [0]


def test_references_first_then_their_worst_versions() -> None:
    e = Evidence.of([0.1, 0.9, 0.8, 0.2, 0.3], [0.0] * 5, None, np.eye(5))
    groups = ["a", "b", "b", "c", "c"]
    assert difficult_references(e, groups, 2, 1, 0.0) == [1, 4]
    assert difficult_references(e, groups, 3, 9, 0.0) == [1, 2, 4, 3, 0]


@pytest.mark.parametrize(
    "change",
    [
        {"predictions": [1.5, 0.5]},
        {"opinions": [np.nan, 0.5]},
        {"stds": [-1, 0.0]},
        {"features": [[0.0], [1.0]]},
        {"features": [1.0, 1.0]},
    ],
)
def test_malformed_evidence_is_refused(change: dict[str, Any]) -> None:
    arrays = {"predictions": [0.5, 0.5], "opinions": [0.5, 0.5], "stds": [0.1, 0.1], "features": [[1.0], [1.0]]}
    with pytest.raises(DataError):
        Evidence.of(**{**arrays, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(("k", "weight"), [(0, 0.1), (13, 0.1), (3, -1.0)])
def test_numbers_out_of_range(k: int, weight: float) -> None:
    with pytest.raises(UsageError):
        difficult(evidence(), k, weight)
    with pytest.raises(UsageError):
        difficult_references(evidence(), ["a"] * 12, 1, 0)
    with pytest.raises(DataError):
        difficult_references(evidence(), ["a"], 1, 1)
