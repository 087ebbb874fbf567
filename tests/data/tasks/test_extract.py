"""What free texts claim: only the vocabulary counts, and contradictions say nothing."""

from __future__ import annotations

import pytest

from mllmqa.data.tasks import extract


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Overly high contrast and NOISE.", ["contrast_strengthen", "noise"]),
        ("noisy and blurred", []),  # other forms are not in the vocabulary
        ("blur, blur and more blur", ["blur"]),
        ("", []),
    ],
)
def test_categories(text: str, expected: list[str]) -> None:
    assert extract.categories(text) == expected


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("A is better.", "A"), ("The better one is B, clearly.", "B"), ("I prefer A; B is blurred.", "A"),
        (" b ", None), ("B.", "B"), ("A is better, though B is better in colour.", None), ("Both are fine.", None),
        ("C", None), ("A", "A"),
    ],
)  # fmt: skip
def test_better(text: str, side: str | None) -> None:
    assert extract.better(text) == side


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The quality of the image is good.", "good"), ("It is GOOD", "good"), ("It is good but dark.", None),
        ("The blur is serious, hence the quality is bad.", "bad"), ("goodness", None),
    ],
)  # fmt: skip
def test_level(text: str, word: str | None) -> None:
    assert extract.level(text) == word


def test_a_clean_text_names_nothing() -> None:
    assert extract.says_clean("There is no distortion.")
    assert not extract.says_clean("There is no distortion but noise.")
    assert not extract.says_clean("It is fine.")


def test_grades_need_their_distortion() -> None:
    assert extract.graded("serious blur, obvious, noise; Slight Insufficient Brightness") == [
        ("blur", 4),
        ("darken", 1),
    ]
