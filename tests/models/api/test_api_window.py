"""Calls in flight: few at first, more while it goes well, half when it is too much, never above the limit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import pytest

from mllmqa.errors import BudgetError
from mllmqa.models.api import ApiOptions
from mllmqa.models.api.messages import CHAT
from mllmqa.models.api.meter import Meter, Usage
from mllmqa.models.api.options import Budget
from mllmqa.models.api.transport import Pacing, Transport
from mllmqa.models.api.window import FIRST, ROUNDS, Window
from tests.loopback import Loopback, Received, Reply, chat, error_body


class Clock:
    """Seconds that pass when told so."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def nothing() -> None:
    """Still wanted."""


def answers(window: Window, clock: Clock, n: int, seconds: float = 0.1) -> None:
    """Let n calls be answered, one after the other."""
    for _ in range(n):
        with window.place(nothing) as ticket:
            clock.now_s += seconds
        window.went_well(ticket)


def turned_away(window: Window, wait_s: float | None = None) -> float:
    with window.place(nothing) as ticket:
        pass
    return window.too_many(ticket, "429", wait_s)


def test_it_starts_modest_and_never_passes_the_limit(clock: Clock) -> None:
    window = Window(10, "there", clock)
    assert window.size == FIRST
    answers(window, clock, 3)
    assert window.size == FIRST + 3  # slow start: one more per answer
    answers(window, clock, 100)
    assert window.size == 10
    assert Window(2, "there", clock).size == 2


def test_too_many_halves_it_and_then_it_grows_by_one_per_window(clock: Clock) -> None:
    window = Window(32, "there", clock)
    answers(window, clock, 100)
    turned_away(window)
    assert (window.size, window.cuts) == (16, 1)
    answers(window, clock, 15)
    assert window.size == 16
    answers(window, clock, 3)
    assert window.size == 17
    for _ in range(9):
        turned_away(window)
    assert window.size == 1  # never nobody


def test_calls_of_one_burst_cut_once(clock: Clock) -> None:
    window = Window(32, "there", clock)
    answers(window, clock, 100)
    with window.place(nothing) as first, window.place(nothing) as second, window.place(nothing) as third:
        assert window.highest == 3
    window.too_many(first, "429", None)
    window.too_many(second, "429", None)
    assert (window.size, window.cuts) == (16, 1)
    window.went_well(third)  # it was sent before the cut: no reason to grow
    assert window.size == 16


def test_an_endpoint_that_wants_a_pause_gets_it_from_all(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    window = Window(8, "there", clock)
    until_s = turned_away(window, 7.0)
    assert until_s == clock.now_s + 7
    assert window.pause_s() == 7
    assert window.pause_s(until_s) == 0  # who was turned away has waited by itself
    clock.now_s += 5
    assert window.pause_s() == 2
    turned_away(window, 1.0)  # a shorter one does not shorten it
    assert window.pause_s() == 2
    clock.now_s += 3
    assert window.pause_s() == 0
    assert "there: 429: 2 at the same time instead of 4, and none for 7.0 s" in caplog.messages[0]


def test_it_does_not_grow_while_answers_queue_but_takes_longer_questions_for_what_they_are(clock: Clock) -> None:
    window = Window(64, "there", clock)
    answers(window, clock, 4, seconds=1.0)
    slow = window.size
    answers(window, clock, 2 * slow, seconds=10.0)
    held = window.size
    assert held < 3 * slow
    answers(window, clock, held, seconds=10.0)
    assert window.size == held
    answers(window, clock, 64 * (ROUNDS + 1), seconds=10.0)  # another kind of question
    assert window.size == 64
    quick = Window(64, "there", clock)
    for seconds in (0.001, 0.5) * 32:
        answers(quick, clock, 4, seconds=seconds)
    assert quick.size == 64


def test_who_waits_for_room_may_be_called_off() -> None:
    window, called_off = Window(1, "there"), threading.Event()

    def check() -> None:
        if called_off.is_set():
            raise BudgetError("interrupted")

    def wait() -> None:
        with window.place(check):
            raise AssertionError("there is no room")

    with ThreadPoolExecutor(1) as pool, window.place(nothing):
        waiting = pool.submit(wait)
        called_off.set()
        window.wake()
        with pytest.raises(BudgetError):
            waiting.result()
    assert window.highest == 1


class Small(Loopback):
    """Bears so many requests at the same time; answers 429 to the rest."""

    bears, turned_away = 3, 0
    rest: Mapping[str, str] = MappingProxyType({})

    def _usual(self, request: Received) -> Reply:
        with self._lock:
            at_once = self._at_once
        if at_once > self.bears:
            with self._lock:
                self.turned_away += 1
            return Reply(429, error_body("too many requests"), dict(self.rest))
        time.sleep(0.01)  # so that requests meet
        return Reply(200, chat("Score: 1"))


def asked(server: Small, n: int, concurrency: int, **more: Any) -> tuple[Transport, list[dict[str, Any]]]:
    """Ask n questions from as many threads as the limit allows."""
    options = ApiOptions(base_url=server.url, concurrency=concurrency, retries=20)
    transport = Transport(options, Meter(Budget()), Pacing(jitter=lambda: 0.0, **more))
    with ThreadPoolExecutor(concurrency) as pool:
        found = list(pool.map(lambda i: transport.post(CHAT, {"model": "eye", "messages": [{"n": i}]}), range(n)))
    transport.close()
    return transport, found


def test_a_server_that_bears_three_gets_few_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mllmqa.models.api.retry.FIRST_S", 0.01)
    with Small() as server:
        transport, found = asked(server, 120, 16)
        assert len(found) == len(server.paid) == 120
        assert server.most_at_once <= 16
        assert transport.window.cuts >= 1
        assert 1 <= transport.window.size <= 8
        # unlimited, twelve of sixteen threads would be turned away at nearly every question
        assert server.turned_away < 120


def test_retry_after_is_kept_by_all() -> None:
    """While the endpoint rests, no call is sent; the pauses are not made."""
    rests: list[float] = []
    with Small() as server:
        server.rest, server.bears = {"Retry-After": "9"}, 0

        def rest(seconds: float) -> None:
            rests.append(seconds)
            server.bears = 9

        options = ApiOptions(base_url=server.url, concurrency=4, retries=1)
        transport = Transport(options, Meter(Budget()), Pacing(sleep=rest, jitter=lambda: 0.0))
        assert transport.post(CHAT, {"model": "eye", "messages": []})
        assert rests == [9.0]  # its own pause is the endpoint's: not made twice
        assert transport.post(CHAT, {"model": "eye", "messages": [{}]})
        assert len(rests) == 2  # another call waits for what is left of it
        assert 0 < rests[1] <= 9
        transport.close()


def test_the_usage_tells_of_it() -> None:
    used = Usage(sent=9, answered=5, retried=4, at_once=6, cuts=2)
    assert "at most 6 at the same time, cut back 2 times" in used.line()
    assert "cut back once" in Usage(at_once=6, cuts=1).line()
    assert "at the same time" not in Usage(at_once=6).line()
