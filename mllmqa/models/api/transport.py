"""One call to an endpoint: tries, pauses, limits, and what each failure becomes.

The openai client sends and reads, JSON as it is (``client.post``): its typed requests and answers would double the
CPU time of a call. Its own retries are off, because ours are counted, logged and kept within the budget. How many
calls are in flight is adapted to what the endpoint bears. The key is read from the environment, given to the
client, and cut out of every text that leaves here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from mllmqa.errors import (
    ApiAnswerError,
    ApiAuthError,
    ApiError,
    ApiModelError,
    ApiRefusedError,
    ApiRejectedError,
    ApiUnreachableError,
    BudgetError,
    MissingExtraError,
)
from mllmqa.models.api.ear import Again, Cut, Ear
from mllmqa.models.api.messages import CHAT, DECISIONS
from mllmqa.models.api.meter import Meter
from mllmqa.models.api.options import OPENAI_URL, ApiOptions
from mllmqa.models.api.retry import (
    LOST_RETRIES,
    MAX_RETRY_AFTER_S,
    RETRIED,
    TOO_MANY,
    backoff_s,
    is_retried,
    retry_after_s,
)
from mllmqa.models.api.window import Window

log = logging.getLogger(__name__)

KEY_VARIABLE = "OPENAI_API_KEY"
MAX_BODY_BYTES = 16 << 20
_Read = TypeVar("_Read")
_FILTERED = ("content_filter", "content_policy_violation", "moderation_blocked")


@dataclass(frozen=True)
class Pacing:
    """Time, so that tests need not wait.

    Attributes:
        sleep: Waits that many seconds; None: a wait that :meth:`Transport.stop` ends.
        now_s: Seconds since 1970.
        jitter: 0 … 1.
    """

    sleep: Callable[[float], object] | None = None
    now_s: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random


class Transport:
    """Sends calls; thread-safe.

    Args:
        options: Endpoint and limits.
        meter: Counts and budget.
        pacing: Time.

    Raises:
        MissingExtraError: No openai package.
        ApiAuthError: OpenAI's own endpoint without a key, or a key that is none.
    """

    def __init__(self, options: ApiOptions, meter: Meter, pacing: Pacing | None = None) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("openai", extra="api", purpose="a model behind an endpoint") from error
        self.url = options.url()
        self._options, self._meter, self._pacing = options, meter, pacing or Pacing()
        self._stop = threading.Event()
        self.refused: ApiAuthError | None = None
        self.probing = True
        """While an endpoint is tried, one path may be barred (403) and another open: no refusal stops it."""
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key and self.url == OPENAI_URL:
            raise ApiAuthError("needs a key", where=self.url, hint=f"set the environment variable {KEY_VARIABLE}")
        if not (key.isascii() and (key.isprintable() or not key)) or " " in key:
            raise ApiAuthError(f"the value of {KEY_VARIABLE} is no key", where=self.url)
        self._clean = _cleaner(key)
        self.window = Window(options.concurrency, self.url)
        self._client = openai.OpenAI(
            api_key=key or "none", base_url=self.url, max_retries=0, timeout=options.timeout_s
        )

    def stop(self, stopped: bool = True) -> None:
        """End pauses and send nothing new; what is in flight is still read, for it is paid for."""
        if stopped:
            self._stop.set()
            self.window.wake()
        else:
            self._stop.clear()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send a call until it is answered.

        Args:
            path: ``chat/completions`` or ``decisions``.
            body: JSON.

        Returns:
            The JSON object of the answer; it has choices (or answers), of whatever content.

        Raises:
            ApiError: Why there is no answer.
        """
        return self._until_answered(lambda tag: self._checked(path, self._send(path, body, tag, self._read)))

    def stream(self, body: dict[str, Any], ear: Ear) -> dict[str, Any]:
        """Send a chat call with ``stream: true``; what is said goes to the ear meanwhile.

        Tries again only as long as nothing came. An endpoint that answers as a whole is as good.

        Returns:
            The whole answer, as :meth:`post` returns it.

        Raises:
            Cut: The caller has stopped it.
            ApiError: Why there is no answer, or why it broke off.
        """

        def read(response: Any, deadline: float) -> dict[str, Any]:
            ear.open(response)
            if "text/event-stream" in response.headers.get("content-type", ""):
                return ear.read(self._until(response.iter_bytes(), deadline))
            return ear.whole(self._checked(CHAT, self._read(response, deadline)))

        try:
            return self._until_answered(lambda tag: self._send(CHAT, body, tag, read), ear)
        except ApiAnswerError as error:
            if error.where is None:  # the ear knows no endpoint, and no key that must not be told
                raise ApiAnswerError(_plain(self._clean(error.what)), where=self.url) from None
            raise

    def _until_answered(self, send: Callable[[str], dict[str, Any]], ear: Ear | None = None) -> dict[str, Any]:
        call, lost, pause, again, rested_s = uuid.uuid4().hex, 0, None, Again("not tried"), 0.0
        for number in range(1, self._options.retries + 2):
            if rest := self.window.pause_s(rested_s):
                self._rest(rest)
            with self.window.place(lambda: self._wanted(ear)) as ticket:
                outcome = self._try(send, f"{call}-{number - lost}", ear)
            if isinstance(outcome, dict):
                self.window.went_well(ticket)
                return outcome
            again = outcome
            if again.busy:
                asked_s = again.wait_s if (again.wait_s or 0) <= MAX_RETRY_AFTER_S else None
                rested_s = self.window.too_many(ticket, again.what, asked_s)
            lost += again.lost
            pause = again.wait_s
            if number > self._options.retries or lost > LOST_RETRIES or (pause or 0) > MAX_RETRY_AFTER_S:
                break
            if pause is None:
                pause = backoff_s(number, self._pacing.jitter())
            log.info("%s: %s: try %d in %.1f s", self.url, again.what, number + 1, pause)
            self._rest(pause)
            self._meter.count(retried=1)
        paid = f"; {lost} lost on the way and maybe paid for" if lost else ""
        later = f"; it asks for a pause of {pause:.0f} s" if (pause or 0) > MAX_RETRY_AFTER_S else ""
        tries = "1 try" if number == 1 else f"{number} tries"
        hint = "go on later with --resume" if ear is None else "ask again later"
        raise ApiUnreachableError(f"no answer after {tries}: {again.what}{later}{paid}", where=self.url, hint=hint)

    def _rest(self, seconds: float) -> None:
        (self._pacing.sleep or self._stop.wait)(seconds)

    def _wanted(self, ear: Ear | None) -> None:
        """Raise what ends a call that is not sent yet."""
        if self.refused is not None:
            raise self.refused
        if ear is not None:
            ear.check()
        if self._stop.is_set():
            raise BudgetError("not asked: the run was interrupted")

    def _try(
        self, send: Callable[[str], dict[str, Any]], tag: str, ear: Ear | None = None
    ) -> dict[str, Any] | Again:
        """Make one try within the budget; count what came of it while its room is still reserved."""
        self._wanted(ear)
        with self._meter.flight():
            try:
                answer = send(tag)
            except Again as again:
                self._meter.count(lost=int(again.lost))
                if ear is not None:
                    ear.check()
                    if ear.begun:
                        raise ApiUnreachableError(f"the answer broke off: {again.what}", where=self.url) from None
                return again
            except Cut:
                self._meter.count(lost=1)
                raise
            self._meter.answered(tokens_of(answer))
            return answer

    def _send(self, path: str, body: dict[str, Any], tag: str, read: Callable[[Any, float], _Read]) -> _Read:
        """Send once and read the answer, until a deadline on the monotonic clock.

        The tag is the same for tries after a lost answer, so that an endpoint that honours it charges once.
        """
        import httpx2
        import openai

        deadline = time.monotonic() + self._options.timeout_s
        sent: openai.RequestOptions = {"headers": {"Idempotency-Key": tag}, "security": {"bearer_auth": True}}
        try:
            response: Any = self._client.post(
                f"/{path}", cast_to=httpx2.Response, body=body, options=sent, stream=True
            )
            with contextlib.closing(response):
                return read(response, deadline)
        except openai.APIStatusError as error:
            self._status(error.status_code, error.response.headers, error.body)
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
            unsent = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
            slow = isinstance(cause, httpx2.TimeoutException)
            what = f"no answer within {self._options.timeout_s:g} s" if slow else "the connection was cut"
            raise Again("cannot be reached" if unsent else what, lost=not unsent, busy=slow) from None
        except openai.OpenAIError as error:
            raise ApiAnswerError(self._clean(f"{type(error).__name__}: {error}"), where=self.url) from None

    def _read(self, response: Any, deadline: float) -> bytes:
        return b"".join(self._until(response.iter_bytes(), deadline))

    def _until(self, chunks: Iterable[bytes], deadline: float) -> Iterator[bytes]:
        """Pass chunks on until the deadline, or until they are too many."""
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if time.monotonic() > deadline:
                raise Again(f"no answer within {self._options.timeout_s:g} s", lost=True, busy=True)
            if size > MAX_BODY_BYTES:
                raise ApiAnswerError("the answer does not end", where=self.url, expected="a short answer")
            yield chunk

    def _status(self, status: int, headers: Any, body: object) -> NoReturn:
        """Turn a status other than 200 into what follows from it."""
        detail = body.get("error", body) if isinstance(body, dict) else body
        fields = detail if isinstance(detail, dict) else {"message": detail}
        code, message = str(fields.get("code") or ""), _plain(self._clean(str(fields.get("message") or body or "")))
        said = f": {message}" if message else ""
        if status in (401, 403):  # never with the endpoint's own words: they may hold parts of the key
            error: ApiError = self._refuse(status)
        elif status == 402 or code == "insufficient_quota":
            self._meter.close("the endpoint says that the account's quota is used up")
            error = BudgetError(f"the account's quota is used up ({status})", where=self.url)
        elif is_retried(status, headers):
            wait_s = retry_after_s(headers, self._pacing.now_s())
            raise Again(f"{status}{said}", wait_s=wait_s, busy=status in TOO_MANY)
        elif (status >= 500 and status != 501) or status in RETRIED:
            error = ApiUnreachableError(f"{status}{said}; it asks not to be tried again", where=self.url)
        elif status in (404, 405):
            error = ApiModelError(f"no such model or path ({status}{said})", where=self.url)
        elif code in _FILTERED:
            error = ApiRefusedError(f"a content filter declines the request ({code})", where=self.url)
        else:
            param = f" (param {_plain(self._clean(str(fields['param'])))})" if fields.get("param") else ""
            error = ApiRejectedError(f"rejects the request ({status}){said}{param}", where=self.url)
        error.status = status
        raise error from None

    def _refuse(self, status: int) -> ApiAuthError:
        has_key = bool(os.environ.get(KEY_VARIABLE, "").strip())
        error = ApiAuthError(
            f"{'refuses the' if has_key else 'wants a'} key ({status})",
            where=self.url,
            hint=f"check the environment variable {KEY_VARIABLE} and what the key may do",
        )
        if not self.probing:
            self.refused = error
        return error

    def _checked(self, path: str, raw: bytes) -> dict[str, Any]:
        """Parse a body with status 200; what holds no answer is an error and is never kept."""
        holder = "answers" if path == DECISIONS else "choices"
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError):
            kind = "an HTML page" if raw.lstrip()[:1] == b"<" else "no JSON" if raw.strip() else "nothing"
            self._no_answer(f"answers with {kind}", hint="is the base URL right? It often ends in /v1")
        if isinstance(answer, dict) and answer.get("error"):
            self._no_answer("answers with an error and status 200: " + _plain(self._clean(str(answer["error"]))))
        items = answer.get(holder) if isinstance(answer, dict) else None
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            self._meter.count(lost=1)  # it may be charged for: JSON of a model that said nothing
            self._no_answer(f"answers without {holder}")
        return dict(answer)

    def _no_answer(self, what: str, hint: str | None = None) -> NoReturn:
        raise ApiAnswerError(what, where=self.url, hint=hint) from None


def tokens_of(answer: dict[str, Any]) -> tuple[int, int] | None:
    """Return the tokens that an answer was charged for, in and out; None where it does not say."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    pairs = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))
    for names in pairs:
        counts = [usage.get(name) for name in names]
        if all(isinstance(count, int) and count >= 0 for count in counts):
            return counts[0], counts[1]  # type: ignore[return-value]
    return None


def _plain(text: str) -> str:
    """Return the start of what an endpoint says, on one line of printable text."""
    line = " ".join(text.split())
    line = "an HTML page" if line.startswith("<") else line
    return "".join(c for c in line if c.isprintable())[:200]


def _cleaner(key: str) -> Callable[[str], str]:
    """Return a function that cuts the key, and what looks like one, out of a text."""
    looks = re.compile(r"\b(?:sk|pk|key|Bearer)[-_ ][\w*.\-]{6,}")

    def clean(text: str) -> str:
        return looks.sub("***", text.replace(key, "***") if key else text)

    return clean
