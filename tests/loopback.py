"""A real HTTP server on loopback that behaves as OpenAI-compatible endpoints do, and as they should not.

What it answers by default depends on its abilities (``decisions``, ``logprobs``, ``prefill``, …). Replies in
``script`` are given first, one per request, whatever is asked. Everything that arrives is kept in ``received``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

KEY = "sk-loopback-0123456789abcdef"
LEVELS = {" good": 0.55, "Good": 0.05, " fair": 0.2, " poor": 0.1, " The": 0.1}
"""Tokens after the question, with their probabilities: excellent and bad are not among the most likely."""

HTML = "<!DOCTYPE html><html><body><h1>Gateway</h1></body></html>"


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def pictures(self) -> list[tuple[str, bytes]]:
        """MIME type and bytes of the pictures, in order."""
        messages = self.body.get("messages") or self.body.get("input") or []
        parts = [p for m in messages if isinstance(m["content"], list) for p in m["content"]]
        urls = [p["image_url"] for p in parts if p["type"] in ("image_url", "input_image")]
        found = []
        for url in urls:
            head, data = (url["url"] if isinstance(url, dict) else url).split(",", 1)
            found.append((head.removeprefix("data:").removesuffix(";base64"), base64.b64decode(data)))
        return found

    @property
    def texts(self) -> list[str]:
        """All pieces of text of the user's message, in order."""
        message = (self.body.get("messages") or self.body.get("input"))[0]  # type: ignore[index]
        return [p["text"] for p in message["content"] if "text" in p["type"]]


@dataclass(frozen=True)
class Reply:
    """A scripted reply.

    Attributes:
        status: HTTP status.
        body: JSON, or text as it is; None: what the server would answer anyway.
        headers: Further headers.
        cut: Close the connection in the middle of the body.
        hold: Answer only when the server closes (a server that is too slow).
        stall: Of a streamed answer, say nothing more after so many events, until the client hangs up.
        chunks: Of a streamed answer, the bytes as they are sent; None: an event per word of the body's text.
    """

    status: int = 200
    body: dict[str, Any] | str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hold: bool = False
    stall: int | None = None
    chunks: tuple[bytes, ...] | None = None


def error_body(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **fields}}


def chat(content: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat answer with this text."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    return {"object": "chat.completion", "model": "served-1", "choices": [choice], "usage": USAGE}


def streamed(answer: dict[str, Any], *, usage: bool) -> list[bytes]:
    """The events of a chat answer: one per word, with the log-probability of each, then how it ended."""
    (choice,) = answer["choices"]
    head = {"object": "chat.completion.chunk", "model": answer["model"]}
    listed = (choice.get("logprobs") or {}).get("content")
    pieces = re.findall(r"\s*\S+", choice["message"]["content"] or "")

    def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}

    made = [event({"role": "assistant", "content": ""})]
    for i, piece in enumerate(pieces):
        entry = None if listed is None else {"token": piece, "logprob": -0.5 * (i + 1), "bytes": None}
        made.append(event({"content": piece}, logprobs=None if entry is None else {"content": [entry]}))
    made.append(event({}, choice["finish_reason"]))
    made += [{**head, "choices": [], "usage": answer["usage"]}] if usage else []
    lines = [f"data: {json.dumps(one)}\n\n" for one in made]
    return [b": keep-alive\n\n", *(line.encode() for line in lines), b"data: [DONE]\n\n"]


USAGE = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}


