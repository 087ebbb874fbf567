"""Agreement of records with MOS: hand arithmetic; failures are counted, names are matched."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import DataError
from mllmqa.evaluation import stats
from tests.records_made import scored, unscored


def test_every_public_name_is_there() -> None:
    assert len(set(stats.__all__)) == len(stats.__all__)
    for name in stats.__all__:
        assert getattr(stats, name).__doc__, name


def test_unscored_inputs_are_counted() -> None:
    results = [scored("a", 1.5), scored("b", 2.5), scored("c", 2.0), unscored("d"), scored("not asked for")]
    found = stats.agreement(results, {"a": 0.1, "b": 0.3, "c": 0.2, "d": 0.4})
    assert (found.srcc, found.n, found.n_unscored) == (pytest.approx(1), 3, 1)
    assert str(found).endswith("n 3  n_unscored 1")


def test_the_unscored_at_worst_and_best() -> None:
    results = [scored("a", 1.5), scored("b", 2.5), scored("c", 2.0), unscored("d")]
    found = stats.agreement(results, {"a": 0.1, "b": 0.3, "c": 0.2, "d": 0.4})
    # d should be the best of four: first of all, ranks 2 4 3 1 against 1 3 2 4, sum d² = 12: 1 − 6·12/60 = −0.2
    assert found.srcc_bounds == pytest.approx((-0.2, 1.0))


def test_no_figure_from_nothing() -> None:
    found = stats.agreement([unscored("a"), unscored("b")], {"a": 1, "b": 2})
    assert math.isnan(found.srcc)
    assert (found.n, found.n_unscored) == (0, 2)


def test_a_model_that_refuses_everything_has_no_srcc_and_any_bound() -> None:
    names = [f"{i}.png" for i in range(20)]
    found = stats.agreement([unscored(name) for name in names], {name: float(i) for i, name in enumerate(names)})
    assert math.isnan(found.srcc) and math.isnan(found.plcc)
    assert (found.n, found.n_unscored) == (0, 20)
    assert found.srcc_bounds == pytest.approx((-1, 1))


def test_missing_and_double_results_are_errors() -> None:
    with pytest.raises(DataError, match=r"1 inputs have no result, the first is 'b'"):
        stats.agreement([scored("a")], {"a": 1, "b": 2})
    with pytest.raises(DataError, match="a: has two results"):
        stats.agreement([scored("a"), scored("a")], {"a": 1})


def test_an_opinion_that_is_no_number_is_refused() -> None:
    results = [scored(name, i) for i, name in enumerate("abc", start=1)]
    with pytest.raises(DataError, match=r"1 of 3 opinions are not finite, the first is nan at index 1"):
        stats.agreement(results, {"a": 1.0, "b": math.nan, "c": 2.0})


def test_aligned_keeps_the_order_of_the_opinions() -> None:
    names, x, y = stats.aligned([("b", 2.0), ("a", None), ("z", 9.0), ("c", 3.0)], {"a": 10, "b": 20, "c": 30})
    assert names == ["a", "b", "c"]
    assert math.isnan(x[0]) and x[1:].tolist() == [2.0, 3.0]
    assert y.tolist() == [10.0, 20.0, 30.0]


def test_aligned_names_what_is_double_or_missing() -> None:
    with pytest.raises(DataError, match="b: has two results"):
        stats.aligned([("b", 1.0), ("b", 1.0)], {"b": 1})
    with pytest.raises(DataError, match="2 inputs have no result, the first is 'c'"):
        stats.aligned([("b", 1.0)], {"b": 1, "c": 2, "d": 3})


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 9), min_size=3, max_size=12), st.randoms())
def test_the_order_of_results_does_not_matter(opinions: dict[str, int], random: object) -> None:
    results = [scored(name, 1 + (7 * i) % 5) for i, name in enumerate(opinions)]
    shuffled = list(results)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = stats.agreement(results, opinions), stats.agreement(shuffled, opinions)
    assert one == other or math.isnan(one.srcc) == math.isnan(other.srcc)


def test_figures_print_on_one_line() -> None:
    assert str(stats.Figure(0.5, 3)) == "0.5000  n 3  n_unscored 0"
    text = str(stats.Figure(0.5, 3, 1, -0.25, 0.75))
    assert text == "0.5000 [-0.2500 … 0.7500 with the unscored]  n 3  n_unscored 1"
    assert str(stats.Figure(math.nan, 0, reason="nothing")) == "none (nothing)  n 0  n_unscored 0"
