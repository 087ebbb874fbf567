"""The registry of data sets: one card each, and readers that follow them."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from pydantic import ValidationError

from mllmqa.data.findings import Findings
from mllmqa.data.media_index import MediaIndex
from mllmqa.data.rate import rate
from mllmqa.data.ratings import Rating, RatingScale
from mllmqa.data.registry.readers import READERS
from mllmqa.data.registry.schema import DataSet, LabelTable
from mllmqa.errors import DataError, UnknownNameError, UsageError

log = logging.getLogger(__name__)

_CARDS = Path(__file__).parent / "cards"


@cache
def data_sets() -> dict[str, DataSet]:
    """All known data sets by name, images first.

    Raises:
        DataError: A card of this installation is malformed.
    """
    found = [_card(path) for path in sorted(_CARDS.glob("*.yaml"))]
    return {card.name: card for card in sorted(found, key=lambda card: (card.kind, card.name))}


def _card(path: Path) -> DataSet:
    try:
        card = DataSet.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise DataError(f"is not the card of a data set ({error})", where=path) from error
    if card.name != path.stem:
        raise DataError(f"names the data set {card.name!r}", where=path, expected=path.stem)
    return card


def data_set(name: str) -> DataSet:
    """The data set of this name.

    Raises:
        UnknownNameError: There is none.
    """
    known = data_sets()
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "`mllmqa data ls` lists them"
        raise UnknownNameError(f"no data set {name!r}", hint=hint)
    return known[name]


def recognise(root: Path) -> DataSet:
    """The one data set whose label files lie in a folder.

    Raises:
        UsageError: None or several fit; it is not guessed which.
    """
    fitting = [card for card in data_sets().values() if any(label_files(root, table) for table in card.tables)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        what = f"its label files fit {', '.join(card.name for card in fitting)}"
        raise UsageError(what, where=root, hint="say which with --name")
    raise UsageError(
        "no label file of a known data set in it", where=root,
        hint="name the data set with --name, or give a label file with --columns, --direction and --range",
    )  # fmt: skip


def label_files(root: Path, table: LabelTable) -> list[tuple[str, Path]]:
    """The label files of a table that are there: (entry of ``table.files``, path)."""
    return [(entry, path) for entry in table.files for path in _matches(root, entry)]


def _matches(root: Path, entry: str) -> list[Path]:
    if "*" not in entry:
        return [root / entry] if (root / entry).is_file() else []
    return sorted(path for path in root.glob(entry) if path.is_file())


def choose_table(root: Path, card: DataSet, table_id: str | None = None) -> LabelTable:
    """The label table to read: the named one, else the first of the card whose files are there.

    Raises:
        UsageError: The card has no such table, or none that mllmqa reads.
        DataError: No label file is there.
    """
    ids = [table.id for table in card.tables]
    if table_id is not None and table_id not in ids:
        raise UsageError(f"{card.name} has no table {table_id!r}", expected=" | ".join(ids) or "none is known")
    if not ids:
        raise UsageError(
            f"no layout of {card.name} is known", where=root,
            hint="give its label file with --columns, --direction and --range",
        )  # fmt: skip
    named = [table for table in card.tables if table_id in (None, table.id)]
    for table in named:
        if label_files(root, table):
            return table
    expected = ", ".join(dict.fromkeys(entry for table in named for entry in table.files))
    raise DataError(f"no such label file of {card.name}", where=root, expected=expected, hint=_get(card))


def _get(card: DataSet) -> str | None:
    return f"get it from: {card.access}" if card.access else None


class Levelled(NamedTuple):
    """A media file and its mean opinion on 1 (worst) .. 5 (best)."""

    path: Path
    level: float


@dataclass(frozen=True)
class Rated:
    """A data set as read: its card, the table, what its scores mean, and the rows."""

    card: DataSet
    table: LabelTable
    scale: RatingScale
    files: tuple[Path, ...]
    rows: tuple[Rating, ...]

    def levelled(self) -> list[Levelled]:
        """The media with their scores on the one scale of 1 (worst) .. 5 (best), in the order of the rows."""
        return [Levelled(row.path, self.scale.level(row.score)) for row in self.rows]


def read(
    root: Path | str,
    name: str,
    table_id: str | None = None,
    *,
    part: Literal["train", "validation", "test"] | None = None,
    findings: Findings | None = None,
    media: bool = True,
) -> Rated:
    """Read a data set.

    Args:
        root: Its folder.
        name: A name of :func:`data_sets`.
        table_id: Which of its label tables; None: the first that is there.
        part: Only the rows of this part, as the label files state it.
        findings: Takes what is wrong; None: the first mistake raises, and notes are logged as warnings.
        media: Whether the media files are looked for.

    Raises:
        DataError: Label files are missing or malformed, or (without ``findings``) anything is wrong.
        UsageError: The name or table is not known.
    """
    folder, card = Path(root), data_set(name)
    table = choose_table(folder, card, table_id)
    scale = table.score.rating_scale()
    found = Findings(strict=True) if findings is None else findings
    files = [one for one in label_files(folder, table) if part in (None, table.parts.get(one[0], part))]
    if not files:
        entries = ", ".join(entry for entry, of in table.parts.items() if of == part)
        raise DataError(
            f"no such label file: none of the part {part}", where=folder, expected=entries or "a part that it has"
        )
    index = MediaIndex(folder, search=True) if media else None
    rows = [row for row in _rows(files, table, scale, index, found) if part in (None, row.split)]
    if findings is None:
        if not rows:
            raise DataError("no rows", where=files[0][1])
        for note in found:
            log.warning("%s: %d x %s, first %s", card.name, note.count, note.kind, note.examples[0])
    return Rated(card, table, scale, tuple(path for _, path in files), tuple(rows))


def _rows(
    files: list[tuple[str, Path]],
    table: LabelTable,
    scale: RatingScale,
    media: MediaIndex | None,
    findings: Findings,
) -> Iterator[Rating]:
    columns = table.columns.columns()
    seen: dict[str, str] = {}
    for entry, path in files:
        with READERS[table.reader](path, table) as opened:
            for row in rate(opened, columns, scale, media, findings, table.reading(entry)):
                if row.name in seen:
                    findings.error("duplicate", f"{row.name!r} is also in {seen[row.name]}", where=row.where)
                    continue
                seen[row.name] = row.where
                yield row
