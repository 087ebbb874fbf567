"""Compare a folder, or a table of one's own, with what is known and stated about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mllmqa.data import registry
from mllmqa.data.findings import Findings
from mllmqa.data.media_check import Depth, opened_media
from mllmqa.data.media_index import MediaIndex, is_there
from mllmqa.data.rate import rate
from mllmqa.data.ratings import Columns, Rating, RatingScale
from mllmqa.data.registry import doubts
from mllmqa.data.registry.schema import LabelTable
from mllmqa.data.tables import TableForm, open_table
from mllmqa.errors import DataError
from mllmqa.schema import Media


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        name: Data set, or the file of a table of one's own.
        table: Id of the label table; None for one's own.
        source: Who distributes it.
        files: Label files read.
        scale: What the scores mean.
        rows: What was read.
        media_found: Number of media files that are there; None: they were not looked for.
        unlabelled: Number of media files that no row names; None likewise.
        findings: What is wrong or noteworthy.
        traps: What is known to go wrong with this data set.
        media_readable: Number of media files that could be opened; None: they were not.
    """

    name: str
    table: str | None
    source: str | None
    files: tuple[Path, ...]
    scale: RatingScale
    rows: tuple[Rating, ...]
    media_found: int | None
    unlabelled: int | None
    findings: Findings
    traps: tuple[str, ...] = ()
    media_readable: int | None = None

    def record(self) -> dict[str, Any]:
        """The report as a JSON object."""
        scores = [row.score for row in self.rows]
        return {
            "name": self.name, "table": self.table, "source": self.source, "files": [str(p) for p in self.files],
            "direction": self.scale.direction, "scale": [self.scale.low, self.scale.high], "n": len(scores),
            "measured": [min(scores), max(scores)] if scores else None,
            "with_std": sum(row.std is not None for row in self.rows),
            "with_histogram": sum(row.histogram is not None for row in self.rows),
            "references": len(references(self.rows)),
            "parts": dict(Counter(row.split or "not stated" for row in self.rows)),
            "media_found": self.media_found, "media_unlabelled": self.unlabelled,
            "media_readable": self.media_readable,
            "errors": self.findings.errors, "findings": [one.record() for one in self.findings],
            "traps": list(self.traps),
        }  # fmt: skip


def references(rows: Sequence[Rating]) -> set[str]:
    """The different originals that rows name."""
    return {row.reference.casefold() for row in rows if row.reference}


def check_known(root: Path, name: str | None, table_id: str | None, *, media: Depth = "exists") -> Report:
    """Check the folder of a known data set.

    Args:
        root: The folder.
        name: The data set; None: recognised by its label files.
        table_id: The label table; None: the first that is there.
        media: What is done with media files.

    Raises:
        DataError: No label file is there, or one cannot be read at all.
        UsageError: The data set cannot be recognised, or a name is unknown.
    """
    if not root.is_dir():
        if root.exists():
            expected = "the folder of a data set, a table with --columns, or samples (.jsonl, .parquet)"
            raise DataError("is a file", where=root, expected=expected)
        raise DataError("no such folder", where=root)
    card = registry.data_set(name) if name else registry.recognise(root)
    findings = Findings()
    rated = registry.read(root, card.name, table_id, findings=findings, media=media != "none")
    _compare(rated.rows, rated.table, root, findings)
    doubts.look(rated.rows, rated.scale, findings, rated.files[0])
    found, unlabelled, readable = _media(root, rated.rows, media, findings, card.kind)
    return Report(
        card.name, rated.table.id, rated.table.source, rated.files, rated.scale, rated.rows, found, unlabelled,
        findings, card.traps, readable,
    )  # fmt: skip


def check_table(
    path: Path, columns: Columns, scale: RatingScale, form: TableForm, *, media: Depth = "exists"
) -> Report:
    """Check a table of one's own.

    Args:
        path: CSV, JSON, JSONL, Parquet or Excel file; media are looked for from its folder on.
        columns: Which columns hold what.
        scale: What the scores mean.
        form: How the file is to be read.
        media: What is done with media files.

    Raises:
        DataError: The file cannot be read, or a column is missing.
    """
    findings = Findings()
    index = MediaIndex(path.parent, search=True) if media != "none" else None
    with open_table(path, form) as table:
        rows = tuple(rate(table, columns, scale, index, findings))
    if not rows:
        findings.error("no-rows", "no row can be used", where=path)
    doubts.look(rows, scale, findings, path)
    found, unlabelled, readable = _media(path.parent, rows, media, findings)
    return Report(
        path.name, None, None, (path,), scale, rows, found, unlabelled, findings, media_readable=readable
    )  # fmt: skip


def _media(
    root: Path, rows: Sequence[Rating], wanted: Depth, findings: Findings, kind: str | None = None
) -> tuple[int | None, int | None, int | None]:
    """Return how many media files are there, have no label, can be opened; None: not looked for, not opened."""
    if wanted == "none":
        return None, None, None
    named = {row.path: row.where for row in rows}
    files = set(MediaIndex(root, search=True).files)
    there = [path for path in named if is_there(path)]
    readable = None
    if wanted == "open":
        readable = sum(_opens(path, named[path], kind, findings) for path in there)
    return len(there), len(files - set(named)), readable


def _opens(path: Path, where: str, kind: str | None, findings: Findings) -> bool:
    found = opened_media(path)
    if not isinstance(found, Media):
        findings.error("unreadable-media", f"its file cannot be used ({found})", where=where)
        return False
    if kind is not None and found.kind != kind:
        what = f"its file {path} is of the kind {found.kind} ({found.format})"
        findings.error("wrong-kind", what, where=where, expected=kind)
    return True


def _compare(rows: Sequence[Rating], table: LabelTable, root: Path, findings: Findings) -> None:
    """Compare what was read with the card: files, counts, range, originals, parts."""
    there = {entry for entry, _ in registry.label_files(root, table)}
    for entry in table.files:
        if entry not in there:
            findings.error("missing-labels", f"no label file {entry!r}", where=root)
    whole = there == set(table.files)
    if whole and table.n is not None and len(rows) != table.n:
        findings.error("count", f"{len(rows)} usable rows", where=root, expected=str(table.n))
    if whole and rows and table.score.measured is not None:
        _compare_range(rows, table.score.measured, root, findings)
    if whole and table.references is not None:
        count = len(references(rows))
        if count == 0:
            findings.note(
                "no-references", "the originals are not named: cannot be divided by reference", where=root
            )
        elif count != table.references:
            findings.error("references", f"{count} originals", where=root, expected=str(table.references))
    sizes = Counter(row.split for row in rows)
    stated = (
        {table.parts[entry] for entry in there if entry in table.parts} if table.parts else set(table.split_sizes)
    )
    for part, size in table.split_sizes.items():
        if part in stated and sizes[part] != size:
            findings.error("part", f"{sizes[part]} rows in the part {part}", where=root, expected=str(size))


def _compare_range(rows: Sequence[Rating], known: tuple[float, float], root: Path, findings: Findings) -> None:
    low, high = min(row.score for row in rows), max(row.score for row in rows)
    slack = 2e-3 * (known[1] - known[0])  # known ranges are stated to a few digits
    if abs(low - known[0]) > slack or abs(high - known[1]) > slack:
        expected = f"{known[0]:g}..{known[1]:g}, as measured on the distributed file"
        findings.error("range", f"scores range over {low:g}..{high:g}", where=root, expected=expected)
