"""Designs: balanced, connected, order-swapped, and moved by nothing but their own names."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.evaluation.prompting import designs


@given(st.integers(2, 60), st.floats(0.5, 8), st.integers(0, 9))
def test_pairs_come_in_both_orders_and_connect_all(n: int, per_item: float, seed: int) -> None:
    found = designs.pairs(range(n), per_item, seed)
    assert set(found) == {(b, a) for a, b in found}
    assert len(set(found)) == len(found)
    reached, left = {0}, True
    while left:
        more = {b for a, b in found if a in reached} - reached
        reached, left = reached | more, bool(more)
    assert reached == set(range(n))
    wanted = max(2 * round(per_item * n / 2), 2 * (n - 1))
    assert len(found) == min(wanted, n * (n - 1))


def test_every_picture_is_asked_about_equally_often() -> None:
    found = designs.pairs(range(150), 4, 0)
    assert len(found) == 600
    assert set(Counter(a for a, _ in found).values()) == {4}
    assert set(Counter(b for _, b in found).values()) == {4}


def test_five_questions_per_picture_are_the_published_number() -> None:
    assert len(designs.pairs(range(150), 5, 0)) == 750
    counts = Counter(a for a, _ in designs.pairs(range(150), 5, 0))
    assert min(counts.values()) >= 4
    assert max(counts.values()) <= 6


@given(st.integers(4, 60), st.integers(2, 6), st.integers(1, 3), st.integers(0, 9))
def test_groups_show_every_picture_equally_often_in_every_place(n: int, size: int, times: int, seed: int) -> None:
    found = designs.groups(range(n), size, times, seed)
    size = min(size, n)
    assert len(found) == times * n
    assert all(len(set(group)) == size for group in found)
    for place in range(size):
        assert set(Counter(group[place] for group in found).values()) == {times}


def test_fewer_than_two_pictures_have_nothing_to_compare() -> None:
    assert designs.pairs([7], 5, 0) == []
    assert designs.groups([7], 4, 2, 0) == []
    assert designs.groups([3, 9], 4, 1, 0) in ([(3, 9), (9, 3)], [(9, 3), (3, 9)])


def test_a_stream_of_another_name_draws_other_pairs() -> None:
    assert designs.pairs(range(40), 5, 0, "a") == designs.pairs(range(40), 5, 0, "a")
    assert designs.pairs(range(40), 5, 0, "a") != designs.pairs(range(40), 5, 0, "b")
    assert designs.groups(range(40), 4, 2, 0) != designs.groups(range(40), 4, 2, 1)


def test_no_question_of_2afc_comes_twice() -> None:
    found = designs.coarse_to_fine(np.linspace(0, 1, 20), rounds=12, bands=4, seed=0)
    assert len(set(found)) == len(found)
    assert [(b, a) for a, b in found[::2]] == found[1::2]
    assert len(found) < 12 * 20


@pytest.mark.parametrize("n", [7, 20])
def test_coarse_pairs_span_all_and_fine_ones_stay_in_their_band(n: int) -> None:
    opinions = np.random.default_rng(0).uniform(size=n)
    found = designs.coarse_to_fine(opinions, rounds=2, bands=4, seed=0)
    assert set(found) == {(b, a) for a, b in found}
    rank = np.argsort(np.argsort(opinions))
    bands = [set(part.tolist()) for part in np.array_split(np.arange(n), 4)]
    fine = found[2 * (n // 2) :]
    assert fine
    assert all(any({rank[a], rank[b]} <= band for band in bands) for a, b in fine)
