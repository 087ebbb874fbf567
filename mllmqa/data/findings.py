"""What is wrong or noteworthy in label files: found, counted, named; the first few with their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mllmqa.errors import DataError

SHOWN = 5
"""So many examples of one kind are kept; all are counted."""


@dataclass
class Finding:
    """All cases of one kind.

    Attributes:
        kind: Short stable name, e.g. ``missing-media``.
        error: Whether it must be put right; a note (False) tells what was done or to be aware of.
        count: Number of cases.
        examples: The first few, each with its place.
    """

    kind: str
    error: bool
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return {"kind": self.kind, "error": self.error, "count": self.count, "examples": self.examples}


class Findings:
    """Collects findings, or stops at the first error.

    Args:
        strict: Raise the first error instead of counting it.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self._found: dict[str, Finding] = {}

    def error(self, kind: str, what: str, *, where: object, expected: str | None = None) -> None:
        """Count something that must be put right.

        Raises:
            DataError: This collector is strict.
        """
        wrong = DataError(what, where=where, expected=expected)
        if self.strict:
            raise wrong
        self._add(kind, True, str(wrong))

    def note(self, kind: str, what: str, *, where: object) -> None:
        """Count something that is legal, but that one must know."""
        self._add(kind, False, f"{where}: {what}")

    def _add(self, kind: str, error: bool, text: str) -> None:
        finding = self._found.setdefault(kind, Finding(kind, error))
        finding.count += 1
        if len(finding.examples) < SHOWN:
            finding.examples.append(text)

    def __iter__(self) -> Iterator[Finding]:
        """Errors first, each group in the order found."""
        return iter(sorted(self._found.values(), key=lambda one: not one.error))

    def count(self, kind: str) -> int:
        """Number of cases of a kind."""
        return self._found[kind].count if kind in self._found else 0

    @property
    def errors(self) -> int:
        """Number of cases that must be put right."""
        return sum(one.count for one in self._found.values() if one.error)
