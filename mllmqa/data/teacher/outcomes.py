"""What becomes of a sample: it is rewritten, or dropped with a reason. One record each, and nothing is lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from mllmqa.data.sample import Sample
from mllmqa.errors import MllmqaError
from mllmqa.schema import Record

DROPPED_VERSION: Literal[1] = 1
START = f'{{"dropped_version":{DROPPED_VERSION},"id":'.encode()
"""How every line of a file of dropped samples starts."""

REASONS = {
    "refusal": "the teacher declines",
    "not-json": "no JSON",
    "schema": "JSON with other keys, or values that are no strings",
    "truncated": "cut off by its length",
    "empty": "a part without words",
    "too-long": "over the word cap by more than 15 %",
    "repetition": "the same 8 words 3 times",
    "leaks-reference": "speaks of a reference that the question does not show",
    "leaks-labels": "speaks of labels, instructions or numbers of severity",
    "extra-distortion": "claims a distortion that is not labelled, or does not clearly deny it",
    "missing-distortion": "does not name a labelled distortion, or denies it",
    "wrong-grade": "another grade than labelled, or none where one is asked for",
    "unclear-side": "a distortion of a pair whose side cannot be told",
    "wrong-side": "the worse one is called better, or none",
    "wrong-level": "another level than labelled, or none",
    "unsupported": "a sample that cannot be rewritten: its task, a short answer, several questions",
}
"""Reasons to drop a sample, beside the codes of :mod:`mllmqa.errors` (``budget``, ``api-unreachable``, …)."""


class Dropped(Record):
    """A sample that was not rewritten."""

    dropped_version: Literal[1] = DROPPED_VERSION
    id: str
    reason: str
    """One of :data:`REASONS`, or the code of an error."""
    found: tuple[str, ...] = ()
    """What is wrong; each entry belongs to the same one of ``expected``. The first gave the reason."""
    expected: tuple[str, ...] = ()
    text: str | None = None
    """What the teacher answered, if it did."""
    teacher: str | None = None
    prompts: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return the record as one line of JSON."""
        body = self.model_dump_json(exclude_defaults=True)
        return f"{START[: -len(b'id') - 3].decode()}{body[1:]}"


@dataclass(frozen=True)
class Rewritten:
    """A sample with new answers.

    Attributes:
        sample: Its messages hold what the teacher wrote; ``derived_from`` says so.
        from_cache: Whether the answer was there already.
    """

    sample: Sample
    from_cache: bool


Outcome = Rewritten | Dropped


@dataclass
class Counts:
    """How many samples came to what."""

    rewritten: int
    dropped: Counter[str]

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        if isinstance(outcome, Rewritten):
            self.rewritten += 1
        else:
            self.dropped[outcome.reason] += 1

    def line(self) -> str:
        """Return one line for people."""
        total = sum(self.dropped.values())
        reasons = ", ".join(f"{name} {count}" for name, count in sorted(self.dropped.items()))
        return f"rewritten {self.rewritten}, dropped {total}" + (f" ({reasons})" if reasons else "")


def by_error(identity: str, error: MllmqaError, teacher: str | None = None) -> Dropped:
    """Return what becomes of a sample that met an error; ``teacher``: who was to be asked."""
    reason = "refusal" if error.code == "api-refused" else error.code
    expected = (error.expected,) if error.expected else ()
    return Dropped(id=identity, reason=reason, found=(str(error),), expected=expected, teacher=teacher)
