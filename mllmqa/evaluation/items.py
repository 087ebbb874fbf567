"""What an evaluation is about: media with the opinions of people, from a data set of the registry or from samples.

An item is written to the run log with all that figures and reports need, so that neither labels nor media are asked
for again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, JsonValue

from mllmqa import levels, prompts
from mllmqa.data import registry
from mllmqa.data.findings import Findings
from mllmqa.data.media_index import MediaIndex
from mllmqa.data.ratings import Rating, RatingScale
from mllmqa.data.sample import Medium, Sample, path_of
from mllmqa.data.sample_file import read_samples
from mllmqa.data.sample_labels import Mos
from mllmqa.data.streams import stream
from mllmqa.errors import DataError, UsageError
from mllmqa.media.source import printable
from mllmqa.schema import Record

_T = TypeVar("_T")
TOLERATED = ("missing-media",)
"""Errors of label files that leave a whole item: it becomes an unscored one."""


class Opinion(Record):
    """What people said of an item, in the units of its data set."""

    mos: float
    std: float | None = None
    """Standard deviation of the ratings; None: not published."""
    n_ratings: float | None = None
    low: float
    """Least score that the scale allows."""
    high: float
    direction: Literal["mos", "dmos"]
    """``mos``: higher is better; ``dmos``: lower is better."""
    std_width: float | None = None
    """Width of the scale that ``std`` is on, where it is another one."""

    @property
    def scale(self) -> RatingScale:
        """What the numbers mean."""
        return RatingScale(self.direction, self.low, self.high, self.std_width)

    @property
    def level(self) -> float:
        """The opinion on 1 (worst possible) .. 5 (best possible), whatever its direction."""
        return self.scale.level(self.mos)

    @property
    def std_levels(self) -> float | None:
        """The deviation of the ratings on the same scale."""
        return None if self.std is None else self.scale.std_levels(self.std)


class Item(Record):
    """One item of one data set, as the run log has it."""

    record: Literal["item"] = "item"
    data: str
    """Name of the data set in this run."""
    id: str
    """Unique in the data set: the name in its label file, or of the sample."""
    kind: Literal["image", "video"]
    path: str
    sha256: str | None = None
    """Of the encoded file, where the samples state it; predictions have that of the file that was scored."""
    opinion: Opinion
    level: str
    """The level word nearest to the opinion."""
    source: str
    """Data set that the item comes from; of samples, what they name."""
    split: str | None = None
    reference: str | None = None
    """Name of the undistorted original, or of the content."""
    reference_path: str | None = None
    """Where the original lies, if it is there."""
    distortions: tuple[str, ...] | None = None
    """None: not labelled; empty: labelled as clean."""
    severity: float | None = None
    """1 .. 5, where one distortion states it."""
    duplicate_bits: int | None = None
    """Distance of 64-bit perceptual hashes to the nearest training photo, 0..64; None: not looked for."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """All other columns of the label file."""


class DataRecord(Record):
    """One data set of a run; written after its items, so that it says that they are complete."""

    record: Literal["data"] = "data"
    name: str
    set: str | None
    """Name in the registry; None: samples."""
    root: str
    part: str | None = None
    table: str | None = None
    aspect: str = "quality"
    limit: int | None = None
    seed: int = 0
    duplicates_within: int | None = None
    """Bits of the perceptual hash up to which an item counts as near-duplicate of a training photo."""
    n_items: int
    n_available: int
    """Items before ``limit``."""
    n_without_opinion: int = 0
    files: dict[str, str] = Field(default_factory=dict)
    """Label files → SHA-256."""
    notes: tuple[str, ...] = ()
    """What was noteworthy in the labels."""

    @property
    def identity(self) -> tuple[object, ...]:
        """What must not differ when a run is continued."""
        chosen = (self.set, self.part, self.table, self.aspect, self.limit, self.seed, self.duplicates_within)
        return (*chosen, *sorted(self.files.values()))


@dataclass(frozen=True)
class Chosen:
    """Which items of a data set a run takes.

    Attributes:
        part: ``train``, ``validation`` or ``test``; None: all.
        table: Label table of the registry's card; None: the first that is there.
        aspect: Of the opinions in samples.
        limit: So many items, drawn by ``seed``; None: all.
        seed: Of the draw.
    """

    part: Literal["train", "validation", "test"] | None = None
    table: str | None = None
    aspect: str = "quality"
    limit: int | None = None
    seed: int = 0


def from_registry(name: str, set_name: str, root: Path, chosen: Chosen) -> tuple[list[Item], DataRecord]:
    """Read a data set of the registry.

    Args:
        name: Of the data set in this run.
        set_name: Of its card.
        root: Its folder.
        chosen: Which items.

    Raises:
        DataError: The labels are missing or wrong in any way but missing media.
        UsageError: No such data set or table.
    """
    findings = Findings()
    read = registry.read(root, set_name, chosen.table, part=chosen.part, findings=findings)
    for one in findings:
        if one.error and one.kind not in TOLERATED:
            hint = f"`mllmqa data check {root} --name {set_name}` lists all"
            raise DataError(f"{one.count} x {one.kind}, the first: {one.examples[0]}", where=root, hint=hint)
    index, card = MediaIndex(root, search=True), read.card
    found: dict[str, str | None] = {}
    items = []
    for row in _drawn(read.rows, chosen, name):
        if row.reference is not None and row.reference not in found:
            path, how = index.find(row.reference)
            found[row.reference] = None if how == "missing" else str(path)
        items.append(_of_row(name, row, read.scale, card.kind, card.name, found.get(row.reference or "")))
    record = DataRecord(
        name=name, set=set_name, root=str(root), part=chosen.part, table=read.table.id, limit=chosen.limit,
        seed=chosen.seed, n_items=len(items), n_available=len(read.rows),
        files={path.name: sha256_of(path) for path in read.files},
        notes=tuple(f"{one.count} x {one.kind}, the first: {one.examples[0]}" for one in findings),
    )  # fmt: skip
    return _checked(items, root), record


def from_samples(name: str, path: Path, chosen: Chosen) -> tuple[list[Item], DataRecord]:
    """Read the rated media of a file of samples, each once.

    Several samples may be about one medium; they must agree on its opinion.

    Raises:
        DataError: The file is malformed, or a medium has two different opinions.
    """
    found: dict[str, Item] = {}
    without = 0
    for sample in read_samples(path):
        if chosen.part is not None and sample.split != {"validation": "val"}.get(chosen.part, chosen.part):
            continue
        rated = [mos for mos in sample.labels.mos if mos.aspect == chosen.aspect]
        without += not rated
        for mos in rated:
            item = _of_sample(name, sample, mos, path, several=len(rated) > 1)
            key = item.path or item.sha256 or item.id
            first = found.setdefault(key, item)
            if first.opinion != item.opinion:
                what = f"{sample.id} and {first.id} give {key} the opinions {mos.value:g} and {first.opinion.mos:g}"
                raise DataError(what, where=path, expected="one opinion for each medium")
    items = _drawn(list(found.values()), chosen, name)
    record = DataRecord(
        name=name, set=None, root=str(path), part=chosen.part, aspect=chosen.aspect, limit=chosen.limit,
        seed=chosen.seed, n_items=len(items), n_available=len(found), n_without_opinion=without,
        files={path.name: sha256_of(path)},
    )  # fmt: skip
    return _checked(items, path), record


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from error


def _drawn(rows: Sequence[_T], chosen: Chosen, name: str) -> list[_T]:
    if chosen.limit is None or chosen.limit >= len(rows):
        return list(rows)
    if chosen.limit < 1:
        raise UsageError(f"limit {chosen.limit}", expected="1 or more items")
    order = stream(chosen.seed, "items", name).permutation(len(rows))[: chosen.limit]
    return [rows[i] for i in sorted(order.tolist())]


def _checked(items: list[Item], where: Path) -> list[Item]:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise DataError(f"two items are called {item.id!r}", where=where, expected="different names")
        seen.add(item.id)
    if not items:
        raise DataError("no item with an opinion", where=where)
    return items


def _of_row(
    data: str, row: Rating, scale: RatingScale, kind: Literal["image", "video"], source: str, original: str | None
) -> Item:
    opinion = Opinion(
        mos=row.score, std=row.std, n_ratings=row.n, low=scale.low, high=scale.high, direction=scale.direction,
        std_width=scale.std_width,
    )  # fmt: skip
    return Item(
        data=data, id=printable(row.name), kind=kind, path=str(row.path), opinion=opinion, level=_word(opinion),
        source=source, split=row.split, reference=row.reference, reference_path=original,
        distortions=None if row.distortion is None else (row.distortion,), extra=dict(_plain(row)),
    )  # fmt: skip


def _plain(row: Rating) -> Iterator[tuple[str, JsonValue]]:
    for key, value in row.extra.items():
        if isinstance(value, str | int | bool) or value is None:
            yield key, value
        else:
            yield key, str(value)  # a NaN of Parquet, a date of Excel


def _of_sample(data: str, sample: Sample, mos: Mos, file: Path, *, several: bool) -> Item:
    medium = sample.medium(mos.media)
    originals = [one for one in sample.media if one.role == "reference" and one.key != medium.key]
    own = [one for one in sample.labels.distortions or () if one.media == medium.key]
    direction: Literal["mos", "dmos"] = "mos" if mos.direction == "higher-better" else "dmos"
    opinion = Opinion(
        mos=mos.value, std=mos.std, n_ratings=mos.n_ratings, low=mos.low, high=mos.high, direction=direction
    )
    original = originals[0] if len(originals) == 1 else None
    return Item(
        data=data, id=printable(f"{sample.id}:{medium.key}" if several else sample.id), kind=medium.kind,
        path=_place(medium, file), sha256=medium.sha256, opinion=opinion, level=_word(opinion),
        source=sample.source or data, split=sample.split,
        reference=None if original is None else original.path or original.sha256,
        reference_path=None if original is None or original.path is None else _place(original, file),
        distortions=None if sample.labels.distortions is None else tuple(one.category for one in own),
        severity=own[0].severity if len(own) == 1 else None,
    )  # fmt: skip


def _place(medium: Medium, file: Path) -> str:
    found = path_of(medium, file.parent)
    return "" if found is None else str(found)


def _word(opinion: Opinion) -> str:
    return levels.nearest_level(min(5.0, max(1.0, opinion.level)), prompts.level_scale())
