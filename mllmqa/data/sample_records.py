"""The records of a file of samples as they stand there, also those that are no valid samples.

JSON lines (:mod:`mllmqa.data.sample_file`), or Parquet as :mod:`mllmqa.data.formats.parquet` writes it: its column
``record`` holds the same texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mllmqa.data.flaws import shown
from mllmqa.data.formats.parquet import read_rows
from mllmqa.data.sample_file import numbered_lines
from mllmqa.errors import DataError

PARQUET = ".parquet"
SUFFIXES = (".jsonl", PARQUET)
"""Of files of samples."""


def numbered_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the JSON texts of a file with their numbers from 1: of its lines that are not blank, or of its rows.

    Args:
        path: Parquet by its name, else JSON lines.

    Raises:
        DataError: The file cannot be read, or is Parquet of something else.
        MissingExtraError: Parquet without pyarrow.
    """
    if path.suffix != PARQUET:
        yield from numbered_lines(path)
        return
    for number, row in enumerate(read_rows(path), 1):
        text = row["record"]
        if not isinstance(text, str | None):
            found = f"its column record holds {shown(text)}"
            raise DataError(found, where=place(path, number), expected="texts, as mllmqa writes them")
        yield number, (text or "").encode()


def unit(path: Path) -> str:
    """Return what the numbers of a file count: lines, or records."""
    return "record" if path.suffix == PARQUET else "line"


def place(path: Path, number: int) -> str:
    """Return file and line, or record, for messages."""
    return f"{path}, {unit(path)} {number}"
