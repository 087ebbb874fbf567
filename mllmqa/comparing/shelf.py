"""What many inputs are shown as, kept up to a size and made again where it was dropped."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable

from mllmqa.errors import MediaCorruptError
from mllmqa.prepare import Prepared, Refused
from mllmqa.scoring import Input

SHELF_BYTES = 1 << 30


class Shelf:
    """Prepared inputs by number, the least recently used dropped first.

    Args:
        again: Prepares one input.
        size: Bytes of pictures that are kept.
    """

    def __init__(self, again: Callable[[Input], Prepared | Refused], size: int = SHELF_BYTES) -> None:
        self._again, self._size, self._held = again, size, 0
        self._inputs: dict[int, tuple[Input, str | None]] = {}
        self._ready: OrderedDict[int, Prepared] = OrderedDict()

    def put(self, key: int, source: Input, ready: Prepared) -> None:
        """Keep an input; one that cannot be read a second time (a stream) is never dropped."""
        self._inputs[key] = (source, ready.media.sha256)
        self._ready[key] = ready
        self._held += _bytes(ready)
        for other in list(self._ready):
            if self._held <= self._size:
                break
            if other != key and isinstance(self._inputs[other][0].source, str | os.PathLike):
                self._held -= _bytes(self._ready.pop(other))

    def get(self, key: int) -> Prepared:
        """Return an input, prepared again if need be.

        Raises:
            MllmqaError: It cannot be read any more.
            MediaCorruptError: Its content is another one now.
        """
        if key in self._ready:
            self._ready.move_to_end(key)
            return self._ready[key]
        source, digest = self._inputs[key]
        ready = self._again(source)
        if isinstance(ready, Refused):
            raise ready.error
        if ready.media.sha256 != digest:
            raise MediaCorruptError("changed while it was compared", where=ready.source)
        self.put(key, source, ready)
        return ready


def _bytes(ready: Prepared) -> int:
    return sum(image.nbytes for request in ready.requests for image in request.images)
