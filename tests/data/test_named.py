"""Categories in free texts: claimed, denied, unclear; built answers are read as they were meant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.named import named, named_by_side
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.turns import compare, identify
from mllmqa.data.tasks.wording import vocabulary

CATEGORIES = sorted(vocabulary().possible("image"))


@given(st.lists(st.sampled_from(CATEGORIES), unique=True, max_size=3), st.integers(0, 2**31))
def test_built_answers_name_their_categories(categories: list[str], seed: int) -> None:
    made = identify([Finding(name, 3) for name in categories], "image", np.random.default_rng(seed))
    assert named(made.answer).answer == frozenset(categories)


@given(st.sampled_from(CATEGORIES), st.sampled_from(CATEGORIES), st.integers(0, 2**31))
def test_built_comparisons_name_those_of_each_side(a: str, b: str, seed: int) -> None:
    made = compare("A", [Finding(a, 1)], [Finding(b, 4)], "image", np.random.default_rng(seed))
    read = named_by_side(made.answer)
    assert (read["A"].answer, read["B"].answer) == (frozenset({a}), frozenset({b}))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("There is no blur but strong noise.", {"noise"}),
        ("Blur is absent; the picture is grainy.", {"noise"}),
        ("This picture is undistorted.", set()),
        ("There is no distortion.", set()),
        ("There is no blur.", None),  # whether there is something else it does not say
        ("The image is not blurry.", None),
        ("There is no distortion, only blur.", None),
        ("There is blur. There is no blur.", None),
        ("A nice dog.", None),
        ("", None),
    ],
)
def test_denials_are_no_claims_and_doubts_no_answers(text: str, answer: set[str] | None) -> None:
    assert named(text).answer == (None if answer is None else frozenset(answer))


def test_what_is_denied_is_told() -> None:
    found = named("There is no blur but strong noise.")
    assert (found.claimed, found.denied, found.unclear, found.clean) == (("noise",), ("blur",), (), False)


def test_sides_that_cannot_be_told_are_unclear_for_both() -> None:
    found = named_by_side("A has blur; the other one shows noise.")
    assert found["B"].unclear == ("noise",)
    assert found["A"].answer is None
    both = named_by_side("Both A and B show noise.")
    assert both["A"].answer == both["B"].answer == frozenset({"noise"})
