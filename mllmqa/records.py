"""Results as lines of JSON and as flat rows, the forms that the sinks write and evaluation reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mllmqa import prompts
from mllmqa.errors import DataError
from mllmqa.schema import Score, Unscored, read_result


def columns() -> list[str]:
    """Return the column names of the flat forms (CSV, Parquet), in order.

    The probabilities of a model that was trained with other words than the ACR levels stand, best first, in
    the columns of the levels.
    """
    levels = " ".join(f"p_{word}" for word in prompts.level_scale().words)
    return (
        f"source status aspect value std {levels} coverage readout map_score map_standard_error reason message "
        "kind sha256 width height duration_s n_frames_used model preset prompt_id view frame_rule decoder "
        "dtype spec"
    ).split()


_OF_MEDIA = ("kind", "sha256", "width", "height", "duration_s")
_OF_PROVENANCE = ("model", "preset", "prompt_id", "view", "frame_rule", "decoder", "dtype", "spec")


def flat(result: Score | Unscored) -> dict[str, Any]:
    """Return a result as one row with the keys of :func:`columns`; None where it has no such field."""
    row: dict[str, Any] = dict.fromkeys(columns())
    row.update(source=result.source, status=result.status, aspect=result.aspect)
    if result.media:
        row.update({key: getattr(result.media, key) for key in _OF_MEDIA})
    if isinstance(result, Unscored):
        row.update(reason=result.reason, message=result.message, spec=result.spec)
        return row
    row.update({key: getattr(result.provenance, key) for key in _OF_PROVENANCE})
    row.update(value=result.value, std=result.std, coverage=result.coverage, readout=result.readout)
    row.update(_by_level(result.levels))
    if result.anchored:
        row.update(map_score=result.anchored.score, map_standard_error=result.anchored.standard_error)
    row["n_frames_used"] = len(result.provenance.timestamps_s) or None
    return row


def _by_level(levels: dict[str, float]) -> dict[str, float]:
    known = prompts.level_scale().words
    named = levels if set(levels) <= set(known) else dict(zip(known, levels.values(), strict=False))
    return {f"p_{word}": p for word, p in named.items()}


def read_jsonl(path: Path) -> Iterator[Score | Unscored]:
    """Read a file of results, lazily.

    Raises:
        DataError: A line is not a record; names file and line.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield read_result(line)
            except ValidationError as error:
                raise DataError(
                    f"line {number} is not a result record: {error.errors()[0]['msg']}",
                    where=path,
                    expected="the file that an earlier run of `mllmqa score` wrote",
                ) from error
