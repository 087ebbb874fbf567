"""Agreement with MOS: against scipy and hand arithmetic; failures are counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from mllmqa.errors import DataError
from mllmqa.evaluation import stats
from tests.records_made import scored, unscored


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=30))
def test_srcc_equals_scipy_with_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, float).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(stats.srcc(x, y))
    else:
        assert stats.srcc(x, y) == pytest.approx(oracle.spearmanr(x, y).statistic, abs=1e-12)


def test_srcc_by_hand() -> None:
    # ranks 1 2 3 4 against 2 1 4 3: sum d² = 4, 1 - 6·4/(4·15) = 0.6
    assert stats.srcc(np.array([1.0, 2, 3, 4]), np.array([20.0, 10, 40, 30])) == pytest.approx(0.6)


def test_srcc_is_blind_to_monotone_maps_and_keeps_the_sign() -> None:
    x = np.linspace(1, 5, 20)
    assert stats.srcc(x, np.exp(x)) == pytest.approx(1)
    assert stats.srcc(x, -(x**3)) == pytest.approx(-1)


def test_unscored_inputs_are_counted() -> None:
    results = [scored("a", 1.5), scored("b", 2.5), scored("c", 2.0), unscored("d"), scored("not asked for")]
    found = stats.agreement(results, {"a": 0.1, "b": 0.3, "c": 0.2, "d": 0.4})
    assert (found.srcc, found.n, found.n_unscored) == (pytest.approx(1), 3, 1)
    assert str(found).endswith("n 3  n_unscored 1")


def test_no_figure_from_nothing() -> None:
    found = stats.agreement([unscored("a"), unscored("b")], {"a": 1, "b": 2})
    assert math.isnan(found.srcc)
    assert (found.n, found.n_unscored) == (0, 2)


def test_missing_and_double_results_are_errors() -> None:
    with pytest.raises(DataError, match=r"1 inputs have no result, the first is 'b'"):
        stats.agreement([scored("a")], {"a": 1, "b": 2})
    with pytest.raises(DataError, match="a: has two results"):
        stats.agreement([scored("a"), scored("a")], {"a": 1})
