"""DepictQA: slots instead of tags, labels of one and of several distortions, test records, and task types."""

from __future__ import annotations

from typing import Any

import pytest

from mllmqa.data.formats import FORMATS
from mllmqa.data.formats.form import Context
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion, Labels, Preference
from mllmqa.errors import DataError
from tests.data.samples_made import medium, plain, said

DEPICTQA = FORMATS["depictqa"]
TURNS = [{"from": "human", "value": "How good?"}, {"from": "gpt", "value": "Good."}]
SLOTS = {"image_ref": None, "image_A": "a.png", "image_B": None}
BLUR = Distortion(media="A", category="blur", name="blur_lens", severity=3.0)


def read(**given: Any) -> Sample:
    return DEPICTQA.parse({"id": "r", "conversations": TURNS, **SLOTS, **given}, Context("q.json, record 1"))


def pair(**more: Any) -> Sample:
    words = (said("user", "@ref", "@A", "@B", "Which?"), said("assistant", "A."))
    return plain(media=(medium("ref", role="reference"), medium(), medium("B")), messages=words, **more)


def test_a_record_is_as_depictqa_reads_it() -> None:
    assert DEPICTQA.row(plain(labels=Labels(distortions=(BLUR,)))) == {
        "id": "one",
        "image_ref": None,
        "image_A": "A.png",
        "image_B": None,
        "task_type": "quality_single_A_noref",
        "conversations": [{"from": "human", "value": "How good is it?"}, {"from": "gpt", "value": "Good."}],
        "distortion_class": "blur",
        "distortion_name": "blur_lens",
        "severity": 3,
    }


def test_several_distortions_are_listed_in_the_order_in_which_they_were_applied() -> None:
    two = (
        Distortion(media="A", category="noise", severity=2.5, order=2),
        Distortion(media="A", category="blur", name="blur_lens", severity=3.0, order=1),
    )
    row = DEPICTQA.row(plain(labels=Labels(distortions=two)))
    assert row["distortion_classes"] == ["blur", "noise"]
    assert row["distortion_names"] == ["blur_lens", None]
    assert row["severities"] == [3, 2.5]
    back = DEPICTQA.parse(row, Context())
    assert [(d.category, d.order) for d in back.labels.distortions or ()] == [("blur", 1), ("noise", 2)]


def test_a_pair_has_its_labels_per_side() -> None:
    preferred = Preference(among=("A", "B"), better="B")
    row = DEPICTQA.row(pair(labels=Labels(distortions=(BLUR,), preference=preferred)))
    assert row["task_type"] == "quality_compare"
    assert row["distortions_A"] == {"distortion_class": "blur", "distortion_name": "blur_lens", "severity": 3}
    assert row["distortions_B"] == {"distortion_class": None, "distortion_name": None, "severity": 0}
    assert row["A_better_B"] is False
    back = DEPICTQA.parse(row, Context())
    assert back.labels.preference == preferred
    assert back.labels.distortions == (BLUR,)
    assert back.media == pair().media


@pytest.mark.parametrize(
    ("keys", "task_type"),
    [
        (["A"], "quality_single_A_noref"),
        (["B"], "quality_single_B_noref"),
        (["ref", "A"], "quality_single_A"),
        (["A", "B"], "quality_compare_noref"),
        (["ref", "A", "B"], "quality_compare"),
    ],
)
def test_the_task_type_follows_from_the_images(keys: list[str], task_type: str) -> None:
    words = (said("user", *(f"@{key}" for key in keys), "Which?"), said("assistant", "A."))
    row = DEPICTQA.row(plain(media=tuple(medium(key) for key in keys), messages=words))
    assert row["task_type"] == task_type
    assert DEPICTQA.parse(row, Context()).task == task_type


def test_clean_in_all_its_spellings() -> None:
    for fields in (
        {"distortion_class": None, "distortion_name": None, "severity": 0},
        {"distortion_classes": None, "distortion_names": None, "severities": 0},
    ):
        assert read(**fields).labels.distortions == ()
    assert read().labels.distortions is None


def test_test_records_and_generic_descriptions() -> None:
    given = {"id": "t", **SLOTS, "query": "How good?"}
    assert [m.role for m in DEPICTQA.parse(given, Context()).messages] == ["user"]
    answered = DEPICTQA.parse({**given, "answer": "Good."}, Context())
    assert [m.text for m in answered.messages] == ["How good?", "Good."]
    described = DEPICTQA.parse(
        {"id": "d", "image": "x.png", "task_type": "description", "conversations": TURNS}, Context()
    )
    assert (described.media[0].path, described.task) == ("x.png", "description")
    assert DEPICTQA.row(described)["task_type"] == "description"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task_type": "quality_compare"}, "field task_type is 'quality_compare'; expected quality_single"),
        ({"task_type": "quality_single_A"}, "with no reference"),
        ({"task_type": 3}, "field task_type is 3"),
        ({"image_A": None}, "field media is ()"),
        ({"image_A": 3}, "field media.0.path is 3"),
        ({"conversations": [{"from": "human"}]}, "field conversations holds"),
        ({"conversations": 3}, "field conversations is 3; expected list"),
        ({"distortion_class": "blur", "severity": 6}, "severity is 6"),
        ({"distortion_class": None, "severity": 3}, "field severity is 3; expected 0"),
        (
            {"distortion_classes": ["a", "b"], "distortion_names": ["a"], "severities": [1, 2]},
            "lists of the same length",
        ),
        ({"distortion_classes": "a", "distortion_names": "a", "severities": 1}, "lists of the same length"),
        ({"distortions_A": [1]}, "field distortions_A is [1]; expected an object"),
        ({"A_better_B": "yes"}, "field A_better_B is 'yes'; expected bool"),
        ({"A_better_B": True}, "field labels.preference.among.1 is 'B'"),
    ],
)
def test_malformed_records_say_where_and_why(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(**given)
    assert str(caught.value).startswith("q.json, record 1: ")
    assert message in str(caught.value).replace("[]", "()").replace("without reference", "with no reference")


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (plain(media=(medium("frame"),), messages=(said("user", "@frame", "Good?"),)), "has the image frame"),
        (plain(media=(medium(kind="video"),)), "has the video A"),
        (plain(media=(medium("ref"),), messages=(said("user", "@ref", "Good?"),)), "has a reference only"),
        (plain(messages=(said("user", "Good?", "@A"),)), "does not start with its media"),
        (plain(messages=(said("user", "@A", "Is ", "@A", "good?"),)), "turn 1 is not one text"),
        (plain(messages=(said("user", "@A"),)), "turn 1 is not one text"),
        (plain(messages=()), "has no messages"),
    ],
)
def test_what_depictqa_cannot_express_is_refused(sample: Sample, message: str) -> None:
    with pytest.raises(DataError, match=f"sample one: .*{message}"):
        DEPICTQA.row(sample)
