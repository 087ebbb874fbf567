"""The inputs that a command line names: paths, folders, globs, lists, stdin."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.scoring import Input

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Wanted:
    """What the user asked for.

    Attributes:
        paths: Files, folders, globs; ``-`` is one file on stdin.
        images: Files that must be images.
        videos: Files that must be videos.
        from_file: A list of paths, one per line; ``-`` is stdin.
        limit: Inputs to take at most.
    """

    paths: tuple[str, ...]
    images: tuple[str, ...]
    videos: tuple[str, ...]
    from_file: str | None
    limit: int | None = None

    def check(self, *, resume: bool) -> None:
        """Check that there is something to do and that stdin is asked for once.

        Raises:
            UsageError: Nothing is named, or stdin is needed twice, or cannot be found again.
        """
        files = [*self.paths, *self.images, *self.videos]
        if not files and self.from_file is None:
            raise UsageError("nothing to score", expected="PATHS, --image, --video or --from-file")
        from_stdin = files.count("-") + (self.from_file == "-")
        if from_stdin > 1:
            raise UsageError("stdin is asked for more than once", expected="- in one place")
        if resume and "-" in files:
            raise UsageError("a file on stdin cannot be found again", hint="leave out --resume, or name the file")

    def __iter__(self) -> Iterator[Input]:
        """Yield the inputs lazily, each once, in the order of the command line."""
        return itertools.islice(self._each_once(), self.limit)

    def _each_once(self) -> Iterator[Input]:
        seen: set[str] = set()
        for item in self._all():
            if item.name not in seen:
                seen.add(item.name)
                yield item

    def total(self) -> int | None:
        """Count the inputs for a progress bar; None where they can be read only once."""
        once = self.from_file is not None and not Path(self.from_file).is_file()
        return None if once or "-" in self.paths else sum(1 for _ in self)

    def _all(self) -> Iterator[Input]:
        from mllmqa import media
        from mllmqa.scoring import Input

        yield from (one_input(name, "image") for name in self.images)
        yield from (one_input(name, "video") for name in self.videos)
        for path in self.paths:
            if path == "-":
                yield one_input(path)
                continue
            for item in media.gather([path]):
                named = Input.of(item.source)
                yield named if item.error is None else replace(named, source=item.error)
        if self.from_file is not None:
            yield from (one_input(name) for name in _lines(self.from_file))


def one_input(name: str, kind: Literal["image", "video"] | None = None) -> Input:
    """Return one file as an input; ``-`` is a file on stdin."""
    from mllmqa.scoring import Input

    return Input(_stdin(), "-", kind) if name == "-" else Input.of(name, kind)


def _stdin() -> BinaryIO:
    if sys.stdin is None:
        raise UsageError("stdin is closed")
    return sys.stdin.buffer


def _lines(path: str) -> Iterator[str]:
    """Yield the lines of a list of paths, at least one; bytes that are not UTF-8 are kept as the system does."""
    number = 0
    try:
        with nullcontext(_stdin()) if path == "-" else Path(path).open("rb") as file:
            for line in file:
                name = line.rstrip(b"\r\n").removeprefix(_BOM if number == 0 else b"")
                if b"\0" in name:
                    raise UsageError("is not a text file", where=path, expected="one path per line")
                if name:
                    number += 1
                    yield os.fsdecode(name)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path) from error
    if number == 0:
        raise UsageError("the list names nothing", where=path, expected="one path per line")
