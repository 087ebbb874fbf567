"""Where results go: JSONL, CSV or Parquet files that survive a kill and can be continued.

JSONL and CSV are appended and flushed record by record. Parquet cannot be appended to: its records are
kept in a JSONL journal beside it and the file is written at the end, by an atomic rename.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from mllmqa import resume
from mllmqa.errors import DataError, MissingExtraError, UsageError
from mllmqa.records import columns, flat, read_jsonl
from mllmqa.resume import Entry
from mllmqa.schema import Score, Unscored


class Sink(Protocol):
    """A file of results."""

    def write(self, result: Score | Unscored) -> None:
        """Append one result and flush it."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


class LogSink:
    """Append-only log: JSON lines, or CSV with a header.

    Args:
        kind: Form of the lines.
        path: The file.
        known: What it has already; a second record of a source replaces the first when the file is closed.
    """

    def __init__(self, kind: resume.Kind, path: Path, known: Iterable[str] = ()) -> None:
        self._kind, self._path = kind, path
        self._sources = set(known)
        self._repeated = False
        fresh = not path.exists() or path.stat().st_size == 0
        self._file = path.open("a", encoding="utf-8", newline="")
        lock(self._file, path)
        self._csv = csv.DictWriter(self._file, columns(), lineterminator="\n")
        if kind == "csv" and fresh:
            self._csv.writeheader()
            self._file.flush()

    def write(self, result: Score | Unscored) -> None:
        """Append one record as a line and flush it."""
        if self._kind == "csv":
            self._csv.writerow(flat(result))
        else:
            self._file.write(result.model_dump_json() + "\n")
        self._file.flush()
        self._repeated |= result.source in self._sources
        self._sources.add(result.source)

    def close(self) -> None:
        """Close the file; of sources with several records keep the last."""
        self._file.close()
        if self._repeated:
            resume.compact(self._kind, self._path)


class ParquetSink:
    """A Parquet file, fed through a JSONL journal; each row also has the full record as JSON text."""

    def __init__(self, path: Path, known: Iterable[str] = ()) -> None:
        _pyarrow()
        self._path = path
        self._journal = LogSink("jsonl", journal_of(path), known)

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


def open_sink(kind: str, path: Path, *, continued: bool, spec: str) -> tuple[Sink, dict[str, Entry]]:
    """Open a file for results; one process at a time may write it.

    Args:
        kind: ``jsonl``, ``csv`` or ``parquet``.
        path: The file.
        continued: Continue an existing file.
        spec: Of the run to come; a file made by another spec is refused.

    Returns:
        The sink, and what the file already knows, by source.

    Raises:
        UsageError: As :func:`check_output`.
        DataError: The file to be continued is not ours, or was made by another spec.
    """
    check_output(kind, path, continued=continued)
    form: resume.Kind = "csv" if kind == "csv" else "jsonl"
    log = journal_of(path) if kind == "parquet" else path
    if continued and kind == "parquet" and path.exists() and not log.exists():
        _journal_from_parquet(path, log)
    known: dict[str, Entry] = {}
    if log.exists():
        with log.open("rb") as guard:
            lock(guard, path)
            known = resume.continue_log(form, log, spec)
    return (ParquetSink(path, known) if kind == "parquet" else LogSink(form, path, known)), known


def lock(file: IO[Any], path: Path) -> None:
    """Make sure that no other process writes the same file (where the system has such locks)."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            "another run is writing this file", where=path, hint="wait for it, or name another"
        ) from error


def check_output(kind: str, path: Path, *, continued: bool) -> None:
    """Check that a file for results can be written, before time is spent on what to write.

    Raises:
        UsageError: It exists and ``continued`` is off, is no regular file, or cannot be written.
        MissingExtraError: Parquet without pyarrow.
    """
    log = journal_of(path) if kind == "parquet" else path
    if kind == "parquet":
        _pyarrow()
    try:
        existing = [p for p in (path, log) if p.exists()]
        if any(not p.is_file() for p in existing):
            raise UsageError("is not a regular file", where=existing[0])
        if existing and not continued:
            raise UsageError(
                "this file exists already", where=existing[0], hint="continue it with --resume, or remove it"
            )
        fresh = not log.exists()
        with log.open("ab"):
            pass
        if fresh:
            log.unlink()
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=path) from error


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="parquet", purpose="writing Parquet") from error
    return pyarrow, pyarrow.parquet


def _parquet_schema(pa: Any) -> Any:
    numbers = {"value", "std", "coverage", "map_score", "map_standard_error", "duration_s"}
    integers = {"width", "height", "n_frames_used"}

    def kind(name: str) -> Any:
        if name in integers:
            return pa.int64()
        return pa.float64() if name in numbers or name.startswith("p_") else pa.string()

    return pa.schema([(name, kind(name)) for name in [*columns(), "record"]])


def _journal_from_parquet(path: Path, journal: Path) -> None:
    pa, pq = _pyarrow()
    partial = journal.with_name(journal.name + ".partial")
    try:
        with pq.ParquetFile(path) as file, partial.open("w", encoding="utf-8") as out:
            for batch in file.iter_batches(columns=["record"]):
                out.writelines(f"{row['record']}\n" for row in batch.to_pylist())
    except (pa.ArrowException, KeyError) as error:
        partial.unlink(missing_ok=True)
        raise DataError(
            "is not a file of results", where=path, expected="a file that `mllmqa score --parquet` wrote"
        ) from error
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
