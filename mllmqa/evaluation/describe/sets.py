"""Sets of named categories against those that are there: exact, Jaccard, DepictQA's hits, precision and recall."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mllmqa.schema import Record


def overlap(there: frozenset[str], said: frozenset[str]) -> dict[str, float]:
    """Return how well a set was named.

    ``exact``; ``jaccard``: hits over the union; ``hits_over_max``: hits over the larger set, as DepictQA grades
    several distortions (arXiv 2312.08962). Two empty sets agree.

    >>> overlap(frozenset({"blur", "noise"}), frozenset({"blur"}))
    {'exact': 0.0, 'jaccard': 0.5, 'hits_over_max': 0.5}
    """
    hits, union, most = len(there & said), len(there | said), max(len(there), len(said))
    return {
        "exact": float(there == said),
        "jaccard": hits / union if union else 1.0,
        "hits_over_max": hits / most if most else 1.0,
    }


class CategoryCount(Record):
    """How often one category was there, and how often it was named."""

    category: str
    hits: int
    """It was there, and named."""
    missed: int
    """There, and not named."""
    invented: int
    """Named, and not there."""

    @property
    def precision(self) -> float | None:
        """Share of the namings that are right; None where it was never named."""
        n = self.hits + self.invented
        return self.hits / n if n else None

    @property
    def recall(self) -> float | None:
        """Share of its occurrences that were named; None where there was none."""
        n = self.hits + self.missed
        return self.hits / n if n else None


def category_counts(pairs: Iterable[tuple[frozenset[str], frozenset[str]]]) -> tuple[CategoryCount, ...]:
    """Count by category over (there, said) of all answers that were read, most frequent first."""
    hits, missed, invented = Counter[str](), Counter[str](), Counter[str]()
    for there, said in pairs:
        hits.update(there & said)
        missed.update(there - said)
        invented.update(said - there)
    names = {*hits, *missed, *invented}
    order = sorted(names, key=lambda name: (-(hits[name] + missed[name]), name))
    return tuple(
        CategoryCount(category=name, hits=hits[name], missed=missed[name], invented=invented[name])
        for name in order
    )
