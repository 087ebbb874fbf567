"""A conversation as an endpoint gets it: texts and pictures in their order, roles as they are."""

from __future__ import annotations

import numpy as np

from mllmqa.models.api.messages import Dialect, chat_body, hashed, level_body
from mllmqa.models.base import ChatMessage, Clip, Request
from mllmqa.prompts import Prompt

IMAGES = tuple(np.full((8, 8, 3), value, np.uint8) for value in (1, 2))
PROMPT = Prompt("t", "0", "Why?", "")
TALK = (
    ChatMessage("system", ("You judge.",)),
    ChatMessage("user", ("Image A:", None, "Image B:", None, "Which?")),
    ChatMessage("assistant", ("A.",)),
    ChatMessage("user", ("Why?",)),
)


def test_texts_stand_between_pictures() -> None:
    body = chat_body("eye", Request(PROMPT, IMAGES, messages=TALK), Dialect("text"), hashed, 9)
    system, user, answer, last = body["messages"]
    assert system == {"role": "system", "content": "You judge."}
    assert answer == {"role": "assistant", "content": "A."}
    assert last == {"role": "user", "content": [{"type": "text", "text": "Why?"}]}
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    urls = [part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url"]
    assert len(set(urls)) == 2


def test_the_frames_of_a_clip_stand_in_its_place() -> None:
    talk = (ChatMessage("user", ("Clip:", None, "Well?")),)
    request = Request(PROMPT, IMAGES, clip=Clip((0.0, 0.5), 1.0), messages=talk)
    (user,) = chat_body("eye", request, Dialect("text"), hashed, 9)["messages"]
    assert [part["type"] for part in user["content"]] == ["text", "text", "image_url", "text", "image_url", "text"]


def test_one_of_the_words_is_asked_for_behind_the_last_text() -> None:
    request = Request(PROMPT, IMAGES, messages=TALK)
    for readout in ("text", "logprobs"):
        body = level_body("eye", request, ("A", "B"), Dialect(readout), hashed, 9)  # type: ignore[arg-type]
        assert "A, B" in body["messages"][-1]["content"][-1]["text"]


def test_without_messages_nothing_changes() -> None:
    body = chat_body("eye", Request(PROMPT, IMAGES), Dialect("text"), hashed, 9)
    (user,) = body["messages"]
    assert [part["type"] for part in user["content"]] == ["image_url", "image_url", "text"]
