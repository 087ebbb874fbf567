"""A built set in the formats of others, beside its samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mllmqa.data.formats import Format, export_file, format_named
from mllmqa.data.sample_file import read_samples

ENDINGS = {"array": ".json", "lines": ".jsonl", "parquet": ".parquet"}


def formats_named(names: Sequence[str]) -> list[Format]:
    """Return formats by name.

    Raises:
        UnknownNameError: There is none of a name.
    """
    return [format_named(name) for name in names]


def export_set(samples: Path, forms: Sequence[Format]) -> Iterator[str]:
    """Write the samples in formats, each to ``FORMAT.json``, ``.jsonl`` or ``.parquet`` in the same folder.

    What is there of an earlier run is replaced. Samples that a format cannot express are an error: none is dropped.

    Args:
        samples: A file of samples.
        forms: Formats.

    Yields:
        One line for each: where it is, and what the format does not hold.

    Raises:
        DataError: A sample cannot be expressed in a format.
        MissingExtraError: Parquet without pyarrow.
    """
    for form in forms:
        path = samples.with_name(form.name + ENDINGS[form.container])
        path.unlink(missing_ok=True)
        done = export_file(read_samples(samples), form, path)
        lost = ", ".join(f"{name} ({count})" for name, count in sorted(done.lost.items()))
        yield f"{path}: {done.n} samples" + (f"; {form.name} does not hold {lost}" if lost else "")
