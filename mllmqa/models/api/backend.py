"""A model behind an endpoint as a back end: the same protocol as for a model on this machine."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mllmqa import prompts
from mllmqa.errors import (
    ApiAuthError,
    InferenceError,
    LevelTokenError,
    MllmqaError,
    error_line,
)
from mllmqa.models.api import probe
from mllmqa.models.api.cache import AnswerCache, key_of
from mllmqa.models.api.messages import (
    BEGIN,
    CHAT,
    DECISIONS,
    FRAME,
    ONE_WORD,
    Dialect,
    Picture,
    chat_body,
    hashed,
    level_body,
)
from mllmqa.models.api.meter import Meter, Usage
from mllmqa.models.api.options import ApiOptions
from mllmqa.models.api.pictures import data_url, probe_picture
from mllmqa.models.api.readout import of_chat, of_decision, text_of
from mllmqa.models.api.talking import Talks, Wish
from mllmqa.models.api.transport import Pacing, Transport, tokens_of
from mllmqa.models.base import LevelLogits, ModelInfo, Request, Spoken, Turn
from mllmqa.models.resolve import ModelSource
from mllmqa.prompts import Prompt

if TYPE_CHECKING:
    from mllmqa.answer_schema import AnswerSchema

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ChatAnswer:
    """An answer in words.

    Attributes:
        text: What the model said.
        tokens_in: Tokens of the request, as the endpoint counts them; None where it does not say.
        tokens_out: Tokens of the answer.
        from_cache: Whether it was there already, so that it cost nothing now.
        truncated: Whether it was cut off by its length.
    """

    text: str
    tokens_in: int | None
    tokens_out: int | None
    from_cache: bool
    truncated: bool = False


class ApiBackend:
    """See :class:`mllmqa.models.base.Backend`; use :meth:`connect`.

    Args:
        model: As the endpoint calls it.
        options: Limits and readout.
        transport: Sends calls.
        cache: Paid answers.
        meter: Counts.
    """

    native_video = True
    """Frames are sent as pictures with their times, in one message."""

    def __init__(
        self, model: str, options: ApiOptions, transport: Transport, cache: AnswerCache, meter: Meter
    ) -> None:
        self.model, self.options = model, options
        self._transport, self._cache, self._meter = transport, cache, meter
        self._pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix="mllmqa-api")
        self._other_model_told = False
        self._rejected: set[str] = set()
        self.batch_size = 2 * options.concurrency
        self.dialect = Dialect("text")
        self.info = ModelInfo(f"api:{model}", None, None, None, "unknown", "api", base_url=transport.url)

    @classmethod
    def connect(cls, source: ModelSource, options: ApiOptions, pacing: Pacing | None = None) -> ApiBackend:
        """Open the cache, read the key, and find out what the endpoint can do.

        Raises:
            MissingExtraError: No openai package.
            UsageError: A malformed option, or a cache that cannot be used.
            ApiError: The endpoint cannot be used.
        """
        options.check()
        meter = Meter(options.budget, options.price)
        transport = Transport(options, meter, pacing)
        backend = cls(source.location, options, transport, AnswerCache(options.cache_file()), meter)
        try:
            backend._probe(prompts.render(prompts.load(source.preset.aspects["quality"]), medium="image"))
        except BaseException:
            backend.close()
            raise
        return backend

    @property
    def usage(self) -> Usage:
        """What the run has sent and is charged for so far."""
        window = self._transport.window
        return replace(self._meter.usage, at_once=window.highest, cuts=window.cuts)

    def close(self) -> None:
        """Close connections and cache."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._transport.close()
        self._cache.close()

    # ------------------------------------------------------------------ the probe

    def _probe(self, prompt: Prompt) -> None:
        words = prompts.level_scale().words
        picture = probe_picture()
        request = Request(prompt, (), encoded=(picture,))
        asked = {"probe": [self.model, self.options.readout, prompt.sha256, *words, hashed(picture)]}
        key = key_of(self._transport.url, "probe", asked)
        kept = self._cache.endpoint(key)
        if kept is None:
            found = probe.find_dialect(
                lambda dialect: self._ask_level(request, words, dialect),
                self.options.readout,
                words,
                self.info.model,
            )
            self._cache.keep_endpoint(key, asdict(found))
        else:
            found = Dialect(**kept)
        self._transport.probing = False
        self.dialect = found
        self.info = replace(
            self.info, revision=found.served, settings_sha256=self._settings(found), readout=found.name
        )

    def _settings(self, dialect: Dialect) -> str:
        """Hash all of a request's parameters that its pictures and question do not show."""
        own = [prompts.load(name).model_dump() for name in (ONE_WORD, BEGIN, FRAME)]
        text = json.dumps([asdict(replace(dialect, served=None)), self.options.max_tokens, own], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    # ------------------------------------------------------------------ level logits

    def check_words(self, prompt: Prompt, words: Sequence[str]) -> None:
        """Raise LevelTokenError unless ``words`` can be told apart in an answer, whatever their case."""
        if len({word.casefold() for word in words}) != len(words) or any(" " in word for word in words):
            raise LevelTokenError(
                "level words differ in case only, or are several words",
                where=self.info.model,
                expected="single words",
            )

    def level_logits(self, requests: Sequence[Request], words: Sequence[str]) -> list[LevelLogits | MllmqaError]:
        """Return the level words' logits of each request, or why there are none.

        Raises:
            ApiAuthError: The endpoint refuses the key, and nothing of this batch was answered.
        """
        if self._transport.refused is not None:
            raise self._transport.refused
        results = self._each(requests, lambda request: self._level(request, words))
        refused = next((r for r in results if isinstance(r, ApiAuthError)), None)
        if refused is not None and not any(isinstance(r, LevelLogits) for r in results):
            raise refused
        return results

    def _level(self, request: Request, words: Sequence[str]) -> LevelLogits:
        answer = self._ask_level(request, words, self.dialect)
        self._compare_model(answer)
        if self.dialect.readout == "decisions":
            return of_decision(answer, words, self.info.model)
        return of_chat(answer, words, self.info.model, logprobs=self.dialect.readout == "logprobs")

    def _ask_level(self, request: Request, words: Sequence[str], dialect: Dialect) -> dict[str, Any]:
        path = DECISIONS if dialect.readout == "decisions" else CHAT
        return self._ask(
            path, lambda p: level_body(self.model, request, words, dialect, p, self.options.max_tokens)
        )[0]

    def _ask(
        self, path: str, body: Callable[[Picture], dict[str, Any]], repeat: int = 0
    ) -> tuple[dict[str, Any], bool]:
        """Return the answer to a body, and whether it came from the cache; each repeat is kept by itself."""
        key = key_of(self._transport.url, path, body(hashed) | ({"repeat": repeat} if repeat else {}))
        answer, kept = self._cache.answer(key, self.model, lambda: self._transport.post(path, body(data_url)))
        if kept:
            self._meter.count(from_cache=1)
        return answer, kept

    def _compare_model(self, answer: dict[str, Any]) -> None:
        served = answer.get("model")
        if served != self.dialect.served and self.dialect.served and not self._other_model_told:
            self._other_model_told = True
            log.warning(
                "%s: the endpoint now answers with %.80r, its records say %r: delete its cache to start anew",
                self.info.model, served, self.dialect.served,
            )  # fmt: skip

    # ------------------------------------------------------------------ text

    def generate(self, requests: Sequence[Request], max_new_tokens: int = 128) -> list[str]:
        """Continue each request's answer and return the new text.

        Raises:
            MllmqaError: The first failure, once all requests were tried; the other answers are kept.
        """
        return [answer.text for answer in self.answers(requests, max_new_tokens)]

    def answers(self, requests: Sequence[Request], max_new_tokens: int = 128) -> list[ChatAnswer]:
        """Like :meth:`generate`, with token counts."""
        answers = []
        for result in self.outcomes(requests, max_new_tokens):
            if isinstance(result, MllmqaError):
                raise result
            answers.append(result)
        return answers

    def outcomes(self, requests: Sequence[Request], max_new_tokens: int = 128) -> list[ChatAnswer | MllmqaError]:
        """Like :meth:`answers`, with the failure of each request in its place."""
        return self._each(requests, lambda request: self._chat(request, max_new_tokens))

    def _chat(self, request: Request, max_tokens: int) -> ChatAnswer:
        answer, kept = self._ask(
            CHAT, lambda p: chat_body(self.model, request, self.dialect, p, max_tokens), request.repeat
        )
        text = text_of(answer, self.info.model)
        sent, said = tokens_of(answer) or (None, None)
        cut = answer["choices"][0].get("finish_reason") == "length"
        return ChatAnswer(text.removeprefix(request.prompt.answer), sent, said, kept, cut)

    def talk(
        self,
        turns: Sequence[Turn],
        *,
        max_new_tokens: int = 256,
        start: str = "",
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        schema: AnswerSchema | None = None,
    ) -> Spoken:
        """Answer the last turn greedily; see :meth:`mllmqa.models.base.Backend.talk`.

        An answer that was paid for before comes as one piece. A cancelled one is not kept. With a schema the
        endpoint is told to hold the answer to it (``response_format``); whether it did, the answer shows.
        """
        talks = Talks(self.model, self.dialect, self._transport, self._cache, self._meter, self._rejected)
        return talks.talk(turns, Wish(max_new_tokens, start, schema), on_text, cancelled)

    def _each(self, requests: Sequence[Request], ask: Callable[[Request], _Result]) -> list[_Result | MllmqaError]:
        """Ask about all requests at once, as many in flight as wanted; a failure costs its own request only.

        On Ctrl-C nothing new is sent, and what is in flight is waited for: it is paid for, so it is kept. A single
        request of a thread that no Ctrl-C reaches is asked in that thread.
        """

        def one(request: Request) -> _Result | MllmqaError:
            try:
                return ask(request)
            except MllmqaError as error:
                return error
            except Exception as error:  # noqa: BLE001 - an answer of a kind that nobody foresaw becomes a record
                return InferenceError(f"an answer could not be used: {error_line(error)}", where=self.info.model)

        if len(requests) == 1 and threading.current_thread() is not threading.main_thread():
            return [one(requests[0])]
        futures = [self._pool.submit(one, request) for request in requests]
        try:
            return [future.result() for future in futures]
        except BaseException:
            self._transport.stop()
            for future in futures:
                future.cancel()
            wait(futures)
            self._transport.stop(False)
            raise
