"""A pair is asked about only where the labels say which is better."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa import prompts
from mllmqa.data.tasks.truth import Finding, better_by_mos, better_by_severity, comparative_word
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
