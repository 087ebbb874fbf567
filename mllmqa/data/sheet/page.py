"""Look at a file once, and write the page: counts over all of it, and some samples drawn by a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mllmqa.data.sample import Sample, parse_sample
from mllmqa.data.sample_file import encoding_flaw
from mllmqa.data.sample_records import numbered_records, unit
from mllmqa.data.sheet import charts
from mllmqa.data.sheet.summary import SEVERITIES, WORD_BINS, Summary
from mllmqa.data.sheet.thumbnails import Strip, strip_of
from mllmqa.errors import DataError
from mllmqa.pages import render, write_page

MOST_ERRORS = 20
"""Unreadable lines that are shown; all are counted."""
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080")


@dataclass
class Sheet:
    """What was seen of a file.

    Attributes:
        path: The file.
        summary: Of all readable samples.
        chosen: (line, sample), in order of lines.
        n_unreadable: Lines that are no valid samples.
        errors: What is wrong with the first of them.
    """

    path: Path
    summary: Summary = field(default_factory=Summary)
    chosen: list[tuple[int, Sample]] = field(default_factory=list)
    n_unreadable: int = 0
    errors: list[str] = field(default_factory=list)


def look_at(path: Path, *, limit: int = 50, seed: int = 0) -> Sheet:
    """Read all of a file, keep some samples: each with the same chance, the same for the same seed.

    Args:
        path: JSON lines, or Parquet by its name.
        limit: How many samples are kept.
        seed: Of the draw (reservoir sampling, algorithm R of Vitter 1985).

    Raises:
        DataError: The file cannot be read, or holds no valid sample.
    """
    sheet, draw = Sheet(path), random.Random(seed)  # noqa: S311
    kept: list[tuple[int, Sample]] = []
    for number, found in _samples(path):
        if isinstance(found, str):
            sheet.n_unreadable += 1
            sheet.errors += [found] if len(sheet.errors) < MOST_ERRORS else []
            continue
        sheet.summary.add(found)
        place = len(kept) if len(kept) < limit else draw.randrange(sheet.summary.n)
        if place < limit:
            kept[place : place + 1] = [(number, found)]
    if not sheet.summary.n and not sheet.n_unreadable:
        raise DataError("an empty file", where=path, expected="at least one sample")
    if not sheet.summary.n:
        what = f"holds no sample; {sheet.errors[0]}"
        raise DataError(what, where=path, hint="`mllmqa data show` takes samples.jsonl, or their export to Parquet")
    sheet.chosen = sorted(kept, key=lambda entry: entry[0])
    return sheet


def _samples(path: Path) -> Iterator[tuple[int, Sample | str]]:
    """Yield each sample with its line, or in one line why it is none."""
    for number, line in numbered_records(path):
        where = f"{unit(path)} {number}"
        if flaw := encoding_flaw(line):
            yield number, str(flaw.error(where))
            continue
        try:
            yield number, parse_sample(line, where)
        except DataError as error:
            yield number, str(error)


def write_sheet(sheet: Sheet, out: Path) -> None:
    """Write the page. It needs no other file and no network.

    Raises:
        UsageError: There is a file that is no such page, or it cannot be written.
    """
    write_page(page(sheet), out)


def page(sheet: Sheet) -> str:
    """Return the page as HTML."""
    cards = [_card(number, sample, sheet.path.parent) for number, sample in sheet.chosen]
    return render(
        "mllmqa.data.sheet", "sheet.html.j2", sheet=sheet, summary=sheet.summary, cards=cards, charts=charts,
        severities=SEVERITIES, word_bins=WORD_BINS, colours=COLOURS, compact=_compact,
    )  # fmt: skip


def _card(number: int, sample: Sample, folder: Path) -> dict[str, Any]:
    """Return what the template needs of one sample."""
    distortions = list(enumerate(sample.labels.distortions or ()))
    views = []
    for medium in sample.media:
        own = [(k, one) for k, one in distortions if one.media == medium.key]
        strip = strip_of(medium, [one for _, one in own], folder)
        stalls = [stall for stall in sample.labels.stalls if stall.media == medium.key]
        views.append({"medium": medium, "strip": strip, "own": own, "stalls": stalls, "at": _at(strip)})
    return {"line": number, "sample": sample, "views": views}


def _compact(value: Any) -> str:
    """Return parameters as short JSON: numbers with four figures."""

    def short(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: short(one) for key, one in inner.items()}
        if isinstance(inner, list):
            return [short(one) for one in inner]
        return float(f"{inner:.4g}") if isinstance(inner, float) else inner

    return json.dumps(short(value), ensure_ascii=False)


def _at(strip: Strip) -> Any:
    """Return a function from seconds to percent of a clip's timeline."""
    length = (strip.end_s or 0.0) - strip.start_s

    def percent(time_s: float) -> float:
        return 0.0 if length <= 0 else min(100.0, max(0.0, 100 * (time_s - strip.start_s) / length))

    return percent
