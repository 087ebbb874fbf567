"""Answers in a model's own words: what it is shown, and what is left out where it is too much."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.asking.speaking import user_turn
from mllmqa.chatting import Question
from mllmqa.chatting.plain import PlainTalk
from mllmqa.chatting.session import ChatFile, Exchange
from mllmqa.errors import MediaLimitError, MediaNotFoundError, UsageError
from mllmqa.loading import load
from mllmqa.media import open_media
from mllmqa.models.base import Turn
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.conftest import photo_pixels
from tests.media.made import make_video


def _file(key: str, path: Path | str) -> ChatFile:
    return ChatFile(key, str(path), open_media(str(path), name=str(path)).info)


def _texts(turn: Turn) -> list[str]:
    return [part for part in turn.content if isinstance(part, str)]


def test_one_picture_has_no_name_and_two_have(nano: Scorer, pair: tuple[str, str]) -> None:
    talk = PlainTalk()
    a, b = (talk.shown(nano, _file(key, path), None) for key, path in zip("AB", pair, strict=True))
    assert _texts(user_turn([a], "why?")) == ["why?"]
    assert _texts(user_turn([a, b], "why?")) == ["Image A:", "Image B:", "why?"]
    assert talk.shown(nano, _file("A", pair[0]), None) is a


def test_frames_are_named_with_their_times(nano: Scorer, tmp_path: Path) -> None:
    clip = _file("A", make_video(tmp_path / "clip.mp4", 20))
    shown = PlainTalk().shown(nano, clip, "uniform:2")
    first, second, question = _texts(user_turn([shown], "when?"))
    assert question == "when?"
    assert "A" in first
    assert first != second
    assert [f"{t:.1f}" in name for t, name in zip(shown.times_s, (first, second), strict=True)] == [True, True]


def test_nano_answers_each_question_by_itself(nano: Scorer, pair: tuple[str, str]) -> None:
    files = (_file("A", pair[0]),)
    told: list[str] = []
    alone = PlainTalk()(nano, Question("Rate the quality of this image.", files, on_text=told.append))
    assert alone.text == "".join(told).rstrip()
    assert alone.text
    assert alone.confidence is not None
    assert 0 < alone.confidence < 1
    history = (Exchange("Is it sharp?", "No."),)
    assert not nano.preset.history
    assert PlainTalk()(nano, Question("Rate the quality of this image.", files, history)) == alone


def test_cancelled_before_the_first_word(nano: Scorer, pair: tuple[str, str]) -> None:
    reply = PlainTalk()(nano, Question("Rate it.", (_file("A", pair[0]),), cancelled=lambda: True))
    assert (reply.text, reply.finished, reply.confidence) == ("", "cancelled", None)


def test_no_file_and_a_file_that_is_gone(nano: Scorer, pair: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="no image or video to talk about"):
        PlainTalk()(nano, Question("why?", ()))
    file = _file("A", pair[0])
    Path(pair[0]).unlink()
    with pytest.raises(MediaNotFoundError):
        PlainTalk()(nano, Question("why?", (file,)))


# ---------------------------------------------------------------- a model with a short memory


def _tiny(place: Path, positions: int) -> Scorer:
    if not place.is_dir():
        tiny_models.build("llava", place)
    path = place / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["text_config"]["max_position_embeddings"] = positions
    path.write_text(json.dumps(config), encoding="utf-8")
    return load(str(place), device="cpu")


def _tokens(scorer: Scorer, place: Path, question: Question) -> int:
    """How many tokens a question is: what the error of a model with one position says."""
    with pytest.raises(MediaLimitError) as caught:
        PlainTalk()(_tiny(place, 1), Question(question.text, question.files[:1], frames="uniform:1"))
    return int(caught.value.what.split(" are ")[1].split(" ")[0])


def test_earlier_questions_go_first_then_frames(tmp_path: Path) -> None:
    place = tmp_path / "tiny"
    clip = _file("A", make_video(tmp_path / "clip.mp4", 40))
    question = Question("why?", (clip,), (Exchange("one?" * 20, "so."),), "uniform:4", max_new_tokens=2)
    roomy = PlainTalk()(_tiny(place, 4096), question)
    assert roomy.notes == ()
    one = _tokens(_tiny(place, 4096), place, question)
    (name,) = {name for name, *_ in PlainTalk().shown(_tiny(place, 4096), clip, "uniform:1").parts}
    each = 9 + len(name)  # tokens of a picture, and its name in bytes
    less = PlainTalk()(_tiny(place, one + 4 * each + 20), question)
    assert less.notes == ("earlier questions did not fit into the model",)
    least = PlainTalk()(_tiny(place, one + 2 * each + 4), question)
    assert least.notes[0] == "earlier questions did not fit into the model"
    assert least.notes[1].startswith("frames kept: A at 0.")
    assert least.notes[1].count(".") == 2  # two times
    with pytest.raises(MediaLimitError):
        PlainTalk()(_tiny(place, 5), question)


def test_a_picture_that_is_too_long_by_itself(tmp_path: Path) -> None:
    Image.fromarray(photo_pixels(64, 48)).save(tmp_path / "a.png")
    scorer = _tiny(tmp_path / "tiny", 8)
    with pytest.raises(MediaLimitError, match="the model has positions for 8"):
        PlainTalk()(scorer, Question("why?", (_file("A", tmp_path / "a.png"),)))
