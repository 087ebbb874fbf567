"""What an endpoint can do: found out with as few tiny requests as possible, kept, never guessed from a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.errors import ApiAuthError, ApiRejectedError, ApiUnreachableError
from tests.conftest import photo_pixels
from tests.loopback import KEY, Connect, Loopback, Reply, chat, error_body


@pytest.mark.parametrize(
    ("abilities", "readout", "requests"),
    [
        ({"decisions": True}, "decisions", 1),
        ({}, "logprobs:prefilled", 2),
        ({"prefill": False}, "logprobs:one-word", 3),
        ({"prefill": False, "logprobs": "no"}, "text", 4),
        ({"logprobs": "reject"}, "text", 4),
    ],
)
def test_the_best_readout_is_taken(
    abilities: dict[str, object], readout: str, requests: int, server: Loopback, connect: Connect
) -> None:
    for name, value in abilities.items():
        setattr(server, name, value)
    scorer = connect(forget=False)
    assert scorer.backend.info.readout == readout
    assert len(server.received) == requests
    assert all(len(data) < 500 for r in server.received for _, data in r.pictures)
    again = connect(forget=False)
    assert again.backend.info == scorer.backend.info
    assert len(server.received) == requests  # it is known


def test_a_server_that_does_not_continue_our_start_is_asked_for_one_word(
    server: Loopback, connect: Connect
) -> None:
    server.tokens = {"The": 0.7, " good": 0.2, " fair": 0.1}  # it begins a sentence of its own
    assert connect().backend.info.readout == "logprobs:one-word"


@pytest.mark.parametrize(
    ("rejected", "sent", "not_sent"),
    [
        ("max_completion_tokens", "max_tokens", "max_completion_tokens"),
        ("temperature", "max_completion_tokens", "temperature"),
    ],
)
def test_rejected_parameters_have_substitutes(
    rejected: str, sent: str, not_sent: str, server: Loopback, connect: Connect
) -> None:
    server.rejects = (rejected,)
    connect().score(photo_pixels())
    assert sent in server.received[0].body
    assert not_sent not in server.received[0].body


def test_fewer_alternatives_where_twenty_are_too_many(server: Loopback, connect: Connect) -> None:
    server.script.extend([Reply(404, ""), Reply(400, error_body("top_logprobs must be at most 5"))])
    connect().score(photo_pixels())
    assert server.received[0].body["top_logprobs"] == 5


@pytest.mark.parametrize("readout", ["decisions", "logprobs", "text"])
def test_a_readout_can_be_demanded(readout: str, server: Loopback, connect: Connect) -> None:
    server.decisions = True
    assert connect(readout=readout).backend.info.readout.startswith(readout)


@pytest.mark.parametrize("readout", ["decisions", "logprobs"])
def test_a_demanded_readout_that_is_not_there_is_an_error(readout: str, server: Loopback, connect: Connect) -> None:
    server.logprobs = "no"
    with pytest.raises(ApiRejectedError, match=f"offers no {readout}"):
        connect(readout=readout)


def test_being_busy_is_not_taken_for_being_unable(server: Loopback, connect: Connect) -> None:
    server.decisions = True
    server.script.extend([Reply(503, "")] * 9)
    with pytest.raises(ApiUnreachableError):
        connect()
    server.script.clear()
    assert connect().backend.info.readout == "decisions"


def test_a_key_may_be_barred_from_decisions_alone(
    server: Loopback, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script.append(Reply(403, error_body("missing scope")))
    scorer = connect()
    assert scorer.backend.info.readout == "logprobs:prefilled"
    assert scorer.score(photo_pixels()).status == "scored"
    server.key = KEY
    with pytest.raises(ApiAuthError):
        connect(cache="off")


def test_a_decision_that_is_refused_is_still_a_decision(server: Loopback, connect: Connect) -> None:
    server.decisions = True
    server.script.append(Reply(200, {"model": "served-1", "answers": [{"type": "refusal"}]}))
    assert connect().backend.info.readout == "decisions"


def test_a_page_in_the_place_of_decisions_is_none(server: Loopback, connect: Connect) -> None:
    server.script.append(Reply(200, "<html>welcome</html>"))
    assert connect().backend.info.readout == "logprobs:prefilled"


def test_a_model_without_a_level_word_still_connects(server: Loopback, connect: Connect, tmp_path: Path) -> None:
    server.script.extend([Reply(404, ""), *[Reply(200, chat("zzz"))] * 3])
    scorer = connect()
    assert scorer.backend.info.readout == "text"
