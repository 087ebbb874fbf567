"""Claims of free texts against labels: both ways, for one medium and for two."""

from __future__ import annotations

from typing import Any

import pytest

from mllmqa.data.teacher.contradictions import contradictions
from mllmqa.data.teacher.prompt import task_file
from mllmqa.data.teacher.run import _plan
from mllmqa.data.teacher.truth import truth_of
from tests.data.teacher.made import flaw, pair, right_answer, single
from tests.loopback import Received

BLUR, NOISE = flaw("A", "blur", 2), flaw("A", "noise", 4)


def _codes(sample: Any, parts: dict[str, str]) -> list[str]:
    return [fault.code for fault in contradictions(parts, truth_of(sample), task_file(sample.task))]


def _assess(text: str, *found: Any, level: str = "poor") -> list[str]:
    sample = single("assess", *found)
    end = f"So the quality of the image is {level}."
    return _codes(sample, {"content": "A boat.", "distortions": text, "conclusion": end})


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Moderate blur softens the hull, and serious noise covers the sky.", []),
        ("Serious noise covers the sky; moderate blur softens the hull. The noise is ugly.", []),
        ("Moderate blur and serious noise, but no pixelation or flicker.", []),
        ("Moderate blur, and the blurred hull under serious noise.", []),
        ("Moderate blur.", ["missing-distortion"]),
        ("It is blurry and noisy.", ["missing-distortion", "missing-distortion"]),
        ("Moderate blur, serious noise and slight pixelation.", ["extra-distortion"]),
        ("Moderate blur and serious noise make it look overexposed.", ["extra-distortion"]),
        ("Moderate blur and serious noise; it does not show pixelation.", ["extra-distortion"]),
        ("Moderate blur and slight noise.", ["wrong-grade", "wrong-grade"]),
        ("Moderate blur and serious noise. The noise is slight.", ["wrong-grade"]),
        ("Moderate blur, serious noise; a faint noise in the sky.", ["wrong-grade"]),
        ("Moderate blur, serious noise; a strong noise in the sky.", []),
        ("Moderate blur, serious noise, though there is no noise in the sky.", ["missing-distortion"]),
        ("Moderate blur, serious noise. Blur is not visible in the sky.", ["missing-distortion"]),
    ],
)
def test_distortions_and_grades(text: str, codes: list[str]) -> None:
    assert _assess(text, BLUR, NOISE) == codes


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("There is no distortion.", []),
        ("There is no distortion, neither blur nor noise.", []),
        ("All is crisp.", ["missing-distortion"]),
        ("There is no distortion but slight noise.", ["extra-distortion"]),
    ],
)
def test_clean_media(text: str, codes: list[str]) -> None:
    assert _assess(text) == codes


@pytest.mark.parametrize(
    "words", ["There is no distortion", "The sky is undistorted", "It is flawless", "It is free of any distortion"]
)
def test_nothing_wrong_is_a_claim_too(words: str) -> None:
    assert _assess(f"Moderate blur. {words}.", BLUR) == ["missing-distortion"]


def test_two_grades_of_one_category_are_both_told() -> None:
    found = (flaw("A", "noise", 2, box=(0, 0, 9, 9)), flaw("A", "noise", 5, box=(9, 9, 20, 20)))
    assert _assess("Moderate noise on the left, catastrophic noise on the right.", *found) == []
    assert _assess("Moderate noise on the left.", *found) == ["wrong-grade"]


@pytest.mark.parametrize(
    ("end", "codes"),
    [
        ("So the quality of the image is poor.", []),
        ("So the QUALITY of the image is Poor", []),
        ("The poor quality hurts: the quality of the image is poor.", []),
        ("So the quality of the image is fair.", ["wrong-level", "wrong-level"]),
        ("The good quality is gone, so the quality of the image is poor.", ["wrong-level"]),
        ("So the quality of the image is poor, sadly.", ["wrong-level"]),
        ("So the quality of the image is not poor.", ["wrong-level", "wrong-level"]),
        ("So it is a pity.", ["wrong-level"]),
        ("The image looks good, so the quality of the image is poor.", ["wrong-level"]),
        ("The image looks really poor: the quality of the image is poor.", []),
    ],
)
def test_levels(end: str, codes: list[str]) -> None:
    sample = single("assess", BLUR)
    assert _codes(sample, {"content": "A boat.", "distortions": "Moderate blur.", "conclusion": end}) == codes


