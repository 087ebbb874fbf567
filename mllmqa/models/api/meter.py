"""Counts of what a run sends and is charged for, and the stop when its budget is spent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mllmqa.errors import BudgetError
from mllmqa.models.api.options import Budget, Price


@dataclass(frozen=True)
class Usage:
    """What a run has done so far.

    Attributes:
        sent: HTTP requests, retries included.
        answered: Those that were answered with content: they are paid for.
        lost: Those whose answer was lost on the way (cut, timed out): they may be paid for.
        retried: Tries after a failed one.
        from_cache: Answers that needed no request.
        tokens_in: As the endpoint counts them.
        tokens_out: As the endpoint counts them.
        uncounted: Answers for which the endpoint stated no tokens.
        at_once: Requests that were in flight at the same time, at most.
        cuts: How often that was halved, because the endpoint had too many.
    """

    sent: int = 0
    answered: int = 0
    lost: int = 0
    retried: int = 0
    from_cache: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    uncounted: int = 0
    at_once: int = 0
    cuts: int = 0

    def cost(self, price: Price) -> float:
        """Return the money that the counted tokens cost."""
        return (self.tokens_in * price.tokens_in + self.tokens_out * price.tokens_out) / 1e6

    def line(self, price: Price | None = None) -> str:
        """Return one line for people."""
        parts = [f"{self.answered} answers paid for", f"{self.from_cache} from the cache", f"{self.sent} requests"]
        parts += [f"{self.retried} retries"] if self.retried else []
        parts += [f"{self.lost} answers lost on the way, maybe paid for"] if self.lost else []
        parts.append(f"{self.tokens_in:,} + {self.tokens_out:,} tokens")
        parts += [f"{self.uncounted} without a token count"] if self.uncounted else []
        times = "once" if self.cuts == 1 else f"{self.cuts} times"
        parts += [f"at most {self.at_once} at the same time, cut back {times}"] if self.cuts else []
        parts += [f"cost {self.cost(price):.4f}"] if price else []
        return "endpoint: " + ", ".join(parts)


class Meter:
    """Thread-safe counts with a budget.

    A request is let through only if the budget holds it beside all those in flight. Its tokens are known only
    once it is answered, so each one in flight is taken for as large as the largest so far; the budget can be
    passed by no more than that guess is wrong for the requests in flight.

    Args:
        budget: Limits.
        price: Needed for ``budget.cost``.
    """

    def __init__(self, budget: Budget, price: Price | None = None) -> None:
        self._budget, self._price = budget, price
        self._lock = threading.Lock()
        self._usage = Usage()
        self._in_flight = 0
        self._largest = (0, 0)  # tokens in and out of one answer
        self._closed: str | None = None

    @property
    def usage(self) -> Usage:
        """A snapshot of the counts."""
        with self._lock:
            return self._usage

    @contextmanager
    def flight(self) -> Iterator[None]:
        """Reserve room for one request while it is in flight.

        Raises:
            BudgetError: There is none.
        """
        with self._lock:
            if reason := self._closed or self._no_room():
                raise BudgetError(f"not asked: {reason}", hint="go on with --resume; answers so far are kept")
            self._in_flight += 1
            self._usage = replace(self._usage, sent=self._usage.sent + 1)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def answered(self, tokens: tuple[int, int] | None) -> None:
        """Count an answer with its tokens in and out, or None where the endpoint does not state them."""
        with self._lock:
            u, (more_in, more_out) = self._usage, tokens or (0, 0)
            self._usage = replace(
                u,
                answered=u.answered + 1,
                tokens_in=u.tokens_in + more_in,
                tokens_out=u.tokens_out + more_out,
                uncounted=u.uncounted + (tokens is None),
            )
            self._largest = (max(self._largest[0], more_in), max(self._largest[1], more_out))
            if tokens is None and (self._budget.tokens, self._budget.cost) != (None, None):
                self._closed = "the endpoint states no token counts, so only a budget in requests can be kept"

    def count(self, *, lost: int = 0, retried: int = 0, from_cache: int = 0) -> None:
        """Add to the counts."""
        with self._lock:
            u = self._usage
            self._usage = replace(
                u, lost=u.lost + lost, retried=u.retried + retried, from_cache=u.from_cache + from_cache
            )

    def close(self, reason: str) -> None:
        """Let no further request through."""
        with self._lock:
            self._closed = self._closed or reason

    def _no_room(self) -> str | None:
        """Say which limit does not hold one more request, if any."""
        u, b, ahead = self._usage, self._budget, self._in_flight + 1
        if b.requests is not None and u.answered + u.lost + ahead > b.requests:
            return f"the budget of {b.requests} requests is spent"
        tokens = u.tokens_in + u.tokens_out
        if b.tokens is not None and tokens + max(1, ahead * sum(self._largest)) > b.tokens:
            return f"the budget of {b.tokens:,} tokens is spent ({tokens:,} used)"
        if b.cost is not None and self._price is not None:
            one = Usage(tokens_in=self._largest[0], tokens_out=self._largest[1]).cost(self._price)
            cost = u.cost(self._price)
            if cost + ahead * one > b.cost or b.cost <= 0:
                return f"the budget of {b.cost:g} is spent ({cost:.4f} used)"
        return None
