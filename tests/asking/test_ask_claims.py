"""What texts claim, and what contradicts readings: composed texts never do, turned ones always."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mllmqa.asking import compose, thresholds
from mllmqa.asking.claims import claims_of, contradictions
from mllmqa.asking.records import Claim, Evidence
from mllmqa.data.distortions.engine import CATEGORIES
from mllmqa.data.tasks.wording import vocabulary
from tests.asking.evidence_made import evidences, file, files, pair, two

LABEL = vocabulary().label


def kinds(text: str, keys: str = "A") -> list[tuple[str, str | None]]:
    return [(one.kind, one.key) for one in claims_of(text, keys)]


def faults(text: str, evidence: Evidence) -> list[str]:
    keys = [one.key for one in evidence.files]
    return [one.threshold for one in contradictions(claims_of(text, keys), evidence)]


# ------------------------------------------------------------------ reading


def test_distortions_severities_and_levels_of_one_file() -> None:
    text = "There is serious blur; besides, there is mild grain noise; hence the quality of the image is poor."
    found = claims_of(text, "A")
    assert [(one.kind, one.category, one.value, one.exact) for one in found] == [
        ("distortion", "blur", None, True),
        ("severity", "blur", 4, True),
        ("distortion", "noise", None, True),
        ("severity", "noise", 1, False),
        ("level", None, 2, True),
    ]
    assert {one.key for one in found} == {"A"}


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("No, there is no blur in this image.", True),
        ("The image is free of visible blur.", True),
        ("Yes, there is blur.", False),
        ("The picture looks blurry.", False),
    ],
)
def test_denials(text: str, denied: bool) -> None:
    (found,) = claims_of(text, "A")
    assert (found.kind, found.category, found.denied) == ("distortion", "blur", denied)


def test_what_may_be_a_denial_is_no_claim() -> None:
    assert claims_of("It is hardly a case of blur.", "A") == []


def test_sides_of_a_pair() -> None:
    text = "A has serious compression; B shows no distortion; hence B is better."
    assert kinds(text, "AB") == [("distortion", "A"), ("severity", "A"), ("clean", "B"), ("better", "B")]
    (verdict,) = [one for one in claims_of(text, "AB") if one.kind == "better"]
    assert verdict.other == "A"


def test_sides_of_four() -> None:
    text = "A has no distortion, C shows slight noise, and image D suffers from obvious blur."
    found = {(one.key, one.category) for one in claims_of(text, "ABCD") if one.kind == "distortion"}
    assert found == {("C", "noise"), ("D", "blur")}


@pytest.mark.parametrize(
    ("text", "better", "denied"),
    [
        ("B is better.", "B", False),
        ("A is much worse than B.", "B", False),
        ("Image A is not better than image B.", "A", True),
        ("The better one is A.", "A", False),
        ("I prefer B; it has the higher quality.", "B", False),
        ("A outperforms B.", "A", False),
        ("A has a clearly lower quality than B.", "B", False),
        ("The worse one is A", "B", False),
    ],
)
def test_verdicts(text: str, better: str, denied: bool) -> None:
    (found,) = [one for one in claims_of(text, "AB") if one.kind == "better"]
    assert (found.key, found.denied) == (better, denied)


def test_equality() -> None:
    assert kinds("A and B are about equal in quality.", "AB") == [("equal", "A")]
    assert kinds("There is no visible difference.", "AB") == [("equal", "A")]


def test_verdicts_of_three_name_the_file_or_all_others() -> None:
    (best,) = [one for one in claims_of("C is best.", "ABC") if one.kind == "better"]
    assert (best.key, best.other) == ("C", None)
    (one,) = [one for one in claims_of("C is better than A.", "ABC") if one.kind == "better"]
    assert (one.key, one.other) == ("C", "A")


def test_one_file_has_no_verdicts_and_an_article_is_no_file() -> None:
    assert claims_of("A is better.", "A") == []
    assert kinds("A picture of good quality.", "A") == [("level", "A")]


# ------------------------------------------------------------------ against readings


def test_each_rule_has_its_threshold() -> None:
    a = file("A", 2.0, {"blur": (0.9, 4.0), "noise": (0.5, 1.2)})
    evidence = two(0.1, a, file("B", 4.0))
    assert faults("A has serious blur; B has no distortion; so B is better.", evidence) == []
    assert faults("A has serious noise; B is better.", evidence) == ["SEVERITY_SLACK"]
    assert faults("A has slight blur.", evidence) == ["SEVERITY_SLACK"]
    assert faults("A has subtle blur.", evidence) == ["OTHER_WORD_SLACK"]
    assert faults("B has blur.", evidence) == ["ABSENT_BELOW"]
    assert faults("A has no blur.", evidence) == ["DENIED_ABOVE"]
    assert faults("A has no distortion.", evidence) == ["DENIED_ABOVE"]
    assert faults("A is better.", evidence) == ["EVEN_MARGIN"]
    assert faults("A is not worse than B.", evidence) == ["EVEN_MARGIN"]
    assert faults("A and B are about equal in quality.", evidence) == ["EQUAL_MARGIN"]
    assert faults("The quality of A is excellent.", evidence) == ["LEVEL_SLACK"]
    assert faults("The quality of A is not poor.", evidence) == ["LEVEL_IS"]


def test_who_is_called_better_leads_in_either_order() -> None:
    for p in (0.495, 0.5, 0.505):
        evidence = two(p, file("A", 3.0), file("B", 3.0))
        assert faults("A is better.", evidence) == faults("B is better.", evidence) == ["EVEN_MARGIN"]
        assert faults("A and B are about equal in quality.", evidence) == []
    assert faults("A is better.", two(0.6, file("A", 3.0), file("B", 3.0))) == []


def test_what_was_not_read_bears_nothing_out() -> None:
    evidence = Evidence(files=(file("A", 3.0, {"blur": (0.9, None)}),))
    assert faults("There is freezing.", evidence) == ["not read"]
    assert faults("There is serious blur.", evidence) == ["not read"]  # its strength
    assert faults("There is blur.", evidence) == []
    silent = file().model_copy(update={"presence": (), "unread": {"presence": "its words are no single tokens"}})
    (fault,) = contradictions(claims_of("There is no distortion.", "A"), Evidence(files=(silent,)))
    assert fault.reading == "A: its words are no single tokens"


def test_a_claim_of_no_file_holds_if_it_holds_of_one() -> None:
    evidence = two(0.5, file("A", 3.0, {"blur": (0.9, 3.0)}))
    assert faults("There is blur.", evidence) == []
    assert faults("There is noise.", evidence) == ["ABSENT_BELOW"]


def test_the_best_of_three_must_beat_all() -> None:
    pairs = (pair(0.9, "A", "B"), pair(0.9, "A", "C"), pair(0.2, "B", "C"))
    evidence = Evidence(files=(file("A"), file("B"), file("C")), pairs=pairs)
    assert faults("A is best.", evidence) == []
    assert faults("C is best.", evidence) == ["EVEN_MARGIN"]
    assert faults("C is better than B.", evidence) == []


def test_a_reference_takes_away_what_it_has_itself() -> None:
    blurry = file("A", 3.0, {"blur": (0.9, 3.0)})
    alone = Evidence(files=(blurry,))
    beside = Evidence(files=(blurry,), reference=file("R", 3.0, {"blur": (0.9, 3.0)}))
    assert alone.found("A") == ["blur"]
    assert beside.found("A") == []
    assert faults("There is no distortion.", beside) == []
    assert faults("There is blur.", beside) == ["ABSENT_BELOW"]


# ------------------------------------------------------------------ properties


def composed(evidence: Evidence) -> list[str]:
    keys = [one.key for one in evidence.files]
    texts = [
        compose.assessment(evidence, keys),
        compose.identification(evidence, keys),
        compose.level(evidence, keys),
    ]
    texts += [compose.presence(evidence, keys, category) for category in CATEGORIES]
    return [*texts, *([compose.comparison(evidence, keys)] if len(keys) > 1 else [])]


@given(evidences())
def test_composed_texts_never_contradict(evidence: Evidence) -> None:
    for text in composed(evidence):
        assert faults(text, evidence) == [], text


@given(evidences(2, 2))
def test_a_turned_verdict_always_contradicts(evidence: Evidence) -> None:
    assume(abs(evidence.pairs[0].first_better - 0.5) > thresholds.EVEN_MARGIN)
    text = compose.verdict(evidence.pairs[0], "compose")
    turned = re.sub(r"\b[AB]\b", lambda m: {"A": "B", "B": "A"}[m[0]], text)
    assert faults(turned, evidence) == ["EVEN_MARGIN"]


@given(files(), st.sampled_from(CATEGORIES))
def test_a_distortion_that_is_not_there_always_contradicts(one: object, category: str) -> None:
    evidence = Evidence(files=(one,))  # type: ignore[arg-type]
    p = evidence.probability("A", category) or 0.0
    claimed, denied = f"The image shows {LABEL(category)}.", f"The image shows no {LABEL(category)}."
    assert faults(claimed, evidence) == (["ABSENT_BELOW"] if p < thresholds.ABSENT_BELOW else [])
    assert faults(denied, evidence) == (["DENIED_ABOVE"] if p > thresholds.DENIED_ABOVE else [])


@given(st.floats(1, 5), st.integers(1, 5))
def test_a_severity_that_is_far_off_always_contradicts(value: float, said: int) -> None:
    evidence = Evidence(files=(file("A", 3.0, {"noise": (0.9, value)}),))
    text = f"There is {vocabulary().severities[said - 1]} noise."
    assert bool(faults(text, evidence)) is (abs(value - said) > thresholds.SEVERITY_SLACK)


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    found = claims_of(text, "AB")
    assert all(isinstance(one, Claim) for one in found)
    contradictions(found, two(0.3))
