"""A file of samples through a teacher: the rewritten ones in one file, the dropped ones beside it.

Both are written anew by every run, in the order of the input, and appear under their names when they are whole.
What a killed run has paid for is in the cache of answers: a run that resumes asks for nothing twice and gives the
files that an uninterrupted run gives.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mllmqa import sinks
from mllmqa.data.formats.files import rebased
from mllmqa.data.sample import START as SAMPLE_START
from mllmqa.data.sample import Sample, parse_sample
from mllmqa.data.sample_file import check_new, encoding_flaw, numbered_lines, partial_of
from mllmqa.data.teacher.client import Teacher
from mllmqa.data.teacher.outcomes import START, Counts, Dropped, Outcome, Rewritten, by_error
from mllmqa.data.teacher.run import rewrite
from mllmqa.errors import DataError, UsageError

_ANOTHER = "name another with --out"


def rewrite_file(source: Path, out: Path, teacher: Teacher, *, continued: bool = False) -> Counts:
    """Rewrite the answers of a file of samples.

    Args:
        source: Samples, JSON lines. A line that is none is a dropped record, too.
        out: For the rewritten samples; :func:`dropped_of` says where the others go.
        teacher: Whom to ask.
        continued: Replace what an earlier run with the same teacher left.

    Returns:
        How many samples came to what.

    Raises:
        UsageError: The files exist and ``continued`` is off, or are not ours, or are being written.
        DataError: The source cannot be read.
        ApiError: The endpoint refuses the key, or could not be asked even once.
    """
    if source.resolve() in (out.resolve(), dropped_of(out).resolve()):
        raise UsageError("is both input and output", where=out, expected="another file with --out")
    if continued and teacher.options.cache == "off":
        what = "--resume takes paid answers from the cache, and there is none"
        raise UsageError(what, expected="--resume without --no-cache")
    next(numbered_lines(source), None)  # a source that cannot be read leaves no files behind
    counts = Counts(0, Counter())
    with _Outputs(out, teacher.name, continued=continued) as outputs:
        for outcome in rewrite(_samples(source), teacher, source.parent):
            outputs.write(outcome, source.parent)
            counts.add(outcome)
    return counts


def dropped_of(out: Path) -> Path:
    """Return where the dropped samples go."""
    return out.with_name(f"{out.stem}.dropped.jsonl")


def _samples(source: Path) -> Iterator[Sample | Dropped]:
    for number, line in numbered_lines(source):
        try:
            if flaw := encoding_flaw(line):
                raise flaw.error(f"{source}, line {number}")
            yield parse_sample(line, f"{source}, line {number}")
        except DataError as error:
            yield by_error(f"line {number}", error)


class _Outputs:
    """Both files; they appear under their names only if all went well."""

    def __init__(self, out: Path, teacher: str, *, continued: bool) -> None:
        self._paths = (out, dropped_of(out))
        for path, start in zip(self._paths, (SAMPLE_START, START), strict=True):
            check_new(path, continued=continued)
            for existing in (path, partial_of(path)):
                _check_ours(existing, start, teacher)
        self._files: list[IO[bytes]] = []
        try:
            for path in self._paths:
                self._files.append(partial_of(path).open("ab"))
                sinks.lock(self._files[-1], path)
            for file in self._files:
                file.truncate(0)
        except OSError as error:
            self._close()
            raise UsageError(f"cannot be written: {error.strerror}", where=out) from error
        except UsageError:
            self._close()
            raise

    def write(self, outcome: Outcome, folder: Path) -> None:
        """Append one outcome; the paths of its media start at the folder of the new file."""
        if isinstance(outcome, Rewritten):
            file, line = self._files[0], rebased(outcome.sample, folder, self._paths[0].parent).to_json()
        else:
            file, line = self._files[1], outcome.to_json()
        file.write(line.encode() + b"\n")
        file.flush()

    def _close(self) -> None:
        for file in self._files:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for file in self._files:
                os.fsync(file.fileno())
        self._close()
        if kind is None:
            for path in reversed(self._paths):  # the rewritten ones last: where they are, the others are
                partial_of(path).replace(path)


def _check_ours(path: Path, start: bytes, teacher: str) -> None:
    """Check that a file may be replaced: empty, or of this teacher by its first line."""
    if not path.exists():
        return
    with path.open("rb") as file:
        line = file.readline()
    whole = line.endswith(b"\n")
    if not (line.startswith(start) or (not whole and start.startswith(line))):
        raise UsageError("is not a file that `mllmqa data rewrite` wrote", where=path, hint=_ANOTHER)
    if start != SAMPLE_START or not whole:
        return
    source = parse_sample(line, f"{path}, line 1").derived_from
    name = source.teacher if source else None
    if name is None or (name != teacher and not name.startswith(f"{teacher} (")):
        raise UsageError(f"was written by {name or 'no teacher'}, not by {teacher}", where=path, hint=_ANOTHER)
