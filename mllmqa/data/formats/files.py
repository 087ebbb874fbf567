"""Whole files in a format: written at once and whole, read one record at a time."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mllmqa.data.flaws import shown
from mllmqa.data.formats import parquet
from mllmqa.data.formats.form import Context, Format, Row
from mllmqa.data.formats.json_stream import json_records
from mllmqa.data.formats.loss import compared
from mllmqa.data.ratings import RatingScale
from mllmqa.data.sample import Sample
from mllmqa.data.sample_file import check_new, partial_of
from mllmqa.errors import DataError


@dataclass
class Exported:
    """What became of an export.

    Attributes:
        n: Samples written.
        lost: Field → number of samples of which the format does not hold it.
    """

    n: int = 0
    lost: Counter[str] = field(default_factory=Counter)


def export_file(samples: Iterable[Sample], form: Format, path: Path, *, folder: Path | None = None) -> Exported:
    """Write samples in a format. The file appears when it is complete; nothing is left of a failed export.

    Args:
        samples: Any number; they are not kept.
        form: See :data:`mllmqa.data.formats.FORMATS`.
        path: The file.
        folder: Where the paths of the samples start, if they are to be changed to start at the new file's folder;
            None: paths stay as they are.

    Returns:
        How many were written, and what the format did not hold of them: tell it to the user.

    Raises:
        UsageError: The file exists.
        DataError: A sample cannot be expressed in the format.
        MissingExtraError: Parquet without pyarrow.
    """
    check_new(path, continued=False)
    partial, report = partial_of(path), Exported()
    moved = samples if folder is None else (rebased(sample, folder, path.parent) for sample in samples)
    rows = _counted(moved, form, report)
    try:
        if form.container == "parquet":
            parquet.write_rows(rows, partial)
        else:
            _write_json(rows, partial, array=form.container == "array")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return report


def import_file(
    path: Path, form: Format, *, scale: RatingScale | None = None, unread: Counter[str] | None = None
) -> Iterator[Sample]:
    """Read samples from a file in a format, lazily. JSON arrays and JSON lines are told apart by their content.

    Args:
        path: The file.
        form: See :data:`mllmqa.data.formats.FORMATS`.
        scale: What scores without a scale of their own mean.
        unread: Counts the fields that are there and that the format does not know.

    Raises:
        DataError: Names file, record or line, field, found and expected.
        MissingExtraError: Parquet without pyarrow.
    """
    records = parquet.read_rows(path) if form.container == "parquet" else json_records(path)
    for number, row in enumerate(records, 1):
        where = f"{path}, record {number}"
        if not isinstance(row, dict):
            raise DataError(f"is {shown(row)}", where=where, expected="an object")
        if unread is not None:
            unread.update(key for key in row if key not in form.keys)
        yield form.parse(row, Context(where, number, scale))


def rebased(sample: Sample, old: Path, new: Path) -> Sample:
    """Return a sample whose relative paths start at another folder.

    Args:
        sample: With paths relative to ``old``.
        old: Folder of the file that it was read from.
        new: Folder of the file that it is written to.
    """

    def moved(path: str | None) -> str | None:
        if path is None or Path(path).is_absolute():
            return path
        return Path(os.path.relpath(old.resolve() / path, new.resolve())).as_posix()

    if old.resolve() == new.resolve():
        return sample
    media = tuple(medium.model_copy(update={"path": moved(medium.path)}) for medium in sample.media)
    labels = sample.labels
    if labels.distortions:
        found = tuple(one.model_copy(update={"mask": moved(one.mask)}) for one in labels.distortions)
        labels = labels.model_copy(update={"distortions": found})
    return sample.model_copy(update={"media": media, "labels": labels})


def _counted(samples: Iterable[Sample], form: Format, report: Exported) -> Iterator[Row]:
    for sample in samples:
        row = form.row(sample)
        report.n += 1
        report.lost.update(compared(sample, form.parse(row, Context(f"sample {sample.id}", report.n))))
        yield row


def _write_json(rows: Iterable[Row], path: Path, *, array: bool) -> None:
    """Write one record per line; as an array with brackets and commas around them."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[\n" if array else "")
        for k, row in enumerate(rows):
            file.write(",\n" if array and k else "")
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False))
            file.write("" if array else "\n")
        file.write("\n]\n" if array else "")
