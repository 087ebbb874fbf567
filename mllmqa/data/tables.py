"""Tables as people distribute them: CSV, JSON, JSONL, Parquet, Excel and plain text, as lines of named cells.

Encoding, column names and separators that a file does not carry itself are stated by the caller, never guessed.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from mllmqa.data.repeated_keys import EXPECTED, RepeatedKeys
from mllmqa.data.xlsx import sheet_rows
from mllmqa.errors import DataError, MissingExtraError, UsageError

Format = Literal["csv", "json", "jsonl", "parquet", "xlsx", "txt"]
UTF8 = "utf-8-sig"


@dataclass(frozen=True)
class Line:
    """One record: ``cells`` by column name, and ``where`` it stands (file and line or record)."""

    where: str
    cells: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """An open table: its ``columns``, where they are stated, and its ``lines``, to be read once."""

    columns: Sequence[str]
    where: str
    lines: Iterator[Line]


@dataclass(frozen=True)
class TableForm:
    """How a file is to be read.

    Attributes:
        format: None: by the suffix of the file.
        encoding: Of text files.
        header: Column names, for files without a header line (``txt``).
        separator: Between cells of ``txt``; None: any white space.
    """

    format: Format | None = None
    encoding: str = UTF8
    header: tuple[str, ...] | None = None
    separator: str | None = None


@contextmanager
def open_table(path: Path, form: TableForm) -> Iterator[Table]:
    """Open a table; problems met while its lines are read become one DataError that names the file.

    Raises:
        DataError: The file cannot be read, is not of the format, or not in the encoding.
        UsageError: The format is not known, or column names are needed and missing.
        MissingExtraError: Parquet without pyarrow.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from error
    kind = form.format or path.suffix.lower().lstrip(".")
    if kind not in get_args(Format):
        raise UsageError(f"unknown format {kind!r}", where=path, expected=" | ".join(get_args(Format)))
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=form.encoding)  # codecs.lookup() also knows zlib, which is no text
    except LookupError as error:
        raise UsageError(f"encoding {form.encoding!r} is not known", where=path) from error
    try:
        if kind == "parquet":
            yield _parquet(path)
            return
        if kind == "xlsx":
            yield _xlsx(path)
            return
        with path.open(newline="" if kind == "csv" else None, encoding=form.encoding) as file:
            if kind == "csv":
                yield _csv(csv.reader(file, strict=True, skipinitialspace=True), path, form.header)
            elif kind == "txt":
                yield _txt(file, path, form)
            else:
                yield _json(_objects(file, path, lines=kind == "jsonl"), path)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=path) from error
    except UnicodeError as error:  # UTF-16 without its mark is no UnicodeDecodeError
        hint = _other_encoding(path, form.encoding)
        raise DataError(
            f"is not a {kind.upper()} in {_name(form.encoding)} ({error})", where=path, hint=hint
        ) from error
    except (csv.Error, ValueError, RecursionError) as error:
        raise DataError(f"is not a {kind.upper()} in {_name(form.encoding)} ({error})", where=path) from error


def _name(encoding: str) -> str:
    return "UTF-8" if encoding in ("utf-8", UTF8) else encoding


def _other_encoding(path: Path, tried: str) -> str | None:
    """A hint: UTF-8 where another was stated, else GBK, common in files from China and told from UTF-8."""
    content = path.read_bytes()
    for encoding, hint in (
        (UTF8, "its bytes are valid UTF-8: leave out --encoding"),
        ("gb18030", "its bytes would be valid GBK: if it comes from there, say --encoding gb18030"),
    ):
        if encoding != tried:
            try:
                content.decode(encoding)
            except UnicodeDecodeError:
                continue
            return hint
    return None


