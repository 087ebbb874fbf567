"""A conversation as the text that a model reads: one function for training, chat and evaluation.

Turns are messages as chat templates take them: ``{"role": …, "content": [{"type": "text", "text": …} |
{"type": "image" | "video"}]}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mllmqa.errors import ModelLoadError
from mllmqa.models.base import ChatMessage
from mllmqa.models.presets import Preset, lay_out

Turn = dict[str, Any]


def turns_of(messages: Sequence[ChatMessage], medium: str) -> list[Turn]:
    """Return messages as templates take them.

    Args:
        messages: Up to the last question.
        medium: What stands for a picture: ``image`` or ``video``.
    """
    return [
        {
            "role": message.role,
            "content": [{"type": medium} if p is None else {"type": "text", "text": p} for p in message.content],
        }
        for message in messages
    ]


def rendered(processor: Any, preset: Preset, turns: Sequence[Turn], *, generate: bool, where: str = "") -> str:
    """Return what the processor's chat template makes of turns.

    Args:
        processor: With a chat template.
        preset: Its arguments for the template are used.
        turns: At least one.
        generate: Whether the text ends where an answer begins.
        where: Name of the model, for messages.

    Raises:
        ModelLoadError: The template fails on them.
    """
    how = {"add_generation_prompt": generate, "tokenize": False, **preset.template_arguments}
    try:
        return str(processor.apply_chat_template(list(turns), **how))
    except Exception as error:
        raise ModelLoadError(
            f"its chat template fails: {type(error).__name__}: {error}",
            where=where or None,
            expected="one that takes a user's turn with a picture and a text",
        ) from error


def head(processor: Any, preset: Preset, turns: Sequence[Turn], where: str = "") -> str:
    """Return the text in front of an answer: the preset's layout for a single question, else the chat template."""
    layout = preset.layout
    if layout is None or [turn["role"] for turn in turns] != ["user"]:
        return rendered(processor, preset, turns, generate=True, where=where)
    parts = turns[0]["content"]
    tags = [processor.image_token for part in parts if part["type"] != "text"]
    question = "".join(part["text"] for part in without_media(parts))
    return lay_out(layout, media=preset.media_separator.join(tags), question=question, answer="")


def separator(preset: Preset, text: str) -> str:
    """Return what stands between the generation prompt, the end of ``text``, and an answer."""
    if preset.answer_separator is not None:
        return preset.answer_separator
    return "" if text[-1:].isspace() else " "


def started(processor: Any, preset: Preset, turns: Sequence[Turn], start: str, where: str = "") -> str:
    """Return the text up to the end of an answer's start; without one, up to where a first word brings its space.

    Raises:
        ModelLoadError: As :func:`rendered`.
    """
    text = head(processor, preset, turns, where)
    if start:
        return f"{text}{separator(preset, text)}{start}"
    return text.rstrip(" ") if preset.layout is not None else text


def media_in(turns: Sequence[Turn]) -> int:
    """Return how many pictures or clips turns show."""
    return sum(part["type"] != "text" for turn in turns for part in turn["content"])


def without_media(parts: Sequence[Turn]) -> list[Turn]:
    """The texts that stay where all media go in front: not those that name the medium behind them ("Image A:")."""
    following = [*(part["type"] for part in parts[1:]), "text"]
    return [
        part
        for part, after in zip(parts, following, strict=True)
        if part["type"] == "text" and (after == "text" or not part["text"].rstrip().endswith(":"))
    ]
