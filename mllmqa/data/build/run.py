"""Run a recipe: several processes make items, one writes them in their order; a killed run is continued.

The files do not depend on the number of processes, nor on where a run was killed and continued.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mllmqa.data.build import spec
from mllmqa.data.build.files import MediaFolder
from mllmqa.data.build.item import Item
from mllmqa.data.build.recipe import KINDS, Loaded, Value, load_recipe
from mllmqa.data.build.sources import Sources
from mllmqa.data.sample import Sample
from mllmqa.data.sample_file import SampleWriter
from mllmqa.errors import DataError, MediaError, MllmqaError, UsageError, error_line

SAMPLES, LEFT_OUT = "samples.jsonl", "left_out.jsonl"
AHEAD = 4
"""Items that each process may be ahead of the writer."""
FRUITLESS = 200
"""So many items in a row without a sample end the run: nothing will come."""
_ID = re.compile(r"-(\d{7})-(\d+)$")


@dataclass(frozen=True)
class Order:
    """What is to be built.

    Attributes:
        recipe: Name of a recipe, or path of a Python file.
        sources: What it draws from.
        folder: Where the set is written.
        n: Number of samples; None: one pass over the rated media, for recipes that have one item for each.
        seed: Root of all chance.
        options: Of the recipe, all of them.
        part: Part that the sources were cut to; recorded.
    """

    recipe: str
    sources: Sources
    folder: Path
    n: int | None
    seed: int
    options: dict[str, Value]
    part: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of an item: samples, or a reason why not."""

    number: int
    samples: tuple[Sample, ...] = ()
    reason: str | None = None
    message: str | None = None


@dataclass
class Built:
    """What was built.

    Attributes:
        n: Samples in the file.
        n_before: Of them, those that an earlier run had written.
        tasks: Samples by task, of this run.
        left_out: Items without a sample, by reason, of this run.
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
        UsageError: A source is missing, the folder holds a set and ``continued`` is off, or was begun otherwise.
        DataError: Many items in a row gave no sample.
    """
    loaded = load_recipe(order.recipe)
    _check(order, loaded, workers)
    description = spec.described(
        loaded.name, loaded.sha256, seed=order.seed, options=order.options, part=order.part,
        sources=list(order.sources.described),
    )  # fmt: skip
    order.folder.mkdir(parents=True, exist_ok=True)
    path = order.folder / SAMPLES
    if continued:
        spec.check_same(order.folder, description)
    with SampleWriter(path, continued=continued) as writer:
        if not continued:
            spec.write(order.folder, description)
        built = _write(order, loaded, writer, workers)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    spec.write(order.folder, description, {"n": built.n, "samples_sha256": digest})
    return built


def _check(order: Order, loaded: Loaded, workers: int) -> None:
    for kind in loaded.recipe.needed(order.options):
        if not order.sources.count(kind):
            part = f" of the part {order.part}" if order.part else ""
            raise UsageError(f"{loaded.name} needs {kind}{part}", expected=f"--src {KINDS[kind]}")
    if order.n is None and not loaded.recipe.is_one_pass(order.options):
        raise UsageError(f"{loaded.name} makes as many samples as are wanted", expected="--n NUMBER")
    if (order.n is not None and order.n < 1) or workers < 1:
        raise UsageError(f"{order.n} samples by {workers} processes", expected="at least 1 of each")


def _write(order: Order, loaded: Loaded, writer: SampleWriter, workers: int) -> Built:
    built = Built(order.folder / SAMPLES, writer.done, writer.done)
    last, part = _place(writer.last_id)
    fruitless = 0
    items = len(order.sources.rated) if order.n is None else None
    with _LeftOut(order.folder / LEFT_OUT, last) as left_out:
        for outcome in _outcomes(order, loaded, max(last, 0), items, workers):
            if order.n is not None and built.n >= order.n:
                break
            samples = outcome.samples
            if outcome.number == last:  # the item that an earlier run was at
                samples = samples[part:]
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
    for path in MediaFolder(order.folder).of_items_after(last):
        path.unlink()
    return built


def _place(last_id: str | None) -> tuple[int, int]:
    """Return the item and the part of the last sample that is written; −1 and 0 before the first."""
    if last_id is None:
        return -1, 0
    found = _ID.search(last_id)
    if found is None:
        raise DataError(f"the last sample is {last_id!r}", expected="one of this recipe")
    return int(found[1]), int(found[2])


class _LeftOut:
    """The record of items without a sample; what an earlier run wrote of items to come is taken out."""

    def __init__(self, path: Path, last: int) -> None:
        kept = []
        if path.exists() and last >= 0:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["item"] <= last]
        path.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, outcome: Outcome) -> None:
        record = {"item": outcome.number, "reason": outcome.reason, "message": outcome.message}
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._file.flush()

    def __enter__(self) -> _LeftOut:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


# ------------------------------------------------------------------ processes


class _Maker:
    """Makes items in one process."""

    def __init__(self, order: Order) -> None:
        self.order, self.recipe = order, load_recipe(order.recipe)
        self.folder = MediaFolder(order.folder)

    def make(self, number: int) -> Outcome:
        order = self.order
        self.folder.next_item()
        item = Item(self.recipe.name, number, order.seed, order.sources, order.options, self.folder)
        try:
            return Outcome(number, tuple(self.recipe.recipe.item(item)))
        except (MediaError, DataError) as error:
            return Outcome(number, reason=error.code, message=error_line(error))


_maker: _Maker | None = None


def _start(order: Order) -> None:
    global _maker
    from importlib.util import find_spec

    if find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
    if find_spec("piq"):
        import torch

        torch.set_num_threads(1)
    _maker = _Maker(order)


def _make(number: int) -> Outcome:
    if _maker is None:
        raise MllmqaError("this process was not prepared")
    return _maker.make(number)


def _outcomes(order: Order, loaded: Loaded, first: int, items: int | None, workers: int) -> Iterator[Outcome]:
    """Yield what became of the items, in their order."""
    numbers = iter(range(first, items)) if items is not None else iter(_count(first))
    if workers == 1:
        yield from map(_Maker(order).make, numbers)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(order,)) as pool:
        waiting: deque[Future[Outcome]] = deque()
        try:
            _fill(pool, waiting, numbers, AHEAD * workers)
            while waiting:
                yield waiting.popleft().result()
                _fill(pool, waiting, numbers, AHEAD * workers)
        finally:
            for future in waiting:
                future.cancel()


def _fill(pool: ProcessPoolExecutor, waiting: deque[Future[Outcome]], numbers: Iterator[int], most: int) -> None:
    while len(waiting) < most and (number := next(numbers, None)) is not None:
        waiting.append(pool.submit(_make, number))


def _count(first: int) -> Iterator[int]:
    number = first
    while True:
        yield number
        number += 1
