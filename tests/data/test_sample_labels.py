"""Labels: what each refuses, by field, and what it makes of what it has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mllmqa.data.flaws import Checked, flaws_of
from mllmqa.data.sample_labels import (
    Caption,
    Distortion,
    Histogram,
    Labels,
    Level,
    Mcq,
    Preference,
    Stall,
)
from tests.data.samples_made import WORDS, mos


def fields(kind: type[Checked] | Any, **given: Any) -> list[str]:
    """The fields that are wrong."""
    try:
        kind(**given)
    except ValidationError as error:
        return [flaw.field for flaw in flaws_of(error)]
    return []


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, []),
        ({"value": 1.0}, []),
        ({"value": 5.0}, []),
        ({"value": 5.0001}, ["value"]),
        ({"value": 0.999}, ["value"]),
        ({"value": float("nan")}, ["value"]),
        ({"value": "3"}, ["value"]),
        ({"value": "2.82 "}, ["value"]),
        ({"value": True}, ["value"]),
        ({"value": None}, ["value"]),
        ({"std": 0.0}, []),
        ({"std": -0.1}, ["std"]),
        ({"std": 4.1}, ["std"]),
        ({"value": 9.0, "std": -1.0}, ["value", "std"]),
        ({"low": 5.0}, ["low"]),
        ({"low": 7.0}, ["low"]),
        ({"direction": "up"}, ["direction"]),
        ({"direction": "mos"}, ["direction"]),
        ({"n_ratings": 0}, ["n_ratings"]),
        ({"media": "an image"}, ["media"]),
        ({"aspect": ""}, ["aspect"]),
        ({"scale": 5}, ["scale"]),
    ],
)
def test_mos(given: dict[str, Any], wrong: list[str]) -> None:
    assert fields(mos, **given) == wrong


@pytest.mark.parametrize("missing", ["media", "value", "low", "high", "direction"])
def test_a_mos_without_its_scale_is_none(missing: str) -> None:
    given = mos().model_dump()
    del given[missing]
    assert fields(type(mos()), **given) == [missing]


@pytest.mark.parametrize(
    ("weights", "n_ratings", "wrong"),
    [
        ((1.0, 2.0, 3.0, 4.0, 0.0), 10, []),
        ((0.1, 0.2, 0.3, 0.4, 0.0), None, []),
        ((0.1, 0.2, 0.3, 0.4, 0.0), 10, []),
        ((1.0, 2.0, 3.0, 4.0, 1.0), 10, ["histogram.weights"]),
        ((1.0, 2.0, 3.0, 4.0, 0.0), None, ["histogram.weights"]),
        ((0.1, 0.2, 0.3, 0.5, 0.0), None, ["histogram.weights"]),
        ((0.1, 0.9), None, ["histogram.weights"]),
        ((0.1, 0.2, 0.3, 0.5, -0.1), None, ["histogram.weights.4"]),
    ],
)
def test_histograms_have_to_sum(weights: tuple[float, ...], n_ratings: int | None, wrong: list[str]) -> None:
    given = {"scores": (1.0, 2.0, 3.0, 4.0, 5.0), "weights": weights}
    assert fields(mos, n_ratings=n_ratings, histogram=given) == wrong


def test_histograms_lie_on_the_scale_and_rise() -> None:
    beyond = Histogram(scores=(0.0, 5.0), weights=(0.5, 0.5))
    assert fields(mos, histogram=beyond) == ["histogram.scores"]
    assert fields(Histogram, scores=(2.0, 1.0), weights=(0.5, 0.5)) == ["scores"]
    assert fields(Histogram, scores=(1.0,), weights=(1.0,)) == ["scores", "weights"]


@given(st.floats(1, 5))
def test_goodness_turns_with_the_direction(value: float) -> None:
    up, down = mos(value).goodness, mos(value, direction="lower-better").goodness
    assert 0 <= up <= 1
    assert up + down == pytest.approx(1)
    assert mos(5.0).goodness == 1
    assert mos(5.0, direction="lower-better").goodness == 0


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, []),
        ({"word": "Good"}, ["word"]),
        ({"word": "high"}, ["word"]),
        ({"scale": ("good", "good")}, ["scale"]),
        ({"scale": ("good",)}, ["scale"]),
        ({"probabilities": (0.2, 0.8, 0.0, 0.0, 0.0)}, []),
        ({"probabilities": (0.2, 0.8)}, ["probabilities"]),
        ({"probabilities": (0.2, 0.9, 0.0, 0.0, 0.0)}, ["probabilities"]),
        ({"probabilities": (1.2, -0.2, 0.0, 0.0, 0.0)}, ["probabilities.0", "probabilities.1"]),
    ],
)
def test_level(given: dict[str, Any], wrong: list[str]) -> None:
    assert fields(Level, **{"media": "A", "word": "good", "scale": WORDS, **given}) == wrong


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"better": "A"}, []),
        ({"better": None}, []),
        ({"better": "C"}, ["better"]),
        ({"better": "B", "probability": 0.5}, []),
        ({"better": "B", "probability": 0.4}, ["probability"]),
        ({"better": None, "probability": 0.4}, []),
        ({"better": "B", "probability": 1.1}, ["probability"]),
        ({"among": ("A", "A")}, ["among"]),
        ({"among": ("A",)}, ["among"]),
        ({"among": ("A", "B", "C"), "better": "C", "probability": 0.34}, []),
    ],
)
def test_preference(given: dict[str, Any], wrong: list[str]) -> None:
    assert fields(Preference, **{"among": ("A", "B"), **given}) == wrong


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, []),
        ({"severity": 1.0}, []),
        ({"severity": 2.5}, []),
        ({"severity": 0.0}, ["severity"]),
        ({"severity": 5.5}, ["severity"]),
        ({"severity": "3"}, ["severity"]),
        ({"order": 0}, ["order"]),
        ({"category": ""}, ["category"]),
        ({"box": (0, 0, 1, 1)}, []),
        ({"box": (3, 0, 3, 5)}, ["box"]),
        ({"box": (0, 5, 3, 2)}, ["box"]),
        ({"box": (-1, 0, 3, 2)}, ["box"]),
        ({"box": (0, 0, 3)}, ["box.3"]),
        ({"box": (0.0, 0.5, 3, 2)}, ["box.0", "box.1"]),
        ({"span_s": (0.0, 1.5)}, []),
        ({"span_s": (1.5, 1.5)}, ["span_s"]),
        ({"span_s": (2.0, 1.5)}, ["span_s"]),
        ({"span_s": (-1.0, 1.5)}, ["span_s.0"]),
        ({"mask": " "}, ["mask"]),
        ({"parameters": {"a": [1, {"b": None}], "c": "x"}}, []),
    ],
)
def test_distortion(given: dict[str, Any], wrong: list[str]) -> None:
    assert fields(Distortion, **{"media": "A", "category": "blur", **given}) == wrong


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"answer": 1}, []),
        ({"answer": 2}, ["answer"]),
        ({"answer": -1}, ["answer"]),
        ({"answer": "A"}, ["answer"]),
        ({"answer": 0, "options": ("yes", "yes")}, ["options"]),
        ({"answer": 0, "options": ("yes",)}, ["options"]),
        ({"answer": 0, "question": ""}, ["question"]),
    ],
)
def test_mcq(given: dict[str, Any], wrong: list[str]) -> None:
    assert fields(Mcq, **{"question": "Blurred?", "options": ("yes", "no"), **given}) == wrong


def test_stalls_and_captions() -> None:
    assert fields(Stall, media="A", start_s=0.0, duration_s=0.5) == []
    assert fields(Stall, media="A", start_s=-1.0, duration_s=0.0) == ["start_s", "duration_s"]
    assert fields(Caption, text="") == ["text"]


def test_one_score_and_one_level_per_medium_and_aspect() -> None:
    level = Level(media="A", word="good", scale=WORDS)
    assert fields(Labels, mos=(mos(), mos(aspect="alignment"), mos(media="B"))) == []
    assert fields(Labels, mos=(mos(), mos(2.0)), levels=(level, level)) == ["mos.1", "levels.1"]


def test_places_of_distortions_differ_per_medium() -> None:
    def at(media: str, order: int | None) -> Distortion:
        return Distortion(media=media, category="blur", order=order)

    assert fields(Labels, distortions=(at("A", 1), at("A", 2), at("B", 1), at("A", None), at("A", None))) == []
    assert fields(Labels, distortions=(at("A", 1), at("A", 1))) == ["distortions.1.order"]
