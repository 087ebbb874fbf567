"""A pair is asked about only where the labels say which is better."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa import prompts
from mllmqa.data.tasks.truth import (
    Finding,
    better_by_mos,
    better_by_severity,
    comparative_word,
    extent,
    grouped,
    key_categories,
    only_key_with,
    order_by_mos,
    order_by_severity,
    strongest_category,
)
from mllmqa.errors import DataError

BLUR2, BLUR4, NOISE4 = Finding("blur", 2), Finding("blur", 4), Finding("noise", 4)


@pytest.mark.parametrize(
    ("a", "b", "better"),
    [
        ([BLUR2], [BLUR4], "A"),
        ([BLUR4], [BLUR2], "B"),
        ([BLUR2], [Finding("blur", 2.5)], None),  # less than a step
        ([BLUR2], [NOISE4], None),  # other categories are not on one scale
        ([], [BLUR2], "A"),
        ([NOISE4], [], "B"),
        ([], [], None),
        ([BLUR2, NOISE4], [BLUR4], None),
    ],
)
def test_severities_count_inside_a_category(a: list[Finding], b: list[Finding], better: str | None) -> None:
    assert better_by_severity(a, b) == better
    swapped = {"A": "B", "B": "A", None: None}
    assert better_by_severity(b, a) == swapped[better]


def test_a_gap_of_opinions_has_to_exceed_its_spread() -> None:
    assert better_by_mos((4.0, 3.0), (0.6, 0.6)) == "A"  # √.72 = .849
    assert better_by_mos((4.0, 3.2), (0.6, 0.6)) is None
    assert better_by_mos((3.0, 4.0), (0.6, 0.6), sigmas=2) is None
    assert better_by_mos((3.0, 3.1), None) == "B"
    assert better_by_mos((3.0, 3.0), None) is None


@pytest.mark.parametrize(
    ("first", "word"),
    [(3.0, "similar"), (3.4, "similar"), (3.6, "worse"), (4.1, "inferior"), (2.4, "better"), (1.9, "superior")],
)
def test_the_thresholds_of_compare2score(first: float, word: str) -> None:
    """s = √(.3² + .4²) = .5; q = first − 3."""
    assert comparative_word((first, 3.0), (0.3, 0.4)) == word


def test_the_ends_of_the_intervals() -> None:
    """Exact in binary: s = .5."""
    cases = {0.5: "similar", 1.0: "worse", -0.5: "better", -1.0: "superior"}
    for q, word in cases.items():
        assert comparative_word((3 + q, 3.0), (0.5, 0.0)) == word
    assert comparative_word((3.0, 3.0), (0.0, 0.0)) == "similar"


@given(st.floats(1, 5), st.floats(1, 5), st.floats(0.1, 1), st.floats(0.1, 1))
def test_a_better_second_never_has_a_worse_word(one: float, two: float, s1: float, s2: float) -> None:
    order = prompts.word_scale("comparison").words  # best first
    low, high = sorted((one, two))
    words = [order.index(comparative_word((3.0, mos), (s1, s2))) for mos in (high, low)]
    assert words == sorted(words)


@pytest.mark.parametrize(
    "bad", [((math.nan, 3.0), (1.0, 1.0)), ((3.0, math.inf), (1.0, 1.0)), ((3.0, 3.0), (1.0, -1.0))]
)
def test_nonsense_is_refused(bad: tuple[tuple[float, float], tuple[float, float]]) -> None:
    for function in (better_by_mos, comparative_word):
        with pytest.raises(DataError, match="finite"):
            function(*bad)


@pytest.mark.parametrize(
    ("severities", "order"),
    [
        ({"A": 3, "B": 1, "C": 5}, "BAC"), ({"A": 4, "B": 3, "C": 2, "D": 1}, "DCBA"),
        ({"A": 3, "B": 3, "C": 5}, None),
        ({"A": 3, "B": 2.5, "C": 5}, None), ({"A": 2, "B": 0, "C": 1}, "BCA"), ({"A": 0, "B": 0, "C": 1}, None),
        ({"A": 1}, None), ({}, None),
    ],
)  # fmt: skip
def test_several_are_in_order_where_every_step_is_known(severities: dict[str, float], order: str | None) -> None:
    found = {key: [Finding("blur", x)] if x else [] for key, x in severities.items()}
    assert order_by_severity(found) == (tuple(order) if order else None)


def test_several_of_other_categories_have_no_order() -> None:
    assert order_by_severity({"A": [BLUR2], "B": [NOISE4], "C": []}) is None
    assert order_by_severity({"A": [BLUR2], "B": [BLUR4, NOISE4], "C": []}) is None
    assert order_by_severity({"A": [BLUR2], "B": [BLUR4], "C": []}, least=2) == ("C", "A", "B")
    assert order_by_severity({"A": [BLUR2], "B": [BLUR4], "C": []}, least=2.5) is None


def test_opinions_order_several_where_every_gap_exceeds_its_spread() -> None:
    mos = {"A": 2.0, "B": 4.0, "C": 3.0}
    assert order_by_mos(mos, None) == ("B", "C", "A")
    assert order_by_mos(mos, dict.fromkeys(mos, 0.6)) == ("B", "C", "A")  # √.72 = .849
    assert order_by_mos(mos, {"A": 0.6, "B": 0.6, "C": 0.9}) is None
    assert order_by_mos(mos, dict.fromkeys(mos, 0.6), sigmas=2) is None
    assert order_by_mos({**mos, "D": 3.0}, None) is None
    assert order_by_mos({"A": 2.0}, None) is None
    with pytest.raises(DataError, match="finite"):
        order_by_mos({**mos, "D": math.nan}, None)
    with pytest.raises(DataError, match="standard deviations of \\['A'\\]"):
        order_by_mos(mos, {"A": 1.0})


@given(st.lists(st.tuples(st.floats(1, 5), st.floats(0, 1)), min_size=2, max_size=4))
def test_an_order_holds_for_every_pair(labels: list[tuple[float, float]]) -> None:
    mos = {"ABCD"[k]: value for k, (value, _) in enumerate(labels)}
    std = {"ABCD"[k]: value for k, (_, value) in enumerate(labels)}
    order = order_by_mos(mos, std)
    for k, better in enumerate(order or ()):
        for worse in (order or ())[k + 1 :]:
            assert mos[better] > mos[worse]
            assert better_by_mos((mos[better], mos[worse]), (std[better], std[worse]), sigmas=0.999) == "A"


def test_groups_keep_the_order() -> None:
    found = [NOISE4, BLUR2, Finding("noise", 1)]
    assert grouped(found) == {"noise": [NOISE4, Finding("noise", 1)], "blur": [BLUR2]}
    assert list(grouped(found)) == ["noise", "blur"]
    assert grouped([]) == {}


@pytest.mark.parametrize(
    ("found", "category"),
    [
        ([], None),
        ([BLUR2], "blur"),
        ([BLUR4, NOISE4], None),
        ([BLUR4, BLUR4, BLUR2], "blur"),
        ([BLUR2, NOISE4], "noise"),
    ],
)
def test_the_strongest_is_one_category(found: list[Finding], category: str | None) -> None:
    assert strongest_category(found) == category


def test_only_one_has_it() -> None:
    assert only_key_with("blur", {"A": [BLUR2, BLUR4], "B": [NOISE4], "C": []}) == "A"
    assert only_key_with("blur", {"A": [BLUR2], "B": [BLUR4]}) is None
    assert only_key_with("blur", {"A": [NOISE4]}) is None


QUARTER, HALF = (0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 1.0, 0.5)


@pytest.mark.parametrize(
    ("found", "key"),
    [
        ([], []),
        ([Finding("blur", 2), Finding("noise", 4, QUARTER)], ["blur"]),  # 2 against 1
        ([Finding("blur", 2), Finding("noise", 5, HALF)], ["noise"]),
        ([Finding("blur", 2), Finding("noise", 4, HALF)], ["blur", "noise"]),  # equal
        ([Finding("noise", 3, HALF), Finding("blur", 4, QUARTER), Finding("blur", 4, QUARTER)], ["blur"]),  # sums
        ([Finding("freeze", 5, span_s=(1, 2)), Finding("blur", 1)], ["blur"]),  # a tenth of 10 s
        ([Finding("freeze", 5, span_s=(0, 10)), Finding("blur", 4)], ["freeze"]),
    ],
)
def test_key_is_what_weighs_most(found: list[Finding], key: list[str]) -> None:
    assert key_categories(found, 10.0) == key


def test_extent_is_a_share_of_space_and_time() -> None:
    assert extent(BLUR2) == 1
    assert extent(Finding("blur", 1, QUARTER)) == 0.25
    assert extent(Finding("blur", 1, QUARTER, (2, 4)), 8) == 0.0625
    for duration_s in (None, 1.0):
        with pytest.raises(DataError, match="a span of 2 s"):
            extent(Finding("blur", 1, None, (2, 4)), duration_s)
