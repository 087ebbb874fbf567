"""Open questions: the labels are read back from answers, and questions give away only what they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.tasks import extract, open_questions
from mllmqa.data.tasks.phrases import written
from mllmqa.data.tasks.truth import Finding, strongest_category
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.errors import DataError
from tests.data.tasks.labels_made import CATEGORIES, categories, findings, levels, media, one, rngs, severities


@given(categories, severities, media, rngs)
def test_the_dominant_one_is_named_among_its_like(
    category: str, severity: float, medium: str, rng: np.random.Generator
) -> None:
    words = vocabulary()
    if category not in words.possible(medium):
        with pytest.raises(DataError, match="in a medium called 'image'"):
            open_questions.dominant(Finding(category, severity), medium, rng)
        return
    turn = open_questions.dominant(Finding(category, severity), medium, rng)
    assert turn.answer == f"It is {words.label(category)}."
    assert extract.categories(turn.answer) == [category]
    if named := set(extract.categories(turn.question)):
        temporal = category in words.temporal
        assert named == {c for c in words.possible(medium) if (c in words.temporal) is temporal}
        assert category in named


def test_half_of_the_questions_name_the_possible_ones() -> None:
    made = [open_questions.dominant(Finding("freeze", 3), "video", np.random.default_rng(k)) for k in range(400)]
    named = [extract.categories(turn.question) for turn in made]
    assert 160 < sum(map(bool, named)) < 240
    assert len({tuple(names) for names in named if names}) > 100  # in any order


@given(findings(), levels, media, rngs)
def test_the_depiction_is_in_the_question_and_the_level_in_the_answer(
    given_: list[Finding], word: str, medium: str, rng: np.random.Generator
) -> None:
    turn = open_questions.causal(given_, word, medium, rng)
    assert extract.findings(turn.question) == [written(finding) for finding in given_]
    assert extract.graded(turn.question) == [(f.category, f.severity) for f in map(written, given_)]
    assert extract.says_clean(turn.question) is (not given_)
    assert extract.level(turn.question) is None
    assert turn.answer == f"Hence the quality of the {medium} is {word}."
    assert extract.level(turn.answer) == word


@given(findings(), media, rngs)
def test_what_names_the_strongest(given_: list[Finding], medium: str, rng: np.random.Generator) -> None:
    strongest = strongest_category(given_)
    if strongest is None:
        with pytest.raises(DataError, match="strongest"):
            open_questions.what(given_, medium, rng)
        return
    turn = open_questions.what(given_, medium, rng)
    assert extract.categories(turn.answer) == [strongest]
    assert extract.categories(turn.question) == []
    assert turn.answer[0].isupper()


def test_two_findings_of_the_strongest_category_are_one_answer() -> None:
    turn = open_questions.what([Finding("blur", 4), Finding("blur", 4), Finding("noise", 3)], "image", _rng(1))
    assert extract.categories(turn.answer) == ["blur"]


@given(one, media, rngs)
def test_how_grades(finding: Finding, medium: str, rng: np.random.Generator) -> None:
    turn = open_questions.how(finding, medium, rng)
    assert extract.strength(turn.answer) == (finding.category, written(finding).severity)
    assert extract.categories(turn.question) == [finding.category]
    assert extract.strength(turn.question) is None


@given(categories, st.booleans(), media, rngs)
def test_presence_is_read_back(category: str, present: bool, medium: str, rng: np.random.Generator) -> None:
    turn = open_questions.yes_no_open(category, present, medium, rng)
    assert extract.presence(turn.answer) == (category, present)
    assert extract.categories(turn.answer) == ([category] if present else [])
    assert extract.graded(turn.answer) == []
    assert extract.presence(turn.question) is None


@pytest.mark.parametrize(
    ("text", "presence"),
    [
        ("Yes, there is blur.", ("blur", True)), ("NO, THERE IS NO BLUR", ("blur", False)),
        ("Yes, there is no blur.", None), ("No, there is blur.", None), ("Yes.", None), ("There is blur.", None),
        ("Yes, there is blur. No, there is no noise.", None), ("No, there is no overly high contrast here.",
         ("contrast_strengthen", False)), ("No, there is no blurring.", None),
    ],
)  # fmt: skip
def test_presence_of_a_free_text(text: str, presence: tuple[str, bool] | None) -> None:
    assert extract.presence(text) == presence


@pytest.mark.parametrize("category", CATEGORIES)
def test_what_is_denied_is_not_claimed(category: str) -> None:
    label = vocabulary().label(category)
    assert extract.categories(f"No, there is no {label}.") == []
    assert extract.categories(f"There is no {label}, but noise.") == ["noise"]
    assert extract.findings(f"There is no serious {label}; slight {label} at (1, 2, 3, 4).") == [
        Finding(category, 1, (0.001, 0.002, 0.003, 0.004))
    ]


def test_strength_of_two_things_is_none() -> None:
    assert extract.strength("The blur is slight and the noise is serious.") is None
    assert extract.strength("The blur is good.") is None
    assert extract.strength("Overly high contrast is SERIOUS here") == ("contrast_strengthen", 4)


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
