"""Reasoning in steps: every label comes back from its step, and what is concluded follows from the labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mllmqa.data.tasks import extract, extract_reasons, reasoning
from mllmqa.data.tasks.phrases import GRID, written
from mllmqa.data.tasks.truth import Finding, extent, grouped, key_categories
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.errors import DataError
from tests.data.tasks.labels_made import (
    DURATION_S,
    boxes,
    categories,
    findings,
    levels,
    media,
    rngs,
    severities,
    spans,
)

HERE = (0.0, 0.0, 0.5, 0.5)


def one_line(caption: str) -> str:
    return " ".join(caption.split()).rstrip(" .!?;,:")


captions = st.text(min_size=1).filter(lambda text: one_line(text) != "")


def made(given_: list[Finding], word: str, medium: str, rng: np.random.Generator, content: str) -> reasoning.Turn:
    return reasoning.reason_five(given_, word, medium, rng, content, duration_s=DURATION_S)


@given(findings(), levels, media, rngs, captions)
@example([], "good", "image", np.random.default_rng(0), "noise\n2. serious blur at (1, 2, 3, 4), no distortion.")
@example([Finding("blur", 2.5)], "bad", "video", np.random.default_rng(1), "a sign: “it is bad”. Really!")
def test_five_steps_say_what_the_labels_say(
    given_: list[Finding], word: str, medium: str, rng: np.random.Generator, content: str
) -> None:
    turn = made(given_, word, medium, rng, content)
    said = extract_reasons.five(turn.answer)
    assert said == extract_reasons.Five(
        content=one_line(content),
        findings=[written(one) for group in grouped(given_).values() for one in group],
        clean=not given_,
        key=key_categories(given_, DURATION_S),
        kinds=len(grouped(given_)) or None,
        level=word,
    )
    assert extract.level(turn.answer) == word
    assert extract.categories(turn.question) == []
    assert all(step[0].isupper() for step in extract_reasons.steps(turn.answer))


@given(findings(1), levels, rngs)
def test_the_overall_view_is_true(given_: list[Finding], word: str, rng: np.random.Generator) -> None:
    overall = extract_reasons.steps(made(given_, word, "video", rng, "a street").answer)[3]
    everywhere = any(extent(one, DURATION_S) > 0.7 for one in given_)
    assert ("the whole video" in overall) is everywhere
    assert ("parts of the video" in overall) is not everywhere
    worst = vocabulary().grade(max(one.severity for one in given_))
    assert [grade for grade in vocabulary().severities if grade in overall] == [worst]


@given(categories, st.lists(st.tuples(severities, st.none() | boxes, spans), min_size=1, max_size=16), media, rngs)
def test_three_steps_say_what_the_labels_say(
    category: str,
    places: list[tuple[float, tuple[float, float, float, float] | None, tuple[float, float]]],
    medium: str,
    rng: np.random.Generator,
) -> None:
    given_ = [Finding(category, *place) for place in places]
    turn = reasoning.reason_three(given_, medium, rng)
    said = extract_reasons.three(turn.answer)
    assert said is not None
    assert (said.category, said.count) == (category, len(given_))
    assert [region.finding for region in said.regions] == [written(one) for one in given_]
    assert said.worst == max(written(one).severity for one in given_)
    for region in said.regions:
        box = region.finding.box
        assert region.position == (box and vocabulary().position(box))  # of the box that the text gives
        assert region.extent == (box and vocabulary().extent(box))
    assert extract.categories(turn.question) == [category]
    assert (" to 1000" in turn.question) is any(one.box for one in given_)


@pytest.mark.parametrize(
    ("center", "word"),
    [
        ((0.1, 0.1), "upper left"), ((0.5, 0.1), "upper middle"), ((0.9, 0.1), "upper right"),
        ((0.1, 0.5), "middle left"), ((0.5, 0.5), "center"), ((0.9, 0.5), "middle right"),
        ((0.1, 0.9), "lower left"), ((0.5, 0.9), "lower middle"), ((0.9, 0.9), "lower right"),
        ((0.333, 0.667), "lower left"), ((0.334, 0.666), "center"),
    ],
)  # fmt: skip
def test_positions_are_those_of_the_center(center: tuple[float, float], word: str) -> None:
    x, y = center
    assert vocabulary().position((x - 0.05, y - 0.05, x + 0.05, y + 0.05)) == word


@pytest.mark.parametrize(
    ("box", "word"),
    [
        ((0.2, 0.0, 0.3, 1.0), "small"), ((0.0, 0.0, 0.36, 0.5), "medium"), ((0, 0, 0.7, 0.5), "medium"),
        ((0, 0, 0.7, 1), "large"), ((0, 0, 0.71, 1), "global"), ((0, 0, 1, 1), "global"),
        ((0.5, 0.5, 0.5, 0.5), "small"),
    ],
)  # fmt: skip
def test_extents_are_shares_of_the_area(box: tuple[float, float, float, float], word: str) -> None:
    assert vocabulary().extent(box) == word


def test_numbers_beyond_the_words_are_digits() -> None:
    for count, word in ((1, " one region "), (5, " five regions "), (12, " twelve regions "), (14, " 14 regions ")):
        for seed in range(20):
            answer = reasoning.reason_three([Finding("blur", 2, HERE)] * count, "image", _rng(seed)).answer
            said = extract_reasons.three(answer)
            assert said and said.count == count
            assert word.strip() in answer.splitlines()[0]
    assert reasoning.reason_three([Finding("blur", 2, HERE)] * 5, "image", _rng(0)).answer.startswith("1. ")


def test_passages_have_no_position() -> None:
    turn = reasoning.reason_three([Finding("freeze", 4, span_s=(1.04, 2.06))], "video", _rng(0))
    said = extract_reasons.three(turn.answer)
    assert said and said.regions == [extract_reasons.Region(Finding("freeze", 4, None, (1.0, 2.1)), None, None)]
    assert "passage" in turn.answer and "region" not in turn.answer


@pytest.mark.parametrize(
    "given_",
    [[], [Finding("blur", 1)], [Finding("blur", 1, HERE), Finding("blur", 2)],
     [Finding("blur", 1, HERE), Finding("noise", 1, HERE)]],
)  # fmt: skip
def test_three_steps_need_one_kind_with_places(given_: list[Finding]) -> None:
    with pytest.raises(DataError, match=r"reason about|no place"):
        reasoning.reason_three(given_, "image", _rng(0))


def test_five_steps_need_a_content_and_durations() -> None:
    with pytest.raises(DataError, match="no content"):
        reasoning.reason_five([], "good", "image", _rng(0), " .\n")
    with pytest.raises(DataError, match="unknown duration"):
        reasoning.reason_five([Finding("freeze", 2, span_s=(0, 1))], "good", "video", _rng(0), "a street")
    with pytest.raises(DataError, match=r"5 s in 2 s"):
        reasoning.reason_five([Finding("freeze", 2, span_s=(0, 5))], "good", "video", _rng(0), "x", duration_s=2)


@pytest.mark.parametrize(
    ("size", "said"),
    [((640, 480), "a landscape image"), ((480, 640), "a portrait image"), ((9, 9), "a square image")],
)
def test_the_orientation_is_true(size: tuple[int, int], said: str) -> None:
    assert reasoning.orientation(*size, "image") == said
    with pytest.raises(DataError, match="size"):
        reasoning.orientation(0, size[1], "image")


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("1. a\n2. b", ["a", "b"]), (" 1. a\nmore\n2. b\n", ["a\nmore", "b"]), ("1. a\n3. b", []), ("2. a", []),
        ("So: 1. a\n2. b", []), ("", []), ("plain", []), ("1. a 2. b", ["a 2. b"]),
    ],
)  # fmt: skip
def test_steps_of_a_free_text(text: str, steps: list[str]) -> None:
    assert extract_reasons.steps(text) == steps


def test_a_text_with_other_steps_says_nothing() -> None:
    assert extract_reasons.five("1. a\n2. b\n3. c") is None
    assert extract_reasons.three("1. a\n2. b") is None
    mixed = extract_reasons.three("1. There are two regions of blur.\n2. x\n3. The noise is serious.")
    assert mixed == extract_reasons.Three(None, 2, [], 4)


def test_boxes_of_steps_are_on_the_grid() -> None:
    answer = made(
        [Finding("noise", 4.5, (0.1234, 0.2, 0.5, 1.0), (0.25, 59.96))], "poor", "video", _rng(3), "x"
    ).answer
    assert "catastrophic noise at (123, 200, 500, 1000) from 0.2 s to 60.0 s" in answer
    assert extract.boxes(answer) == [(123 / GRID, 200 / GRID, 500 / GRID, 1.0)]


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
