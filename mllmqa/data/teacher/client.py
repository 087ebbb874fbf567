"""A teacher behind an OpenAI-compatible endpoint: one question, one answer in JSON, paid for once.

Calls, retries, budget and cache are those of :mod:`mllmqa.models.api`. How the endpoint wants to be asked is found
out with the first question, which is asked alone: a parameter that it rejects is replaced or left out.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from mllmqa.data.teacher.prompt import Told
from mllmqa.data.teacher.shown import Shown, sending_plan
from mllmqa.errors import (
    ApiAuthError,
    ApiError,
    ApiModelError,
    ApiRejectedError,
    ApiUnreachableError,
    UsageError,
)
from mllmqa.models.api.cache import AnswerCache, key_of
from mllmqa.models.api.messages import CHAT, Picture, hashed, labelled
from mllmqa.models.api.meter import Meter, Usage
from mllmqa.models.api.options import ApiOptions
from mllmqa.models.api.pictures import data_url
from mllmqa.models.api.readout import text_of
from mllmqa.models.api.transport import Pacing, Transport
from mllmqa.models.resolve import API_PREFIX

_FORMATS = ("response_format", "json_schema", "json_object", "schema", "grammar", "guided")


@dataclass(frozen=True)
class Manner:
    """How one endpoint wants to be asked for JSON.

    Attributes:
        form: ``schema``: it is held to our keys; ``object``: to some JSON object; ``text``: it is only told so.
        token_field: How it calls the limit of an answer's length.
        temperature: Whether it accepts one; models that reason refuse it.
    """

    form: Literal["schema", "object", "text"] = "schema"
    token_field: str = "max_completion_tokens"  # noqa: S105 - a name, not a secret
    temperature: bool = True


@dataclass(frozen=True)
class Answer:
    """What a teacher said.

    Attributes:
        text: As it came.
        truncated: Whether it was cut off by its length.
        teacher: The model, with the name that it gave itself where that is another.
        from_cache: Whether it was there already.
    """

    text: str
    truncated: bool
    teacher: str
    from_cache: bool


class Teacher:
    """An endpoint that rewrites answers; thread-safe. Use :meth:`connect`.

    Args:
        model: As the endpoint calls it.
        options: Endpoint, limits, cache.
        frames: Frame rule for videos; None: that of models behind an endpoint.
        pacing: Time.
    """

    def __init__(
        self, model: str, options: ApiOptions, frames: str | None = None, pacing: Pacing | None = None
    ) -> None:
        self.model, self.options = model, options
        self._meter = Meter(options.budget, options.price)
        self._transport = Transport(options, self._meter, pacing)
        self._transport.probing = False  # every question goes the same way: a refused key is refused for good
        self.plan = sending_plan(self.name, self._transport.url, frames)
        self._cache = AnswerCache(options.cache_file())
        self._manner_key = key_of(self._transport.url, "teach", {"model": model})
        kept = self._cache.endpoint(self._manner_key)
        self._manner, self._settled = Manner(**kept) if kept else Manner(), threading.Event()
        if kept:
            self._settled.set()
        self._first = threading.Lock()
        self.failed: ApiError | None = None
        """Why no question could be asked at all: every other would fail as well."""

    @classmethod
    def connect(
        cls, name: str, options: ApiOptions, frames: str | None = None, pacing: Pacing | None = None
    ) -> Teacher:
        """Open the cache and read the key; nothing is sent yet.

        Args:
            name: ``api:MODEL``.
            options: Endpoint, limits, cache.
            frames: Frame rule for videos.
            pacing: Time.

        Raises:
            MissingExtraError: No openai package.
            UsageError: A malformed option, no model behind an endpoint, or a cache that cannot be used.
            ApiAuthError: OpenAI's own endpoint without a key.
        """
        if not name.startswith(API_PREFIX) or name == API_PREFIX:
            raise UsageError(f"the teacher is {name!r}", expected="api:MODEL, a model behind an endpoint")
        options.check()
        return cls(name.removeprefix(API_PREFIX), options, frames, pacing)

    @property
    def name(self) -> str:
        """With ``api:``."""
        return API_PREFIX + self.model

    @property
    def usage(self) -> Usage:
        """What the run has sent and is charged for so far."""
        window = self._transport.window
        return replace(self._meter.usage, at_once=window.highest, cuts=window.cuts)

    def stop(self, stopped: bool = True) -> None:
        """Send nothing new; what is in flight is still read, for it is paid for."""
        self._transport.stop(stopped)

    def close(self) -> None:
        """Close connections and cache."""
        self._transport.close()
        self._cache.close()

    def ask(self, told: Told, shown: Sequence[Shown]) -> Answer:
        """Ask for one answer.

        Args:
            told: Texts.
            shown: Media, in order.

        Raises:
            ApiError: There is none; see :mod:`mllmqa.errors`.
        """
        if self._settled.is_set():
            return self._ask(told, shown, self._manner)
        with self._first:
            while not self._settled.is_set():
                if self.failed is not None:
                    raise self.failed
                try:
                    answer = self._ask(told, shown, self._manner)
                except ApiRejectedError as error:
                    changed = _substitute(self._manner, error.what)
                    if changed is None:
                        raise
                    self._manner = changed
                    continue
                except (ApiAuthError, ApiModelError, ApiUnreachableError) as error:
                    self.failed = error
                    raise
                self._cache.keep_endpoint(self._manner_key, asdict(self._manner))
                self._settled.set()
                return answer
        return self._ask(told, shown, self._manner)

    def _ask(self, told: Told, shown: Sequence[Shown], manner: Manner) -> Answer:
        def body(picture: Picture) -> dict[str, Any]:
            return _body(self.model, told, shown, manner, self.options.max_tokens, picture)

        # The texts are in the body, so the key holds truth, question and rules; ids and versions are added to it.
        key = key_of(self._transport.url, CHAT, {"teach": told.refs, **body(hashed)})
        answer, kept = self._cache.answer(key, self.model, lambda: self._transport.post(CHAT, body(data_url)))
        if kept:
            self._meter.count(from_cache=1)
        truncated = answer["choices"][0].get("finish_reason") == "length"
        return Answer(text_of(answer, self.name), truncated, self._named(answer), kept)

    def _named(self, answer: dict[str, Any]) -> str:
        served = answer.get("model")
        if not isinstance(served, str) or not served.isprintable() or served in ("", self.model):
            return self.name
        return f"{self.name} ({served[:200]})"


def _body(
    model: str, told: Told, shown: Sequence[Shown], manner: Manner, max_tokens: int, picture: Picture
) -> dict[str, Any]:
    """Return the body of a call."""
    content: list[dict[str, Any]] = []
    for one in shown:
        content.append({"type": "text", "text": told.name(one.key, one.role)})
        for label, file in labelled(one.request):
            content += [{"type": "text", "text": label}] if label else []
            content.append({"type": "image_url", "image_url": {"url": picture(file), "detail": "high"}})
    content.append({"type": "text", "text": told.task})
    messages = [{"role": "system", "content": told.system}, {"role": "user", "content": content}]
    body: dict[str, Any] = {"model": model, "messages": messages, manner.token_field: max_tokens}
    if manner.temperature:
        body["temperature"] = told.file.temperature
    if manner.form == "schema":
        schema = {
            "type": "object",
            "properties": {part: {"type": "string"} for part in told.file.parts},
            "required": list(told.file.parts),
            "additionalProperties": False,
        }
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": schema},
        }
    elif manner.form == "object":
        body["response_format"] = {"type": "json_object"}
    return body


def _substitute(manner: Manner, complaint: str) -> Manner | None:
    if manner.token_field in complaint and manner.token_field == "max_completion_tokens":  # noqa: S105
        return replace(manner, token_field="max_tokens")  # noqa: S106
    if "temperature" in complaint and manner.temperature:
        return replace(manner, temperature=False)
    if manner.form != "text" and any(word in complaint for word in _FORMATS):
        return replace(manner, form="object" if manner.form == "schema" else "text")
    return None
