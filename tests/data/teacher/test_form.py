"""Form of answers, and what they give away; texts that are fine are not refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mllmqa.data.teacher.form import Fault, form_faults, leaks, parts_of
from mllmqa.data.teacher.prompt import task_file
from mllmqa.data.teacher.truth import truth_of
from tests.data.teacher.made import flaw, single

LEVEL, ASSESS = task_file("level"), task_file("assess")
TRUTH = truth_of(single("assess", flaw("A", "blur", 2)))


def _leaks(text: str) -> list[str]:
    return [fault.code for fault in leaks({"answer": text}, TRUTH)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not-json"),
        ("A boat.", "not-json"),
        ('{"answer": "A boat."', "not-json"),
        ('{"answer": "A boat."} So.', "not-json"),
        ('{"answer": "A", "answer": "B"}', "not-json"),
        ('{"answer": NaN}', "not-json"),
        ("[" * 100_000, "not-json"),
        ("I am sorry, I cannot judge this.", "refusal"),
        ("I can’t assist with that.", "refusal"),
        ("As an AI, I have no eyes.", "refusal"),
        ("null", "schema"),
        ('"A boat."', "schema"),
        ("[]", "schema"),
        ("{}", "schema"),
        ('{"answer": null}', "schema"),
        ('{"answer": ["A boat."]}', "schema"),
        ('{"answer": "A boat.", "why": ""}', "schema"),
    ],
)
def test_what_is_no_answer(text: str, code: str) -> None:
    found = parts_of(text, LEVEL)
    assert isinstance(found, Fault)
    assert found.code == code
    assert "\n" not in found.found
    assert len(found.found) < 120


def test_parts_come_in_the_order_of_the_task_on_one_line() -> None:
    text = json.dumps({"conclusion": "c", "content": " a\n b ", "distortions": "d"})
    assert parts_of(text, ASSESS) == {"content": "a b", "distortions": "d", "conclusion": "c"}
    assert list(parts_of(text, ASSESS)) == ["content", "distortions", "conclusion"]
    assert parts_of('  ```\n{"answer": "A"}\n```', LEVEL) == {"answer": "A"}


def test_the_cap_has_a_tolerance() -> None:
    words = [f"w{k}" for k in range(200)]
    assert list(form_faults({"answer": " ".join(words[:115])}, 100)) == []
    (fault,) = form_faults({"answer": " ".join(words[:116])}, 100)
    assert fault == Fault("too-long", "116 words", "at most 100, and 15% more")


def test_endless_repetition() -> None:
    phrase = "the hull is soft and the sky, too "
    assert [f.code for f in form_faults({"answer": phrase * 3}, 100)] == ["repetition"]
    assert list(form_faults({"answer": phrase * 2}, 100)) == []
    assert list(form_faults({"a": phrase, "b": "Else.", "c": phrase}, 100)) == []


def test_empty_parts_are_named() -> None:
    (fault,) = form_faults({"content": "", "A": "—", "conclusion": "So."}, 100)
    assert (fault.code, fault.found) == ("empty", "nothing in content, A")


@pytest.mark.parametrize(
    "text",
    [
        "Compared with the reference, it is soft.",
        "It is softer than the original.",
        "The original image was sharper.",
        "The pristine version is sharp.",
        "Next to an undistorted picture it looks soft.",
        "It lost detail compared to the clean one.",
    ],
)
def test_a_reference_is_given_away(text: str) -> None:
    assert _leaks(text) == ["leaks-reference"]
    assert list(leaks({"answer": text}, replace(TRUTH, reference="shown"))) == []
    assert [f.code for f in leaks({"answer": text}, replace(TRUTH, reference="hidden"))] == ["leaks-reference"]


@pytest.mark.parametrize(
    "text",
    [
        "According to the label, it is blurred.",
        "The facts say that there is blur.",
        "As stated, there is blur.",
        "It is labeled as blur.",
        "The provided information mentions blur.",
        "Blur of severity 2.",
        "Severity level 3 blur.",
        "It deserves 2/5.",
        "It gets 2 out of 5.",
        "It shows contrast_weaken.",
        "It has blur_gaussian.",
        "The MOS is low.",
        "The plain answer names blur.",
    ],
)
def test_labels_are_given_away(text: str) -> None:
    assert _leaks(text) == ["leaks-labels"]


@pytest.mark.parametrize(
    "text",
    [
        "A bottle with a label on a clean table.",
        "An original idea: a painter in front of a pristine beach.",
        "Two people at level ground, 3 boats behind.",
        "The details cannot be seen, and the sky is unable to convince.",
        "Sources of light are lost.",
        "A clean white wall, graded from light to dark.",
        "The boat, which I find charming, is at the center.",
    ],
)
def test_harmless_texts_pass(text: str) -> None:
    assert _leaks(text) == []
    assert list(form_faults({"answer": text}, 40)) == []
