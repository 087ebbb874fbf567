"""Parquet and Hugging Face data sets: columns for people and queries, and the whole record as JSON text.

``record`` is what is read back, so nothing is lost; the other columns repeat parts of it. ``messages`` has the
shape of :mod:`mllmqa.data.formats.messages`, with null where a part has no text or path.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from mllmqa.data.formats.form import Context, Format, Row, field
from mllmqa.data.sample import Sample, parse_sample
from mllmqa.errors import DataError, MissingExtraError

BATCH = 1024


def row(sample: Sample) -> Row:
    """Return a sample as a row of plain columns; scores and levels are those of the first medium that has one."""
    mos = next(iter(sample.labels.mos), None)
    level = next(iter(sample.labels.levels), None)
    made: Row = {name: getattr(sample, name) for name in ("id", "task", "split", "source", "licence")}
    for kind in ("image", "video"):
        made[f"{kind}s"] = [medium.path for medium in sample.media if medium.kind == kind]
    for name in ("value", "std", "low", "high", "direction"):
        made[f"mos_{name}"] = getattr(mos, name) if mos else None
    made["level"] = level.word if level else None
    made["messages"] = [
        {
            "role": message.role,
            "content": [
                {"type": "text", "text": part.text, "path": None}
                if part.media is None
                else {"type": (medium := sample.medium(part.media)).kind, "text": None, "path": medium.path}
                for part in message.content
            ],
        }
        for message in sample.messages
    ]
    return made | {"record": sample.to_json()}


def parse(row: Row, context: Context) -> Sample:
    """Read the record of a row.

    Raises:
        DataError: There is none, or it is not valid.
    """
    return parse_sample(field(row, "record", str, context), context.where)


_KEYS = "id task split source licence images videos mos_value mos_std mos_low mos_high mos_direction level messages"
PARQUET = Format("parquet", "Parquet, HF data sets", "parquet", row, parse, frozenset([*_KEYS.split(), "record"]))


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write rows to a Parquet file, in constant memory.

    Raises:
        MissingExtraError: Without pyarrow.
    """
    pa, pq = pyarrow()
    schema = arrow_schema()
    made = iter(rows)
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(itertools.islice(made, BATCH)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def read_rows(path: Path) -> Iterator[Row]:
    """Read the rows of a Parquet file lazily; only the column ``record``.

    Raises:
        DataError: It is no Parquet file, or lacks the column.
        MissingExtraError: Without pyarrow.
    """
    pa, pq = pyarrow()
    try:
        with pq.ParquetFile(path) as file:
            if "record" not in file.schema_arrow.names:
                found = f"has the columns {', '.join(file.schema_arrow.names)}"
                raise DataError(found, where=path, expected="a column record, as mllmqa writes it")
            for batch in file.iter_batches(BATCH, columns=["record"]):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"is not a Parquet file ({error})", where=path, expected="a file of samples") from error


def to_dataset(samples: Iterable[Sample]) -> Any:
    """Return samples as a data set of Hugging Face ``datasets``, in memory; nothing is cached on disk.

    For more than fits, write Parquet and use ``load_dataset("parquet", data_files=…, streaming=True)``.

    Returns:
        A ``datasets.Dataset``.

    Raises:
        MissingExtraError: Without ``datasets``.
    """
    library, (pa, _) = hf_datasets(), pyarrow()
    return library.Dataset(pa.Table.from_pylist(list(map(row, samples)), schema=arrow_schema()))


def from_dataset(dataset: Iterable[Row], name: str = "data set") -> Iterator[Sample]:
    """Read samples from a data set of Hugging Face ``datasets``, streaming or not, lazily.

    Raises:
        DataError: A row has no column ``record``, or no valid one.
    """
    for number, entry in enumerate(dataset, 1):
        yield parse(entry, Context(f"{name}, row {number}", number))


def arrow_schema() -> Any:
    """Return the types of the columns."""
    pa, _ = pyarrow()
    text, number = pa.string(), pa.float64()
    part = pa.struct([("type", text), ("text", text), ("path", text)])
    types = {
        "images": pa.list_(text),
        "videos": pa.list_(text),
        "messages": pa.list_(pa.struct([("role", text), ("content", pa.list_(part))])),
        **{f"mos_{name}": number for name in ("value", "std", "low", "high")},
    }
    return pa.schema([(name, types.get(name, text)) for name in [*_KEYS.split(), "record"]])


def pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet.

    Raises:
        MissingExtraError: Not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", extra="parquet", purpose="Parquet") from error
    return pyarrow, pyarrow.parquet


def hf_datasets() -> Any:
    """Return Hugging Face ``datasets``.

    Raises:
        MissingExtraError: Not installed.
    """
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise MissingExtraError("datasets", extra="data", purpose="a Hugging Face data set") from error
    return datasets
