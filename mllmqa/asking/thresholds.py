"""Where readings become statements, and where a statement is held to contradict them: every number in one place.

Probabilities are those of "Yes" in a closed set with "No"; severities are on 1 … 5, scores on the ACR scale 1 … 5.
Between a threshold for stating and the one for contradicting lies what a text may say either way.
"""

from __future__ import annotations

LEAST_COVERAGE = 0.5
"""Least share of a model's probability on the words of a closed question: below, it answers something else.

A model that was never asked so leaves about nothing for Yes and No, and what it
leaves says nothing of the picture. Such a reading is missing, not a finding.
"""

PRESENT = 0.5
"""From this probability on a distortion is stated to be there."""

ABSENT_BELOW = 0.35
"""A text that claims a distortion with a smaller probability contradicts."""

DENIED_ABOVE = 0.65
"""A text that denies a distortion with a larger probability, or all of them, contradicts."""

SEVERITY_SLACK = 1.5
"""By how much a claimed severity may differ from the expected one."""

OTHER_WORD_SLACK = 2.0
"""The same for words of strength that are not the five severities ("mild", "severe"): they are less exact."""

LEVEL_SLACK = 1.0
"""By how much a claimed level's value may differ from the score."""

LEVEL_IS = 0.5
"""A text that denies a level contradicts where the score is nearer to its value than this."""

EVEN_MARGIN = 0.01
"""Two files whose preference is nearer to one half than this are stated to be about equal. A text that calls one of
them better contradicts. The preference is the mean of both orders, so its side does not depend on the order; of
11 pairs (of 100) within 0.05 of one half, nine were on the right side."""

EQUAL_MARGIN = 0.3
"""A text that calls two files equal contradicts where the preference is farther from one half than this."""

PLACE_GAP = 0.3
"""Least gap of the mean scores of the worse and the better tiles or frames: below it, quality is even."""

LASTING = 0.25
"""Share of the frames, in a row, that decide whether a distortion is in a video: it may be in a part of it only."""

EVERYWHERE = 0.7
"""Share of tiles or of the duration from which on a distortion is everywhere (as ViDA-UGC has it)."""

MOST_NAMED = 3
"""Distortions that a composed text names for one file, the most probable first."""
