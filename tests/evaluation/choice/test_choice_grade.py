"""Letters and texts of answers: what is named once counts, all else is unparsed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.evaluation.choice.grade import letters, most_likely, read_choice

OPTIONS = ["slight", "serious", "motion blur", "blur"]
FORMS = [
    "{}",
    "({})",
    "[{}]",
    "{}.",
    "{})",
    "**{}**",
    "{}. {}",
    "{}: {}",
    "Answer: {}",
    "The answer is {}.",
    "{}\n",
]
FORMS += ["Option {}", "The correct option is ({}).", "I would choose {}.", "{} is right, as one sees.", "({}) {}"]


@given(st.integers(0, 3), st.sampled_from(FORMS))
def test_a_letter_is_read_in_every_form(index: int, form: str) -> None:
    found = read_choice(form.format("ABCD"[index], OPTIONS[index]), OPTIONS)
    assert (found.index, found.how) == (index, "letter")


@given(
    st.permutations(range(4)), st.sampled_from(["{} or {}", "{} and {}", "{}, {}", "({}) ({})", "both {} and {}"])
)
def test_two_letters_are_unparsed(order: list[int], form: str) -> None:
    assert read_choice(form.format("ABCD"[order[0]], "ABCD"[order[1]]), OPTIONS).index is None


@given(st.integers(0, 3), st.sampled_from(["{}", "{}.", "It is {}.", "I see {} here", '"{}"', "{}!"]))
def test_the_text_of_one_option_counts(index: int, form: str) -> None:
    for text in (OPTIONS[index], OPTIONS[index].upper()):
        found = read_choice(form.format(text), OPTIONS)
        assert (found.index, found.how) == (index, "text")


@pytest.mark.parametrize(
    "text",
    ["A. serious", "serious or slight", "It is not serious.", "not B", "B is wrong", "A blurry thing",
     "I cannot say",
     "", "?!", "E", "Image A shows it", "a notice"],
)  # fmt: skip
def test_what_names_none_two_or_a_denied_one_is_unparsed(text: str) -> None:
    assert read_choice(text, OPTIONS).index is None


def test_no_is_not_read_inside_notice() -> None:  # VLMEvalKit #73
    assert read_choice("I notice it", ["Yes", "No"]).index is None
    assert read_choice("No, I notice none", ["Yes", "No"]).index == 1


def test_a_letter_with_a_reason_that_names_others_counts() -> None:  # Dream #36: "D. xxx"
    assert read_choice("B. It is serious, more than slight.", OPTIONS).index == 1


@given(st.text(max_size=60))
def test_any_text_gives_one_option_or_none(text: str) -> None:
    found = read_choice(text, OPTIONS)
    assert found.index is None or found.named == (found.index,)


def test_letters_beyond_the_options_are_none() -> None:
    assert letters("D", 3) == ()
    assert letters("c", 3) == (2,)


def test_likelihood_takes_the_most_probable_letter() -> None:
    assert most_likely({"A": -2.0, "B": -0.2, "C": None}).index == 1
    assert most_likely({"A": -1.0, "B": -1.0}).index is None
    assert most_likely({"A": None, "B": -math.inf}).index is None
    assert most_likely({}).index is None
