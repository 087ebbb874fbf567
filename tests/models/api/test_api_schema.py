"""Answers by a schema over an endpoint: what is sent, what is kept, and endpoints that will not."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from mllmqa.answer_schema import AnswerSchema, Broken
from mllmqa.errors import ApiRejectedError, UsageError
from mllmqa.models.api.cache import key_of
from mllmqa.models.api.messages import CHAT, Dialect, hashed, response_format, talk_body
from mllmqa.models.base import EncodedImage, Turn
from tests.conftest import photo_pixels
from tests.loopback import Connect, Loopback, Reply, chat

ASKED = (Turn("user", (photo_pixels(16, 16, seed=1), "How good is it?")),)
BODY = {
    "type": "object",
    "properties": {"level": {"enum": ["good", "bad"]}, "n": {"type": "integer"}},
    "required": ["level", "n"],
    "additionalProperties": False,
}
SCHEMA = AnswerSchema.of(BODY, "level.json")
SAID = '{"level": "good", "n": 3}'


def test_the_endpoint_is_told_to_hold_the_answer_to_it(server: Loopback, connect: Connect) -> None:
    backend, told = connect().backend, list[str]()
    server.script.append(Reply(body=chat(SAID)))
    spoken = backend.talk(ASKED, schema=SCHEMA, on_text=told.append)
    (asked,) = server.received
    wanted = {"name": "level", "schema": BODY, "strict": True}
    assert asked.body["response_format"] == {"type": "json_schema", "json_schema": wanted}
    assert list(asked.body["response_format"]["json_schema"]["schema"]["properties"]) == ["level", "n"]
    assert (spoken.text, spoken.finished, spoken.held_by) == (SAID, "stop", "response_format")
    assert "".join(told) == SAID
    assert SCHEMA.parsed(spoken.text) == json.loads(SAID)


def test_without_a_schema_nothing_is_sent(server: Loopback, connect: Connect) -> None:
    backend = connect().backend
    server.script.append(Reply(body=chat("Good.")))
    spoken = backend.talk(ASKED)
    assert "response_format" not in server.received[-1].body
    assert spoken.held_by is None
    assert response_format(None) == {}


PINNED = {
    ("text", ""): "17b2705a8503078b12f464f70dc63f92834829cd10d39b1ceaaac0c191c40405",
    ("text", "It is"): "5cdff97e9b61fd899a87959ffc55168066aeacadf4b7e7e6c18b9d29e22a3ff9",
    ("logprobs", ""): "cf9c4ba88d2bca758b5ee3ed0140c78e2316f2f12356b30936a3ff59e620a063",
    ("logprobs", "It is"): "6a0d4d3c89f73b481fe9c3fb8a98088d46066bb3715e3b3aabea24bc31b68a00",
}
"""Keys of talks as they were before there were schemas: answers that were paid for are found again."""


@pytest.mark.parametrize(("readout", "start"), PINNED)
def test_keys_without_a_schema_are_as_they_were(readout: str, start: str) -> None:
    picture = EncodedImage(b"png", "image/png", False)
    turn = Turn("user", (np.zeros((1, 1, 3), np.uint8), "Which is better?"), (picture,))
    dialect = Dialect("text")
    if readout == "logprobs":
        dialect = Dialect("logprobs", True, "max_tokens", False)
    body = talk_body("eye", (turn,), start, dialect, hashed, 64)
    assert key_of("http://x/v1", CHAT, body) == PINNED[readout, start]


def test_what_is_kept_without_a_schema_has_that_key(server: Loopback, connect: Connect, tmp_path: Path) -> None:
    backend = connect(cache=tmp_path / "kept").backend
    server.script.append(Reply(body=chat("Good.")))
    backend.talk(ASKED, max_new_tokens=7)
    body = talk_body("eye", ASKED, "", backend.dialect, hashed, 7)
    with sqlite3.connect(tmp_path / "kept" / "answers.sqlite") as kept:
        keys = [key for (key,) in kept.execute("SELECT key FROM answers")]
    assert key_of(server.url, CHAT, body) in keys


def test_each_schema_is_paid_for_once(server: Loopback, connect: Connect) -> None:
    backend = connect().backend
    properties = {"n": {"type": "integer"}, "level": {"enum": ["good", "bad"]}}
    turned = AnswerSchema.of({**BODY, "properties": properties}, "level.json")
    server.script += [Reply(body=chat(text)) for text in (SAID, '{"n": 3, "level": "good"}', "Good.")]
    said = [backend.talk(ASKED, schema=schema).text for schema in (SCHEMA, turned, None)]
    assert len(set(said)) == 3
    assert [backend.talk(ASKED, schema=schema).text for schema in (SCHEMA, turned, None)] == said
    assert len(server.received) == 3


def test_an_endpoint_that_rejects_it_says_so(server: Loopback, connect: Connect) -> None:
    server.rejects = ("response_format",)
    backend = connect().backend
    with pytest.raises(ApiRejectedError, match="Unsupported parameter: 'response_format'"):
        backend.talk(ASKED, schema=SCHEMA)
    assert len(server.received) == 1  # it is never asked without, hoping
    server.script.append(Reply(body=chat("Good.")))
    assert backend.talk(ASKED).text == "Good."


def test_an_endpoint_that_ignores_it_is_found_out(server: Loopback, connect: Connect) -> None:
    backend = connect().backend
    server.script.append(Reply(body=chat("It is good.")))
    spoken = backend.talk(ASKED, schema=SCHEMA)
    assert spoken.held_by == "response_format"
    found = SCHEMA.parsed(spoken.text)
    assert isinstance(found, Broken)
    assert found.problem == "the answer is no JSON: 'It is good.'"


def test_half_an_answer(server: Loopback, connect: Connect) -> None:
    backend = connect().backend
    server.script.append(Reply(body=chat('{"level": "go', "length")))
    spoken = backend.talk(ASKED, schema=SCHEMA)
    assert spoken.finished == "length"
    found = SCHEMA.parsed(spoken.text, truncated=True)
    assert isinstance(found, Broken)
    assert found.kind == "truncated"


def test_other_parameters_are_still_done_without(server: Loopback, connect: Connect) -> None:
    server.rejects = ("stream_options",)
    server.streams = False
    spoken = connect().backend.talk(ASKED, schema=SCHEMA)
    assert spoken.held_by == "response_format"
    assert all("response_format" in one.body for one in server.received)


def test_a_start_and_a_schema_exclude_each_other(server: Loopback, connect: Connect) -> None:
    with pytest.raises(UsageError, match="a start and a schema"):
        connect().backend.talk(ASKED, start="It is", schema=SCHEMA)
    assert server.received == []
