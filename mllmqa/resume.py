"""Continue a file of results: cut a torn tail, refuse other settings, drop what must be done again.

A record stays if its input was read and the file's content is the same now. Records of inputs that could
not be opened, and of inputs whose content has changed, are dropped, so that they are tried again and
the file has every input exactly once.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mllmqa.errors import DataError, MediaError
from mllmqa.media.source import read_path
from mllmqa.records import columns, read_jsonl
from mllmqa.schema import Unscored


def continue_jsonl(path: Path, spec: str) -> set[str]:
    """Prepare a JSONL file for appending; return the sources that it has.

    Raises:
        DataError: A line is not a record, or was made by another spec.
    """
    cut_torn_tail(path)
    keep: set[str] = set()
    drop = False
    for result in read_jsonl(path):
        made = result.spec if isinstance(result, Unscored) else result.provenance.spec
        _same_spec(path, made, spec)
        if _still_holds(result.source, result.media.sha256 if result.media else None):
            keep.add(result.source)
        else:
            drop = True
    if drop:
        lines = (r.model_dump_json() + "\n" for r in read_jsonl(path) if r.source in keep)
        _rewrite(path, lines)
    return keep


def continue_csv(path: Path, spec: str) -> set[str]:
    """Prepare a CSV file for appending; return the sources that it has.

    Raises:
        DataError: Its columns are not ours, or a row was made by another spec.
    """
    cut_torn_tail(path)
    keep: set[str] = set()
    drop = False
    for row in _rows(path):
        _same_spec(path, row["spec"], spec)
        if _still_holds(row["source"], row["sha256"] or None):
            keep.add(row["source"])
        else:
            drop = True
    if drop:
        partial = path.with_name(path.name + ".partial")
        with partial.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, columns(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for row in _rows(path) if row["source"] in keep)
        partial.replace(path)
    return keep


def cut_torn_tail(path: Path) -> None:
    """Cut a last line without newline: the process was killed while it wrote it."""
    with path.open("rb+") as file:
        size = position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < size:
            file.truncate(position)


def _still_holds(source: str, sha256: str | None) -> bool:
    """Tell whether a record's input was read then and has the same content now (or cannot be re-read)."""
    if sha256 is None:
        return False
    if not Path(source).is_file():
        return True
    try:
        return read_path(source).sha256 == sha256
    except MediaError:
        return False


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames is not None and list(reader.fieldnames) != columns():
            raise DataError("its columns are not those of this version", where=path, expected=json.dumps(columns()))
        yield from reader


def _rewrite(path: Path, lines: Iterable[str]) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as out:
        out.writelines(lines)
    partial.replace(path)


def _same_spec(path: Path, found: str | None, wanted: str) -> None:
    if found != wanted:
        raise DataError(
            f"its scores were made with other settings (spec {found}, now {wanted})",
            where=path,
            hint="use the same model and options, or another file: such scores may not be mixed",
        )
