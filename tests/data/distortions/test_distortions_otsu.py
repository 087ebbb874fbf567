"""Multi-Otsu by dynamic programming against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.distortions.otsu import between_class, thresholds


def criterion(counts: np.ndarray, cuts: list[int]) -> float:
    """Between-class variance (up to constants) of a split, straight from its definition."""
    total, levels = counts.sum(), np.arange(len(counts))
    mean = (counts * levels).sum() / total
    bounds = [-1, *cuts, len(counts) - 1]
    value = 0.0
    for low, high in itertools.pairwise(bounds):
        part = slice(low + 1, high + 1)
        weight = counts[part].sum()
        if weight:
            value += weight / total * ((counts[part] * levels[part]).sum() / weight - mean) ** 2
    return value


def brute_force(counts: np.ndarray, classes: int) -> float:
    return max(
        criterion(counts, list(cuts)) for cuts in itertools.combinations(range(len(counts) - 1), classes - 1)
    )


@given(
    counts=st.lists(st.integers(0, 20), min_size=6, max_size=14).filter(lambda c: sum(v > 0 for v in c) >= 2),
    classes=st.integers(2, 5),
)
def test_as_good_as_the_best_of_all_splits(counts: list[int], classes: int) -> None:
    histogram = np.array(counts)
    found = thresholds(histogram, classes)
    assert found == sorted(set(found))
    assert len(found) <= classes - 1
    assert criterion(histogram, found) == pytest.approx(brute_force(histogram, classes), rel=1e-9)


def test_two_classes_are_otsus_threshold() -> None:
    histogram = np.array([10, 20, 10, 0, 0, 0, 5, 10, 5])
    assert thresholds(histogram, 2) == [2]


def test_no_more_levels_than_classes() -> None:
    histogram = np.array([0, 3, 0, 0, 4, 0, 5, 0])
    assert thresholds(histogram, 3) == [1, 4]
    assert thresholds(histogram, 9) == [1, 4]
    assert thresholds(np.array([0, 7, 0]), 4) == []


def test_a_full_histogram_with_fifteen_classes() -> None:
    """Where exhaustive search takes tens of seconds: 15 equal heaps are told apart exactly."""
    levels = np.arange(256)
    heaps = sum(np.exp(-((levels - 8 - 17 * i) ** 2) / 4) for i in range(15))
    found = thresholds(np.rint(1000 * heaps).astype(np.int64), 15)
    assert len(found) == 14
    assert all(8 + 17 * i + 4 <= cut < 8 + 17 * (i + 1) - 4 for i, cut in enumerate(found))  # in the gaps


def test_local_changes_make_it_no_better() -> None:
    histogram = np.random.default_rng(0).integers(0, 500, 256)
    for classes in (3, 8, 15):
        found = thresholds(histogram, classes)
        best = criterion(histogram, found)
        for place, step in itertools.product(range(len(found)), (-2, -1, 1, 2)):
            moved = list(found)
            moved[place] += step
            if moved == sorted(set(moved)) and moved[-1] < 255 and moved[0] >= 0:
                assert criterion(histogram, moved) <= best + 1e-9


def test_gain_of_a_class_is_its_squared_sum_over_its_size() -> None:
    gain = between_class(np.array([2, 0, 4]))
    assert gain[0, 0] == 0
    assert gain[0, 2] == pytest.approx(8**2 / 6)
    assert gain[1, 1] == 0  # empty
    assert gain[2, 2] == pytest.approx(8**2 / 4)
    assert gain[2, 0] == -np.inf
