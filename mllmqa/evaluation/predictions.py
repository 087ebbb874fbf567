"""Predictions that others made: a table of items and scores, matched with the items of a data set, never guessed.

Nothing is turned round: a file whose scores fall with quality is said to be ``lower-better``, or is flagged as
inverted by its figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import JsonValue

from mllmqa.data.ratings import number
from mllmqa.data.tables import Line, TableForm, open_table
from mllmqa.errors import DataError, MllmqaError, UsageError
from mllmqa.evaluation.items import Item, sha256_of
from mllmqa.evaluation.runlog import Prediction, ScorerRecord
from mllmqa.evaluation.scorers import IsDone, unscored
from mllmqa.evaluation.spec import PredictionsSpec

ITEM_COLUMNS = (
    "item", "id", "source", "path", "image", "img", "video", "name", "file", "filename", "file_name", "image_name",
    "image name", "img_path", "image_path", "video_name",
)  # fmt: skip
SCORE_COLUMNS = ("score", "value", "prediction", "pred", "predicted", "pred_score", "predicted_mos", "quality")
STD_COLUMNS = ("std", "sigma", "pred_std")
_MISSING = ("", "nan", "na", "n/a", "none", "null")


class UnmatchedError(DataError):
    """An item for which a file of predictions has no score."""

    code = "no-prediction"


@dataclass(frozen=True)
class Row:
    """One line of the file: value None where the file says that there is none."""

    name: str
    value: float | None
    std: float | None
    where: str


@dataclass(frozen=True)
class Matched:
    """Rows by item.

    Attributes:
        rows: By id of the item.
        rule: How they were matched: ``id``, ``path``, ``file name`` or ``file name without extension``.
        n_rows: Rows of the file.
        strangers: Names in the file that are no item, in its order.
    """

    rows: dict[str, Row]
    rule: str
    n_rows: int
    strangers: tuple[str, ...]


RULES: dict[str, Callable[[str], str]] = {
    "id": lambda name: name,
    "path": lambda name: PurePosixPath(name.replace("\\", "/")).as_posix(),
    "file name": lambda name: PurePosixPath(name.replace("\\", "/")).name,
    "file name without extension": lambda name: PurePosixPath(name.replace("\\", "/")).stem,
}
"""From the strictest on. One rule holds for the whole file."""


def read_rows(spec: PredictionsSpec) -> list[Row]:
    """Read the file.

    Raises:
        DataError: It cannot be read, or a score is no number: names the line.
        UsageError: A column is missing, or several could be meant.
    """
    path = Path(spec.file)
    with open_table(path, TableForm()) as table:
        item = _column(table.columns, spec.item, ITEM_COLUMNS, "item", path)
        score = _column(table.columns, spec.score, SCORE_COLUMNS, "score", path)
        std = _column(table.columns, spec.std, STD_COLUMNS, "std", path, needed=spec.std is not None)
        rows = [_row(line, str(item), str(score), std) for line in table.lines]
    if not rows:
        raise DataError("no rows", where=path)
    return rows


def match(rows: Sequence[Row], items: Sequence[Item], where: object) -> Matched:
    """Match rows with items by the strictest rule that finds most of them.

    Under the file-name rules a name that two items share matches neither. Rows that are no item are counted.

    Raises:
        DataError: No row matches, or two rows are about one item.
    """
    best: tuple[int, str, dict[str, str]] = (0, "", {})
    for rule, key in RULES.items():
        ids = _unique(items, rule, key)
        hits = sum(key(row.name) in ids for row in rows)
        if hits > best[0]:
            best = (hits, rule, ids)
    hits, rule, ids = best
    if not hits:
        what = (
            f"none of its {len(rows)} rows is an item: it has e.g. {rows[0].name!r}, the data set {items[0].id!r}"
        )
        raise DataError(what, where=where, expected="ids, paths or file names of the items")
    found: dict[str, Row] = {}
    strangers = []
    for row in rows:
        item = ids.get(RULES[rule](row.name))
        if item is None:
            strangers.append(row.name)
        elif item in found:
            raise DataError(
                f"{item!r} is also in {found[item].where}", where=row.where, expected="one row per item"
            )
        else:
            found[item] = row
    return Matched(found, rule, len(rows), tuple(strangers))


class PredictionsJudge:
    """A file of predictions as a scorer.

    Args:
        spec: The file, its columns and direction.
    """

    def __init__(self, spec: PredictionsSpec) -> None:
        self._spec, self._rows = spec, read_rows(spec)
        digest = sha256_of(Path(spec.file))
        about: dict[str, JsonValue] = {"file": spec.file, "sha256": digest, "n_rows": len(self._rows)}
        self._record = ScorerRecord(
            name=spec.name, kind="predictions", spec=digest[:16], direction=spec.direction, about=about
        )
        self.notes: list[str] = []

    @property
    def record(self) -> ScorerRecord:
        """Who it is."""
        return self._record

    def predict(self, data: str, items: Sequence[Item], is_done: IsDone) -> Iterator[Prediction]:
        """Hand out the scores of the file; see :class:`mllmqa.evaluation.scorers.Judge`.

        Raises:
            DataError: No row matches, or two rows are about one item.
        """
        if self._spec.data not in (None, data):
            return
        found = match(self._rows, items, self._spec.file)
        if found.strangers:
            self.notes.append(
                f"{self._record.name}: {len(found.strangers)} of {found.n_rows} rows are no item of {data}, "
                f"e.g. {found.strangers[0]!r} (matched by {found.rule})"
            )
        for item in items:
            if not is_done(item.id, None):
                yield self._one(item, found.rows.get(item.id))

    def _one(self, item: Item, row: Row | None) -> Prediction:
        if row is None or row.value is None:
            what = "the file has no row for it" if row is None else "the file gives it no score"
            error: MllmqaError = UnmatchedError(what, where=item.id)
            return unscored(item, self._record, error)
        return Prediction(
            scorer=self._record.name, data=item.data, item=item.id, spec=self._record.spec, value=row.value,
            std=row.std,
        )  # fmt: skip


def _column(
    columns: Sequence[str], named: str | None, usual: Sequence[str], role: str, path: Path, *, needed: bool = True
) -> str | None:
    if named is not None:
        if list(columns).count(named) != 1:
            raise UsageError(
                f"{list(columns).count(named)} columns are named {named!r}", where=path,
                expected=f"one of {', '.join(columns) or 'a header'}",
            )  # fmt: skip
        return named
    fitting = [one for one in columns if one.strip().casefold() in usual]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and not needed:
        return None
    what = f"columns {', '.join(fitting)} could hold the {role}" if fitting else f"no column for the {role}"
    raise UsageError(
        what, where=path, expected=f"one named {role}; there are {', '.join(columns) or 'none'}",
        hint=f"say which with --columns {role}=NAME",
    )  # fmt: skip


def _row(line: Line, item: str, score: str, std: str | None) -> Row:
    name = str(line.cells.get(item) or "").strip()
    if not name:
        raise DataError(f"field {item} is empty", where=line.where, expected="the name of an item")
    spread = None if std is None else _number(line, std)
    if spread is not None and spread < 0:
        raise DataError(f"field {std} is {spread:g}", where=line.where, expected="at least 0")
    return Row(name, _number(line, score), spread, line.where)


def _number(line: Line, field: str) -> float | None:
    """Return the cell as a number; None where it says that there is none."""
    cell: Any = line.cells.get(field)
    text = "" if cell is None else str(cell).strip()
    if text.casefold() in _MISSING:
        return None
    try:
        value = number(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise DataError(
            f"field {field} is {text!r}", where=line.where, expected="a finite number, or an empty cell"
        )
    return value


def _unique(items: Sequence[Item], rule: str, key: Callable[[str], str]) -> dict[str, str]:
    """Return key → id for the keys that mean one item only."""
    found: dict[str, set[str]] = {}
    for item in items:
        for name in (item.id,) if rule == "id" else (item.id, item.path):
            found.setdefault(key(name), set()).add(item.id)
    return {name: next(iter(ids)) for name, ids in found.items() if len(ids) == 1}
