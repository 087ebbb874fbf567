"""What is known of the media of a sample: opinion scores, levels, preferences, distortions, and so on.

Labels are truth; texts are made of them and can be made again. Each label says by key which medium it is about.
Boxes are whole pixels of the upright picture, half-open (x1 and y1 are outside); times are seconds of the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from mllmqa.data.flaws import Checked, Flaw, shown

KEY = r"^[A-Za-z][A-Za-z0-9_-]{0,31}$"
Key = Annotated[str, Field(pattern=KEY)]
"""Name of a medium inside its sample: A, B, ref, frame_3 …"""
Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(strict=True)]
"""A finite number that is written as a number: a text such as ``"2.82 "`` is refused."""
Whole = Annotated[int, Field(strict=True)]
Seconds = Annotated[Number, Field(ge=0)]
Span = tuple[Seconds, Seconds]
"""Start and end in seconds."""
Box = tuple[Whole, Whole, Whole, Whole]
"""x0, y0, x1, y1 in pixels."""

SUM_TOLERANCE = 1e-3
DEQA_PUBLISHED = "soft label deqa"
"""In the method of soft labels as DeQA-Score published them: not normalised, they sum up to 1.05."""
DEQA_SUM_TOLERANCE = 0.06


class Histogram(Checked):
    """How often each score was given: counts, or shares that sum to 1."""

    scores: tuple[Number, ...] = Field(min_length=2)
    weights: tuple[Annotated[Number, Field(ge=0)], ...] = Field(min_length=2)

    def flaws(self) -> Iterator[Flaw]:
        """Same length, rising scores."""
        if len(self.scores) != len(self.weights):
            yield Flaw("weights", f"{len(self.weights)} long", f"one for each of {len(self.scores)} scores")
        if any(a >= b for a, b in zip(self.scores, self.scores[1:], strict=False)):
            yield Flaw("scores", shown(self.scores), "rising scores")


class Mos(Checked):
    """A mean opinion score with all that is needed to read it.

    DMOS and other scores where the best have the lowest values are ``lower-better``; they are never turned here.
    """

    media: Key
    aspect: Text = "quality"
    value: Number
    std: Number | None = None
    """Standard deviation of the opinions (not of their mean); None: not published."""
    low: Number
    """Lowest score that the scale allows."""
    high: Number
    direction: Literal["higher-better", "lower-better"]
    n_ratings: Annotated[Whole, Field(ge=1)] | None = None
    histogram: Histogram | None = None

    def flaws(self) -> Iterator[Flaw]:
        """The value lies on its scale, the deviation is one, the histogram sums."""
        if self.low >= self.high:
            yield Flaw("low", f"{self.low:g} with high {self.high:g}", "low < high")
            return
        scale = f"{self.low:g} to {self.high:g}"
        if not self.low <= self.value <= self.high:
            yield Flaw("value", f"{self.value:g}", f"a number from {scale}")
        if self.std is not None and not 0 <= self.std <= self.high - self.low:
            yield Flaw("std", f"{self.std:g}", f"a number from 0 to {self.high - self.low:g}")
        if self.histogram is not None:
            yield from self._histogram_flaws(self.histogram, scale)

    def _histogram_flaws(self, histogram: Histogram, scale: str) -> Iterator[Flaw]:
        total, whole = math.fsum(histogram.weights), self.n_ratings or 1
        sums = (whole, 1) if self.n_ratings else (1,)
        if not any(math.isclose(total, s, rel_tol=SUM_TOLERANCE) for s in sums):
            expected = f"{whole} (n_ratings), or 1" if self.n_ratings else "1 (shares), or give n_ratings"
            yield Flaw("histogram.weights", f"summing to {total:g}", f"a sum of {expected}")
        if histogram.scores[0] < self.low or histogram.scores[-1] > self.high:
            yield Flaw("histogram.scores", shown(histogram.scores), f"scores from {scale}")

    @property
    def goodness(self) -> float:
        """The score on 0 (worst possible) .. 1 (best possible), whatever its direction."""
        share = (self.value - self.low) / (self.high - self.low)
        return share if self.direction == "higher-better" else 1.0 - share


class Level(Checked):
    """A level word, and the soft label where there is one."""

    media: Key
    aspect: Text = "quality"
    word: Text
    scale: tuple[Text, ...] = Field(min_length=2)
    """All words of the scale, best first."""
    probabilities: tuple[Annotated[Number, Field(ge=0, le=1)], ...] | None = None
    """Soft label: of each word of the scale."""
    method: str | None = None
    """How the word or the soft label was made, e.g. ``equal-width`` or ``deqa-published``."""

    def flaws(self) -> Iterator[Flaw]:
        """The word is of its scale, the soft label is a distribution."""
        if len(set(self.scale)) != len(self.scale):
            yield Flaw("scale", shown(self.scale), "different words")
        if self.word not in self.scale:
            yield Flaw("word", shown(self.word), f"one of {', '.join(self.scale)}")
        if self.probabilities is None:
            return
        if (n := len(self.probabilities)) != len(self.scale):
            yield Flaw("probabilities", f"{n} long", f"one for each of {len(self.scale)} words")
        published = self.method is not None and DEQA_PUBLISHED in self.method
        tolerance = DEQA_SUM_TOLERANCE if published else SUM_TOLERANCE
        if abs(total := math.fsum(self.probabilities) - 1) > tolerance:
            yield Flaw("probabilities", f"summing to {total + 1:g}", "a sum of 1")


class Preference(Checked):
    """Which of some media people (or a known truth) find best."""

    among: tuple[Key, ...] = Field(min_length=2)
    better: Key | None = None
    """None: a tie."""
    aspect: Text = "quality"
    probability: Annotated[Number, Field(ge=0, le=1)] | None = None
    """Share of people who prefer it; of the first of ``among`` at a tie."""
    strength: str | None = None
    """A word, e.g. of Compare2Score: superior, better, similar …"""

    def flaws(self) -> Iterator[Flaw]:
        """The better one is among them, and preferred by at least its part of the people."""
        if len(set(self.among)) != len(self.among):
            yield Flaw("among", shown(self.among), "different media")
        if self.better is None:
            return
        if self.better not in self.among:
            yield Flaw("better", shown(self.better), f"one of {', '.join(self.among)}, or null for a tie")
        if self.probability is not None and self.probability < 1 / len(self.among):
            yield Flaw("probability", f"{self.probability:g}", f"at least 1/{len(self.among)} for the better one")


class Distortion(Checked):
    """One distortion of one medium, everywhere or in a box, a mask or a span of time."""

    media: Key
    category: Text
    """Of the distortion engine, e.g. ``blur``."""
    name: str | None = None
    """The very function, e.g. ``blur_gaussian``."""
    severity: Annotated[Number, Field(ge=1, le=5)] | None = None
    """1 (just visible) .. 5 (severe); None: not known."""
    order: Annotated[Whole, Field(ge=1)] | None = None
    """Place among the distortions of this medium in which they were applied, from 1."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    box: Box | None = None
    mask: str | None = None
    """Path of a picture of the medium's size, relative like the media; what is not black is distorted."""
    span_s: Span | None = None

    def flaws(self) -> Iterator[Flaw]:
        """The box and the span hold something."""
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if x0 >= x1 or y0 >= y1 or x0 < 0 or y0 < 0:
                yield Flaw("box", shown(self.box), "0 <= x0 < x1, 0 <= y0 < y1")
        yield from span_flaws("span_s", self.span_s)
        if self.mask is not None and not self.mask.strip():
            yield Flaw("mask", shown(self.mask), "a path")


