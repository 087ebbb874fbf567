"""Budgets: hard stops before sending, in requests, tokens and money."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mllmqa.errors import BudgetError
from mllmqa.models.api.meter import Meter, Usage
from mllmqa.models.api.options import Budget, Price
from tests.conftest import photo_pixels
from tests.loopback import Connect, Loopback, Reply


def _spend(meter: Meter, tokens: tuple[int, int] | None = (10, 1)) -> None:
    with meter.flight():
        meter.answered(tokens)


def test_requests() -> None:
    meter = Meter(Budget(requests=2))
    _spend(meter)
    _spend(meter)
    with pytest.raises(BudgetError, match="2 requests is spent"):
        _spend(meter)
    assert meter.usage == Usage(sent=2, answered=2, tokens_in=20, tokens_out=2)


def test_those_in_flight_hold_their_place() -> None:
    meter = Meter(Budget(requests=2))
    with meter.flight(), meter.flight(), pytest.raises(BudgetError), meter.flight():
        pass
    _spend(meter)  # neither was answered: both places are free again


def test_failures_are_free_and_lost_answers_are_not() -> None:
    meter = Meter(Budget(requests=1))
    for _ in range(5):
        with meter.flight():
            pass
    with meter.flight():
        meter.count(lost=1)
    with pytest.raises(BudgetError):
        _spend(meter)


def test_tokens_of_those_in_flight_are_taken_for_as_many_as_the_largest() -> None:
    meter = Meter(Budget(tokens=33))
    _spend(meter, (10, 1))
    with meter.flight(), pytest.raises(BudgetError, match="33 tokens"), meter.flight():
        meter.answered((10, 1))
        with meter.flight():
            pass
    assert meter.usage.tokens_in <= 33


def test_money() -> None:
    price = Price(tokens_in=2.0, tokens_out=10.0)
    meter = Meter(Budget(cost=0.0001), price)
    _spend(meter, (10, 2))  # 0.00004
    _spend(meter, (10, 2))
    with pytest.raises(BudgetError, match=r"budget of 0\.0001"):
        _spend(meter)
    assert meter.usage.cost(price) == pytest.approx(0.00008)
    with pytest.raises(BudgetError):
        _spend(Meter(Budget(cost=0.0), price))


def test_tokens_that_are_not_stated_close_a_budget_of_tokens_only() -> None:
    for budget, closed in ((Budget(requests=9), False), (Budget(tokens=10**9), True)):
        meter = Meter(budget)
        _spend(meter, None)
        if closed:
            with pytest.raises(BudgetError, match="states no token counts"):
                _spend(meter)
        else:
            _spend(meter, None)
            assert meter.usage.uncounted == 2


def test_the_line_for_people() -> None:
    assert Usage(sent=3, answered=2, from_cache=1, tokens_in=1200, tokens_out=4).line() == (
        "endpoint: 2 answers paid for, 1 from the cache, 3 requests, 1,200 + 4 tokens"
    )
    full = Usage(sent=3, answered=1, lost=1, retried=1, uncounted=1, tokens_in=10**6).line(Price(2, 0))
    assert "1 retries, 1 answers lost on the way, maybe paid for" in full
    assert full.endswith("1 without a token count, cost 2.0000")


def test_a_spent_budget_is_a_record_of_each_input_left(server: Loopback, connect: Connect, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for i, path in enumerate(paths):
        Image.fromarray(photo_pixels(32, 32, seed=i)).save(path)
    connect()  # the probe is paid for and kept
    scorer = connect(budget=Budget(requests=3), concurrency=2)
    results = scorer.score(paths)
    assert len(server.received) == 3
    assert sorted(r.status for r in results) == ["scored"] * 3 + ["unscored"] * 3
    assert {r.reason for r in results if r.status == "unscored"} == {"budget"}
    assert [r.source for r in results] == [str(p) for p in paths]
    # The next run pays for the rest only.
    server.forget()
    assert [r.status for r in connect(forget=False).score(paths)] == ["scored"] * 6
    assert len(server.received) == 3


def test_the_endpoints_own_quota_stops_the_run(server: Loopback, connect: Connect) -> None:
    scorer = connect(concurrency=1)
    quota = {"error": {"message": "no money", "code": "insufficient_quota"}}
    server.script.extend([Reply(), Reply(429, quota)])
    results = scorer.score([photo_pixels(32, 32, seed=i) for i in range(4)])
    assert [getattr(r, "reason", None) for r in results] == [None, "budget", "budget", "budget"]
    assert len(server.received) == 2
