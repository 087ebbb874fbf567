"""How many calls are in flight at the same time: few at first, more while it goes well, half when it is too much.

Additive increase and multiplicative decrease, with slow start (Jacobson, 1988; Chiu and Jain, 1989): each answer
lets one more call in until the endpoint first says "too many" (429, 503, 529) or does not answer in time; from then
on the window grows by one call per window of answers. Calls that were sent before a cut do not cut again. While
answers take much longer than they lately did, the window does not grow, for the endpoint only lets them queue.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

log = logging.getLogger(__name__)

FIRST = 4
"""Calls at the same time at the start."""

SLOWER = 3.0
"""Times as long as in the fastest of the last rounds: then the window does not grow."""

QUICK_S = 1.0
"""Answers that come sooner are never taken for slow: so small a difference is the machine's or the network's."""

ROUNDS = 8
"""Rounds whose latency is remembered; kinds of questions that simply take longer are the measure after as many."""

POLL_S = 0.1
"""How often a call that waits for room asks whether it is still wanted."""


@dataclass(frozen=True)
class Ticket:
    """A call that is in flight.

    Attributes:
        cut: How often the window had been cut when it was sent.
        start_s: When, on the monotonic clock.
    """

    cut: int
    start_s: float


class Window:
    """Lets calls in; thread-safe.

    Args:
        most: Calls at the same time that it never passes.
        where: Of the endpoint, for the log.
        clock_s: Monotonic.
    """

    def __init__(self, most: int, where: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.most, self._where, self._clock_s = most, where, clock_s
        self._room = threading.Condition()
        self._size = float(min(FIRST, most))
        self._threshold = float(most)
        self._in_flight = self._cuts = self._highest = 0
        self._open_s = 0.0
        self._recent: list[float] = []
        self._round = self.size  # answers of a round: as many as were let in when it began
        self._rounds: deque[float] = deque(maxlen=ROUNDS)

    @property
    def size(self) -> int:
        """Calls that may be in flight now."""
        return int(self._size)

    @property
    def highest(self) -> int:
        """Calls that were in flight at the same time, at most."""
        return self._highest

    @property
    def cuts(self) -> int:
        """How often it was halved."""
        return self._cuts

    @contextmanager
    def place(self, check: Callable[[], None]) -> Iterator[Ticket]:
        """Wait for room and keep it while a call is in flight.

        Args:
            check: Asked while it waits; what it raises ends the waiting.
        """
        with self._room:
            while self._in_flight >= self.size:
                check()
                self._room.wait(POLL_S)
            self._in_flight += 1
            self._highest = max(self._highest, self._in_flight)
            ticket = Ticket(self._cuts, self._clock_s())
        try:
            yield ticket
        finally:
            with self._room:
                self._in_flight -= 1
                self._room.notify()

    def wake(self) -> None:
        """Let all that wait ask whether they are still wanted."""
        with self._room:
            self._room.notify_all()

    def pause_s(self, after_s: float = 0.0) -> float:
        """Return for how long no call shall be sent, in seconds; 0 if a pause until ``after_s`` was long enough.

        Args:
            after_s: Until when the caller has waited already, on the monotonic clock.
        """
        with self._room:
            return max(0.0, self._open_s - self._clock_s()) if self._open_s > after_s else 0.0

    def went_well(self, ticket: Ticket) -> None:
        """Count an answer; grow if there is reason to."""
        with self._room:
            self._recent.append(self._clock_s() - ticket.start_s)
            if len(self._recent) >= self._round:
                self._rounds.append(median(self._recent))
                self._begin_round()
            if self._size >= self.most or self._slow() or ticket.cut < self._cuts:
                return
            slow_start = self._size < self._threshold
            self._size = min(float(self.most), self._size + (1.0 if slow_start else 1.0 / self._size))
            self._room.notify()

    def _begin_round(self) -> None:
        self._recent.clear()
        self._round = self.size

    def _slow(self) -> bool:
        return bool(self._rounds) and self._rounds[-1] > max(QUICK_S, SLOWER * min(self._rounds))

    def too_many(self, ticket: Ticket, why: str, wait_s: float | None) -> float:
        """Halve the window, once for all calls that were sent before; let nothing out while the endpoint rests.

        Args:
            ticket: Of the call that was turned away.
            why: For the log.
            wait_s: Pause that the endpoint asks for (``Retry-After``); None: it names none.

        Returns:
            Until when nothing is sent, on the monotonic clock.
        """
        with self._room:
            until_s = self._clock_s() + (wait_s or 0.0)
            self._open_s = max(self._open_s, until_s)
            if ticket.cut < self._cuts:
                return until_s
            before, self._cuts = self.size, self._cuts + 1
            self._size = self._threshold = float(max(1, math.floor(self._size / 2)))
            self._begin_round()
            pause = f", and none for {wait_s:.1f} s" if wait_s else ""
            log.info("%s: %s: %d at the same time instead of %d%s", self._where, why, self.size, before, pause)
            return until_s
