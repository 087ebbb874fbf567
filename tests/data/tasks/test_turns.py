"""Built texts say what the labels say: every label is read back, over all wordings, media and orders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa import prompts
from mllmqa.data.tasks import extract, turns
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.errors import DataError

CATEGORIES = sorted(vocabulary().categories)
LEVELS = prompts.level_scale().words
SEEDS = range(60)  # every wording of every pool comes up
shares = st.integers(0, turns.GRID).map(lambda x: x / turns.GRID)
boxes = st.tuples(shares, shares, shares, shares)
spans = st.tuples(st.integers(0, 600), st.integers(0, 600)).map(lambda s: (min(s) / 10, max(s) / 10))
severities = st.integers(1, 5)
media = st.sampled_from(["image", "video"])
rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def findings(least: int = 0, most: int = 3) -> st.SearchStrategy[list[Finding]]:
    one = st.builds(Finding, st.sampled_from(CATEGORIES), severities, st.none() | boxes, st.none() | spans)
    return st.lists(one, min_size=least, max_size=most, unique_by=lambda finding: finding.category)


def graded(given: list[Finding]) -> list[tuple[str, float]]:
    return [(finding.category, finding.severity) for finding in given]


@given(findings(), media, rngs, st.booleans())
def test_identify_names_what_is_there_in_order(
    given: list[Finding], medium: str, rng: np.random.Generator, reference: bool
) -> None:
    turn = turns.identify(given, medium, rng, reference=reference)
    assert extract.categories(turn.answer) == [finding.category for finding in given]
    assert extract.says_clean(turn.answer) is (not given)
    assert ("reference" in turn.question) is reference
    assert turn.question.startswith(turn.question[0].upper())
    assert extract.categories(turn.question) == []  # the question gives nothing away


def test_identify_has_words_for_many() -> None:
    many = [Finding(category, 2) for category in vocabulary().possible("image")[:6]]
    asked = [turns.identify(many, "image", np.random.default_rng(seed)).question for seed in range(40)]
    assert any("six" in question for question in asked)
    assert not any("6" in question for question in asked)


def test_identify_states_the_number_in_half_of_the_questions() -> None:
    two = [Finding("blur", 2), Finding("noise", 4)]
    stated = ["two" in turns.identify(two, "image", np.random.default_rng(seed)).question for seed in range(400)]
    short = [len(turns.identify(two, "image", np.random.default_rng(seed)).answer) < 16 for seed in range(400)]
    assert 150 < sum(stated) < 250
    assert 150 < sum(short) < 250


@given(findings(), st.sampled_from(LEVELS), media, rngs)
def test_assess_grades_places_and_concludes(
    given: list[Finding], word: str, medium: str, rng: np.random.Generator
) -> None:
    answer = turns.assess(given, word, medium, rng).answer
    assert extract.graded(answer) == graded(given)
    assert extract.level(answer) == word
    assert extract.says_clean(answer) is (not given)
    assert extract.boxes(answer) == [finding.box for finding in given if finding.box]
    assert extract.spans_s(answer) == [finding.span_s for finding in given if finding.span_s]


@given(st.sampled_from("AB"), findings(), findings(), media, rngs)
def test_compare_tells_both_sides_apart(
    better: turns.Side, a: list[Finding], b: list[Finding], medium: str, rng: np.random.Generator
) -> None:
    turn = turns.compare(better, a, b, medium, rng)
    assert extract.better(turn.answer) == better
    assert extract.sides(turn.answer) == {"A": graded(a), "B": graded(b)}
    assert extract.better(turn.question) is None


@pytest.mark.parametrize("better", ["A", "B"])
@pytest.mark.parametrize("reference", [False, True])
def test_rate_in_every_wording(better: turns.Side, reference: bool) -> None:
    made = [turns.rate(better, "image", np.random.default_rng(seed), reference=reference) for seed in SEEDS]
    assert {extract.better(turn.answer) for turn in made} == {better}
    assert {turn.answer for turn in made} >= {better}
    assert all(("reference" in turn.question) is reference for turn in made)


@pytest.mark.parametrize("word", LEVELS)
def test_level_in_every_wording(word: str) -> None:
    for seed in SEEDS:
        turn = turns.level(word, "video", np.random.default_rng(seed), "aesthetics")
        assert extract.level(turn.answer) == word
        assert "aesthetics" in turn.question and "video" in turn.question


@pytest.mark.parametrize("word", prompts.word_scale("comparison").words)
def test_comparative_in_every_wording(word: str) -> None:
    for seed in SEEDS:
        assert extract.comparative(turns.comparative(word, "image", np.random.default_rng(seed)).answer) == word


@given(st.sampled_from(CATEGORIES), st.lists(boxes, min_size=1, max_size=4), rngs)
def test_ground_gives_every_box(category: str, places: list[tuple[float, ...]], rng: np.random.Generator) -> None:
    turn = turns.ground([Finding(category, 3, box) for box in places], "image", rng)  # type: ignore[arg-type]
    assert extract.boxes(turn.answer) == places
    assert extract.categories(turn.answer) == extract.categories(turn.question) == [category]


@given(st.sampled_from(CATEGORIES), st.lists(spans, min_size=1, max_size=4), rngs)
def test_ground_gives_every_span(
    category: str, places: list[tuple[float, float]], rng: np.random.Generator
) -> None:
    turn = turns.ground([Finding(category, 3, span_s=span) for span in places], "video", rng)
    assert extract.spans_s(turn.answer) == places


@pytest.mark.parametrize(
    "given",
    [[], [Finding("blur", 1)], [Finding("blur", 1, (0, 0, 1, 1)), Finding("noise", 1, (0, 0, 1, 1))],
     [Finding("blur", 1, (0, 0, 1, 1)), Finding("blur", 1)]],
)  # fmt: skip
def test_what_has_no_place_is_not_located(given: list[Finding]) -> None:
    with pytest.raises(DataError, match=r"locate|no place"):
        turns.ground(given, "image", np.random.default_rng(0))


def option(turn: turns.Turn) -> str:
    """Return the text of the option that the answer names."""
    lines = dict(line.split(". ", 1) for line in turn.question.splitlines()[1:-1])
    return lines[str(extract.letter(turn.answer))]


@settings(max_examples=60)
@given(findings(1, 3), media, rngs)
def test_the_right_option_is_the_strongest_and_no_other_is_there(
    given: list[Finding], medium: str, rng: np.random.Generator
) -> None:
    strongest = max(finding.severity for finding in given)
    right = [finding for finding in given if finding.severity == strongest]
    if len(right) > 1:
        with pytest.raises(DataError, match="highest severity"):
            turns.category_choice(given, medium, rng)
        return
    turn = turns.category_choice(given, medium, rng)
    assert option(turn) == vocabulary().label(right[0].category)
    there = {vocabulary().label(finding.category) for finding in given}
    shown = {line.split(". ", 1)[1] for line in turn.question.splitlines()[1:-1]}
    assert shown & there == {option(turn)}
    assert len(shown) == 4


def test_a_picture_is_not_offered_what_only_videos_have() -> None:
    drawn = {
        category
        for seed in range(200)
        for category in extract.categories(
            turns.category_choice([Finding("blur", 2)], "image", np.random.default_rng(seed)).question
        )
    }
    assert drawn == set(vocabulary().possible("image"))


@given(st.sampled_from(CATEGORIES), severities, st.booleans(), st.sampled_from(LEVELS), rngs)
def test_other_choices(category: str, severity: int, present: bool, word: str, rng: np.random.Generator) -> None:
    grade = turns.severity_choice(Finding(category, severity), "image", rng)
    assert option(grade) == vocabulary().grade(severity)
    assert option(turns.level_choice(word, "image", rng)) == word
    asked = turns.yes_no(category, present, "image", rng)
    assert option(asked) == ("yes" if present else "no")
    assert extract.categories(asked.question) == [category]


def test_letters_are_drawn_evenly() -> None:
    letters = [turns.level_choice("good", "image", np.random.default_rng(seed)).answer for seed in range(500)]
    assert all(60 < letters.count(letter) < 140 for letter in "ABCDE")


def test_options_must_differ() -> None:
    with pytest.raises(DataError, match="different"):
        turns.choice("level", "good", ["good"], "image", np.random.default_rng(0))


@given(findings(), st.integers(0, 99))
def test_the_same_generator_gives_the_same_text(given: list[Finding], seed: int) -> None:
    one, two = (turns.assess(given, "fair", "image", np.random.default_rng(seed)) for _ in range(2))
    assert one == two
    assert one.wording == "build/assess@1"
