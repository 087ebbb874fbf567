"""Turns as text: layouts for single questions, else chat templates; answer starts where training puts them."""

from __future__ import annotations

from typing import Any

import pytest

from mllmqa.errors import ModelLoadError
from mllmqa.models import turns
from mllmqa.models.base import ChatMessage
from mllmqa.models.presets import Preset, preset_named


class Template:
    """A processor of which only the chat template matters: a transcript with ``<image>`` for media."""

    image_token = "<image>"  # noqa: S105 - a placeholder

    def apply_chat_template(self, messages: list[dict[str, Any]], **how: Any) -> str:
        assert how["tokenize"] is False
        lines = []
        for message in messages:
            parts = [part["text"] if part["type"] == "text" else "<image>" for part in message["content"]]
            lines.append(f"{message['role']}: {''.join(parts)}")
        return "\n".join([*lines, "assistant:"] if how["add_generation_prompt"] else lines)


class Broken:
    """A processor whose template fails."""

    def apply_chat_template(self, messages: list[dict[str, Any]], **how: Any) -> str:
        raise KeyError("role")


def preset(**changes: Any) -> Preset:
    return preset_named("generic").model_copy(update=changes)


LAYOUT = "USER: {question} {media} ASSISTANT: {answer}"
PAIR = (ChatMessage("user", ("Image A:", None, "Image B:", None, "Which is better?")),)
TALK = (ChatMessage("user", (None, "Sharp?")), ChatMessage("assistant", ("No.",)), ChatMessage("user", ("Why?",)))


def test_messages_become_turns_with_their_media() -> None:
    (turn,) = turns.turns_of(PAIR, "image")
    assert [part["type"] for part in turn["content"]] == ["text", "image", "text", "image", "text"]
    assert turns.media_in([turn]) == 2
    (clip,) = turns.turns_of((ChatMessage("user", (None, "Well?")),), "video")
    assert clip == {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "Well?"}]}


def test_without_a_layout_texts_stand_between_pictures() -> None:
    text = turns.started(Template(), preset(), turns.turns_of(PAIR, "image"), "")
    assert text == "user: Image A:<image>Image B:<image>Which is better?\nassistant:"


def test_a_layout_has_all_media_in_its_place_and_no_names_of_them() -> None:
    made = preset(layout=LAYOUT, media_separator="+")
    text = turns.started(Template(), made, turns.turns_of(PAIR, "image"), "")
    assert text == "USER: Which is better? <image>+<image> ASSISTANT:"  # the first word brings its own space


def test_a_layout_has_room_for_one_question_only() -> None:
    text = turns.started(Template(), preset(layout=LAYOUT), turns.turns_of(TALK, "image"), "")
    assert text == "user: <image>Sharp?\nassistant: No.\nuser: Why?\nassistant:"


@pytest.mark.parametrize(
    ("separator", "end"), [(None, "assistant: It is"), ("", "assistant:It is"), ("\n", "assistant:\nIt is")]
)
def test_an_answer_start_stands_behind_its_separator(separator: str | None, end: str) -> None:
    made = preset(answer_separator=separator)
    assert turns.started(Template(), made, turns.turns_of(TALK, "image"), "It is").endswith(end)


def test_white_space_at_the_end_needs_no_separator() -> None:
    assert turns.separator(preset(), "assistant\n") == ""
    assert turns.separator(preset(), "ASSISTANT:") == " "


def test_a_template_that_fails_is_one_line() -> None:
    with pytest.raises(ModelLoadError, match="tiny: its chat template fails: KeyError: 'role'"):
        turns.head(Broken(), preset(), turns.turns_of(TALK, "image"), "tiny")


def test_texts_that_name_the_medium_behind_them_go_with_it() -> None:
    text = {"type": "text", "text": "Image A:"}
    question = {"type": "text", "text": "Is it this:"}
    assert turns.without_media([text, {"type": "image"}, question]) == [question]
    assert turns.without_media([question]) == [question]
    plain = {"type": "text", "text": "Look at this."}
    assert turns.without_media([plain, {"type": "image"}]) == [plain]
