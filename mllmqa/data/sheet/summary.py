"""Counts over all samples of a file, in constant memory: tasks, splits, levels, scores, distortions, lengths."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field

from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Mos

BINS = 20
"""Of a histogram of opinion scores."""
WORD_EDGES = (2, 3, 5, 9, 17, 33, 65, 129, 257)
"""Numbers of words at which the bins of message lengths start, after the first one (0 and 1)."""
WORD_BINS = ("≤1", "2", "3–4", "5–8", "9–16", "17–32", "33–64", "65–128", "129–256", ">256")
SEVERITIES = ("1", "2", "3", "4", "5", "?")


@dataclass
class Scores:
    """Opinion scores on one scale.

    Attributes:
        counts: In :data:`BINS` equal bins from low to high; the top edge is closed.
    """

    low: float
    high: float
    direction: str
    aspect: str
    n: int = 0
    with_std: int = 0
    total: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * BINS)

    def add(self, mos: Mos) -> None:
        """Count one score."""
        share = (mos.value - self.low) / (self.high - self.low)
        self.counts[min(int(share * BINS), BINS - 1)] += 1
        self.n += 1
        self.with_std += mos.std is not None
        self.total += mos.value


@dataclass
class Lengths:
    """Numbers of words of the messages of one role."""

    n: int = 0
    total: int = 0
    longest: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * len(WORD_BINS))

    def add(self, text: str) -> None:
        """Count one text."""
        words = len(text.split())
        self.counts[bisect_right(WORD_EDGES, words)] += 1
        self.n += 1
        self.total += words
        self.longest = max(self.longest, words)


@dataclass
class Summary:
    """What a file holds."""

    n: int = 0
    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {
            name: Counter() for name in ("task", "split", "level", "source", "licence", "media")
        }
    )
    scores: dict[tuple[float, float, str, str], Scores] = field(default_factory=dict)
    distortions: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    """(category, name) → severity → number."""
    clean: int = 0
    """Samples that are labelled as without distortions."""
    lengths: dict[str, Lengths] = field(default_factory=dict)
    level_order: tuple[str, ...] = ()
    """Words of the longest scale seen, best first."""

    def add(self, sample: Sample) -> None:
        """Count one sample."""
        self.n += 1
        for name in ("task", "split", "source", "licence"):
            self.counts[name][getattr(sample, name) or "not stated"] += 1
        for medium in sample.media:
            self.counts["media"][f"{medium.kind}, {medium.role}"] += 1
        for level in sample.labels.levels:
            self.counts["level"][level.word] += 1
            self.level_order = max(self.level_order, level.scale, key=len)
        for mos in sample.labels.mos:
            key = (mos.low, mos.high, mos.direction, mos.aspect)
            self.scores.setdefault(key, Scores(*key)).add(mos)
        for message in sample.messages:
            self.lengths.setdefault(message.role, Lengths()).add(message.text)
        self.clean += sample.labels.distortions == ()
        for one in sample.labels.distortions or ():
            severity = "?" if one.severity is None else str(min(5, max(1, round(one.severity))))
            self.distortions.setdefault((one.category, one.name or ""), Counter())[severity] += 1

    def rows(self, name: str) -> list[tuple[str, int]]:
        """Return the counts of one kind: levels from best to worst, others from many to few."""
        order = {word: k for k, word in enumerate(self.level_order)}
        ranked = sorted(self.counts[name].items(), key=lambda item: (-item[1], item[0]))
        return sorted(ranked, key=lambda item: order.get(item[0], len(order))) if name == "level" else ranked
