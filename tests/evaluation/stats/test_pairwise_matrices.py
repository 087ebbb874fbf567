"""Win counts to scores: :mod:`mllmqa.ranking` gives the values of the prompt-benchmark fixture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mllmqa.ranking import rank

FIXTURE = Path(__file__).parents[2] / "fixtures" / "evaluation" / "pairwise_matrices.json"
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in json.loads(FIXTURE.read_text())}


def matrix(case: dict[str, Any]) -> np.ndarray:
    if "C" in case:
        return np.array(case["C"], float)
    found = np.zeros((case["n"], case["n"]))
    for i, j, count in case["C_triplets"]:
        found[int(i), int(j)] = count
    return found


@pytest.mark.parametrize("name", list(CASES))
def test_thurstone_and_bradley_terry(name: str) -> None:
    case = CASES[name]
    normal, logistic = rank(matrix(case), "normal"), rank(matrix(case), "logistic")
    assert normal.converged and logistic.converged
    np.testing.assert_allclose(normal.scores, case["exact_map_latent"], atol=1e-6)
    np.testing.assert_allclose(logistic.scores, case["bradley_terry_map_latent_prior1"], atol=1e-6)


@pytest.mark.parametrize("name", list(CASES))
def test_on_the_published_scale(name: str) -> None:
    case = CASES[name]
    scores = rank(matrix(case), "normal").scores
    if None in case["exact_map_scaled_0_100"]:
        assert np.ptp(scores) == pytest.approx(0, abs=1e-9)  # no information: min-max would be 0/0
        return
    scaled = 100 * (scores - scores.min()) / np.ptp(scores)
    np.testing.assert_allclose(scaled, case["exact_map_scaled_0_100"], atol=1e-4)
    np.testing.assert_allclose(scaled, case["original_scaled_0_100"], atol=0.02)