class Mcq(Checked):
    """A question with options, one of them right."""

    question: Text
    options: tuple[Text, ...] = Field(min_length=2)
    answer: Annotated[Whole, Field(ge=0)]
    """Index of the right option, from 0."""

    def flaws(self) -> Iterator[Flaw]:
        """The answer is an option, and no option is there twice."""
        if self.answer >= len(self.options):
            yield Flaw("answer", str(self.answer), f"0 to {len(self.options) - 1}")
        if len(set(self.options)) != len(self.options):
            yield Flaw("options", shown(self.options), "different options")


class Stall(Checked):
    """Playback stops at ``start_s`` of the clip and waits; the wait is no part of the clip."""

    media: Key
    start_s: Seconds
    duration_s: Annotated[Number, Field(gt=0)]


class Caption(Checked):
    """What people wrote about a medium, or about all (``media`` None)."""

    text: Text
    media: Key | None = None


class Labels(Checked):
    """All that is known. ``distortions`` None: not labelled; empty: labelled as clean."""

    mos: tuple[Mos, ...] = ()
    levels: tuple[Level, ...] = ()
    preference: Preference | None = None
    distortions: tuple[Distortion, ...] | None = None
    mcq: Mcq | None = None
    stalls: tuple[Stall, ...] = ()
    captions: tuple[Caption, ...] = ()

    def flaws(self) -> Iterator[Flaw]:
        """One score and one level per medium and aspect, one place per distortion."""
        scored: tuple[tuple[str, tuple[Mos | Level, ...]], ...] = (("mos", self.mos), ("levels", self.levels))
        for field, entries in scored:
            seen: set[tuple[str, str]] = set()
            for k, entry in enumerate(entries):
                if (entry.media, entry.aspect) in seen:
                    found = f"a second one of {entry.media}, {entry.aspect}"
                    yield Flaw(f"{field}.{k}", found, "one per medium and aspect")
                seen.add((entry.media, entry.aspect))
        places: set[tuple[str, int]] = set()
        for k, one in enumerate(self.distortions or ()):
            if one.order is not None and (one.media, one.order) in places:
                yield Flaw(f"distortions.{k}.order", f"{one.order} for the second time", "different orders")
            if one.order is not None:
                places.add((one.media, one.order))


def span_flaws(field: str, span: Span | None) -> Iterator[Flaw]:
    """Yield a flaw where a span of time is empty or runs backwards."""
    if span is not None and span[0] >= span[1]:
        yield Flaw(field, f"{span[0]:g} to {span[1]:g} s", "start < end: zero-length clips hold nothing")
