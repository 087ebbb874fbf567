"""Texts composed of readings, to the letter, and their wordings."""

from __future__ import annotations

import pytest

from mllmqa.asking import compose, thresholds
from mllmqa.asking.claims import claims_of, contradictions
from mllmqa.asking.records import Evidence, Presence, TileMap
from mllmqa.asking.scope import Asked
from mllmqa.asking.speaking import plain_question
from mllmqa.asking.texts import ref, say, scope
from mllmqa.data.tasks.wording import wording
from mllmqa.errors import PromptError, UnknownNameError
from tests.asking.evidence_made import file, pair, two

A = file("A", 2.1, {"blur": (0.9, 4.0), "noise": (0.6, 1.2)})


def test_a_comparison() -> None:
    assert compose.comparison(two(0.07, A, file("B", 4.4)), "AB") == (
        "B is better than A (probability 0.93). "
        "The quality of A is poor (2.1 of 5): A shows serious blur and slight noise. "
        "The quality of B is good (4.4 of 5): B shows no distortion."
    )
    assert compose.comparison(two(0.504), "AB").startswith("A and B are about equal in quality")


@pytest.mark.parametrize("p", [0.0, 0.3, 0.48, 0.489, 0.491, 0.5, 0.509, 0.511, 0.52, 0.8, 1.0])
def test_a_comparison_read_back_claims_what_it_says_and_holds(p: float) -> None:
    evidence = two(p)
    claims = claims_of(compose.comparison(evidence, "AB"), "AB")
    assert list(contradictions(claims, evidence)) == []
    verdicts = {(one.kind, one.key) for one in claims if one.kind in ("better", "equal") and not one.denied}
    if abs(p - 0.5) < thresholds.EVEN_MARGIN:
        assert {kind for kind, _ in verdicts} == {"equal"}
    else:
        assert verdicts == {("better", "A" if p > 0.5 else "B")}


def test_three_are_ordered() -> None:
    pairs = (pair(0.1, "A", "B"), pair(0.3, "A", "C"), pair(0.8, "B", "C"))
    evidence = Evidence(files=(file("A"), file("B"), file("C")), pairs=pairs)
    assert compose.comparison(evidence, "ABC").startswith("From best to worst: B, C, A.")


def test_one_file() -> None:
    one = Evidence(files=(A,))
    assert compose.assessment(one, "A") == (
        "The quality of the image is poor (2.1 of 5). The image shows serious blur and slight noise."
    )
    assert compose.presence(one, "A", "blur") == "Yes, there is serious blur (probability 0.90)."
    assert compose.presence(one, "A", "pixelate") == "No, there is no pixelation (probability of it: 0.02)."
    assert "cannot" not in compose.presence(one, "A", "freeze")
    assert compose.presence(one, "A", "freeze").startswith("Whether there is such a thing")


def test_places() -> None:
    tiles = TileMap(rows=2, columns=2, values=(1.0, 4.0, 4.0, 4.0), presence={"blur": (0.9, 0.1, 0.1, 0.1)})
    local = Evidence(files=(file("A", 3.0, {"blur": (0.9, 4.0)}, tiles=tiles),))
    assert compose.place(local, "A") == "The quality of the image is lowest at (0, 0, 500, 500)."
    assert compose.identification(local, "A") == "The image shows serious blur at (0, 0, 500, 500)."
    clip = Evidence(files=(file("A", kind="video", frames=(4.0, 1.0, 4.0, 4.0)),))
    assert compose.place(clip, "A") == "The quality of the video is lowest from 1.0 s to 2.0 s."
    even = Evidence(files=(file("A", kind="video", frames=(4.0, 4.0)),))
    assert compose.place(even, "A") == "No part of the video stands out: it is even throughout."
    assert compose.place(Evidence(files=(file(),)), "A") == "Where that is was not read."


def test_spans_of_a_distortion() -> None:
    one = file("A", kind="video", frames=(4.0, 1.0, 4.0, 4.0))
    there = Presence(category="blur", probability=0.6, coverage=1, per_frame=(0.1, 0.9, 0.2, 0.1))
    assert compose.places_of(one.model_copy(update={"presence": (there,)}), "blur") == ([], [(1.0, 2.0)])
    looked = Presence(category="freeze", probability=0.9, coverage=None, spans_s=((0.4, 1.2), (3.0, 3.5)))
    throughout = looked.model_copy(update={"category": "shake", "spans_s": ()})
    told = one.model_copy(update={"presence": (there, looked, throughout)})
    assert compose.places_of(told, "freeze") == ([], [(0.4, 1.2), (3.0, 3.5)])
    assert compose.places_of(told, "shake") == ([], [])


def test_at_most_three_distortions_are_named() -> None:
    found = {c: (0.9 - k / 100, 3.0) for k, c in enumerate(("blur", "noise", "darken", "pixelate"))}
    assert compose.listed(Evidence(files=(f := file("A", 2.0, found),)), f) == (
        "obvious blur, obvious noise and obvious insufficient brightness"
    )


def test_wordings_have_identities_and_say_what_is_missing() -> None:
    assert ref("compose") == "answer/compose@1"
    assert "why" in scope().follow_up
    with pytest.raises(PromptError, match="'better' is undefined"):
        say("compose", "better")
    with pytest.raises(UnknownNameError, match="no pool 'nothing'"):
        say("compose", "nothing")


@pytest.mark.parametrize(
    ("asked", "files", "name", "pool"),
    [
        (Asked("compare", ("A", "B")), 2, "rate", "question_why"),
        (Asked("assess", ("A",)), 1, "assess", "question"),
        (Asked("identify", ("A",)), 1, "identify", "question"),
        (Asked("how", ("A",), "blur"), 1, "open", "question_how"),
        (Asked("yes_no", ("A",), "blur"), 1, "open", "question_yes_no"),
    ],
)
def test_plain_questions_are_trained_ones(asked: Asked, files: int, name: str, pool: str) -> None:
    blocks = [b.replace("{{ medium }}", "image").replace("{{ label }}", "blur") for b in wording(name).pools[pool]]
    assert plain_question(asked, "image", files) in blocks
    assert plain_question(asked, "video", files) is None
    assert plain_question(asked, "image", 3) is None
