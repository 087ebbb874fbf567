"""Boxes of distortions against those that are there: IoU, and mean average precision as ViDA-UGC measures it.

Average precision is that of PASCAL VOC 2010 (Everingham et al.): the area under the precision made monotone, over
all points of recall. ViDA-UGC (arXiv 2508.12605) uses it with all confidences 1; then the order given decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mllmqa.errors import DataError

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1, in any unit."""


@dataclass(frozen=True)
class Placed:
    """One box.

    Attributes:
        media: Id of the picture.
        label: Category.
        box: x0 < x1 and y0 < y1.
        confidence: Of a prediction.
    """

    media: str
    label: str
    box: Box
    confidence: float = 1.0


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection over union of two boxes (x0, y0, x1, y1), or of two spans (start, end), 0..1.

    Raises:
        DataError: One holds nothing, or they are not of one kind.
    """
    half = len(a) // 2
    if len(a) != len(b) or len(a) not in (2, 4) or any(x[i] >= x[i + half] for x in (a, b) for i in range(half)):
        raise DataError(
            f"{tuple(a)} and {tuple(b)}", expected="two boxes or two spans, their starts before their ends"
        )
    shared = size_a = size_b = 1.0
    for i in range(half):
        shared *= max(0.0, min(a[i + half], b[i + half]) - max(a[i], b[i]))
        size_a, size_b = size_a * (a[i + half] - a[i]), size_b * (b[i + half] - b[i])
    return shared / (size_a + size_b - shared)


def matched(there: Sequence[Sequence[float]], said: Sequence[Sequence[float]]) -> list[float]:
    """Return the IoU of each box that is there with the one said for it, 0 where none is left.

    Pairs are taken by falling IoU, each box once.
    """
    pairs = sorted(((iou(a, b), i, j) for i, a in enumerate(there) for j, b in enumerate(said)), reverse=True)
    found, used = [0.0] * len(there), set[int]()
    done = set[int]()
    for value, i, j in pairs:
        if i not in done and j not in used and value > 0:
            found[i] = value
            done.add(i)
            used.add(j)
    return found


def average_precision(there: Sequence[Placed], said: Sequence[Placed], least: float = 0.5) -> float | None:
    """Return the average precision of the boxes of one category.

    Args:
        there: Boxes of the labels.
        said: Predicted ones.
        least: IoU from which a prediction hits; each box can be hit once, by the most confident prediction.

    Returns:
        0..1; None where no box is there.
    """
    if not there:
        return None
    open_boxes: dict[str, list[tuple[int, Box]]] = defaultdict(list)
    for i, one in enumerate(there):
        open_boxes[one.media].append((i, one.box))
    hit: set[int] = set()
    precisions, recalls, hits = [], [], 0
    for n, one in enumerate(sorted(said, key=lambda p: -p.confidence), 1):
        overlaps = [(iou(one.box, box), i) for i, box in open_boxes[one.media]]
        best, index = max(overlaps, default=(0.0, -1))
        if best >= least and index not in hit:
            hit.add(index)
            hits += 1
        precisions.append(hits / n)
        recalls.append(hits / len(there))
    area = before = 0.0
    for k, recall in enumerate(recalls):
        area += (recall - before) * max(precisions[k:])
        before = recall
    return area


def mean_average_precision(
    there: Sequence[Placed], said: Sequence[Placed], least: float = 0.5
) -> tuple[float | None, Mapping[str, float]]:
    """Return the mean over the categories that are there, and the average precision of each.

    Predictions of a category that is nowhere there count in no category, as in PASCAL VOC.
    """
    by_label: dict[str, float] = {}
    for label in dict.fromkeys(one.label for one in there):
        found = average_precision(
            [one for one in there if one.label == label], [one for one in said if one.label == label], least
        )
        if found is not None:
            by_label[label] = found
    return (sum(by_label.values()) / len(by_label) if by_label else None), by_label
