"""The mixture of a stage: which sample is seen when. Item i depends on the seed and on i alone.

Each set is an endless stream of shuffled passes; an epoch takes its share of each and shuffles them together. So a
run continues at any item without having seen those before, with any number of workers and processes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mllmqa.data.flaws import shown
from mllmqa.data.sample import Sample, parse_sample
from mllmqa.data.sample_file import BOM, encoding_flaw
from mllmqa.data.streams import stream
from mllmqa.errors import DataError
from mllmqa.training.conversation import asked_level
from mllmqa.training.stage import Mix

Index = npt.NDArray[np.int64]


class SampleSet:
    """Samples of a file by their number, read when they are wanted; memory holds only where each line starts.

    Args:
        mix: File and tasks.
        folder: What a relative path of ``mix`` is relative to.

    Attributes:
        path: The file.
        sources: Name of the source of each sample; opinions are only compared within one.
        tasks: Task of each sample, ``""`` where none is stated.
        kinds: Kinds of media that the questions show, and ``text`` where one shows none.
        levels: Numbers of the samples whose answer tells a level.
        labels: What is known of some of these: ``level``, ``soft`` (a distribution), ``mean``, ``std``.

    Raises:
        DataError: The file cannot be read, a line is no sample, or no sample is left.
    """

    def __init__(self, mix: Mix, folder: Path | None = None) -> None:
        self.mix, self.path = mix, (folder or Path()) / mix.samples
        self.name = mix.name or self.path.parent.name or self.path.stem
        starts: list[int] = []
        self.sources: list[str] = []
        self.tasks: list[str] = []
        self.kinds: set[str] = set()
        self.levels: list[int] = []
        self.labels: set[str] = set()
        seen: dict[str, int] = defaultdict(int)
        for start, sample in self._all():
            task = sample.task or ""
            seen[task] += 1
            if mix.tasks is None or task in mix.tasks:
                known = _labels(sample)
                self.levels += [len(starts)] if known else []
                self.labels |= known
                starts.append(start)
                self.sources.append(mix.name or sample.source or self.name)
                self.tasks.append(task)
                self.kinds |= _kinds(sample)
        absent = sorted(set(mix.tasks or ()) - seen.keys())
        if absent or not starts:
            what = f"has no sample of the task {absent[0]!r}" if absent else "has no sample"
            raise DataError(what, where=self.path, expected=f"tasks there: {', '.join(seen) or 'none'}")
        self._starts = np.array(starts, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> Sample:
        with self.path.open("rb") as file:
            file.seek(int(self._starts[number]))
            return parse_sample(file.readline(), self.path)

    def _all(self) -> Iterator[tuple[int, Sample]]:
        """Every sample with the place of its line, checked."""
        try:
            with self.path.open("rb") as file:
                start = 0
                for number, line in enumerate(file, 1):
                    if number == 1 and line.startswith(BOM):
                        start, line = len(BOM), line[len(BOM) :]
                    where = f"{self.path}, line {number}"
                    if line.strip():
                        if flaw := encoding_flaw(line):
                            raise flaw.error(where)
                        yield start, parse_sample(line, where)
                    start += len(line)
        except OSError as error:
            raise DataError(
                f"cannot be read: {error.strerror}", where=self.path, hint="make it with `mllmqa build`"
            ) from error


def _labels(sample: Sample) -> set[str]:
    label = asked_level(sample)
    if label is None:
        return set()
    mos = sample.behind(label)
    facts = {"soft": label.probabilities, "mean": mos, "std": None if mos is None else mos.std}
    return {"level", *(name for name, value in facts.items() if value is not None)}


def _kinds(sample: Sample) -> set[str]:
    used = {part.media for message in sample.messages for part in message.content if part.media is not None}
    return {medium.kind for medium in sample.media if medium.key in used} or {"text"}


@dataclass(frozen=True)
class Draw:
    """One sample that is drawn: number of its set, and its number there."""

    of: int
    number: int


class Mixture:
    """The order in which the samples of several sets are seen.

    Args:
        sets: The sets.
        seed: Root seed.
        pairs: Whether each item brings another sample of the same source.
        block: So many items in a row are of one set; the share of each is rounded to whole blocks.

    Raises:
        DataError: With ``pairs``, a source has only one sample.
    """

    def __init__(self, sets: Sequence[SampleSet], seed: int, *, pairs: bool = False, block: int = 1) -> None:
        self.sets, self.seed, self.pairs, self._block = tuple(sets), seed, pairs, block
        self._shares = [max(1, round(one.mix.weight * len(one) / block)) * block for one in self.sets]
        self._orders: dict[tuple[int, int], Index] = {}
        self._kept = 2 + sum(2 + int(one.mix.weight) for one in self.sets)  # what two epochs in a row need
        self._members: dict[str, list[Draw]] = defaultdict(list)
        if pairs:
            for of, one in enumerate(self.sets):
                for number, source in enumerate(one.sources):
                    self._members[source].append(Draw(of, number))
            for source, members in self._members.items():
                if len(members) < 2:
                    raise DataError(f"one sample of {shown(source)}", expected="two or more: `pairs` is on")

    @property
    def epoch_length(self) -> int:
        """Items of one epoch."""
        return sum(self._shares)

    def draws(self, item: int) -> tuple[Draw, ...]:
        """Return what item ``item`` shows: one sample, or two of one source."""
        epoch, place = divmod(item, self.epoch_length)
        position = int(self._order(-1, epoch)[place])
        of = 0
        while position >= self._shares[of]:
            position -= self._shares[of]
            of += 1
        size = len(self.sets[of])
        turn, at = divmod(epoch * self._shares[of] + position, size)
        first = Draw(of, int(self._order(of, turn)[at]))
        return (first, self._partner(first, item)) if self.pairs else (first,)

    def _partner(self, first: Draw, item: int) -> Draw:
        """Another sample of its source, any with equal chance."""
        members = self._members[self.sets[first.of].sources[first.number]]
        chosen = int(stream(self.seed, "partner", str(item)).integers(len(members) - 1))
        return members[chosen] if members[chosen] != first else members[-1]

    def _order(self, of: int, turn: int) -> Index:
        """The order of pass ``turn`` through set ``of``, or of a whole epoch (−1). The last few are kept."""
        if (of, turn) not in self._orders:
            if len(self._orders) >= self._kept:
                self._orders.pop(next(iter(self._orders)))
            words = ("epoch", str(turn)) if of < 0 else ("pass", str(of), str(turn))
            block = self._block if of < 0 else 1
            size = self.epoch_length if of < 0 else len(self.sets[of])
            starts = stream(self.seed, *words).permutation(size // block) * block
            self._orders[of, turn] = np.add.outer(starts, np.arange(block)).reshape(-1)
        return self._orders[of, turn]
