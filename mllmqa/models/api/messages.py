"""A request as the body of a call: chat messages with pictures, or the input of a decision.

Bodies are built twice, once with the pictures and once with their hashes in their place, for the cache's key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mllmqa import prompts
from mllmqa.models.api.pictures import as_png
from mllmqa.models.base import EncodedImage, Request, Turn

if TYPE_CHECKING:
    from mllmqa.answer_schema import AnswerSchema

Picture = Callable[[EncodedImage], str]
"""A picture → the URL that stands for it in a body."""

CHAT, DECISIONS = "chat/completions", "decisions"
ONE_WORD, BEGIN, FRAME = "api/one-word", "api/begin", "api/frame"
WORD_TOKENS = 16
"""Length of an answer whose first word counts; a level word and its full stop need no more."""


@dataclass(frozen=True)
class Dialect:
    """How one endpoint wants to be asked, as its probe found out.

    Attributes:
        readout: How level scores are read.
        prefill: Whether it continues an answer that we start (``continue_final_message``, as vLLM has it).
        token_field: How it calls the limit of an answer's length.
        temperature: Whether it accepts ``temperature: 0``; models that reason refuse it.
        top: Most likely tokens to ask for.
        served: The model that answered, by its own name.
    """

    readout: Literal["decisions", "logprobs", "text"]
    prefill: bool = False
    token_field: str = "max_completion_tokens"  # noqa: S105 - a name, not a secret
    temperature: bool = True
    top: int = 20
    served: str | None = None

    @property
    def name(self) -> str:
        """As provenance has it, e.g. ``logprobs:prefilled``."""
        if self.readout != "logprobs":
            return self.readout
        return "logprobs:prefilled" if self.prefill else "logprobs:one-word"


def files_of(request: Request) -> tuple[EncodedImage, ...]:
    """Return the pictures of a request as files; PNG of the views where it has none."""
    return tuple(as_png(image) for image in request.images) if request.encoded is None else request.encoded


def hashed(picture: EncodedImage) -> str:
    """Return what stands for a picture in a key."""
    return f"{picture.mime};sha256={picture.sha256}"


def _say(prompt_id: str, **variables: Any) -> str:
    return prompts.render(prompts.load(prompt_id), **variables).question


def level_body(
    model: str, request: Request, words: Sequence[str], dialect: Dialect, picture: Picture, max_tokens: int
) -> dict[str, Any]:
    """Return the body of a call that asks for one level word.

    Args:
        model: As the endpoint calls it.
        request: Question and pictures.
        words: Level words, best first.
        dialect: How the endpoint wants it.
        picture: What stands for a picture.
        max_tokens: Length of an answer that is read as text.
    """
    if dialect.readout == "decisions":
        return _decision_body(model, request, words, picture)
    if dialect.prefill:
        return _with_limits(_started(model, request, picture), dialect, WORD_TOKENS)
    body = {"model": model, "messages": _messages(request, f"\n{_say(ONE_WORD, words=', '.join(words))}", picture)}
    return _with_limits(body, dialect, WORD_TOKENS if dialect.readout == "logprobs" else max_tokens)


def chat_body(model: str, request: Request, dialect: Dialect, picture: Picture, max_tokens: int) -> dict[str, Any]:
    """Return the body of a call that asks for an answer in words."""
    plain = Dialect("text", dialect.prefill, dialect.token_field, dialect.temperature)
    start = request.prompt.answer
    if start and dialect.prefill:
        return _with_limits(_started(model, request, picture), plain, max_tokens)
    more = f"\n{_say(BEGIN, start=start)}" if start else ""
    return _with_limits({"model": model, "messages": _messages(request, more, picture)}, plain, max_tokens)


def talk_body(
    model: str, turns: Sequence[Turn], start: str, dialect: Dialect, picture: Picture, max_tokens: int
) -> dict[str, Any]:
    """Return the body of a call that asks for the next answer of a talk.

    Args:
        model: As the endpoint calls it.
        turns: So far; the last is the user's.
        start: Of the answer.
        dialect: How the endpoint wants it. Log-probabilities are asked for unless it gives words only.
        picture: What stands for a picture.
        max_tokens: Length of the answer.
    """
    messages = [_turn(turn, picture) for turn in turns]
    body: dict[str, Any] = {"model": model, "messages": messages}
    if start and dialect.prefill:
        messages.append({"role": "assistant", "content": start})
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    elif start:
        messages[-1]["content"].append({"type": "text", "text": _say(BEGIN, start=start)})
    body = _with_limits(body, replace(dialect, readout="text"), max_tokens)
    return body if dialect.readout == "text" else body | {"logprobs": True}


def response_format(schema: AnswerSchema | None) -> dict[str, Any]:
    """Return what a body says of its answer's schema; nothing without one, so that older keys stay as they are."""
    if schema is None:
        return {}
    wanted = {"name": schema.label, "schema": dict(schema.body), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


def _turn(turn: Turn, picture: Picture) -> dict[str, Any]:
    if turn.role == "assistant":
        return {"role": "assistant", "content": "".join(str(part) for part in turn.content)}
    files = iter(tuple(as_png(image) for image in turn.pictures) if turn.encoded is None else turn.encoded)
    parts = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": picture(next(files)), "detail": "high"}}
        for part in turn.content
    ]
    return {"role": "user", "content": parts}