def _csv(lines: Any, path: Path, header: Sequence[str] | None) -> Table:
    columns = list(header) if header else [cell.strip() for cell in next(lines, [])]

    def read() -> Iterator[Line]:
        for cells in lines:
            where = f"{path}, line {lines.line_num}"
            if any(cell.strip() for cell in cells[len(columns) :]):  # 3,4 for 3.4 would be read as 3
                raise _too_wide(cells, columns, where, "; quote commas")
            if any(cell.strip() for cell in cells):
                yield Line(where, dict(zip(columns, cells, strict=False)))

    return Table(columns, f"{path}, line 1", read())


def _too_wide(cells: Sequence[Any], columns: Sequence[str], where: str, hint: str = "") -> DataError:
    return DataError(f"{len(cells)} cells", where=where, expected=f"{len(columns)}: {', '.join(columns)}{hint}")


def _txt(file: Any, path: Path, form: TableForm) -> Table:
    if not form.header:
        raise UsageError("a text file does not name its columns", where=path, hint="name them, in their order")
    names = form.header

    def read() -> Iterator[Line]:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            cells = text.strip().split(form.separator)
            where = f"{path}, line {number}"
            if len(cells) != len(names):
                raise DataError(f"{len(cells)} fields", where=where, expected=f"{len(names)}: {', '.join(names)}")
            yield Line(where, dict(zip(names, (cell.lstrip() for cell in cells), strict=True)))

    return Table(names, str(path), read())


def _objects(file: Any, path: Path, *, lines: bool) -> Iterator[tuple[str, Any]]:
    watch = RepeatedKeys()
    if lines:
        for number, text in enumerate(file, 1):
            if text.strip():
                where = f"{path}, line {number}"
                try:
                    one = json.loads(text, object_pairs_hook=watch)
                except (ValueError, RecursionError) as error:  # also an integer of thousands of digits
                    raise DataError(f"is not JSON ({error})", where=where) from error
                _refuse_repeated(watch.places(one), where)
                yield where, one
        return
    content = json.load(file, object_pairs_hook=watch)
    if not isinstance(content, list):
        raise DataError(f"holds a JSON {type(content).__name__}", where=path, expected="a list of objects")
    repeated: dict[str, list[str]] = {}
    for key in watch.places(content):
        repeated.setdefault(key.partition(".")[0], []).append(key.partition(".")[2])
    for number, one in enumerate(content):
        where = f"{path}, record {number}"
        _refuse_repeated(repeated.get(str(number), []), where)
        yield where, one


def _refuse_repeated(places: Sequence[str], where: str) -> None:
    if places:
        raise DataError(f"field {places[0]} is there twice", where=where, expected=EXPECTED)


def _json(objects: Iterator[tuple[str, Any]], path: Path) -> Table:
    first = next(objects, None)

    def read() -> Iterator[Line]:
        for where, one in ([first] if first else []) + list(objects):
            if not isinstance(one, dict):
                raise DataError(f"is a JSON {type(one).__name__}", where=where, expected="an object")
            yield Line(where, one)

    columns = list(first[1]) if first and isinstance(first[1], dict) else []
    return Table(columns, first[0] if first else str(path), read())


def _parquet(path: Path) -> Table:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="parquet", purpose="reading Parquet") from error
    try:
        file = parquet.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"is not Parquet ({error})", where=path) from error

    def read() -> Iterator[Line]:
        number = 0
        for batch in file.iter_batches():
            for cells in batch.to_pylist():
                yield Line(f"{path}, record {number}", cells)
                number += 1

    return Table(list(file.schema_arrow.names), str(path), read())


def _xlsx(path: Path) -> Table:
    rows = sheet_rows(path)
    number, head = next(rows, (1, []))
    columns = ["" if cell is None else str(cell).strip() for cell in head]

    def read() -> Iterator[Line]:
        for row, cells in rows:
            where = f"{path}, row {row}"
            if any(cell is not None and str(cell).strip() for cell in cells[len(columns) :]):
                raise _too_wide(cells, columns, where)
            if any(cell is not None for cell in cells):
                padded = [*cells, *[None] * (len(columns) - len(cells))]
                yield Line(where, dict(zip(columns, padded, strict=False)))

    return Table(columns, f"{path}, row {number}", read())
