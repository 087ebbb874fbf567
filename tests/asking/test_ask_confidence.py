"""How sure answers are: arithmetic by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given

from mllmqa.asking.confidence import of_evidence, of_tokens
from mllmqa.asking.records import Evidence
from tests.asking.evidence_made import evidences, file, two


def test_tokens_that_matter_count() -> None:
    pieces = ["There", " is", " serious", " bl", "ur", "."]
    logprobs = [math.log(p) for p in (0.1, 0.1, 0.9, 0.8, 0.7, 0.1)]
    assert of_tokens(pieces, logprobs) == pytest.approx((0.9 + 0.8 + 0.7) / 3)
    assert of_tokens(["B"], [math.log(0.6)]) == pytest.approx(0.6)


def test_all_tokens_count_where_none_matters_or_pieces_do_not_match() -> None:
    logprobs = [math.log(0.5), math.log(0.7)]
    assert of_tokens(["It", " is"], logprobs) == pytest.approx(0.6)
    assert of_tokens([" blur"], logprobs) == pytest.approx(0.6)  # two tokens, one piece


def test_an_endpoint_that_does_not_tell_gives_none() -> None:
    assert of_tokens(["A"], None) is None
    assert of_tokens([], []) is None


def test_composed_texts_by_what_they_state() -> None:
    evidence = two(0.2, file("A", 2.0, {"blur": (0.9, 4.0)}), file("B", 4.0, {"noise": (0.3, None)}))
    assert of_evidence(evidence, "AB", verdict=True) == pytest.approx((0.8 + 0.9 + (1 - 0.3)) / 3)
    assert of_evidence(evidence, "A", verdict=False) == pytest.approx(0.9)
    silent = file().model_copy(update={"presence": ()})
    assert of_evidence(Evidence(files=(silent,)), "A", verdict=False) == pytest.approx(1.0)  # all mass is on fair


@given(evidences())
def test_it_is_a_probability(evidence: Evidence) -> None:
    keys = [one.key for one in evidence.files]
    sure = of_evidence(evidence, keys, verdict=len(keys) == 2)
    assert sure is not None
    assert 0 <= sure <= 1
