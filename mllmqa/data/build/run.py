"""Run a recipe: several processes make items, one writes them in their order; a killed run is continued.

The files do not depend on the number of processes, nor on where a run was killed and continued.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mllmqa.data.build import spec
from mllmqa.data.build.files import MediaFolder
from mllmqa.data.build.recipe import KINDS, Loaded, load_recipe
from mllmqa.data.build.workers import Order as Order
from mllmqa.data.build.workers import Outcome, outcomes
from mllmqa.data.sample import Sample
from mllmqa.data.sample_file import SampleWriter, partial_of
from mllmqa.errors import DataError, UsageError

SAMPLES, LEFT_OUT = "samples.jsonl", "left_out.jsonl"
FRUITLESS = 200
"""So many items in a row without a sample end the run: nothing will come."""
_ID = re.compile(r"-(\d{7,})-\d+$")


@dataclass
class Built:
    """What was built.

    Attributes:
        n: Samples in the file.
        n_before: Of them, those that an earlier run had written.
        tasks: Samples by task, of this run.
        left_out: Items without a sample, by reason; those of earlier runs too.
        path: The file of samples.
    """

    path: Path
    n: int = 0
    n_before: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def build(order: Order, *, workers: int = 1, continued: bool = False) -> Built:
    """Build a set: ``samples.jsonl``, ``left_out.jsonl``, ``build.json`` and ``media/``.

    Args:
        order: What.
        workers: Processes.
        continued: Go on where an earlier run was killed, or add samples up to a larger ``n``.

    Raises:
        UsageError: A source is missing, the folder holds a set and ``continued`` is off, or was begun otherwise; or
            the recipe fails.
        DataError: Many items in a row gave no sample, or what is there cannot be continued.
        MllmqaError: A process was killed.
    """
    loaded = load_recipe(order.recipe)
    _check(order, loaded, workers)
    description = spec.described(
        loaded.name, loaded.sha256, seed=order.seed, options=order.options, part=order.part,
        sources=list(order.sources.described),
    )  # fmt: skip
    path = order.folder / SAMPLES
    begun = continued and not _nothing_yet(path)
    if begun:
        spec.check_same(order.folder, description)
        _check_larger(order, path)
    try:
        order.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", where=order.folder) from error
    with SampleWriter(path, continued=continued) as writer:
        if not begun:
            spec.write(order.folder, description)
        built = _write(order, writer, workers)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    left_out = dict(sorted(built.left_out.items()))
    spec.write(order.folder, description, {"n": built.n, "left_out": left_out, "samples_sha256": digest})
    return built


def _nothing_yet(path: Path) -> bool:
    """Tell whether a run was killed before it said what it builds."""
    partial = partial_of(path)
    described = path.with_name(spec.FILE)
    return not path.exists() and not described.exists() and partial.is_file() and not partial.stat().st_size


def _check(order: Order, loaded: Loaded, workers: int) -> None:
    for kind in loaded.recipe.needed(order.options):
        if not order.sources.count(kind):
            part = f" of the part {order.part}" if order.part else ""
            raise UsageError(f"{loaded.name} needs {kind}{part}", expected=f"--src {KINDS[kind]}")
    if order.n is None and not loaded.recipe.is_one_pass(order.options):
        raise UsageError(f"{loaded.name} makes as many samples as are wanted", expected="--n NUMBER")
    if (order.n is not None and order.n < 1) or workers < 1:
        raise UsageError(f"{order.n} samples by {workers} processes", expected="at least 1 of each")
    for one in order.sources.described:
        if one["kind"] in ("photos", "clips") and order.folder.resolve().is_relative_to(one["path"]):
            what = f"lies in a source of {one['kind']}: what is built would be a source the next time"
            raise UsageError(what, where=order.folder, expected=f"a folder outside {one['path']}")


def _check_larger(order: Order, path: Path) -> None:
    """Check that no fewer samples are wanted than are there."""
    found = partial_of(path) if partial_of(path).exists() else path
    if order.n is None or not found.is_file():
        return
    with found.open("rb") as file:
        there = sum(line.endswith(b"\n") for line in file)
    if there > order.n:
        raise UsageError(f"has {there} samples already", where=order.folder, expected=f"--n {there} or more")


def _write(order: Order, writer: SampleWriter, workers: int) -> Built:
    path = order.folder / SAMPLES
    built = Built(path, writer.done, writer.done)
    last, fruitless = _item_of(writer.last_id), 0
    items = len(order.sources.rated) if order.n is None else None
    made = closing(outcomes(order, max(last, 0), items, workers))
    with _LeftOut(order.folder / LEFT_OUT, last) as left_out, made as coming:
        built.left_out.update(left_out.kept)
        while order.n is None or built.n < order.n:
            outcome = next(coming, None)
            if outcome is None:
                break
            if outcome.fault is not None:
                raise UsageError(outcome.fault)
            samples = outcome.samples
            if outcome.number == last:  # the item that an earlier run was at
                samples = _after(writer.last_id, outcome)
            elif outcome.reason is not None:
                built.left_out[outcome.reason] += 1
                left_out.write(outcome)
            fruitless = 0 if outcome.samples else fruitless + 1
            if fruitless >= FRUITLESS:
                raise DataError(f"{fruitless} items in a row gave no sample, the last: {outcome.message}")
            for sample in samples[: None if order.n is None else order.n - built.n]:
                writer.write(sample)
                built.n += 1
                built.tasks[sample.task or ""] += 1
                last = outcome.number
    MediaFolder(order.folder).sweep(partial_of(path), last)
    return built


def _item_of(last_id: str | None) -> int:
    """Return the item of the last sample that is written; −1 before the first."""
    if last_id is None:
        return -1
    found = _ID.search(last_id)
    if found is None:
        raise DataError(f"the last sample is {last_id!r}", expected="one of this recipe")
    return int(found[1])


def _after(last_id: str | None, outcome: Outcome) -> tuple[Sample, ...]:
    """Return the samples of an item behind the last one that is written."""
    ids = [sample.id for sample in outcome.samples]
    if last_id not in ids:
        instead = outcome.message or f"it gives {', '.join(ids)}"
        raise DataError(
            f"the item of the last sample, {last_id}, does not give it again: {instead}",
            hint="build the set anew: a source was changed",
        )
    return outcome.samples[ids.index(last_id) + 1 :]


class _LeftOut:
    """The record of items without a sample; what an earlier run wrote of items to come is taken out.

    Attributes:
        kept: Number of items by reason that an earlier run left out before its last sample.
    """

    def __init__(self, path: Path, last: int) -> None:
        self.kept: Counter[str] = Counter()
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("wb") as kept:
            for line in _whole_lines(path) if last >= 0 else ():
                record = json.loads(line)
                if record["item"] <= last:
                    self.kept[record["reason"]] += 1
                    kept.write(line)
        partial.replace(path)  # at once: a kill here loses nothing
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n")

    def write(self, outcome: Outcome) -> None:
        """Append an item that gave no sample, at once."""
        record = {"item": outcome.number, "reason": outcome.reason, "message": outcome.message}
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._file.flush()

    def __enter__(self) -> _LeftOut:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _whole_lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
