"""The pictures of a prompt benchmark: what is rated, its references, and the exemplars that are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mllmqa.data.sample import Sample, path_of
from mllmqa.data.sample_file import read_samples
from mllmqa.data.streams import stream
from mllmqa.errors import DataError, UsageError

EXEMPLARS = 4
"""Pictures that are held out without a reference: one, two or four of them are shown as an example."""


@dataclass(frozen=True)
class Item:
    """One rated picture.

    Attributes:
        id: Unique name.
        path: Of the file.
        opinion: Mean opinion on 0 (worst possible) .. 1 (best possible).
        std: Standard deviation of the opinions on the same scale; None: not published.
        reference: The pristine picture; None without one.
    """

    id: str
    path: Path
    opinion: float
    std: float | None = None
    reference: Path | None = None


@dataclass(frozen=True)
class Items:
    """What a benchmark asks about.

    Attributes:
        rated: The pictures that are scored.
        exemplars: Held out, worst first; of one reference where there are references.
        reference: Whether each picture is judged against its reference.
        left_out: Records without an opinion, a path, or (where references are wanted) a reference.
    """

    rated: tuple[Item, ...]
    exemplars: tuple[Item, ...]
    reference: bool
    left_out: int = 0

    @property
    def groups(self) -> list[list[int]]:
        """Places of the pictures that are compared: those of each reference, or all."""
        if not self.reference:
            return [list(range(len(self.rated)))]
        found: dict[Path | None, list[int]] = {}
        for i, item in enumerate(self.rated):
            found.setdefault(item.reference, []).append(i)
        return list(found.values())

    @property
    def opinions(self) -> np.ndarray:
        """Mean opinions, float64, shape (N,)."""
        return np.array([item.opinion for item in self.rated])

    def group_names(self) -> list[str] | None:
        """Return the reference of each picture, or None without references."""
        return [str(item.reference) for item in self.rated] if self.reference else None


def read_items(path: Path, *, reference: bool | None = None, aspect: str = "quality") -> Items:
    """Read a sample file (:mod:`mllmqa.data.sample_file`) of rated pictures.

    Args:
        path: Of the JSONL file.
        reference: Whether pictures are judged against the reference of their sample; None: if all have one.
        aspect: Of the opinions.

    Raises:
        DataError: No picture has an opinion, an id comes twice, or a line is no sample.
    """
    found: list[Item] = []
    without = 0
    for sample in read_samples(path):
        own = _items(sample, path.parent, aspect)
        without += not own
        found += own
    if reference is None:
        reference = bool(found) and all(item.reference is not None for item in found)
    if reference:
        without += sum(item.reference is None for item in found)
        found = [item for item in found if item.reference is not None]
    else:
        found = [replace(item, reference=None) for item in found]
    if not found:
        what = "rated picture beside a reference" if reference else "rated picture"
        raise DataError(f"holds no {what}", where=path, expected="samples with labels.mos and paths")
    return Items(_unique(found, path), (), reference, without)


def _items(sample: Sample, folder: Path, aspect: str) -> list[Item]:
    pristine = [medium for medium in sample.media if medium.role == "reference" and medium.kind == "image"]
    reference = path_of(pristine[0], folder) if len(pristine) == 1 else None
    rated = [mos for mos in sample.labels.mos if mos.aspect == aspect]
    made = []
    for mos in rated:
        medium = sample.medium(mos.media)
        path = path_of(medium, folder)
        if medium.kind != "image" or path is None or medium.role == "reference":
            continue
        name = sample.id if len(rated) == 1 else f"{sample.id}:{mos.media}"
        std = None if mos.std is None else mos.std / (mos.high - mos.low)
        made.append(Item(name, path, mos.goodness, std, reference))
    return made


def _unique(found: Sequence[Item], path: Path) -> tuple[Item, ...]:
    seen: set[str] = set()
    for item in found:
        if item.id in seen:
            raise DataError(f"{item.id!r} comes twice", where=path, expected="different ids")
        seen.add(item.id)
    return tuple(found)


def hold_out(items: Items, n: int = EXEMPLARS) -> Items:
    """Take the exemplars out of the rated pictures, so that no mode is asked about what another one was told.

    Without references: those nearest to the middles of n equal parts of the sorted opinions. With references: n
    such pictures of the reference with the most pictures (the first of those), which is left out as a whole.

    Raises:
        UsageError: Too few pictures are left to compare.
    """
    if items.reference:
        groups = items.groups
        members = max(groups, key=len)
        gone = set(members)
    else:
        members = list(range(len(items.rated)))
        gone = set()
    ordered = sorted(members, key=lambda i: (items.rated[i].opinion, items.rated[i].id))
    if len(ordered) < n or len(items.rated) - max(len(gone), n) < 2:
        raise UsageError(
            f"{len(items.rated)} pictures are too few to hold {n} exemplars out",
            expected="more pictures, or modes without in-context examples and anchors",
        )
    chosen = [ordered[int((k + 0.5) * len(ordered) / n)] for k in range(n)]
    gone |= set(chosen)
    rated = tuple(item for i, item in enumerate(items.rated) if i not in gone)
    return replace(items, rated=rated, exemplars=tuple(items.rated[i] for i in chosen))


def subset(items: Items, limit: int | None, seed: int) -> Items:
    """Draw at most ``limit`` pictures at random, in their order; whole references where there are some."""
    if limit is None or limit >= len(items.rated):
        return items
    if limit < 2:
        raise UsageError(f"--limit {limit}", expected="2 or more")
    order = stream(seed, "subset")
    if not items.reference:
        keep = set(order.permutation(len(items.rated))[:limit].tolist())
    else:
        keep = set()
        for g in order.permutation(len(items.groups)):
            if len(keep) + len(members := items.groups[int(g)]) <= limit:
                keep |= set(members)
    return replace(items, rated=tuple(item for i, item in enumerate(items.rated) if i in keep))
