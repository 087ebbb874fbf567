"""Where and when quality is lowest: the worse class of tiles or frames, as boxes and spans.

The classes are Otsu's (IEEE Trans. SMC 1979): the split of the values with the largest variance between both sides.
If the means of the classes are nearer than :data:`~mllmqa.asking.thresholds.PLACE_GAP`, quality is even: no place
is named; nor is one named that is :data:`~mllmqa.asking.thresholds.EVERYWHERE` or more of all. So large a lower
class is divided again: a few tiles or frames that are better than all others do not hide the worst.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from mllmqa.asking import thresholds
from mllmqa.asking.records import Box, Span, TileMap
from mllmqa.data.tasks.phrases import GRID


def lower_class(values: Sequence[float], least_gap: float = thresholds.PLACE_GAP) -> list[int]:
    """Return the indices of the lower class; none where both classes are nearer than ``least_gap``.

    Args:
        values: Any finite numbers.
        least_gap: Of the means of both classes.

    >>> lower_class([4.0, 1.0, 4.2, 3.9])
    [1]
    """
    order = sorted(range(len(values)), key=lambda k: values[k])
    ranked = [values[k] for k in order]
    best, size = -1.0, 0
    for cut in range(1, len(ranked)):
        if ranked[cut] == ranked[cut - 1]:
            continue  # equal values stay together
        gap = float(np.mean(ranked[cut:]) - np.mean(ranked[:cut]))
        between = cut * (len(ranked) - cut) * gap * gap
        if gap >= least_gap and between > best:
            best, size = between, cut
    return sorted(order[:size])


def worst(values: Sequence[float]) -> list[int]:
    """Return the indices of the worst: the lower class, divided again while it is nearly all; none if all is even.

    >>> worst([3.0, 3.1, 2.2, 3.0, 3.1, 3.0, 3.0, 4.9, 4.9])
    [2]
    """
    chosen = lower_class(values)
    while len(chosen) >= thresholds.EVERYWHERE * len(values):
        within = lower_class([values[k] for k in chosen])
        if not within:
            return []
        chosen = [chosen[k] for k in within]
    return chosen


def worst_boxes(tiles: TileMap) -> list[Box]:
    """Return boxes of the tiles whose scores are worst; none where quality is even."""
    return _boxes(worst(tiles.values), tiles)


def boxes_of(category: str, tiles: TileMap) -> list[Box]:
    """Return boxes of the tiles that show a category; none where they are everywhere, or were not asked."""
    there = [k for k, p in enumerate(tiles.presence.get(category, ())) if p >= thresholds.PRESENT]
    return _boxes(there, tiles)


def worst_spans(values: Sequence[float], times_s: Sequence[float], duration_s: float) -> list[Span]:
    """Return the spans of the frames whose scores are worst; none where quality is even.

    Args:
        values: Score of each frame.
        times_s: When each is shown, rising.
        duration_s: Of the video; a frame stands for the time nearer to it than to its neighbours.
    """
    return _spans(worst(values), times_s, duration_s)


def lasting(probabilities: Sequence[float]) -> float:
    """Return the highest mean over :data:`~mllmqa.asking.thresholds.LASTING` of the frames in a row, two at least.

    So a distortion that is in a part of a video is found, and one frame that is taken for distorted is not enough.
    """
    n = min(len(probabilities), max(2, math.ceil(thresholds.LASTING * len(probabilities))))
    return max(float(np.mean(probabilities[k : k + n])) for k in range(len(probabilities) - n + 1))


def spans_of(probabilities: Sequence[float], times_s: Sequence[float], duration_s: float) -> list[Span]:
    """Return the spans of the frames that show a distortion; none where it is throughout."""
    there = [k for k, p in enumerate(probabilities) if p >= thresholds.PRESENT]
    return _spans(there, times_s, duration_s)


def _boxes(chosen: Sequence[int], tiles: TileMap) -> list[Box]:
    """Cover tiles by boxes: runs of rows are joined where they have the same columns."""
    if len(chosen) >= thresholds.EVERYWHERE * tiles.rows * tiles.columns:
        return []
    open_runs: dict[tuple[int, int], tuple[int, int]] = {}  # columns → rows
    done: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for row in range(tiles.rows + 1):
        own = _runs([k % tiles.columns for k in chosen if k // tiles.columns == row])
        for columns in [c for c in open_runs if c not in own]:
            done.append((columns, open_runs.pop(columns)))
        for columns in own:
            open_runs[columns] = (open_runs.get(columns, (row, row))[0], row)
    boxes = [(left, top, right, bottom) for (left, right), (top, bottom) in done]
    return sorted(
        (_grid(left, tiles.columns), _grid(top, tiles.rows),
         _grid(right + 1, tiles.columns), _grid(bottom + 1, tiles.rows))
        for left, top, right, bottom in boxes
    )  # fmt: skip


def _grid(line: int, of: int) -> int:
    return round(GRID * line / of)


def _spans(chosen: Sequence[int], times_s: Sequence[float], duration_s: float) -> list[Span]:
    edges = [0.0, *((a + b) / 2 for a, b in itertools.pairwise(times_s)), max(duration_s, *times_s, 0.0)]
    spans = [(round(edges[first], 3), round(edges[last + 1], 3)) for first, last in _runs(chosen)]
    covered = sum(end - start for start, end in spans)
    return [] if covered >= thresholds.EVERYWHERE * edges[-1] else spans


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return runs of neighbours as (first, last).

    >>> _runs([1, 2, 5])
    [(1, 2), (5, 5)]
    """
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
