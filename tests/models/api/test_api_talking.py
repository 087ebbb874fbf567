"""Talks with an endpoint on loopback: turns, streaming, cancelling, failures, and answers that were paid for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mllmqa.errors import (
    ApiAnswerError,
    ApiRefusedError,
    ApiTruncatedError,
    ApiUnreachableError,
    BudgetError,
    UsageError,
)
from mllmqa.models.api.options import Budget
from mllmqa.models.api.pictures import as_png
from mllmqa.models.api.talking import Teller
from mllmqa.models.base import EncodedImage, Turn
from tests.conftest import photo_pixels
from tests.loopback import Connect, Loopback, Reply, chat

A, B = photo_pixels(16, 16, seed=1), photo_pixels(16, 16, seed=2)
ASKED = (Turn("user", ("Image A:", A, "Image B:", B, "Which is better?")),)
FOLLOWED = (*ASKED, Turn("assistant", ("B is better.",)), Turn("user", ("Why?",)))
SAID = "B is sharper, and A has noise."


def _pieces() -> tuple[list[str], Callable[[str], None]]:
    told: list[str] = []
    return told, told.append


def test_turns_and_pictures_in_their_order(server: Loopback, connect: Connect) -> None:
    backend = connect().backend
    server.script.append(Reply(body=chat(SAID)))
    told, hear = _pieces()
    spoken = backend.talk(FOLLOWED, max_new_tokens=77, on_text=hear)
    assert (spoken.text, spoken.finished) == (SAID, "stop")
    assert "".join(told) == SAID
    assert len(told) == 7
    (asked,) = server.received
    assert [m["role"] for m in asked.body["messages"]] == ["user", "assistant", "user"]
    kinds = [p.get("text", p["type"]) for p in asked.body["messages"][0]["content"]]
    assert kinds == ["Image A:", "image_url", "Image B:", "image_url", "Which is better?"]
    assert asked.body["messages"][1]["content"] == "B is better."
    assert asked.pictures == [("image/png", as_png(A).data), ("image/png", as_png(B).data)]
    assert asked.body["max_completion_tokens"] == 77
    assert asked.body["temperature"] == 0
    assert asked.body["stream"] is True
    assert backend.usage.tokens_in == 100 + 100  # probe and talk: stream_options gave the counts


def test_files_are_sent_as_they_are(server: Loopback, connect: Connect) -> None:
    file = EncodedImage(b"\xff\xd8 a user's own file", "image/jpeg", original=True)
    backend = connect().backend
    server.script.append(Reply(body=chat(SAID)))
    backend.talk([Turn("user", ("What?", A), (file,))])
    assert server.received[-1].pictures == [("image/jpeg", file.data)]


def test_log_probabilities_where_they_are_given(server: Loopback, connect: Connect) -> None:
    answer = chat("B is better")
    answer["choices"][0]["logprobs"] = {"content": []}
    backend = connect().backend
    server.script += [Reply(body=answer), Reply(body=chat("B is better"))]
    assert backend.talk(ASKED).logprobs == (-0.5, -1.0, -1.5)
    assert backend.talk(FOLLOWED).logprobs is None


@pytest.mark.parametrize("prefill", [True, False])
def test_a_forced_start(prefill: bool, connect: Connect) -> None:
    with Loopback(prefill=prefill) as server:
        backend = connect(server).backend
        answer = chat(" good enough" if prefill else " The quality is good enough")
        answer["choices"][0]["logprobs"] = {"content": []}
        server.script.append(Reply(body=answer))
        told, hear = _pieces()
        spoken = backend.talk(ASKED, start="The quality is", on_text=hear)
        assert spoken.text == "".join(told) == " good enough"
        assert spoken.logprobs is not None
        assert len(spoken.logprobs) == 2
        messages = server.received[-1].body["messages"]
        assert (messages[-1]["role"] == "assistant") is prefill
        assert "The quality is" in json.dumps(messages[-1])


def test_a_model_that_does_not_begin_as_asked_is_told_as_it_is() -> None:
    told, hear = _pieces()
    teller = Teller("The quality is", True, hear)
    for piece in ("The qual", "ification", " is odd"):
        teller.take(piece)
    teller.take("", last=True)
    assert "".join(told) == teller.told == "The qualification is odd"
    half = Teller("The quality is", True, None)
    half.take(" The")
    assert half.told == ""
    half.take("", last=True)
    assert half.told == " The"


def test_halves_of_a_character_are_told_as_one() -> None:
    told, hear = _pieces()
    teller = Teller("", False, hear)
    for piece in (" ", "ok ", "\ud83d", "\ude00", "\ud83d"):
        teller.take(piece)
    assert told == ["ok ", "😀"]
    teller.take("", last=True)
    assert told == ["ok ", "😀", "\ufffd"]


def test_an_answer_is_paid_for_once_and_comes_again_as_one_piece(server: Loopback, connect: Connect) -> None:
    answer = chat(SAID)
    answer["choices"][0]["logprobs"] = {"content": []}
    backend = connect().backend
    server.script.append(Reply(body=answer))
    first = backend.talk(ASKED)
    told, hear = _pieces()
    again = backend.talk(ASKED, on_text=hear)
    assert again == first
    assert told == [SAID]
    assert len(server.received) == 1
    assert backend.usage.from_cache == 1
    backend.talk(ASKED, max_new_tokens=9)
    assert len(server.received) == 2


def test_an_endpoint_that_does_not_stream_answers_at_once(connect: Connect) -> None:
    with Loopback(streams=False) as server:
        backend = connect(server).backend
        server.script.append(Reply(body=chat(SAID)))
        told, hear = _pieces()
        assert backend.talk(ASKED, on_text=hear).text == SAID
        assert told == [SAID]


@pytest.mark.parametrize("name", ["stream", "stream_options", "logprobs"])
def test_an_optional_parameter_that_is_rejected_is_left_out(name: str, connect: Connect) -> None:
    with Loopback() as server:
        backend = connect(server).backend
        server.rejects = (name,)
        text = backend.talk(ASKED).text
        assert text
        assert name not in server.received[-1].body
        server.forget()
        assert backend.talk(FOLLOWED).text == text
        assert len(server.received) == 1  # it is learnt


def test_a_rejection_of_something_else_is_told(connect: Connect) -> None:
    with Loopback() as server:
        backend = connect(server).backend
        server.rejects = ("messages",)
        with pytest.raises(Exception, match="rejects the request"):
            backend.talk(ASKED)
        assert len(server.received) == 1


def test_cancelling_closes_the_connection_and_keeps_what_was_said(server: Loopback, connect: Connect) -> None:
    backend = connect().backend
    server.script.append(Reply(body=chat(SAID), stall=4))
    told, hear = _pieces()
    spoken = backend.talk(ASKED, on_text=hear, cancelled=lambda: len(told) == 2)
    assert spoken.finished == "cancelled"
    assert spoken.text == "".join(told) == "B is"
    assert server.hung_up.wait(30)
    server.script.append(Reply(body=chat(SAID)))
    assert backend.talk(ASKED).text == SAID  # what was cancelled is not kept


def test_cancelling_while_nothing_comes(server: Loopback, connect: Connect) -> None:
    backend = connect(timeout_s=3600.0).backend
    asked = threading.Event()
    server.on_request = asked.set
    server.script.append(Reply(body=chat(SAID), hold=True))
    spoken = backend.talk(ASKED, cancelled=asked.is_set)
    assert (spoken.text, spoken.finished) == ("", "cancelled")
    assert backend.talk(ASKED, cancelled=lambda: True).finished == "cancelled"
    assert len(server.received) == 1


def test_what_the_listener_raises_is_raised(server: Loopback, connect: Connect) -> None:
    backend = connect().backend
    server.script.append(Reply(body=chat(SAID), stall=4))

    def hear(piece: str) -> None:
        raise BrokenPipeError(piece)

    with pytest.raises(BrokenPipeError):
        backend.talk(ASKED, on_text=hear)
    assert server.hung_up.wait(30)


def test_tries_again_before_the_first_byte_only(server: Loopback, connect: Connect, pauses: list[float]) -> None:
    backend = connect().backend
    server.script += [Reply(503, "busy"), Reply(429, "slow down", {"retry-after": "2"}), Reply(body=chat(SAID))]
    assert backend.talk(ASKED).text == SAID
    assert pauses == [0.5, 2.0]
    server.forget()
    server.script += [Reply(body=chat(SAID), cut=True), Reply(body=chat(SAID))]
    told, hear = _pieces()
    with pytest.raises(ApiUnreachableError, match="the answer broke off: the connection was cut"):
        backend.talk(FOLLOWED, on_text=hear)
    assert "".join(told) in SAID
    assert told
    assert len(server.received) == 1
    assert backend.usage.lost == 1


def test_an_answer_that_takes_too_long(server: Loopback, connect: Connect) -> None:
    backend = connect(timeout_s=0.3, retries=0).backend
    server.script.append(Reply(body=chat(SAID), hold=True))
    with pytest.raises(ApiUnreachableError, match=r"no answer within 0\.3 s"):
        backend.talk(ASKED)
    server.script.append(Reply(body=chat(SAID), stall=3))
    with pytest.raises(ApiUnreachableError, match=r"broke off: no answer within 0\.3 s"):
        backend.talk(ASKED)


def test_errors_within_the_stream(server: Loopback, connect: Connect) -> None:
    backend = connect().backend
    bad = b'data: {"error": {"message": "overloaded sk-loopback-0123456789abcdef"}}\n\n'
    server.script.append(Reply(body=chat(SAID), chunks=(bad,)))
    with pytest.raises(ApiAnswerError, match="stops with an error") as caught:
        backend.talk(ASKED)
    assert str(caught.value).startswith(server.url)
    assert "sk-loopback" not in str(caught.value)
    server.script.append(Reply(body="<html>gateway</html>"))
    with pytest.raises(ApiAnswerError, match="HTML page"):
        backend.talk(ASKED)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (chat("so", finish="content_filter"), ApiRefusedError),
        (chat("", finish="length"), ApiTruncatedError),
    ],
)
def test_refused_and_truncated(answer: dict[str, object], error: type[Exception], connect: Connect) -> None:
    with Loopback() as server:
        backend = connect(server).backend
        server.script.append(Reply(body=answer))
        with pytest.raises(error):
            backend.talk(ASKED)


def test_an_answer_at_its_limit_says_so(server: Loopback, connect: Connect) -> None:
    backend = connect().backend
    server.script.append(Reply(body=chat("B is", finish="length")))
    assert backend.talk(ASKED).finished == "length"


def test_the_budget_counts_talks(connect: Connect, tmp_path: Path) -> None:
    connect(cache=tmp_path)  # the probe is paid for, and kept
    backend = connect(budget=Budget(requests=1), cache=tmp_path).backend
    backend.talk(ASKED)
    with pytest.raises(BudgetError):
        backend.talk(FOLLOWED)
    assert backend.talk(ASKED).text  # what is paid for stays


@pytest.mark.parametrize(
    "turns",
    [
        (),
        (Turn("assistant", ("x",)),),
        (Turn("user", ("x",)), Turn("user", ("x",))),
        (Turn("user", ("x",)), Turn("assistant", ("y",))),
        (Turn("user", ("x",)), Turn("assistant", (A,)), Turn("user", ("x",))),
        (Turn("user", ("x", A), ()),),
    ],
)
def test_turns_that_are_no_talk(turns: tuple[Turn, ...], connect: Connect) -> None:
    with pytest.raises(UsageError):
        connect().backend.talk(turns)
    assert np.array_equal(A, photo_pixels(16, 16, seed=1))
