"""Numbers and streamed videos: what is written is read back, and rounding is what the docstring says."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mllmqa.data.tasks import extract, opinion
from mllmqa.errors import DataError
from tests.data.tasks.labels_made import levels, media, rngs

SCALES = [(1.0, 5.0), (0.0, 100.0), (0.0, 1.0), (-3.0, 3.0), (6.7, 85.1), (2.0, 93.7), (1.0, 4.97), (0.03, 0.98)]


@given(st.sampled_from(SCALES), st.floats(0, 1), media, rngs, st.sampled_from(["quality", "aesthetics"]))
@example((1.0, 4.97), 1.0, "image", np.random.default_rng(0), "quality")
def test_a_score_and_its_scale_are_read_back(
    ends: tuple[float, float], share: float, medium: str, rng: np.random.Generator, aspect: str
) -> None:
    low, high = ends
    value = min(high, low + share * (high - low))
    turn = opinion.score(value, low, high, medium, rng, aspect)
    said = extract.number(turn.answer)
    assert said == float(opinion.number_text(value, low, high))
    assert low <= said <= high
    assert abs(said - value) < (0.01 if high - low <= 1 else 0.1)
    assert extract.scale(turn.question) == ends
    assert medium in turn.question and aspect in turn.question
    assert (turn.task, turn.wording) == ("score", "build/score@1")


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (3.25, 1, 5, "3.3"), (2.25, 1, 5, "2.3"), (3.24, 1, 5, "3.2"), (2.675, 1, 5, "2.7"), (3, 1, 5, "3.0"),
        (-2.25, -3, 3, "-2.2"), (-0.04, -3, 3, "0.0"), (-0.06, -3, 3, "-0.1"),
        (0.125, 0, 1, "0.13"), (1, 0, 1, "1.00"), (0.005, 0, 1, "0.01"),
        (99.95, 0, 100, "100.0"), (4.96, 1, 4.97, "4.9"), (1.04, 1.04, 5, "1.1"), (np.float32(2.5), 1, 5, "2.5"),
    ],
)  # fmt: skip
def test_rounding_is_half_up_and_stays_on_the_scale(value: float, low: float, high: float, text: str) -> None:
    assert opinion.number_text(value, low, high) == text


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(6, 1, 5), (0.9, 1, 5), (math.nan, 1, 5), (1, 1, math.inf), (3, 5, 1), (3, 3, 3), (0.012, 0.011, 0.019)],
)
def test_a_score_off_its_scale_is_refused(value: float, low: float, high: float) -> None:
    with pytest.raises(DataError, match="scale"):
        opinion.score(value, low, high, "image", np.random.default_rng(0))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3.4", 3.4), ("The quality of the image is 3.4.", 3.4), ("I give 3.4 out of 5.", 3.4), ("3.4/5", 3.4),
        ("On a scale from 1 to 5 it is 2", 2.0), ("-0.50", -0.5), ("1-5", None), ("3 or 4", None), ("good", None),
        ("1080p is 4", 4.0), ("90%", None), ("v1.2.3", None), ("", None),
    ],
)  # fmt: skip
def test_the_number_of_a_free_text(text: str, number: float | None) -> None:
    assert extract.number(text) == number


stalled = st.lists(st.tuples(st.floats(0, 60), st.floats(0.06, 20)), max_size=15)


@given(levels, stalled, rngs, st.sampled_from(["quality", "quality of experience"]))
def test_stalls_are_told_and_read_back(
    word: str, stalls: list[tuple[float, float]], rng: np.random.Generator, aspect: str
) -> None:
    turn = opinion.streaming_level(word, stalls, 60.0, rng, aspect)
    assert extract.stalls(turn.question) == [(round(a, 1), round(b, 1)) for a, b in stalls]
    assert extract.level(turn.answer) == word
    assert "60.0 s" in turn.question and aspect in turn.question
    if stalls:
        assert extract.count(turn.question, "stall") == len(stalls)
    else:
        assert extract.categories(turn.question) == []  # "no stalling" is no claim
    assert ("1 stall" in turn.question) is False


def test_one_stall_is_no_plural() -> None:
    for seed in range(30):
        question = opinion.streaming_level("poor", [(3.2, 1.5)], 10, np.random.default_rng(seed)).question
        assert "one stall" in question and "stalls" not in question and " were one" not in question
        assert "at second 3.2 for 1.5 s" in question


def test_every_wording_of_streams_comes_up() -> None:
    made = [opinion.streaming_level("fair", [], 8.25, np.random.default_rng(seed)).question for seed in range(200)]
    assert len(set(made)) == 3 * 4
    assert all(re.search(r"8\.2 s", question) for question in made)


@pytest.mark.parametrize(
    "stall", [(-1, 1), (11, 1), (2, 0), (2, 0.04), (2, math.inf), (math.nan, 1), (1, math.nan)]
)
def test_a_stall_that_cannot_be_is_refused(stall: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="a stall at"):
        opinion.streaming_level("good", [stall], 10, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("text", "stalls"),
    [
        ("It stalls at second 3 for 2 s.", [(3.0, 2.0)]), ("No stalling at all.", []), ("A fine video.", None),
        ("There is no stalling, but at second 1.0 for 2.0 s it stops.", None),
    ],
)  # fmt: skip
def test_stalls_of_a_free_text(text: str, stalls: list[tuple[float, float]] | None) -> None:
    assert extract.stalls(text) == stalls
