"""Samples → format → samples: media and messages come back from every format, and nothing is lost unsaid."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.data.formats import FORMATS, lost_fields
from mllmqa.data.formats.form import Context, Format
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion, Labels, Preference
from mllmqa.errors import DataError
from tests.data.samples_made import TEXTS, full, labels_of, medium, plain, said, samples

TAGGED = ["llava", "messages", "sharegpt"]
SIDES = [["A"], ["B"], ["ref", "A"], ["A", "B"], ["ref", "A", "B"]]


def through(sample: Sample, form: Format) -> Sample:
    """Write a sample, as JSON text where the format is JSON, and read it."""
    return form.parse(json.loads(json.dumps(form.row(sample))), Context())


def mentions(sample: Sample) -> list[list[tuple[str, str | None]]]:
    """Each message as its role, texts, and kinds and paths of media: what does not depend on keys."""
    said: list[list[tuple[str, str | None]]] = []
    for message in sample.messages:
        parts = [("text", part.text) for part in message.content if part.text is not None]
        media = [sample.medium(part.media) for part in message.content if part.media is not None]
        order = ["t" if part.media is None else "m" for part in message.content]
        files = [(one.kind, one.path) for one in media]
        said.append([("role", message.role), ("order", "".join(order)), *parts, *files])
    return said


@pytest.mark.parametrize("name", TAGGED)
@settings(max_examples=150)
@given(samples())
def test_messages_and_their_media_come_back(name: str, sample: Sample) -> None:
    try:
        back = through(sample, FORMATS[name])
    except DataError as error:
        assert "an image or a video" in str(error) or "at least 1 item" in str(error)  # none is mentioned
        assert not any(part.media for message in sample.messages for part in message.content)
        return
    assert mentions(back) == mentions(sample)
    assert back.id == sample.id
    mentioned = {part.media for message in sample.messages for part in message.content if part.media}
    assert {(m.kind, m.path) for m in back.media} == {
        (sample.medium(k).kind, sample.medium(k).path) for k in mentioned
    }
    lost = lost_fields(sample, FORMATS[name])
    assert not [field for field in lost if field.startswith("messages")]
    assert ("media" in lost) == (len(mentioned) < len(sample.media))


@settings(max_examples=150)
@given(samples())
def test_parquet_loses_nothing(sample: Sample) -> None:
    assert through(sample, FORMATS["parquet"]) == sample
    assert lost_fields(sample, FORMATS["parquet"]) == ()


@st.composite
def depicted(draw: st.DrawFn) -> Sample:
    """Samples that DepictQA has slots for: media first in the question, then texts only."""
    keys = draw(st.sampled_from(SIDES))
    texts = draw(st.lists(TEXTS.map(lambda t: f"x{t}"), min_size=2, max_size=2))
    messages = (said("user", *(f"@{key}" for key in keys), texts[0]), said("assistant", texts[1]))
    media = tuple(medium(key, path=f"{key}/1", role="reference" if key == "ref" else "stimulus") for key in keys)
    return Sample(id="d", media=media, labels=draw(labels_of(keys)), messages=messages)


@settings(max_examples=200)
@given(depicted())
def test_depictqa_keeps_media_messages_and_distortions(sample: Sample) -> None:
    back = through(sample, FORMATS["depictqa"])
    assert back.media == sample.media
    assert back.messages == sample.messages
    lost = set(lost_fields(sample, FORMATS["depictqa"]))
    allowed = ("labels.mos", "labels.levels", "labels.distortions.box", "labels.preference")
    sides = {m.key for m in sample.media} - {"ref"}
    labelled = sample.labels.distortions or ()
    if sorted(d.media for d in labelled) == [d.media for d in labelled] and all(d.media in sides for d in labelled):
        assert not [field for field in lost if not field.startswith(allowed)]
        again = back.labels.distortions
        assert (again is None) == (sample.labels.distortions is None)
        assert [(d.media, d.category, d.name, d.severity) for d in again or ()] == [
            (d.media, d.category, d.name, d.severity) for d in labelled
        ]


def test_what_is_read_again_is_written_alike() -> None:
    """Reading and writing settles after one round: no field creeps in or out."""
    for name in TAGGED:
        once = through(full(), FORMATS[name])
        assert through(once, FORMATS[name]) == once


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_plain_sample_loses_nothing_anywhere(name: str) -> None:
    assert lost_fields(plain(), FORMATS[name]) == ()


def test_what_a_format_loses_is_what_is_documented() -> None:
    sample = full()
    pictures = sample.media[:3]
    labels = sample.labels.model_copy(update={"distortions": sample.labels.distortions[:3], "stalls": ()})  # type: ignore[index]
    words = (said("user", "@ref", "@A", "@B", "Which is better?"), said("assistant", "A."))
    still = full(media=pictures, labels=labels, messages=words)
    lost = set(lost_fields(still, FORMATS["depictqa"]))
    assert {"labels.mos.value", "labels.levels.word", "labels.mcq.question", "labels.distortions.box"} <= lost
    assert {"media.sha256", "media.width", "task", "split", "source", "licence", "derived_from.seed"} <= lost
    assert not {"media", "media.key", "labels.preference.better", "labels.distortions.category"} & lost
    assert not {"labels.distortions.severity", "labels.distortions.order", "labels.distortions.name"} & lost
    for name in TAGGED:
        lost = set(lost_fields(sample, FORMATS[name]))
        assert {"media.key", "media.role", "media.sha256", "labels.distortions.category", "task"} <= lost
        assert not {"id", "media", "messages.content.text", "messages.role"} & lost


def test_a_preference_of_others_than_a_and_b_is_named_as_lost() -> None:
    sample = plain(
        media=(medium("ref"), medium("A")),
        labels=Labels(preference=Preference(among=("ref", "A"), better="ref"), distortions=()),
        messages=(said("user", "@ref", "@A", "Which?"), said("assistant", "The first.")),
    )
    lost = lost_fields(sample, FORMATS["depictqa"])
    assert "labels.preference.better" in lost
    assert "labels.distortions" not in lost  # clean is not the same as not labelled


@pytest.mark.parametrize("clean", [(), None])
def test_clean_and_not_labelled_are_told_apart(clean: tuple[Distortion, ...] | None) -> None:
    sample = plain(labels=Labels(distortions=clean))
    assert through(sample, FORMATS["depictqa"]).labels.distortions == clean
    lost = lost_fields(sample, FORMATS["llava"])
    assert ("labels.distortions" in lost) == (clean is not None)


def test_one_file_under_two_keys_is_not_counted_as_lost_where_it_is_held() -> None:
    same = plain(media=(medium("ref", path="one.png"), medium("A", path="one.png")))
    assert lost_fields(same, FORMATS["parquet"]) == ()
