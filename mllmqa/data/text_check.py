"""Do the texts of a file of samples say what its labels say, and are they those that its labels make?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mllmqa.data.flaws import Flaw
from mllmqa.data.problems import Problem
from mllmqa.data.sample import Sample, parse_sample
from mllmqa.data.sample_records import numbered_records
from mllmqa.data.tasks.agreement import disagreements
from mllmqa.data.tasks.compose import rebuilt
from mllmqa.errors import DataError


@dataclass
class TextCheck:
    """What was looked at.

    Attributes:
        n: Samples.
        n_read_back: Of them, those whose labels were read back from their texts and compared.
        n_rewritten: By a teacher: they were compared when they were rewritten, and are not again.
        n_plain: With messages that do not say how they were made, or without messages.
    """

    n: int = 0
    n_read_back: int = 0
    n_rewritten: int = 0
    n_plain: int = 0


def iter_text_problems(path: Path, counts: TextCheck) -> Iterator[Problem]:
    """Yield what texts say differently from labels, in order of lines; lines that are no samples are passed over.

    These are reported by :func:`mllmqa.data.problems.iter_problems`.

    Args:
        path: The file: JSON lines, or Parquet by its name.
        counts: Is filled.

    Raises:
        DataError: The file cannot be read.
    """
    for number, line in numbered_records(path):
        try:
            sample = parse_sample(line)
        except DataError:
            continue  # a problem of the file, not of a text
        counts.n += 1
        if sample.derived_from is None:
            counts.n_plain += 1
        elif sample.derived_from.teacher is not None:
            counts.n_rewritten += 1
        else:
            counts.n_read_back += 1
            yield from (Problem(path, number, sample.id, flaw) for flaw in _flaws(sample))


def _flaws(sample: Sample) -> Iterator[Flaw]:
    try:
        yield from disagreements(sample)
        if rebuilt(sample) != sample:
            yield Flaw("messages", "not those that its labels and its seed make", "them: build the set again")
    except DataError as error:
        yield Flaw("messages", error.what, error.expected or "texts that can be made of the labels")
