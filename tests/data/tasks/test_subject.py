"""What a sample says of its media."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_labels import Caption, Distortion, Labels, Mos, Preference, Stall
from mllmqa.data.tasks import subject
from mllmqa.data.tasks.truth import Finding
from mllmqa.errors import DataError
from tests.data.tasks.samples_told import level, media


def sample(keys: str = "A", kind: str = "image", *, reference: bool = False, **labels: Any) -> Sample:
    return Sample(id="s", media=media(keys, kind, reference=reference), labels=Labels(**labels))


def mos(key: str, value: float, **more: Any) -> Mos:
    given_ = {"media": key, "value": value, "low": 0.0, "high": 10.0, "direction": "higher-better", **more}
    return Mos(**given_)


def test_references_are_not_asked_about() -> None:
    assert subject.stimuli(sample("AB", reference=True)) == ("A", "B")
    assert subject.has_reference(sample(reference=True))
    assert not subject.has_reference(sample())
    assert subject.the_one(sample(reference=True)) == "A"
    with pytest.raises(DataError, match="sample s: 2 media to be judged; expected one"):
        subject.the_one(sample("AB"))


def test_kinds_are_not_mixed() -> None:
    assert subject.kind(sample(kind="video")) == "video"
    mixed = Sample(id="s", media=(*media("A", "image", reference=False), *media("B", "video", reference=False)))
    with pytest.raises(DataError, match="images and videos are mixed"):
        subject.kind(mixed)


def test_findings_come_in_the_order_of_their_application_with_shares_of_the_size() -> None:
    found = (
        Distortion(media="A", category="noise", severity=2.0, order=2, box=(0, 60, 160, 240)),
        Distortion(media="B", category="blur", severity=5.0, order=1),
        Distortion(media="A", category="blur", severity=1.0, order=1),
    )
    labelled = sample("AB", distortions=found)
    assert subject.findings(labelled, "A") == (
        Finding("blur", 1.0),
        Finding("noise", 2.0, box=(0.0, 0.25, 0.5, 1.0)),
    )
    assert list(subject.all_findings(labelled)) == ["A", "B"]
    assert subject.findings(sample(distortions=()), "A") == ()


@pytest.mark.parametrize(
    ("labels", "missing"),
    [
        ({}, "distortions"),
        ({"distortions": (Distortion(media="A", category="blur"),)}, "severity of blur"),
    ],
)
def test_what_is_not_labelled_is_no_truth(labels: dict[str, Any], missing: str) -> None:
    with pytest.raises(DataError, match=f"sample s: has no label: {missing}"):
        subject.findings(sample(**labels), "A")


def test_a_box_needs_the_size() -> None:
    box = Distortion(media="A", category="blur", severity=1.0, box=(0, 0, 1, 1))
    plain = Sample(id="s", media=(Medium(key="A", kind="image", path="a.png"),), labels=Labels(distortions=(box,)))
    with pytest.raises(DataError, match="has no label: size of A"):
        subject.findings(plain, "A")
    with pytest.raises(DataError, match="has no label: caption or size of A"):
        subject.content(plain, "A")


def test_the_order_follows_opinions_of_any_scale_and_direction() -> None:
    scores = (mos("A", 5.0), mos("B", 90.0, high=100.0, direction="lower-better"), mos("C", 9.0))
    assert subject.order(sample("ABC", mos=scores)) == ("C", "A", "B")
    close = (mos("A", 5.0, std=2.0), mos("B", 5.5, std=2.0), mos("C", 9.0, std=2.0))
    with pytest.raises(DataError, match="the order of its media is not known"):
        subject.order(sample("ABC", mos=close))


def test_the_order_follows_distortions_where_not_all_have_opinions() -> None:
    found = tuple(Distortion(media=k, category="blur", severity=s) for k, s in (("A", 4.0), ("C", 2.0)))
    assert subject.order(sample("ABC", distortions=found, mos=(mos("A", 9.0),))) == ("B", "C", "A")


@given(st.floats(-50, 50), st.floats(0.1, 100), st.floats(0, 1), st.booleans())
def test_scores_are_turned_and_stay_on_their_scale(low: float, width: float, share: float, turned: bool) -> None:
    high = low + width
    value = min(max(low + share * width, low), high)
    direction = "lower-better" if turned else "higher-better"
    labelled = sample(mos=(mos("A", value, low=low, high=high, direction=direction),))
    found, *ends = subject.score(labelled, "A")
    assert ends == [low, high]
    assert low <= found <= high
    assert found == pytest.approx(low + high - value if turned else value, abs=1e-9)


def test_stalls_need_the_length_of_the_clip() -> None:
    stalls = (Stall(media="A", start_s=1.0, duration_s=2.0), Stall(media="B", start_s=3.0, duration_s=1.0))
    assert subject.stalls(sample("AB", "video", stalls=stalls), "B") == ([(3.0, 1.0)], 60.0)
    short = Sample(id="s", media=(Medium(key="A", kind="video", path="a.mp4"),))
    with pytest.raises(DataError, match="has no label: length of A"):
        subject.stalls(short, "A")


def test_content_is_the_caption_or_the_orientation() -> None:
    assert subject.content(sample(), "A") == "a landscape image"
    captions = (Caption(text="all of it"), Caption(text="a boat", media="A"))
    assert subject.content(sample(captions=captions), "A") == "a boat"


@pytest.mark.parametrize(
    ("better", "message"), [(None, "a tie is preferred among A, B"), ("C", "C is preferred among A, C")]
)
def test_a_side_is_a_or_b(better: str | None, message: str) -> None:
    found = Preference(among=("A", better or "B"), better=better)
    with pytest.raises(DataError, match=f"{message}; expected A or B, among A, B"):
        subject.better_side(sample("ABC", preference=found))
    assert subject.better_side(sample("AB", preference=Preference(among=("A", "B"), better="B"))) == "B"


def test_missing_opinions_are_named() -> None:
    for look, missing in (
        (lambda one: subject.level(one, "A"), "level of A"),
        (lambda one: subject.score(one, "A"), "opinion score of A"),
        (subject.preference, "preference"),
    ):
        with pytest.raises(DataError, match=f"sample s: has no label: {missing}"):
            look(sample())
    two = (level(), level("A").model_copy(update={"aspect": "sharpness", "word": "bad"}))
    assert subject.level(sample(levels=two), "A", "sharpness").word == "bad"
