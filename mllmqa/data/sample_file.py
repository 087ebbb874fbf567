"""Files of samples: one JSON record per line, read and written one at a time.

A file is written beside its place (``NAME.partial``) and moved there when it is complete, so that whoever sees it
sees all of it. A killed run leaves the partial file, which is continued where it broke off.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from mllmqa import resume, sinks
from mllmqa.data.flaws import Flaw, shown
from mllmqa.data.sample import START, Sample, parse_sample
from mllmqa.errors import DataError, UsageError

BOM = b"\xef\xbb\xbf"
"""Byte order mark, which some editors put in front of a file."""


def read_samples(path: Path) -> Iterator[Sample]:
    """Read a file of samples lazily: memory does not grow with the file.

    Raises:
        DataError: It cannot be read, or a line is no valid sample: names file, line, field, found, expected.
            :func:`mllmqa.data.problems.iter_problems` lists all that is wrong instead.
    """
    for number, line in numbered_lines(path):
        where = f"{path}, line {number}"
        if flaw := encoding_flaw(line):
            raise flaw.error(where)
        yield parse_sample(line, where)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers from 1, without a byte order mark at the start.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                line = line.removeprefix(BOM) if number == 1 else line
                if line.strip():
                    yield number, line.rstrip(b"\r\n")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from error


def encoding_flaw(line: bytes) -> Flaw | None:
    """Return what is wrong with the encoding of a line: label files in GBK are found in the wild."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"not UTF-8 (byte 0x{line[error.start]:02x} at position {error.start + 1}"
        try:
            strings = line.decode("gb18030").split('"')
            found += f"; it decodes as GBK: {shown(next(s for s in strings if not s.isascii()))}"
        except (UnicodeDecodeError, StopIteration):
            found += "; it is not GBK either"
        return Flaw("", f"{found})", "UTF-8: convert it, e.g. with iconv -f GBK -t UTF-8")
    return None


class SampleWriter:
    """Writes a file of samples; a context manager that finishes the file only if all went well.

    Args:
        path: The file.
        continued: Go on where an earlier run was killed, or after the end of a finished file.

    Attributes:
        done: Number of samples that the file has already; a deterministic build leaves out as many.
        last_id: Of the last of them.

    Raises:
        UsageError: The file exists and ``continued`` is off, or another process writes it.
        DataError: What is to be continued is not a file of samples.
    """

    def __init__(self, path: Path, *, continued: bool = False) -> None:
        self._path, self._partial = path, partial_of(path)
        self.done, self.last_id = 0, None
        check_new(path, continued=continued)
        try:
            if continued and path.exists() and not self._partial.exists():
                _copy(path, self._partial)
            self._file = self._partial.open("ab")
        except OSError as error:
            raise UsageError(f"cannot be written: {error.strerror}", where=path) from error
        try:
            sinks.lock(self._file, path)
            if continued:
                self.done, self.last_id = _cut_torn(self._partial)
        except BaseException:
            self._file.close()
            raise

    done: int
    last_id: str | None

    def write(self, sample: Sample) -> None:
        """Append one sample and flush it."""
        self._file.write(sample.to_json().encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Finish the file: it appears under its name, whole."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()  # the partial file stays, to be continued


def write_samples(samples: Iterable[Sample], path: Path, *, continued: bool = False) -> int:
    """Write all samples to a file; with ``continued`` the same ones again, after a kill, give the same file.

    Returns:
        The number of samples in the file.

    Raises:
        UsageError: See :class:`SampleWriter`.
        DataError: The file to be continued was made of other samples.
    """
    with SampleWriter(path, continued=continued) as writer:
        made = iter(samples)
        total = _skip_written(made, partial_of(path), path) if writer.done else 0
        for sample in made:
            writer.write(sample)
            total += 1
    return total


def partial_of(path: Path) -> Path:
    """Return where a file is written before it is complete."""
    return path.with_name(path.name + ".partial")


def check_new(path: Path, *, continued: bool) -> None:
    """Check that a file may be written.

    Raises:
        UsageError: It, or what a killed run left of it, exists and ``continued`` is off.
    """
    for existing in (path, partial_of(path)):
        if existing.exists() and not existing.is_file():
            raise UsageError("is not a regular file", where=existing)
        if existing.exists() and not continued:
            what = "this file exists already" if existing == path else "an unfinished file is there"
            raise UsageError(what, where=existing, hint="continue it with --resume, or remove it")


def _copy(path: Path, partial: Path) -> None:
    """Copy a finished file that is to be continued; half a copy is never taken for a partial file."""
    copy = partial.with_name(partial.name + ".copy")
    shutil.copyfile(path, copy)
    copy.replace(partial)


def _cut_torn(partial: Path) -> tuple[int, str | None]:
    """Cut off a torn last line; return the number of samples, and the id of the last.

    The file is changed only after all of it was read and found to be ours.
    """
    count, end, last = 0, 0, None
    for number, (line, after) in enumerate(resume.lines(partial), 1):
        if not line.endswith(b"\n"):
            resume.check_start(partial, line, START, "a file of samples, one JSON record per line")
            break
        end = after
        if line.strip():
            last = parse_sample(line, f"{partial}, line {number}").id
            count += 1
    if end < partial.stat().st_size:
        with partial.open("rb+") as file:
            file.truncate(end)
    return count, last


def _skip_written(made: Iterator[Sample], partial: Path, path: Path) -> int:
    count = 0
    for number, line in numbered_lines(partial):
        sample = next(made, None)
        if sample is None or parse_sample(line) != sample:
            found = "more samples than are made now" if sample is None else f"another sample than {sample.id!r}"
            raise DataError(
                f"line {number} of its unfinished file is {found}",
                where=path,
                hint="use the same data and settings, or another file",
            )
        count += 1
    return count
