"""Who listens to an answer that comes piece by piece, from another thread, and may have heard enough."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from mllmqa.models.api.events import Gathered, events

POLL_S = 0.05
"""How often it is asked whether to stop, while nothing comes."""


class Again(Exception):
    """A failed try that may be followed by another."""

    def __init__(self, what: str, *, lost: bool = False, wait_s: float | None = None, busy: bool = False) -> None:
        super().__init__(what)
        self.what, self.lost, self.wait_s, self.busy = what, lost, wait_s, busy


class Cut(Exception):
    """The caller has heard enough."""


class Ear:
    """Takes an answer's pieces in the thread that reads, and gives them to the thread that asked.

    Attributes:
        begun: Whether anything of an answer came.
        gathered: What came.
    """

    def __init__(self) -> None:
        self.begun = False
        self.gathered = Gathered()
        self._cut = threading.Event()
        self._queue: queue.SimpleQueue[str | dict[str, Any] | BaseException] = queue.SimpleQueue()
        self._response: Any = None

    # ------------------------------------------------------------------ the thread that reads

    def open(self, response: Any) -> None:
        """Know the response, so that it can be cut.

        Raises:
            Cut: It is no longer wanted.
        """
        self._response = response
        self.check()

    def check(self) -> None:
        """Raise :class:`Cut` once the answer is no longer wanted."""
        if self._cut.is_set():
            raise Cut

    def read(self, chunks: Iterable[bytes]) -> dict[str, Any]:
        """Read the events of an answer to their end and return it as a whole.

        Raises:
            Cut: It is no longer wanted.
            Again: They end before the answer does.
            ApiAnswerError: They are no answer.
        """
        for data in events(chunks):
            self.check()
            self.begun = True
            if piece := self.gathered.take(data):
                self._queue.put(piece)
            if self.gathered.done:
                break
        if not self.gathered.done and self.gathered.finish is None:
            raise Again("the connection was cut", lost=True)
        return self.gathered.answer()

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Take an answer that came at once."""
        self.check()
        return answer

    # ------------------------------------------------------------------ the thread that asked

    def listen(
        self,
        ask: Callable[[Ear], dict[str, Any]],
        on_piece: Callable[[str], None],
        cancelled: Callable[[], bool] | None,
    ) -> dict[str, Any]:
        """Let another thread ask, and pass on what is said, until the answer ends or is cancelled.

        Args:
            ask: Sends the request; given this ear.
            on_piece: Given each piece of text.
            cancelled: Asked between pieces, and every :data:`POLL_S` while there are none.

        Raises:
            Cut: It was cancelled; the connection is closed.
        """

        def run() -> None:
            try:
                self._queue.put(ask(self))
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
                self._queue.put(error)

        threading.Thread(target=run, name="mllmqa-api-stream", daemon=True).start()
        try:
            while True:
                if cancelled is not None and cancelled():
                    raise Cut
                with contextlib.suppress(queue.Empty):
                    item = self._queue.get(timeout=POLL_S)
                    if isinstance(item, BaseException):
                        raise item
                    if isinstance(item, dict):
                        return item
                    on_piece(item)
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        """End the reading, also where it waits for the next byte."""
        self._cut.set()
        if self._response is None:
            return
        stream = self._response.extensions.get("network_stream")
        connection = None if stream is None else stream.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
