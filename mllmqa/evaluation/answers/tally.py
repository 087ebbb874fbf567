"""Counts of right, wrong, unparsed and missing answers, as accuracy with its interval and its bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from mllmqa.evaluation.stats import wilson
from mllmqa.schema import Record

Outcome = Literal["right", "wrong", "unparsed", "unscored"]
"""``unparsed``: the answer does not say what was asked; ``unscored``: there is no answer."""


class Count(Record):
    """Answers by outcome.

    An answer that cannot be read is not right, so it lowers the accuracy; a question without an answer (a file that
    cannot be read, an endpoint that failed) is left out of it and widens the bounds.
    """

    right: int = Field(ge=0)
    wrong: int = Field(ge=0)
    n_unparsed: int = Field(ge=0)
    n_unscored: int = Field(ge=0)

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Count:
        """Count outcomes."""
        found = Counter(outcomes)
        return cls(
            right=found["right"], wrong=found["wrong"], n_unparsed=found["unparsed"], n_unscored=found["unscored"]
        )

    @property
    def n(self) -> int:
        """Answers that the accuracy is computed from: read or not."""
        return self.right + self.wrong + self.n_unparsed

    @property
    def accuracy(self) -> float | None:
        """Share of the answers that are right; None without answers."""
        return self.right / self.n if self.n else None

    @property
    def accuracy_of_parsed(self) -> float | None:
        """Share of the answers that could be read; None where there is none."""
        read = self.right + self.wrong
        return self.right / read if read else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's interval of the accuracy, 95 %; None without answers."""
        if not self.n:
            return None
        found = wilson(self.right, self.n)
        return found.low, found.high

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Accuracy over all questions if none, or all, of the unread and missing answers were right."""
        total = self.n + self.n_unscored
        if not total:
            return None
        return self.right / total, (self.right + self.n_unparsed + self.n_unscored) / total

    def flat(self) -> dict[str, float | int | None]:
        """Return counts and shares by name, as ``--json`` shows them."""
        low, high = self.interval or (None, None)
        worst, best = self.bounds or (None, None)
        return {
            "n": self.n, "n_unparsed": self.n_unparsed, "n_unscored": self.n_unscored, "right": self.right,
            "accuracy": self.accuracy, "low": low, "high": high, "accuracy_of_parsed": self.accuracy_of_parsed,
            "worst": worst, "best": best,
        }  # fmt: skip
