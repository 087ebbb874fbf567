"""Test items that look like training photos: found by perceptual hash, told in the log, left out on demand.

A model that has seen a near copy of a test photo with its score is not measured on it. In BIQ2021, 281 of 2,000
official test photos have a near-duplicate among the training photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mllmqa.data import duplicates, registry
from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.items import DataRecord, Item


def with_distances(
    items: Sequence[Item], record: DataRecord, bits: int = duplicates.DEFAULT_THRESHOLD
) -> tuple[list[Item], DataRecord]:
    """Measure how near each item is to the training part of its own data set.

    Args:
        items: Images of a data set of the registry whose label files state a training part.
        record: Of the data set.
        bits: Up to which distance an item counts as near-duplicate, 0..64.

    Returns:
        The items with ``duplicate_bits`` (None where a file cannot be read), and the record with the threshold.

    Raises:
        UsageError: There is no training part to look at, the items are training photos, or they are videos.
        DataError: The labels of the training part are malformed, or no photo of it can be read.
    """
    if not 0 <= bits <= 64:
        raise UsageError(f"near-duplicates within {bits} bits", expected="0..64")
    if record.set is None or record.part in (None, "train") or any(item.kind == "video" for item in items):
        raise UsageError(
            "near-duplicates of training photos can only be told where a data set of the registry is a test part "
            "of images", where=record.name, hint="name the part, e.g. --part test, or leave this out",
        )  # fmt: skip
    train = registry.read(record.root, record.set, record.table, part="train").rows
    known = np.array([one for row in train if (one := _hash(row.path)) is not None], dtype=np.uint64)
    if not len(known):
        raise DataError("no photo of the training part can be read", where=record.root)
    own = [_hash(Path(item.path)) for item in items]
    asked = np.array([0 if one is None else one for one in own], dtype=np.uint64)
    distances = duplicates.nearest(asked, known).tolist()
    made = [
        item.model_copy(update={"duplicate_bits": None if one is None else int(distance)})
        for item, one, distance in zip(items, own, distances, strict=True)
    ]
    return made, record.model_copy(update={"duplicates_within": bits})


def is_near(item: Item, record: DataRecord) -> bool:
    """Tell whether an item counts as near-duplicate of a training photo; False where it was not looked for."""
    within, bits = record.duplicates_within, item.duplicate_bits
    return within is not None and bits is not None and bits <= within


def _hash(path: Path) -> int | None:
    try:
        return int(duplicates.hash_files([path])[0])
    except DataError:
        return None
