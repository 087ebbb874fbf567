"""The cache of paid answers: keys, one request for many who want it, failures, other people's files."""

from __future__ import annotations

import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mllmqa.errors import ApiUnreachableError, UsageError
from mllmqa.models.api.cache import AnswerCache, key_of
from tests.conftest import photo_pixels
from tests.loopback import Connect, Loopback

BODY = {"model": "m", "temperature": 0}


def _never() -> dict[str, Any]:
    raise AssertionError("asked again")


def test_an_answer_is_asked_for_once_and_survives_reopening(tmp_path: Path) -> None:
    path = tmp_path / "a" / "answers.sqlite"
    cache = AnswerCache(path)
    assert cache.answer("k", "m", lambda: {"x": [1, "ü"]}) == ({"x": [1, "ü"]}, False)
    assert cache.answer("k", "m", _never) == ({"x": [1, "ü"]}, True)
    cache.close()
    again = AnswerCache(path)
    assert again.answer("k", "m", _never)[0] == {"x": [1, "ü"]}
    again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_processes_may_share_it(tmp_path: Path) -> None:
    one, two = AnswerCache(tmp_path / "c"), AnswerCache(tmp_path / "c")
    one.answer("k", "m", lambda: {"x": 1})
    assert two.answer("k", "m", _never) == ({"x": 1}, True)
    one.close()
    two.close()


def test_a_failure_is_raised_and_not_kept() -> None:
    cache = AnswerCache(None)

    def fail() -> dict[str, Any]:
        raise ApiUnreachableError("down")

    with pytest.raises(ApiUnreachableError):
        cache.answer("k", "m", fail)
    assert cache.answer("k", "m", lambda: {"x": 1}) == ({"x": 1}, False)


def test_threads_that_want_the_same_wait_for_one_request() -> None:
    cache, begun, go, asked = AnswerCache(None), threading.Event(), threading.Event(), []

    def ask() -> dict[str, Any]:
        asked.append(1)
        begun.set()
        go.wait()
        return {"x": 1}

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.answer, "k", "m", ask)
        begun.wait()
        others = [pool.submit(cache.answer, "k", "m", _never) for _ in range(3)]
        go.set()
        assert first.result() == ({"x": 1}, False)
        assert [o.result() for o in others] == [({"x": 1}, True)] * 3
    assert asked == [1]


def test_the_key_is_the_content() -> None:
    base = key_of("http://h/v1", "chat/completions", BODY)
    assert key_of("http://h/v1", "chat/completions", dict(reversed(BODY.items()))) == base
    others = [
        key_of("http://i/v1", "chat/completions", BODY),
        key_of("http://h/v1", "decisions", BODY),
        key_of("http://h/v1", "chat/completions", BODY | {"model": "n"}),
        key_of("http://h/v1", "chat/completions", BODY | {"temperature": 1}),
    ]
    assert len({base, *others}) == 5


@pytest.mark.parametrize("content", [b"this is no database, but long enough to be taken for one" * 20, None])
def test_files_of_others_are_refused_and_stay_as_they_are(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    if content is None:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE theirs (x)")
        db.close()
        content = path.read_bytes()
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="--cache"):
        AnswerCache(path)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used as a cache"):
        AnswerCache(tmp_path / "file" / "answers.sqlite")


def test_a_full_disk_does_not_cost_the_answer(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "c")
    cache._db.execute("PRAGMA query_only=1")
    assert cache.answer("k", "m", lambda: {"x": 1}) == ({"x": 1}, False)
    assert "could not be kept" in caplog.text
    cache.close()


def test_endpoints_are_kept_apart() -> None:
    cache = AnswerCache(None)
    assert cache.endpoint("k") is None
    cache.keep_endpoint("k", {"readout": "text"})
    cache.keep_endpoint("k", {"readout": "logprobs"})
    assert cache.endpoint("k") == {"readout": "logprobs"}


def test_timeouts_and_concurrency_are_not_in_the_key_but_the_pixels_are(server: Loopback, connect: Connect) -> None:
    picture = photo_pixels(32, 32)
    connect().score(picture)
    connect(timeout_s=77, concurrency=2, retries=1).score(picture)
    assert len(server.received) == 0  # the second connection forgot the first's request and sent none
    picture[0, 0, 0] ^= 1
    connect().score(picture)
    assert len(server.received) == 1


def test_answers_that_arrive_together_are_all_kept_before_they_are_given_on(tmp_path: Path) -> None:
    cache, eye = AnswerCache(tmp_path / "c"), AnswerCache(tmp_path / "c")

    def ask(i: int) -> bool:
        cache.answer(f"k{i}", "m", lambda: {"x": i})
        return eye.answer(f"k{i}", "m", _never) == ({"x": i}, True)  # another process would find it at once

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))
    assert cache.answer("k7", "m", _never) == ({"x": 7}, True)
    cache.close()
    eye.close()
