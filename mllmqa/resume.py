"""Continue a file of results: nothing is done twice, nothing is lost, other people's files are not touched.

The log (JSON lines, CSV) is append-only; where an input was done again, its last record counts, and the older
ones are removed when the file is finished or continued. An input is done if its record says that it was scored
(or refused for good) with the content that the file has now.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from mllmqa.errors import (
    ApiRefusedError,
    ApiTruncatedError,
    ApiUnparsedError,
    DataError,
    MediaCorruptError,
    MediaLimitError,
)
from mllmqa.records import columns
from mllmqa.schema import Unscored, read_result

Kind = Literal["jsonl", "csv"]

_PAID = (ApiRefusedError, ApiTruncatedError, ApiUnparsedError)
FINAL_REASONS = frozenset(kind.code for kind in (MediaCorruptError, MediaLimitError, *_PAID))
"""Refusals that depend on the content alone, and useless answers that were paid for: not tried again while the
content is the same. Everything else is, inputs that a spent budget left out among them."""


@dataclass(frozen=True)
class Entry:
    """What a log knows of one input."""

    source: str
    sha256: str | None
    reason: str | None
    """None if it was scored."""
    spec: str

    def is_done(self, sha256: str | None) -> bool:
        """Tell whether an input with this content need not be asked about again."""
        final = self.reason is None or self.reason in FINAL_REASONS
        return final and self.sha256 is not None and self.sha256 == sha256


def continue_log(kind: Kind, path: Path, spec: str) -> dict[str, Entry]:
    """Prepare an existing log for appending; return its entries by source.

    The file is changed only after all of it was read and found to be ours: a torn last record is cut off,
    records that a later one replaces are removed.

    Raises:
        DataError: Not a log of this version, or made by another spec.
    """
    found: dict[str, Entry] = {}
    count = end = 0
    for number, (line, after) in enumerate(lines(path), 1):
        if not line.endswith(b"\n"):
            _check_torn(kind, path, line, first=number == 1)
            break
        end = after
        if (entry := _parse(kind, path, number, line)) is not None:
            if entry.spec != spec:
                raise DataError(
                    f"its scores were made with other settings (spec {entry.spec}, now {spec})",
                    where=path,
                    hint="use the same model and options, or another file: such scores may not be mixed",
                )
            found[entry.source] = entry
            count += 1
    if end < path.stat().st_size:
        with path.open("rb+") as file:
            file.truncate(end)
    if count > len(found):
        compact(kind, path)
    return found


def compact(kind: Kind, path: Path) -> None:
    """Keep the last record of each source; atomic."""
    last: dict[str | None, int] = {}
    for number, (line, _) in enumerate(lines(path), 1):
        entry = _parse(kind, path, number, line)
        last[entry.source if entry else None] = number
    keep = set(last.values())
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as out:
        out.writelines(line for number, (line, _) in enumerate(lines(path), 1) if number in keep)
    partial.replace(path)


def lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield each line with the position after it. Records are one line: names and messages have no breaks."""
    position = 0
    with path.open("rb") as file:
        for line in file:
            position += len(line)
            yield line, position


def _parse(kind: Kind, path: Path, number: int, line: bytes) -> Entry | None:
    """Read one line of a log; None for the header of a CSV."""
    try:
        if kind == "jsonl":
            result = read_result(line)
            sha = result.media.sha256 if result.media else None
            if isinstance(result, Unscored):
                return Entry(result.source, sha, result.reason, result.spec)
            return Entry(result.source, sha, None, result.provenance.spec)
        (values,) = csv.reader([line.decode("utf-8")])
        if number == 1 and values == columns():
            return None
        if number == 1 or len(values) != len(columns()):
            raise ValueError(f"{len(values)} columns")
        row = dict(zip(columns(), values, strict=True))
        return Entry(row["source"], row["sha256"] or None, row["reason"] or None, row["spec"])
    except (ValidationError, ValueError, csv.Error) as error:
        detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise DataError(
            f"line {number} is not a result record ({detail})",
            where=path,
            expected=f"a file that `mllmqa score --{kind}` of this version wrote",
        ) from error


def _check_torn(kind: Kind, path: Path, line: bytes, *, first: bool) -> None:
    """Make sure that a last line without newline is the start of a record of ours, before it is cut off."""
    start = b'{"schema_version":'
    if kind == "csv":
        header = io.StringIO()
        csv.writer(header, lineterminator="\n").writerow(columns())
        start = header.getvalue().encode()
    if kind == "jsonl" or first:
        check_start(path, line, start, f"a file that `mllmqa score --{kind}` wrote")


def check_start(path: Path, line: bytes, start: bytes, expected: str) -> None:
    """Make sure that a torn line starts as ours do.

    Raises:
        DataError: It does not: the file is somebody else's, and nothing of it may be cut off.
    """
    if not (start.startswith(line) or line.startswith(start)):
        raise DataError("its last line is torn and not a record of ours", where=path, expected=expected)
