"""The record: the JSON that others read, exact round trips, and refusals that name the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from mllmqa.data.flaws import flaws_of
from mllmqa.data.sample import SAMPLE_VERSION, START, Sample, parse_sample, path_of
from mllmqa.data.sample_labels import Distortion, Labels, Level, Stall
from mllmqa.errors import DataError
from tests.data.samples_made import changed, full, medium, mos, plain, said, samples

GOLDEN = (
    '{"sample_version":1,"id":"one","media":[{"key":"A","kind":"image","path":"A.png"}],'
    '"labels":{"mos":[{"media":"A","value":3.0,"low":1.0,"high":5.0,"direction":"higher-better"}]},'
    '"messages":[{"role":"user","content":[{"media":"A"},{"text":"How good is it?"}]},'
    '{"role":"assistant","content":[{"text":"Good."}]}]}'
)


def flaws(text: str) -> dict[str, str]:
    """Field → what was found, of a text that is refused; empty if it is not."""
    try:
        Sample.model_validate_json(text)
    except ValidationError as error:
        return {flaw.field: flaw.found for flaw in flaws_of(error)}
    return {}


def test_the_json_is_as_published_to_the_byte() -> None:
    """A change here changes what every reader of files sees: raise SAMPLE_VERSION where a meaning changes."""
    assert plain(labels=Labels(mos=(mos(),))).to_json() == GOLDEN
    assert SAMPLE_VERSION == 1
    assert parse_sample(GOLDEN).to_json() == GOLDEN


@settings(max_examples=150)
@given(samples())
def test_samples_survive_json(sample: Sample) -> None:
    line = sample.to_json()
    assert "\n" not in line
    assert line.encode().startswith(START)
    assert parse_sample(line) == sample
    assert parse_sample(line.encode()).to_json() == line


def test_a_sample_with_everything_survives_json() -> None:
    assert parse_sample(full().to_json()) == full()
    assert json.loads(full().to_json())["labels"]["distortions"][0]["parameters"] == {"radius": 2}


def test_null_in_parameters_and_clean_are_kept() -> None:
    one = Distortion(media="A", category="blur", parameters={"sigma": None, "steps": [{"k": None}]})
    for distortions in ((one,), (), None):
        sample = plain(labels=Labels(distortions=distortions))
        assert parse_sample(sample.to_json()).labels.distortions == distortions


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ("sample_version", 2, "sample_version"),
        ("id", "", "id"),
        ("id", " ", "id"),
        ("id", "a\nb", "id"),
        ("id", 7, "id"),
        ("id", ..., "id"),
        ("extra", 1, "extra"),
        ("media", [], "media"),
        ("media.0.extra", 1, "media.0.extra"),
        ("media.0.key", "a b", "media.0.key"),
        ("media.0.path", ..., None),  # its hash is known
        ("media.1.path", ..., "media.1.path"),
        ("media.1.path", "", "media.1.path"),
        ("media.0.sha256", "abc", "media.0.sha256"),
        ("media.0.width", 0, "media.0.width"),
        ("media.0.width", 1.5, "media.0.width"),
        ("media.0.kind", "sound", "media.0.kind"),
        ("media.0.role", "target", "media.0.role"),
        ("media.0.duration_s", 1.0, "media.0.duration_s"),
        ("media.0.span_s", [0, 1], "media.0.span_s"),
        ("media.3.duration_s", 0, "media.3.duration_s"),
        ("media.3.span_s", [1, 1], "media.3.span_s"),
        ("media.3.span_s", [0.5, 9], "media.3.span_s"),
        ("labels.mos.0.media", "C", "labels.mos.0.media"),
        ("labels.levels.0.media", "C", "labels.levels.0.media"),
        ("labels.preference.among", ["A", "C"], "labels.preference.among.1"),
        ("labels.captions.0.media", "C", "labels.captions.0.media"),
        ("labels.stalls.0.media", "C", "labels.stalls.0.media"),
        ("labels.stalls.0.media", "A", "labels.stalls.0.start_s"),
        ("labels.stalls.0.start_s", 0.25, "labels.stalls.0.start_s"),
        ("labels.stalls.0.start_s", 3.5, "labels.stalls.0.start_s"),
        ("labels.distortions.0.media", "C", "labels.distortions.0.media"),
        ("labels.distortions.1.box", [0, 0, 65, 10], "labels.distortions.1.box"),
        ("labels.distortions.1.box", [0, 0, 64, 48], None),  # half-open: the whole picture
        ("labels.distortions.3.span_s", [0.0, 1.0], "labels.distortions.3.span_s"),
        ("labels.distortions.3.span_s", [2.0, 3.5], "labels.distortions.3.span_s"),
        ("labels.distortions.0.span_s", [0.0, 1.0], "labels.distortions.0.span_s"),
        ("messages", [], "messages"),
        ("messages.1.content", [], "messages.1.content"),
        ("messages.1.content.0", {"media": "C"}, "messages.1.content.0.media"),
        ("messages.1.content.0", {}, "messages.1.content.0"),
        ("messages.1.content.0", {"media": "A", "text": "a"}, "messages.1.content.0"),
        ("messages.1.content.0", {"text": ""}, "messages.1.content.0.text"),
        ("messages.2.content", [{"text": " \n"}], "messages.2.content"),
        ("messages.2.content", [{"text": "a"}, {"text": "b"}], "messages.2.content.1"),
        ("messages.2.role", "gpt", "messages.2.role"),
        ("messages.2.role", "system", "messages.2.role"),
        ("derived_from.seed", "7", "derived_from.seed"),
        ("derived_from.task", "", "derived_from.task"),
        ("split", "dev", "split"),
    ],
)
def test_each_refusal_names_its_field(place: str, value: Any, field: str | None) -> None:
    assert list(flaws(changed(full(), place, value))) == ([] if field is None else [field])


def test_keys_differ() -> None:
    assert flaws(changed(full(), "media.1.key", "ref"))["media.1.key"] == "'ref' for the second time"


def test_all_flaws_are_told_at_once() -> None:
    text = changed(full(), "labels.mos.0.media", "C")
    record = json.loads(text)
    record["messages"][1]["content"][0] = {"media": "D"}
    record["labels"]["distortions"][1]["box"] = [0, 0, 99, 99]
    assert set(flaws(json.dumps(record))) == {
        "labels.mos.0.media", "messages.1.content.0.media", "labels.distortions.1.box",
    }  # fmt: skip


def test_errors_name_file_line_field_found_and_expected() -> None:
    text = changed(full(), "labels.mos.0.value", 9)
    with pytest.raises(DataError) as caught:
        parse_sample(text, "set.jsonl, line 3")
    assert str(caught.value) == "set.jsonl, line 3: field labels.mos.0.value is 9; expected a number from 1 to 5"
    assert caught.value.where == "set.jsonl, line 3"


def test_boxes_of_unknown_sizes_and_times_of_unknown_lengths_are_taken() -> None:
    clip = medium(kind="video")
    labels = Labels(
        distortions=(Distortion(media="A", category="blur", box=(0, 0, 9999, 9999), span_s=(5.0, 500.0)),),
        stalls=(Stall(media="A", start_s=400.0, duration_s=1.0),),
    )
    assert plain(media=(clip,), labels=labels).medium("A").limits_s() == (0.0, None)


def test_a_question_without_answer_and_labels_without_messages_are_samples() -> None:
    assert plain(messages=(said("user", "@A", "Good?"),)).messages[0].text == "Good?"
    assert plain(messages=()).messages == ()


def test_media_and_scores_are_found_by_key() -> None:
    sample = full()
    assert sample.medium("clip").kind == "video"
    assert sample.medium("clip").limits_s() == (0.5, 3.0)
    found = sample.mos_of("A")
    assert found is not None
    assert found.value == 3.9
    assert sample.mos_of("A", "alignment") is None
    with pytest.raises(DataError, match="no medium 'C'; expected ref, A, B, clip"):
        sample.medium("C")


def test_paths_start_at_the_folder_of_the_file() -> None:
    assert path_of(medium(path="x/y"), Path("/data")) == Path("/data/x/y")
    assert path_of(medium(path="/abs/y"), Path("/data")) == Path("/abs/y")
    assert path_of(medium(path=None, sha256="0" * 64), Path("/data")) is None


def test_samples_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        plain().id = "other"  # type: ignore[misc]


def test_a_level_rests_on_the_score_of_its_aspect_or_on_the_one_that_its_method_names() -> None:
    pseudo, opinion = mos(aspect="pseudo-mos", value=2.5), mos(value=4.0)
    words = ("excellent", "good", "fair", "poor", "bad")
    made, said_by_people = (
        Level(media="A", word="fair", scale=words, method=method) for method in ("pseudo-mos; equal-width", None)
    )
    alone = plain(labels=Labels(mos=(pseudo,), levels=(made,)))
    assert alone.behind(made) == pseudo
    assert alone.behind(said_by_people) is None
    both = plain(labels=Labels(mos=(pseudo, opinion)))
    assert both.behind(made) == both.behind(said_by_people) == opinion
