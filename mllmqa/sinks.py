"""Where results go: JSONL, CSV or Parquet files that survive a kill and can be continued.

JSONL and CSV are appended and flushed record by record. Parquet cannot be appended to: its records are
kept in a JSONL journal beside it and the file is written at the end, by an atomic rename.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from mllmqa import resume
from mllmqa.errors import MissingExtraError, UsageError
from mllmqa.records import columns, flat, read_jsonl
from mllmqa.schema import Score, Unscored


class Sink(Protocol):
    """A file of results."""

    def write(self, result: Score | Unscored) -> None:
        """Append one result and flush it."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


class JsonlSink:
    """Append-only JSON lines."""

    def __init__(self, path: Path) -> None:
        self._file = _appending(path)

    def write(self, result: Score | Unscored) -> None:
        """Append one record as a line and flush it."""
        self._file.write(result.model_dump_json() + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CsvSink:
    """Append-only CSV with a header."""

    def __init__(self, path: Path) -> None:
        fresh = not path.exists() or path.stat().st_size == 0
        self._file = _appending(path)
        self._writer = csv.DictWriter(self._file, columns(), lineterminator="\n")
        if fresh:
            self._writer.writeheader()
            self._file.flush()

    def write(self, result: Score | Unscored) -> None:
        """Append one row and flush it."""
        self._writer.writerow(flat(result))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetSink:
    """A Parquet file, fed through a JSONL journal; each row also has the full record as JSON text."""

    def __init__(self, path: Path) -> None:
        _pyarrow()
        self._path = path
        self._journal = JsonlSink(journal_of(path))

    def write(self, result: Score | Unscored) -> None:
        """Append one record to the journal."""
        self._journal.write(result)

    def close(self) -> None:
        """Write the Parquet file from the journal, then remove the journal."""
        self._journal.close()
        journal = journal_of(self._path)
        pa, pq = _pyarrow()
        partial = self._path.with_name(self._path.name + ".partial")
        schema = _parquet_schema(pa)
        with pq.ParquetWriter(partial, schema) as writer:
            for batch in _batches(read_jsonl(journal), 4096):
                rows = [{**flat(result), "record": result.model_dump_json()} for result in batch]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        partial.replace(self._path)
        journal.unlink()


def journal_of(path: Path) -> Path:
    """Return the path of a Parquet file's journal."""
    return path.with_name(path.name + ".journal.jsonl")


_SINKS: dict[str, type[JsonlSink] | type[CsvSink] | type[ParquetSink]] = {
    "jsonl": JsonlSink,
    "csv": CsvSink,
    "parquet": ParquetSink,
}


def open_sink(kind: str, path: Path, *, continued: bool, spec: str) -> tuple[Sink, set[str]]:
    """Open a file for results.

    Args:
        kind: ``jsonl``, ``csv`` or ``parquet``.
        path: The file.
        continued: Continue an existing file; a torn last record is cut off first.
        spec: Of the run to come; a file made by another spec is refused.

    Returns:
        The sink, and the sources that the file already has.

    Raises:
        UsageError: The file exists and ``continued`` is off, or it cannot be written.
        DataError: The file to be continued is not ours, or was made by another spec.
    """
    log = journal_of(path) if kind == "parquet" else path
    done: set[str] = set()
    if not continued and (path.exists() or log.exists()):
        existing = path if path.exists() else log
        raise UsageError("this file exists already", where=existing, hint="continue it with --resume, or remove it")
    try:
        if continued and kind == "parquet" and path.exists() and not log.exists():
            _journal_from_parquet(path, log)
        if log.exists():
            done = (resume.continue_csv if kind == "csv" else resume.continue_jsonl)(log, spec)
        return _SINKS[kind](path), done
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=path) from error


def _appending(path: Path) -> io.TextIOWrapper:
    return path.open("a", encoding="utf-8", newline="")


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="parquet", purpose="writing Parquet") from error
    return pyarrow, pyarrow.parquet


def _parquet_schema(pa: Any) -> Any:
    numbers = {"value", "std", "coverage", "duration_s"}
    integers = {"width", "height", "n_frames_used"}

    def kind(name: str) -> Any:
        if name in integers:
            return pa.int64()
        return pa.float64() if name in numbers or name.startswith("p_") else pa.string()

    return pa.schema([(name, kind(name)) for name in [*columns(), "record"]])


def _journal_from_parquet(path: Path, journal: Path) -> None:
    _, pq = _pyarrow()
    partial = journal.with_name(journal.name + ".partial")
    with partial.open("w", encoding="utf-8") as out:
        for batch in pq.ParquetFile(path).iter_batches(columns=["record"]):
            out.writelines(f"{row['record']}\n" for row in batch.to_pylist())
    partial.replace(journal)


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
