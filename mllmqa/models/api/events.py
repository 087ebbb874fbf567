"""Server-sent events of a chat answer (``stream: true``): bytes in, pieces of text and the whole answer out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mllmqa.errors import ApiAnswerError

DONE = "[DONE]"
_LONGEST_LINE = 1 << 20


def events(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the data of each event (WHATWG HTML, server-sent events); comments and other fields are left out.

    Args:
        chunks: Of a body, cut anywhere, also within a character.

    Raises:
        ApiAnswerError: A line does not end.
    """
    rest, data = b"", list[str]()
    for chunk in chunks:
        *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise ApiAnswerError("a line of its answer does not end", expected="server-sent events")
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:].decode("utf-8", "replace").removeprefix(" "))
            elif not line and data:
                yield "\n".join(data)
                data = []
    if rest.startswith(b"data:"):
        data.append(rest[5:].decode("utf-8", "replace").removeprefix(" "))
    if data:
        yield "\n".join(data)


@dataclass
class Gathered:
    """The answer that the events make up.

    Attributes:
        text: Said so far.
        entries: Log-probabilities as the endpoint gives them, one entry per token.
        finish: ``finish_reason``; None until it came.
        done: Whether the end was announced.
    """

    text: str = ""
    refusal: str = ""
    entries: list[dict[str, Any]] = field(default_factory=list)
    finish: str | None = None
    model: object = None
    usage: object = None
    done: bool = False

    def take(self, data: str) -> str:
        """Take one event and return its piece of text.

        Raises:
            ApiAnswerError: It is no event of a chat answer, or tells an error.
        """
        if data.strip() == DONE:
            self.done = True
            return ""
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise ApiAnswerError(f"an event of its answer is no JSON object: {data[:60]!r}")
        if event.get("error"):
            raise ApiAnswerError(f"stops with an error: {str(event['error'])[:200]!r}")
        self.model = event.get("model") or self.model
        self.usage = event.get("usage") or self.usage
        choices = event.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return ""  # the event with the token counts has no choices
        return self._choice(choices[0])

    def _choice(self, choice: dict[str, Any]) -> str:
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        piece = delta.get("content")
        piece = piece if isinstance(piece, str) else ""
        self.text += piece
        refusal = delta.get("refusal")
        self.refusal += refusal if isinstance(refusal, str) else ""
        logprobs = choice.get("logprobs")
        listed = logprobs.get("content") if isinstance(logprobs, dict) else None
        if isinstance(listed, list):
            self.entries += [{k: e.get(k) for k in ("token", "logprob")} for e in listed if isinstance(e, dict)]
        self.finish = choice.get("finish_reason") or self.finish
        return piece

    def answer(self) -> dict[str, Any]:
        """Return it as an endpoint answers that does not stream."""
        message = {"role": "assistant", "content": self.text} | ({"refusal": self.refusal} if self.refusal else {})
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.finish, "message": message}
        if self.entries:
            choice["logprobs"] = {"content": self.entries}
        return {"object": "chat.completion", "model": self.model, "choices": [choice], "usage": self.usage}


def logprobs_of(answer: dict[str, Any], dropped: int = 0) -> tuple[float, ...] | None:
    """Return the log-probabilities of the tokens of a chat answer; None where they are not all there.

    Args:
        answer: With at least one choice.
        dropped: Characters in front that do not count; tokens that lie wholly within them are left out.
    """
    logprobs = answer["choices"][0].get("logprobs")
    listed = logprobs.get("content") if isinstance(logprobs, dict) else None
    entries = [entry if isinstance(entry, dict) else {} for entry in listed] if isinstance(listed, list) else []
    values: list[float] = []
    for entry in entries:
        dropped -= len(str(entry.get("token") or ""))
        value = entry.get("logprob")
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            return None
        if dropped < 0:
            values.append(min(0.0, float(value)))
    return tuple(values) if entries else None