def _started(model: str, request: Request, picture: Picture) -> dict[str, Any]:
    answer = {"role": "assistant", "content": request.prompt.answer}
    body = {"model": model, "messages": [*_messages(request, "", picture), answer]}
    return body | {"add_generation_prompt": False, "continue_final_message": True}


def _with_limits(body: dict[str, Any], dialect: Dialect, max_tokens: int) -> dict[str, Any]:
    body[dialect.token_field] = max_tokens
    if dialect.temperature:
        body["temperature"] = 0
    if dialect.readout == "logprobs":
        body |= {"logprobs": True, "top_logprobs": dialect.top}
    return body


def _messages(request: Request, more: str, picture: Picture) -> list[dict[str, Any]]:
    """Return the conversation; ``more`` is said behind its last text."""
    if request.messages is None:
        text = {"type": "text", "text": request.prompt.question + more}
        return [{"role": "user", "content": [*_pictures(labelled(request), picture), text]}]
    shown, made = labelled(request), list[dict[str, Any]]()
    for message in request.messages:
        parts: list[dict[str, Any]] = []
        for part in message.content:
            if part is None:
                taken = len(shown) if request.clip is not None else 1
                parts += _pictures(shown[:taken], picture)
                shown = shown[taken:]
            else:
                parts.append({"type": "text", "text": part})
        plain = message.role != "user"  # endpoints take parts of a user's message only
        text_only = "".join(part.get("text", "") for part in parts)
        made.append({"role": message.role, "content": text_only if plain else parts})
    if more:
        made[-1]["content"] = [*made[-1]["content"], {"type": "text", "text": more.lstrip("\n")}]
    return made


def _pictures(shown: list[tuple[str, EncodedImage]], picture: Picture) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for label, file in shown:
        parts += [{"type": "text", "text": label}] if label else []
        # "high" is the most that every endpoint knows; the default of some is "low", one thumbnail.
        parts.append({"type": "image_url", "image_url": {"url": picture(file), "detail": "high"}})
    return parts


def labelled(request: Request) -> list[tuple[str, EncodedImage]]:
    """Return the pictures with the text in front of each: its label, or the time of a video's frame."""
    files = files_of(request)
    if request.clip is None:
        return list(zip(request.labels or [""] * len(files), files, strict=True))
    times, total = request.clip.timestamps_s, len(files)
    return [
        (_say(FRAME, number=i, total=total, time_s=f"{t:.2f}"), file)
        for i, (t, file) in enumerate(zip(times, files, strict=True), 1)
    ]


def _decision_body(model: str, request: Request, words: Sequence[str], picture: Picture) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    for label, file in labelled(request):
        parts += [{"type": "input_text", "text": label}] if label else []
        parts.append({"type": "input_image", "image_url": picture(file), "detail": "original"})
    levels = [{"label": word} for word in reversed(words)]  # ordered, worst first
    question = {"type": "score", "name": "level", "instructions": request.prompt.question, "levels": levels}
    message = {"type": "message", "role": "user", "content": parts}
    return {"model": model, "input": [message], "questions": [question]}