@dataclass
class Loopback:
    """The server; a context manager.

    Attributes:
        decisions: Whether ``/v1/decisions`` exists.
        logprobs: ``yes``, ``no`` (ignored, null in the answer) or ``reject`` (400).
        prefill: Whether a started answer is continued; if not, the parameter is rejected.
        rejects: Parameters that are rejected with 400.
        key: Wanted as bearer token; None: anyone is served.
        model: The only model.
        tokens: Token → probability at the first position of an answer.
        usage: Token counts in the answers.
    """

    decisions: bool = False
    logprobs: str = "yes"
    prefill: bool = True
    rejects: tuple[str, ...] = ()
    key: str | None = None
    model: str = "eye"
    tokens: dict[str, float] = field(default_factory=lambda: dict(LEVELS))
    usage: dict[str, int] | None = field(default_factory=lambda: dict(USAGE))
    script: deque[Reply] = field(default_factory=deque)
    received: list[Received] = field(default_factory=list)
    paid: list[str] = field(default_factory=list)
    """SHA-256 of the body of every request that was answered with content."""
    on_request: Callable[[], None] = lambda: None
    streams: bool = True
    """Whether ``stream: true`` is understood; if not, it is ignored and the answer comes as a whole."""
    hung_up: threading.Event = field(default_factory=threading.Event)
    """Set when a client left in the middle of a stalled answer."""
    most_at_once: int = 0

    def __enter__(self) -> Loopback:
        self._lock, self._closing, self._at_once = threading.Lock(), threading.Event(), 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.loopback = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def forget(self) -> None:
        """Forget what arrived so far (the probe)."""
        self.received.clear()
        self.paid.clear()

    def reply(self, request: Received) -> Reply:
        """What the server answers to a request, by script or by ability."""
        with self._lock:
            self.received.append(request)
            scripted = self.script.popleft() if self.script else None
        if scripted is not None and scripted.body is not None:
            return scripted
        usual = self._usual(request)
        if scripted is None:
            return usual
        return replace(scripted, body=usual.body)

    def _usual(self, request: Received) -> Reply:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            return Reply(401, error_body(f"Incorrect API key provided: {given}.", code="invalid_api_key"))
        if request.path == "/v1/decisions" and self.decisions:
            return Reply(200, self._decision(request))
        if request.path != "/v1/chat/completions":
            return Reply(404, HTML, {"Content-Type": "text/html"})
        if request.body["model"] != self.model:
            return Reply(
                404, error_body(f"The model {request.body['model']!r} does not exist", code="model_not_found")
            )
        rejected = [*self.rejects, *(() if self.prefill else ("continue_final_message",))]
        rejected += ["logprobs"] if self.logprobs == "reject" else []
        for name in rejected:
            if name in request.body:
                return Reply(400, error_body(f"Unsupported parameter: '{name}'", param=name, code="unsupported"))
        return Reply(200, self._chat(request))

    def _chat(self, request: Received) -> dict[str, Any]:
        best = max(self.tokens, key=lambda token: self.tokens[token])
        answer = chat(best)
        answer["usage"] = self.usage
        if request.body.get("logprobs") and self.logprobs == "yes":
            listed = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in self.tokens.items()]
            listed = sorted(listed, key=lambda item: -item["logprob"])
            top = listed[: request.body.get("top_logprobs", 0)]
            answer["choices"][0]["logprobs"] = {"content": [{**listed[0], "top_logprobs": top}]}
        return answer

    def _decision(self, request: Received) -> dict[str, Any]:
        (question,) = request.body["questions"]
        labels = [level["label"] for level in question["levels"]]
        p = {"excellent": 0.1, "good": 0.6, "fair": 0.2, "poor": 0.1, "bad": 0.0}
        items = [{"label": label, "value": i, "probability": p[label]} for i, label in enumerate(labels)]
        answer = {"type": "score", "name": "level", "score": 2.7, "confidence": 0.6, "probabilities": items}
        usage = {"input_tokens": 50, "output_tokens": 1, "total_tokens": 51}
        return {"model": "served-1", "answers": [answer], "usage": usage}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    loopback: Loopback

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def do_POST(self) -> None:
        loop = self.server.loopback
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with loop._lock:
            loop._at_once += 1
            loop.most_at_once = max(loop.most_at_once, loop._at_once)
        try:
            loop.on_request()
            asked = Received(self.path, headers, json.loads(raw))
            reply = loop.reply(asked)
            if reply.status == 200 and isinstance(reply.body, dict) and not reply.hold:
                loop.paid.append(hashlib.sha256(raw).hexdigest())
        finally:
            with loop._lock:
                loop._at_once -= 1
        if loop.streams and asked.body.get("stream") and reply.status == 200 and isinstance(reply.body, dict):
            self._stream(reply, usage="stream_options" in asked.body)
        else:
            self._send(reply)

    def _stream(self, reply: Reply, *, usage: bool) -> None:
        if reply.hold:
            self._send(reply)
            return
        assert isinstance(reply.body, dict)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        chunks = reply.chunks or streamed(reply.body, usage=usage)
        for i, chunk in enumerate(chunks):
            if i == reply.stall:
                self._wait_for_the_end()
                return
            if reply.cut and i == len(chunks) // 2:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(chunk)
            self.wfile.flush()

    def _wait_for_the_end(self) -> None:
        while not self.server.loopback._closing.is_set():
            if select.select([self.connection], [], [], 0.01)[0] and not self.connection.recv(1):
                self.server.loopback.hung_up.set()
                return

    def _send(self, reply: Reply) -> None:
        if reply.hold:
            self.server.loopback._closing.wait()
            self.close_connection = True
            return
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        kind = "text/html" if isinstance(reply.body, str) else "application/json"
        data = text.encode()
        self.send_response(reply.status)
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(data))} | reply.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if reply.cut:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self.wfile.write(data)


Connect = Callable[..., Any]
"""Of the fixture ``connect``: returns a scorer for the server."""


def without_endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away key, endpoint and cache of the developer."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