def test_a_task_without_a_label_allows_no_claim_of_it() -> None:
    assert _codes(single("level"), {"answer": "The blur is bad; the quality of the image is poor."}) == [
        "extra-distortion"
    ]
    assert _codes(single("identify", BLUR), {"answer": "It is blur, so the quality of the image is poor."}) == [
        "wrong-level"
    ]
    assert _codes(single("identify", BLUR), {"answer": "It is blur on the hull."}) == []
    assert _codes(single("identify", BLUR), {"answer": "It is serious blur on the hull."}) == ["wrong-grade"]


def _compare(**parts: str) -> list[str]:
    given = {
        "content": "Two boats.",
        "A": "Image A has catastrophic blur.",
        "B": "Image B has moderate blur and slight noise.",
        "conclusion": "So image B is better.",
    }
    sample = pair("compare", flaw("A", "blur", 5), flaw("B", "blur", 2), flaw("B", "noise", 1))
    return _codes(sample, given | parts)


@pytest.mark.parametrize(
    ("parts", "codes"),
    [
        ({}, []),
        ({"A": "Catastrophic blur eats the hull."}, []),
        ({"content": "Two boats with blur."}, []),
        ({"content": "Two boats in pixelation."}, ["extra-distortion"]),
        ({"A": "Image A has catastrophic blur and slight noise."}, ["extra-distortion"]),
        ({"A": "Image A has catastrophic blur, more than image B with its slight noise."}, ["extra-distortion"]),
        ({"B": "Image B has moderate blur."}, ["missing-distortion"]),
        ({"A": "Image A has moderate blur."}, ["wrong-grade", "wrong-grade"]),
        ({"A": "Catastrophic blur; the other one has noise."}, ["unclear-side"]),
        ({"A": "Catastrophic blur, no distortion."}, ["missing-distortion"]),
        ({"content": "Two boats without distortion."}, ["unclear-side"]),
        ({"conclusion": "Image B shows no distortion, so image B is better."}, ["missing-distortion"]),
        ({"conclusion": "Image B looks excellent, so image B is better."}, ["wrong-level"]),
        ({"conclusion": "Both suffer from blur, so image B is better."}, []),
        ({"conclusion": "Both suffer from noise, so image B is better."}, ["extra-distortion"]),
        ({"conclusion": "Both suffer from moderate blur, so image B is better."}, ["wrong-grade"]),
        ({"conclusion": "The slight noise in image B is harmless, so image B is better."}, []),
        ({"conclusion": "The moderate blur of image A hurts, so image B is better."}, ["wrong-grade"]),
        ({"conclusion": "Image A is worse, so image B is better."}, []),
        ({"conclusion": "So image A is better."}, ["wrong-side"]),
        ({"conclusion": "Image B is worse."}, ["wrong-side"]),
        ({"conclusion": "Image A looks clearly better, yet image B is better."}, ["wrong-side"]),
        ({"conclusion": "Image B is not better."}, ["wrong-side"]),
        ({"conclusion": "Image A wins."}, ["wrong-side"]),
        ({"conclusion": "I prefer image A."}, ["wrong-side"]),
        ({"conclusion": "They are alike."}, ["wrong-side"]),
        ({"conclusion": "The quality of image B is good, so image B is better."}, ["wrong-level"]),
    ],
)
def test_pairs(parts: dict[str, str], codes: list[str]) -> None:
    assert _compare(**parts) == codes


def test_the_clean_side_has_to_be_said_to_be_clean() -> None:
    sample = pair("compare", flaw("A", "blur", 5))
    parts = {"content": "Boats.", "A": "Catastrophic blur.", "B": "There is no distortion.", "conclusion": "So B is better."}  # fmt: skip # noqa: E501
    assert _codes(sample, parts) == []
    assert _codes(sample, parts | {"B": "All is crisp."}) == ["missing-distortion"]
    assert _codes(sample, parts | {"B": "There is no distortion; image A has catastrophic blur."}) == []


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("category", ["blur", "quantization", "contrast_weaken", "saturate_strengthen", "brighten"])
def test_what_a_perfect_teacher_says_agrees_in_every_grade(category: str, severity: int) -> None:
    for sample in (single("assess", flaw("A", category, severity)), pair("compare", flaw("A", category, severity))):
        plan = _plan(sample)
        assert not isinstance(plan, tuple)
        body = {"messages": [{"role": "user", "content": [{"type": "text", "text": plan.told.task}]}]}
        assert _codes(sample, right_answer(Received("", {}, body))) == []
