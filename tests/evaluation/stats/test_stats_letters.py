"""Letters of significance: two names share one if, and only if, they do not differ."""

from __future__ import annotations

import math
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.evaluation import stats


def pairs(*found: tuple[str, str]) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in found}


def test_none_differ_and_all_differ() -> None:
    names, values = ["x", "y", "z"], [0.1, 0.3, 0.2]
    assert stats.letters(names, values, set()) == {"x": "a", "y": "a", "z": "a"}
    every = pairs(("x", "y"), ("y", "z"), ("x", "z"))
    assert stats.letters(names, values, every) == {"y": "a", "z": "b", "x": "c"}


def test_the_middle_one_shares_with_both_sides() -> None:
    assert stats.letters(["x", "y", "z"], [3, 2, 1], pairs(("x", "z"))) == {"x": "a", "y": "ab", "z": "b"}


def test_a_name_without_figure_has_no_letter_and_does_not_disturb_the_order() -> None:
    found = stats.letters(["n", "x", "m", "y"], [math.nan, 1, math.nan, 2], pairs(("x", "y")))
    assert found == {"n": "", "x": "b", "m": "", "y": "a"}
    assert stats.letters([], [], set()) == {}
    assert stats.letters(["n"], [math.nan], set()) == {"n": ""}


def test_more_than_an_alphabet_of_groups() -> None:
    names = [f"m{k}" for k in range(28)]
    found = stats.letters(names, [-k for k in range(28)], {frozenset(pair) for pair in combinations(names, 2)})
    assert (found["m0"], found["m25"], found["m26"], found["m27"]) == ("a", "z", "a1", "b1")


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 7), st.data())
def test_letters_say_exactly_what_the_pairs_say(n: int, data: st.DataObject) -> None:
    names = [f"m{k}" for k in range(n)]
    values = data.draw(st.lists(st.floats(-1, 1), min_size=n, max_size=n))
    apart = {frozenset(pair) for pair in combinations(names, 2) if data.draw(st.booleans())}
    found = stats.letters(names, values, apart)
    for a, b in combinations(names, 2):
        assert bool(set(found[a]) & set(found[b])) == (frozenset((a, b)) not in apart)
    assert all(found.values())
