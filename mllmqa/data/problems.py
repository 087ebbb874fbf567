"""All that is wrong with a file of samples, line by line and as a whole: nothing is repaired or left out silently.

Memory: one hash per id (about 100 bytes each) and one short entry per medium file; the samples are not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from mllmqa.data.distortion_names import distortion_flaws
from mllmqa.data.flaws import Flaw, flaws_of
from mllmqa.data.media_check import Depth, MediaCheck
from mllmqa.data.repeated_keys import repeated_key_flaws
from mllmqa.data.sample import Sample
from mllmqa.data.sample_file import encoding_flaw
from mllmqa.data.sample_records import numbered_records, place, unit
from mllmqa.data.scale_check import ScaleCheck
from mllmqa.errors import DataError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: The file of samples.
        line: From 1, of Parquet the record; None: the file as a whole.
        id: Of the sample, where it could be read.
        flaw: Field, found, expected.
    """

    path: Path
    line: int | None
    id: str | None
    flaw: Flaw

    def error(self) -> DataError:
        """Return the error that says the same."""
        return self.flaw.error(self.path if self.line is None else place(self.path, self.line))

    def __str__(self) -> str:
        return str(self.error())


def iter_problems(path: Path, media: Depth = "exists") -> Iterator[Problem]:
    """Yield every problem of a file of samples, in order of lines, those of the whole file last.

    Args:
        path: The file: JSON lines, or Parquet by its name.
        media: Also look at the media: do they exist, or also: do they open as what the record says, with its
            size, duration and hash, and do masks hold anything.

    Raises:
        DataError: The file itself cannot be read.
    """
    ids: dict[bytes, int] = {}
    scales, files = ScaleCheck(unit(path)), MediaCheck(path.parent, opened=media == "open")
    empty = True
    for number, line in numbered_records(path):
        empty = False
        sample, flaws = _parsed(line)
        if sample is not None:
            flaws += _repeated(sample, number, ids, unit(path))
            flaws += scales.flaws(sample, number)
            flaws += distortion_flaws(sample)
            if media != "none":
                flaws += files.flaws(sample)
        for flaw in flaws:
            yield Problem(path, number, sample.id if sample else None, flaw)
    whole = [Flaw("", "an empty file", "at least one sample")] if empty else scales.conclusions()
    for flaw in whole:
        yield Problem(path, None, None, flaw)


def _parsed(line: bytes) -> tuple[Sample | None, list[Flaw]]:
    if flaw := encoding_flaw(line):
        return None, [flaw]
    try:
        return Sample.model_validate_json(line), repeated_key_flaws(line)
    except ValidationError as error:
        return None, flaws_of(error) + repeated_key_flaws(line)


def _repeated(sample: Sample, number: int, ids: dict[bytes, int], counted: str) -> list[Flaw]:
    key = hashlib.blake2b(sample.id.encode(), digest_size=8).digest()
    first = ids.setdefault(key, number)
    return [] if first == number else [Flaw("id", f"{sample.id!r}, as in {counted} {first}", "a different id")]
