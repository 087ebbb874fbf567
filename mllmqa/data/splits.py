"""Splits of rated data into train, validation and test parts: by content, seeded, the same on every machine.

A random split of distorted copies puts the same photo on both sides, and a model is then tested on content that it
knows. Where rows have a reference, all rows of a reference go to one side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mllmqa.data.ratings import Rating
from mllmqa.data.registry.schema import DataSet
from mllmqa.errors import DataError, UsageError

SPLITS = 10
ROOT_SEED = 20241
"""Root of the ten seeded splits of every data set; a run that uses another states it."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """One division of a data set.

    Attributes:
        name: ``official``, or ``seed SEED, split K of NAME, by reference|item``.
        train: Names of the rows, in the order of the label file.
        validation: Likewise; empty if there is no such part.
        test: Likewise.
    """

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def child(seed: int, dataset: str, index: int) -> np.random.Generator:
    """The random stream of one split: a pure function of its arguments, on every machine."""
    digest = hashlib.sha256(f"{seed}/{dataset}/split/{index}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype="<u4").tolist())


def seeded_split(
    rows: Sequence[Rating],
    dataset: str,
    index: int,
    *,
    by: Literal["reference", "item"],
    seed: int = ROOT_SEED,
    shares: tuple[float, float, float] = (0.8, 0.0, 0.2),
) -> Split:
    """Divide rows at random.

    Args:
        rows: The rated items; their order does not matter.
        dataset: Name that goes into the seed.
        index: Which of the splits, from 0.
        by: ``reference``: all rows of a reference on one side; ``item``: every row for itself.
        seed: Root seed.
        shares: Of train, validation and test, of the references or items; sum 1.

    Returns:
        The split. Parts with a share above 0 hold at least one reference or item.

    Raises:
        DataError: A row has no reference, or there are fewer groups than parts.
        UsageError: The shares are not shares.
    """
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9 or shares[0] == 0:
        raise UsageError(f"shares {shares}", expected="three numbers from 0 to 1 with sum 1, the first above 0")
    groups = _groups(rows, by)
    keys = sorted(set(groups))
    wanted = [k for k in range(3) if shares[k] > 0]
    if len(keys) < len(wanted):
        raise DataError(f"{len(keys)} {by}s cannot be divided into {len(wanted)} parts", where=dataset)
    held = {k: max(1, round(shares[k] * len(keys))) if shares[k] > 0 else 0 for k in (1, 2)}
    while len(keys) - sum(held.values()) < 1:
        held[max(held, key=lambda k: held[k])] -= 1
    order = child(seed, dataset, index).permutation(len(keys))
    part_of = {}
    for place, key in enumerate(order):
        part_of[keys[int(key)]] = 2 if place < held[2] else 1 if place < held[2] + held[1] else 0
    parts = [
        tuple(row.name for row, group in zip(rows, groups, strict=True) if part_of[group] == k) for k in range(3)
    ]
    return Split(f"seed {seed}, split {index} of {dataset}, by {by}", *parts)


def _groups(rows: Sequence[Rating], by: Literal["reference", "item"]) -> list[str]:
    if by == "item":
        return [row.name for row in rows]
    for row in rows:
        if not row.reference:
            raise DataError(f"{row.name} has no reference to divide by", where=row.where, hint="divide by item")
    # TID2013 spells one reference I25.BMP and i25.bmp: case does not tell contents apart.
    return [str(row.reference).casefold() for row in rows]


def official_split(rows: Sequence[Rating], dataset: str) -> Split:
    """The division that the label file states.

    Raises:
        DataError: A row states none, or one that is not train, validation or test.
    """
    for row in rows:
        if row.split not in PARTS:
            raise DataError(
                f"{row.name} is in the part {row.split!r}" if row.split else f"{row.name} states no part",
                where=row.where, expected=" | ".join(PARTS),
            )  # fmt: skip
    train, validation, test = (tuple(row.name for row in rows if row.split == part) for part in PARTS)
    if not (train or validation or test):
        raise DataError("no rows", where=dataset)
    return Split("official", train, validation, test)


def split_of(card: DataSet, rows: Sequence[Rating], index: int = 0, *, seed: int = ROOT_SEED) -> Split:
    """Divide a data set as its card says: officially, or by the seeded split ``index`` of ten.

    Raises:
        UsageError: The data set has no opinions, or no split of this number.
        DataError: The labels that were read do not name the parts or originals that the division needs.
    """
    rule = card.split.rule
    if rule == "none":
        raise UsageError("has no opinions and no division", where=card.name)
    if not 0 <= index < (1 if rule == "official" else SPLITS):
        raise UsageError(f"no split {index} ({rule})", where=card.name, expected=f"0 to {SPLITS - 1}; official: 0")
    if rule == "official":
        return official_split(rows, card.name)
    return seeded_split(rows, card.name, index, by=rule, seed=seed, shares=card.split.shares)
