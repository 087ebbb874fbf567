"""LLaVA: rows as the wild has them, the score with its scale, and tags that must agree with the media."""

from __future__ import annotations

from typing import Any

import pytest

from mllmqa.data.formats import FORMATS
from mllmqa.data.formats.form import Context
from mllmqa.data.ratings import RatingScale
from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Labels
from mllmqa.errors import DataError
from tests.data.samples_made import medium, mos, plain, said

LLAVA = FORMATS["llava"]


def row(human: str, gpt: str = "Good.", **more: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": human}, {"from": "gpt", "value": gpt}]
    return {"id": "r", "conversations": turns, **more}


def read(given: dict[str, Any], scale: RatingScale | None = None) -> Sample:
    return LLAVA.parse(given, Context("x.json, record 4", 4, scale))


def content(sample: Sample, turn: int = 0) -> list[str]:
    return [part.text if part.media is None else f"@{part.media}" for part in sample.messages[turn].content]  # type: ignore[misc]


def test_a_row_is_as_llava_reads_it() -> None:
    assert LLAVA.row(plain()) == {
        "id": "one",
        "image": "A.png",
        "conversations": [
            {"from": "human", "value": "<image>\nHow good is it?"},
            {"from": "gpt", "value": "Good."},
        ],
    }


def test_several_media_and_a_system_text() -> None:
    sample = plain(
        media=(medium("ref"), medium("A"), medium("clip", kind="video", path="c.mp4")),
        messages=(
            said("system", "Judge."),
            said("user", "First: ", "@ref", "@A", "then", "@clip"),
            said("assistant", "A."),
        ),
    )
    made = LLAVA.row(sample)
    assert (made["image"], made["video"], made["system_prompt"]) == (["ref.png", "A.png"], "c.mp4", "Judge.")
    assert made["conversations"][0]["value"] == "First: <image><image>\nthen<video>"


def test_one_score_goes_with_its_scale() -> None:
    sample = plain(labels=Labels(mos=(mos(40.0, low=0.0, high=100.0, std=9.0, direction="lower-better"),)))
    made = LLAVA.row(sample)
    assert made["gt_score"] == 40.0
    assert (made["gt_std"], made["gt_range"], made["gt_direction"]) == (9.0, [0.0, 100.0], "lower-better")
    assert read(made).labels == sample.labels
    two = plain(media=(medium(), medium("B")), labels=Labels(mos=(mos(), mos(media="B"))))
    assert "gt_score" not in LLAVA.row(two)
    other = plain(labels=Labels(mos=(mos(aspect="aesthetics"),)))
    assert "gt_score" not in LLAVA.row(other)


def test_a_score_without_scale_is_never_guessed() -> None:
    given = row("<image>How?", image="a.jpg", gt_score=2.8)
    with pytest.raises(DataError, match=r"x.json, record 4: field gt_score has no scale"):
        read(given)
    assert read(given, RatingScale("mos", 1, 5)).labels.mos == (mos(2.8),)
    (found,) = read(given, RatingScale("dmos", 0, 100)).labels.mos
    assert (found.direction, found.high) == ("lower-better", 100)
    for bad, field in ((7.0, "a number from 1 to 5"), ("2.82 ", "a valid number")):
        with pytest.raises(DataError, match=rf"field labels\.mos\.0\.value is .*{field}"):
            read({**given, "gt_score": bad}, RatingScale("mos", 1, 5))
    with pytest.raises(DataError, match="field gt_range is "):
        read({**given, "gt_range": [1], "gt_direction": "higher-better"})


def test_q_align_repeats_its_tag_for_the_frames_of_a_clip() -> None:
    sample = read(row("<|image|>" * 8 + "How good is the video?", image="v/1.mp4"))
    assert sample.media[0].kind == "video"
    assert content(sample) == ["@A", "How good is the video?"]


def test_vqa2_keeps_clips_without_ending_under_image() -> None:
    sample = read({**row("<image>\nRate it.", image="Gaming_360P-1"), "frames per sec": 30})
    assert (sample.media[0].kind, sample.media[0].path) == ("video", "Gaming_360P-1")
    assert read(row("<image>\nRate it.", image="no_extension")).media[0].kind == "image"


def test_co_instruct_numbers_its_tags() -> None:
    sample = read(row("first: <img0> second: <img1>\nWhich?", image=["a", "b"]))
    assert content(sample) == ["first: ", "@A", " second: ", "@B", "Which?"]


def test_the_same_file_again_is_the_same_medium() -> None:
    sample = read(row("<image>and<image>", image=["a.png", "a.png"]))
    assert content(sample) == ["@A", "and", "@A"]
    assert len(sample.media) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (row("How?", image="a.png"), "1 images without a tag"),
        (row("<image><image>", image="a.png"), "a tag <image> too many"),
        (row("<video>", image="a.png"), "a tag <video> too many"),
        (row("no media"), "field image is missing"),
        (row("<image>", image=3), "field image is 3; expected str or list"),
        (row("<image>", image=[3]), "field image holds a int; expected paths"),
        ({"id": "r", "image": "a"}, "field conversations is missing; expected list"),
        ({"id": "r", "image": "a", "conversations": ["hi"]}, "field conversations holds hi"),
        ({"id": "r", "image": "a", "conversations": [{"from": "cat", "value": "miau"}]}, "conversations holds"),
        (row("<image>", gpt="", image="a"), "field messages.1.content is ()"),
    ],
)
def test_malformed_rows_say_where_and_why(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(given)
    assert str(caught.value).startswith("x.json, record 4: ")
    assert message in str(caught.value).replace("[]", "()")


@pytest.mark.parametrize("text", ["look: <image>", "<video>", "<|image|>", "<img12>"])
def test_a_text_with_a_tag_cannot_be_exported(text: str) -> None:
    sample = plain(messages=(said("user", "@A", text), said("assistant", "Good.")))
    for name in ("llava", "sharegpt"):
        with pytest.raises(DataError, match="sample one: a text holds the tag <"):
            FORMATS[name].row(sample)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"messages": ()}, "has no messages"),
        ({"media": (medium(path=None, sha256="0" * 64),)}, "medium A has no path"),
        ({"messages": (said("assistant", "Good."),)}, "turn 1 is the assistant's"),
        ({"messages": (said("user", "@A"), said("user", "Good?"))}, "turn 2 is the user's"),
        ({"messages": (said("system", "@A"), said("user", "Good?"))}, "system message has media"),
    ],
)
def test_what_llava_cannot_express_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"sample one: .*{message}"):
        LLAVA.row(plain(**changes))


def test_ids_that_are_numbers_or_missing() -> None:
    assert read({**row("<image>", image="a"), "id": 17}).id == "17"
    given = row("<image>", image="a")
    del given["id"]
    assert read(given).id == "4"
