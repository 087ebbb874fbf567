"""Every failure of an endpoint: what the record says, how often was sent, that nothing is lost or paid twice.

docs/api.md has the same table; :data:`TABLE` is where it was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.errors import ApiAuthError, ApiError, ApiModelError, MissingExtraError
from mllmqa.models.api.retry import LOST_RETRIES
from mllmqa.schema import Score, Unscored
from tests.conftest import photo_pixels
from tests.loopback import HTML, KEY, Connect, Loopback, Reply, chat, error_body

EMPTY = {"model": "served-1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0}}
BUSY = Reply(429, error_body("slow down"), {"Retry-After": "7"})
DATED = Reply(429, error_body("slow down"), {"Retry-After": "Fri, 15 Jan 2027 08:00:09 GMT"})  # 9 s later
QUOTA = Reply(429, error_body("no money", code="insufficient_quota"))
PATIENCE = Reply(503, HTML, {"Retry-After": "3600"})
FILTER = Reply(400, error_body("filtered", code="content_filter"))
REFUSAL = Reply(200, chat(None, refusal="I cannot judge this."))
HALF = Reply(200, chat("The pic", "length"))

# name: (replies, reason or None if scored, requests sent, pauses, answers paid for, maybe paid for)
TABLE: dict[str, tuple[list[Reply], str | None, int, list[float], int, int]] = {
    "429 with seconds, then well": ([BUSY], None, 2, [7.0], 1, 0),
    "429 with a date, then well": ([DATED], None, 2, [9.0], 1, 0),
    "429 for good": ([BUSY] * 9, "api-unreachable", 6, [7.0] * 5, 0, 0),
    "429 quota used up": ([QUOTA], "budget", 1, [], 0, 0),
    "402": ([Reply(402, error_body("pay first"))], "budget", 1, [], 0, 0),
    "503 with a pause of an hour": ([PATIENCE], "api-unreachable", 1, [], 0, 0),
    "408, 409, 500, then well": ([Reply(s, "") for s in (408, 409, 500)], None, 4, [0.5, 1.0, 2.0], 1, 0),
    "500 for good": ([Reply(500, HTML)] * 9, "api-unreachable", 6, [0.5, 1.0, 2.0, 4.0, 8.0], 0, 0),
    "500 that shall not be retried": (
        [Reply(500, "", {"x-should-retry": "false"})],
        "api-unreachable",
        1,
        [],
        0,
        0,
    ),
    "501": ([Reply(501, "")], "api-rejected", 1, [], 0, 0),
    "400": ([Reply(400, error_body("too many pixels"))], "api-rejected", 1, [], 0, 0),
    "413 as HTML": ([Reply(413, HTML)], "api-rejected", 1, [], 0, 0),
    "404": ([Reply(404, error_body("no such model"))], "api-model", 1, [], 0, 0),
    "400 content filter": ([FILTER], "api-refused", 1, [], 0, 0),
    "200 HTML": ([Reply(200, HTML)], "api-answer", 1, [], 0, 0),
    "200 nothing": ([Reply(200, "")], "api-answer", 1, [], 0, 0),
    "200 JSON without choices": ([Reply(200, EMPTY)], "api-answer", 1, [], 0, 1),
    "200 choices of another kind": ([Reply(200, {"choices": ["good"]})], "api-answer", 1, [], 0, 1),
    "200 with an error": ([Reply(200, {"error": {"message": "upstream"}})], "api-answer", 1, [], 0, 0),
    "200 no text": ([Reply(200, chat(None))], "api-answer", 1, [], 1, 0),
    "refusal": ([REFUSAL], "api-refused", 1, [], 1, 0),
    "content filter in the answer": ([Reply(200, chat("go", "content_filter"))], "api-refused", 1, [], 1, 0),
    "truncated": ([HALF], "truncated", 1, [], 1, 0),
    "other words": ([Reply(200, chat("Not bad at all"))], "unparsed", 1, [], 1, 0),
    "cut once": ([Reply(cut=True)], None, 2, [0.5], 1, 1),
    "cut for good": ([Reply(cut=True)] * 9, "api-unreachable", 3, [0.5, 1.0], 0, 3),
}
KEPT = {"api-refused", "truncated", "unparsed"}
"""Reasons of answers that were paid for: asking again would give the same for the same money."""


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[list[Path]]:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.fromarray(photo_pixels(64, 48, seed=i)).save(path)
    yield paths


@pytest.mark.parametrize("name", TABLE)
def test_every_failure_is_one_record_and_nothing_is_paid_twice(
    name: str, server: Loopback, connect: Connect, pauses: list[float], pictures: list[Path]
) -> None:
    replies, reason, sent, waited, paid, lost = TABLE[name]
    scorer = connect(concurrency=1)
    before = scorer.backend.usage
    server.script.extend(replies)
    (result,) = scorer.score(pictures[:1])
    usage = scorer.backend.usage
    assert (result.reason if isinstance(result, Unscored) else None) == reason, result
    assert (usage.sent - before.sent, len(server.received)) == (sent, sent)
    assert pauses == waited
    assert (usage.answered - before.answered, usage.lost - before.lost) == (paid, lost)
    assert usage.retried - before.retried == len(waited)
    if isinstance(result, Unscored):
        assert "\n" not in result.message
        assert "<html" not in result.message.lower()
    # Asked again: an answer that was paid for is not paid for again, and a failure was not kept as an answer.
    server.script.clear()
    server.forget()
    (again,) = connect(concurrency=1, forget=False).score(pictures[:1])
    if paid and reason != "api-answer":
        assert server.received == []
        assert again.status == result.status
    elif not paid:
        assert isinstance(again, Score)
        assert len(server.received) == 1


def test_a_failure_costs_its_own_input_only(server: Loopback, connect: Connect, pictures: list[Path]) -> None:
    scorer = connect(concurrency=1)
    server.script.extend([Reply(), Reply(400, error_body("no")), Reply()])
    results = scorer.score(pictures)
    assert [r.status for r in results] == ["scored", "unscored", "scored"]
    assert [r.source for r in results] == [str(p) for p in pictures]


def test_a_slow_server_is_given_up(server: Loopback, connect: Connect, pictures: list[Path]) -> None:
    connect()
    scorer = connect(timeout_s=0.2)
    server.script.extend([Reply(hold=True)] * 9)
    (result,) = scorer.score(pictures[:1])
    assert result.reason == "api-unreachable"
    assert "no answer within 0.2 s; 3 lost on the way and maybe paid for" in result.message
    assert len(server.received) == 1 + LOST_RETRIES
    assert scorer.backend.usage.lost == 1 + LOST_RETRIES


def test_lost_answers_are_asked_for_again_with_the_same_tag(
    server: Loopback, connect: Connect, pictures: list[Path]
) -> None:
    """An endpoint that honours Idempotency-Key charges once; a definite failure starts a new one."""
    scorer = connect(concurrency=1)
    server.script.extend([Reply(cut=True), Reply(500, ""), Reply()])
    scorer.score(pictures[:1])
    tags = [r.headers["idempotency-key"] for r in server.received]
    assert tags[0] == tags[1] != tags[2]


def test_nobody_listens(server: Loopback, connect: Connect, pauses: list[float]) -> None:
    with Loopback() as other:
        gone = other.url
    with pytest.raises(ApiError, match="cannot be reached") as caught:
        connect(base_url=gone)
    assert caught.value.code == "api-unreachable"
    assert len(pauses) == 5


def test_a_wrong_key_stops_at_once_with_one_line(
    server: Loopback, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = KEY
    wrong = KEY + "-wrong-and-secret"
    for value, message in ((None, "wants a key"), (wrong, "refuses the key")):
        if value is not None:
            monkeypatch.setenv("OPENAI_API_KEY", value)
        server.forget()
        with pytest.raises(ApiAuthError, match=message) as caught:
            connect(readout="text")
        assert len(server.received) == 1
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_in_the_middle_stops_the_run(
    status: int, server: Loopback, connect: Connect, pictures: list[Path]
) -> None:
    scorer = connect(concurrency=1)
    server.script.extend([Reply(), Reply(status, error_body("no"))])
    results = list(scorer.stream(pictures, batch_size=3))
    assert [r.status for r in results] == ["scored", "unscored", "unscored"]  # what was paid for is kept
    assert [r.reason for r in results[1:]] == ["api-auth"] * 2
    assert len(server.received) == 2
    with pytest.raises(ApiAuthError):
        scorer.score(pictures[1:])
    assert len(server.received) == 2


def test_an_unknown_model_is_one_line(connect: Connect) -> None:
    with pytest.raises(ApiModelError, match=r"no such model or path .404: .*'nobody' does not exist"):
        connect(model="nobody")


def test_openais_own_endpoint_needs_a_key(connect: Connect) -> None:
    with pytest.raises(ApiAuthError, match="OPENAI_API_KEY"):
        connect(base_url="https://api.openai.com/v1")


@pytest.mark.parametrize("key", ["two words", "schlüssel", "a\nb"])
def test_what_is_no_key_is_not_shown(key: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ApiAuthError, match="is no key") as caught:
        connect()
    assert key not in str(caught.value)


def test_the_package_is_an_extra(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"mllmqa\[api\]"):
        connect()


def test_the_openai_client_sends_with_its_account_and_without_tries_of_its_own(
    server: Loopback, connect: Connect, monkeypatch: pytest.MonkeyPatch, pictures: list[Path]
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    scorer = connect()
    server.script.append(Reply(500, ""))
    assert scorer.score(pictures[0]).status == "scored"
    for request in server.received:
        assert request.headers["user-agent"].startswith("OpenAI/Python")
        assert request.headers["openai-organization"] == "org-1"
        assert request.headers["openai-project"] == "proj-1"
        assert request.headers["x-stainless-retry-count"] == "0"


def test_the_key_is_nowhere(
    server: Loopback,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    pictures: list[Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in records, messages, logs, representations or the cache, though the server repeats it in its errors."""
    caplog.set_level("DEBUG")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.key = KEY
    scorer = connect(concurrency=1, cache=tmp_path / "cache")
    leak = f"{'x' * 190} {KEY} Bearer {KEY[:12]}"
    server.script.extend(
        [Reply(500, error_body(leak)), Reply(400, error_body(leak, param=KEY)), Reply(200, {"error": KEY})]
    )
    results = scorer.score(pictures)
    assert [r.status for r in results] == ["unscored", "unscored", "scored"]
    said = "".join(r.model_dump_json() for r in results) + repr(scorer.backend) + repr(scorer.backend._transport)
    said += caplog.text + repr(scorer.backend.options) + repr(scorer.backend.info)
    scorer.backend.close()
    kept = b"".join(p.read_bytes() for p in (tmp_path / "cache").iterdir())
    assert "sk-loop" not in said
    assert b"sk-loop" not in kept
    assert all(r.headers["authorization"] == f"Bearer {KEY}" for r in server.received)
