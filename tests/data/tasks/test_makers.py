"""From labels to turns: what is drawn, what labels must be there, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion, Labels, Mos, Preference
from mllmqa.data.streams import stream
from mllmqa.data.tasks import extract
from mllmqa.data.tasks.agreement import disagreements
from mllmqa.data.tasks.compose import told
from mllmqa.data.tasks.makers import TASKS, present_or_not, single
from mllmqa.data.tasks.phrases import Turn
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.errors import DataError
from tests.data.tasks.samples_told import level, media, samples_for

BLUR = Distortion(media="A", category="blur", severity=3.0, box=(0, 0, 64, 64))
NOISE = Distortion(media="A", category="noise", severity=5.0)


def sample(keys: str = "A", kind: str = "image", *, reference: bool = False, **labels: Any) -> Sample:
    return Sample(id="s", media=media(keys, kind, reference=reference), labels=Labels(**labels))


def made(task: str, one: Sample, seed: int = 0) -> Turn:
    return TASKS[task](one, stream(seed, one.id, task))


@pytest.mark.parametrize("task", TASKS)
@given(st.data(), st.integers(0, 2**31))
@settings(max_examples=5)
def test_the_same_chance_gives_the_same_turn(task: str, data: st.DataObject, seed: int) -> None:
    one = data.draw(samples_for(task))
    assert made(task, one, seed) == made(task, one, seed)


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("level", {}, "level of A"),
        ("score", {}, "opinion score of A"),
        ("identify", {}, "distortions"),
        ("dominant", {"distortions": ()}, "no distortion; expected one category"),
        ("what", {"distortions": (BLUR, NOISE)}, "2 distortions of different categories"),
        ("mcq_category", {"distortions": (BLUR, NOISE)}, "2 distortions of different categories"),
        ("how", {"distortions": (BLUR, BLUR)}, "2 distortions, none of a category of its own"),
        ("mcq_severity", {"distortions": ()}, "0 distortions, none of a category of its own"),
        ("ground", {"distortions": (NOISE,)}, "no distortion has a place; expected a box or a span"),
        (
            "reason_three",
            {"distortions": (BLUR, BLUR.model_copy(update={"box": None}))},
            "no distortion has a place",
        ),
        ("assess", {"distortions": ()}, "level of A"),
        ("causal", {"levels": (level(),)}, "distortions"),
        ("reason_five", {"distortions": ()}, "level of A"),
        ("rate", {}, "1 media|preference"),
    ],
)
def test_missing_labels_are_named(task: str, labels: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(task, sample(**labels))


def test_streaming_is_about_clips() -> None:
    with pytest.raises(DataError, match="has no label: length of A"):
        made("streaming_level", sample(levels=(level(),)))


def test_two_media_for_a_task_about_one_are_refused() -> None:
    with pytest.raises(DataError, match="2 media to be judged; expected one"):
        made("level", sample("AB", levels=(level(),)))


@pytest.mark.parametrize("task", ["best_of", "worst_of", "rank", "describe_several"])
def test_an_order_that_is_not_known_is_not_told(task: str) -> None:
    found = tuple(Distortion(media=key, category="blur", severity=2.0) for key in "ABC")
    with pytest.raises(DataError, match="sample s: the order of its media is not known"):
        made(task, sample("ABC", distortions=found))


def test_which_has_asks_for_what_one_has_alone() -> None:
    pairs = (("A", "blur"), ("B", "blur"), ("B", "noise"), ("C", "blur"))
    found = tuple(Distortion(media=key, category=name, severity=2.0) for key, name in pairs)
    for seed in range(10):
        turn = made("which_has", sample("ABC", distortions=found), seed)
        assert extract.categories(turn.question) == ["noise"]
        assert "B" in turn.answer
    with pytest.raises(DataError, match="no distortion is in one medium alone"):
        made("which_has", sample("ABC", distortions=found[:2]))


def test_equal_regions_of_one_category_are_one_answer() -> None:
    """Two regions of the same strength are no doubt about what is most visible."""
    two = sample(distortions=(BLUR, BLUR.model_copy(update={"box": (64, 64, 128, 128)})))
    for task in ("mcq_category", "what", "dominant", "ground", "reason_three"):
        assert disagreements(told(two, task, 0)) == []


def test_options_are_those_of_the_scale_of_the_label() -> None:
    scale = ("Sharp", "Soft", "Blurred")
    own = sample(levels=(level(word="Soft", scale=scale),))
    asked = told(own, "mcq_level", 0)
    assert all(word in asked.messages[0].text for word in scale)
    assert "excellent" not in asked.messages[0].text
    for task in ("mcq_level", "level"):
        assert disagreements(told(own, task, 0)) == []
        other = own.model_copy(update={"labels": Labels(levels=(level(word="Sharp", scale=scale),))})
        assert disagreements(told(own, task, 0).model_copy(update={"labels": other.labels}))


def test_reasoning_ends_with_the_scale_of_the_label() -> None:
    own = sample(levels=(level(word="Soft", scale=("Sharp", "Soft")),), distortions=(BLUR,))
    for task in ("reason_five", "assess", "causal"):
        assert disagreements(told(own, task, 0)) == []


def test_places_are_asked_of_a_category_that_has_them() -> None:
    for seed in range(10):
        turn = made("ground", sample(distortions=(BLUR, NOISE)), seed)
        assert extract.categories(turn.answer) == ["blur"]


def test_yes_and_no_are_equally_frequent() -> None:
    found, chance = (Finding("blur", 2.0), Finding("noise", 3.0)), np.random.default_rng(0)
    drawn = [present_or_not(found, "image", chance) for _ in range(600)]
    assert 250 < sum(present for _, present in drawn) < 350
    assert {name for name, present in drawn if present} == {"blur", "noise"}
    absent = {name for name, present in drawn if not present}
    assert absent == set(vocabulary().possible("image")) - {"blur", "noise"}


def test_nothing_is_there_in_a_clean_medium() -> None:
    drawn = [present_or_not((), "video", np.random.default_rng(seed)) for seed in range(200)]
    assert not any(present for _, present in drawn)
    assert {name for name, _ in drawn} & vocabulary().video_only


def test_a_single_finding_is_one_of_a_category_that_occurs_once() -> None:
    found = (Finding("blur", 1.0), Finding("noise", 2.0), Finding("blur", 3.0))
    assert {single(found, np.random.default_rng(seed)) for seed in range(20)} == {found[1]}
    with pytest.raises(DataError, match="2 distortions, none of a category of its own; expected one"):
        single((found[0], found[2]), np.random.default_rng(0))


def test_a_reference_changes_the_question() -> None:
    better = Preference(among=("A", "B"), better="A")
    questions = {
        reference: {
            made("rate", sample("AB", reference=reference, preference=better), seed).question for seed in range(30)
        }
        for reference in (True, False)
    }
    assert not questions[True] & questions[False]
    assert all("reference" in question for question in questions[True])


def test_a_comparative_word_is_one_of_its_scale() -> None:
    unknown = Preference(among=("A", "B"), better="A", strength="a bit better")
    with pytest.raises(DataError, match="strength of the preference is 'a bit better'; expected one of superior"):
        made("comparative", sample("AB", preference=unknown))


def test_scores_that_are_better_when_lower_are_turned() -> None:
    dmos = Mos(media="A", value=20.0, low=0.0, high=100.0, direction="lower-better")
    for seed in range(10):
        turn = made("score", sample(mos=(dmos,)), seed)
        assert extract.number(turn.answer) == 80.0
        assert extract.scale(turn.question) == (0.0, 100.0)


def test_a_category_is_named_once_however_many_regions_it_has() -> None:
    found = (BLUR, NOISE, BLUR.model_copy(update={"box": (64, 64, 128, 128), "order": 3}))
    for seed in range(20):
        turn = made("identify", sample(distortions=found), seed)
        assert turn.answer.lower().count("blur") == turn.answer.lower().count("noise") == 1
        assert "three" not in turn.question
