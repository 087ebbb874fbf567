"""The processes that make items: as many as are wanted, the outcomes in the order of the items.

Whatever goes wrong in a process comes back as one line. Processes end with the one that started them.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import resource_tracker
from pathlib import Path

from pydantic import ValidationError

from mllmqa.data.build.files import MediaFolder
from mllmqa.data.build.item import Item
from mllmqa.data.build.recipe import Loaded, Value, load_recipe
from mllmqa.data.build.sources import Sources
from mllmqa.data.flaws import flaws_of
from mllmqa.data.sample import Sample
from mllmqa.errors import DataError, MediaError, MllmqaError, UsageError, error_line

AHEAD = 4
"""Items that each process may be ahead of the writer."""


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
    """What became of an item: samples, or a reason why not, or a fault that ends the run.

    Attributes:
        number: Of the item.
        samples: At least one, where there is no reason and no fault.
        reason: Code of the error because of which the item is left out.
        message: Its line.
        fault: Line of an error that is none of this item's sources: of the recipe, of the disk.
    """

    number: int
    samples: tuple[Sample, ...] = ()
    reason: str | None = None
    message: str | None = None
    fault: str | None = None


def outcomes(order: Order, first: int, items: int | None, workers: int) -> Generator[Outcome, None, None]:
    """Yield what became of the items, in their order; close it to end the processes.

    Args:
        order: What.
        first: Number of the first item.
        items: Number of all items; None: without end.
        workers: Processes; 1: this one.

    Raises:
        MllmqaError: A process was killed.
    """
    numbers = iter(range(first, items)) if items is not None else itertools.count(first)
    if workers == 1:
        yield from map(_Maker(order).make, numbers)
        return
    context, number = multiprocessing.get_context("spawn"), first
    waiting: deque[Future[Outcome]] = deque()
    try:
        with ExitStack() as ends:
            with _no_interrupt():  # processes that are being started would show a traceback
                pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(order,))
                ends.enter_context(pool)
                ends.callback(_cancel, waiting)
                _fill(pool, waiting, numbers, AHEAD * workers)
            while waiting:
                outcome = waiting.popleft().result()
                number = outcome.number + 1
                yield outcome
                _fill(pool, waiting, numbers, AHEAD * workers)
    except BrokenProcessPool as error:
        last = number + AHEAD * workers - 1
        raise MllmqaError(
            f"a process was killed while it made one of the items {number} to {last}", where=order.folder,
            hint="if memory ran out, go on with --resume and fewer --workers",
        ) from error  # fmt: skip


def _fill(pool: ProcessPoolExecutor, waiting: deque[Future[Outcome]], numbers: Iterator[int], most: int) -> None:
    while len(waiting) < most and (number := next(numbers, None)) is not None:
        waiting.append(pool.submit(_make, number))


def _cancel(waiting: deque[Future[Outcome]]) -> None:
    for future in waiting:
        future.cancel()


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back for a moment, here and for good in processes that are started meanwhile.

    Two things are needed: processes inherit what this thread blocks, and Python runs its handler here whichever
    thread the signal came to.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # first: it lets signals through when it starts
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


# ------------------------------------------------------------------ inside a process


class _Maker:
    """Makes items in one process."""

    def __init__(self, order: Order) -> None:
        self.order, self.loaded = order, load_recipe(order.recipe)
        self.folder = MediaFolder(order.folder)

    def make(self, number: int) -> Outcome:
        """Make an item; whatever goes wrong is told in the outcome."""
        order = self.order
        self.folder.next_item()
        item = Item(self.loaded.name, number, order.seed, order.sources, order.options, self.folder)
        outcome = self._made(item)
        self.folder.keep(outcome.samples)
        return outcome

    def _made(self, item: Item) -> Outcome:
        number = item.number
        try:
            samples = tuple(self.loaded.recipe.item(item))
            if not samples:
                raise DataError("the recipe made no sample of it", where=item.name)
            self._check(item, samples)
        except (MediaError, DataError) as error:
            return Outcome(number, reason=error.code, message=error_line(error))
        except ValidationError as error:
            flaw = flaws_of(error)[0].error(item.name)
            return Outcome(number, reason=flaw.code, message=error_line(flaw))
        except MllmqaError as error:
            return Outcome(number, fault=error_line(error))
        except OSError as error:
            where, hint = error.filename or self.order.folder, "put it right, and go on with --resume"
            disk = UsageError(f"cannot be read or written: {error.strerror or error}", where=where, hint=hint)
            return Outcome(number, fault=error_line(disk))
        except Exception as error:  # noqa: BLE001 - a user's own recipe: whatever it raises is told in one line
            return Outcome(number, fault=error_line(_fault(error, self.loaded, number)))
        return Outcome(number, samples)

    def _check(self, item: Item, samples: Sequence[object]) -> None:
        for one in samples:
            if not isinstance(one, Sample) or not one.id.startswith(f"{item.name}-"):
                what = f"a sample {one.id!r}" if isinstance(one, Sample) else f"a {type(one).__name__}"
                raise UsageError(
                    f"item {item.number} gave {what}", where=self.loaded.path, expected="what Item.sample makes"
                )


def _fault(error: Exception, loaded: Loaded, number: int) -> UsageError:
    """Say where a recipe, or the disk, failed."""
    told = f"fails at item {number} ({type(error).__name__}: {error})"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(loaded.path)
    ]
    return UsageError(told, where=f"{loaded.path}, line {lines[-1]}" if lines else loaded.path)


_order: Order | None = None
_maker: _Maker | None = None


def _start(order: Order) -> None:
    """Prepare a process; what can fail is left to the first item, which can tell it."""
    global _order
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
    _order = order


def _end_with_parent() -> None:
    """End this process when its parent is gone: killed, it cannot end its children."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(number: int) -> Outcome:
    global _maker
    if _order is None:
        return Outcome(number, fault="a process was not prepared")
    try:
        _maker = _maker or _Maker(_order)
    except MllmqaError as error:
        return Outcome(number, fault=error_line(error))
    return _maker.make(number)
