"""A benchmark as a whole: items, modes, the plan, and the hash that says what was asked of whom."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mllmqa._version import __version__
from mllmqa.errors import DataError, MllmqaError, UnknownNameError, UsageError, error_line
from mllmqa.evaluation.prompting.anchoring import Anchored
from mllmqa.evaluation.prompting.items import EXEMPLARS, Items, hold_out, subset
from mllmqa.evaluation.prompting.log import Head
from mllmqa.evaluation.prompting.published_modes import Published, PublishedExample
from mllmqa.evaluation.prompting.strategies import (
    ChainOfThought,
    InContext,
    Levels,
    Listwise,
    Pairwise,
    Single,
    Strategy,
    TwoAlternatives,
)
from mllmqa.evaluation.prompting.trials import Trial, prompt_of
from mllmqa.models.base import ModelInfo

NINE = tuple(f"{stimulus}{how}" for stimulus in ("single", "double", "multiple") for how in ("", "-ic", "-cot"))
FURTHER = ("levels", "anchored", "2afc")
MODES = NINE + FURTHER
Compat = Literal["wu2024"]


@dataclass(frozen=True)
class Design:
    """What decides a plan.

    Attributes:
        modes: Names of :data:`MODES`.
        opponents: Questions about pairs, per picture.
        groups: Groups that each picture leads.
        size: Pictures of a group.
        repeats: Times that each question of a score, pair or group is asked.
        limit: At most so many pictures; None: all.
        seed: Root of all chance.
        compat: ``wu2024``: the published protocol; None: ours.
        max_tokens: Length of an answer in words.
    """

    modes: tuple[str, ...] = NINE
    opponents: float = 5
    groups: int = 2
    size: int = 4
    repeats: int = 1
    limit: int | None = None
    seed: int = 0
    compat: Compat | None = None
    max_tokens: int = 256

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UnknownNameError: No such mode.
            UsageError: A number is out of range, or the published protocol has no such mode.
        """
        for mode in self.modes:
            if mode not in MODES:
                raise UnknownNameError(f"no mode {mode!r}", expected=" | ".join((*MODES, "nine", "all")))
            if self.compat and mode not in NINE:
                raise UsageError(f"the protocol {self.compat} has no mode {mode!r}", expected=" | ".join(NINE))
        if (
            self.opponents <= 0
            or self.groups < 1
            or not 2 <= self.size <= 8
            or self.repeats < 1
            or self.max_tokens < 1
        ):
            raise UsageError(
                "opponents, groups, size, repeats or max tokens is out of range", expected="size 2 to 8"
            )
        if self.compat and (self.repeats != 1 or self.opponents != int(self.opponents)):
            raise UsageError(f"the protocol {self.compat} asks once, and of whole numbers of opponents")
        if any("-ic" in mode for mode in self.modes) and self.size > EXEMPLARS and "multiple-ic" in self.modes:
            raise UsageError(f"groups of {self.size} with {EXEMPLARS} exemplars", expected=f"at most {EXEMPLARS}")


@dataclass(frozen=True)
class Bench:
    """Items, strategies, and every trial.

    Attributes:
        design: What decided it.
        items: Rated pictures and exemplars.
        work: Every trial with its strategy, in order.
        unreadable: Pictures that cannot be opened: id and why.
        pictures: Path → SHA-256, width, height.
    """

    design: Design
    items: Items
    work: tuple[tuple[Strategy, Trial], ...]
    unreadable: tuple[tuple[str, str], ...]
    pictures: dict[Path, tuple[str, int, int]]

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """The modes, in the order asked for."""
        return tuple(dict.fromkeys(strategy for strategy, _ in self.work))

    def of(self, mode: str) -> list[Trial]:
        """Return the trials of a mode."""
        return [trial for strategy, trial in self.work if strategy.name == mode]

    def head(self, info: ModelInfo) -> Head:
        """Return the first line of the log; its spec hashes all that decides the answers."""
        identity: dict[str, Any] = asdict(info)
        del identity["device"]
        rated = [(i.id, self.pictures[i.path][0], i.opinion, i.std) for i in self.items.rated]
        held = [(i.id, self.pictures[i.path][0], i.opinion) for i in self.items.exemplars]
        prompts = sorted(
            {(prompt.id, prompt.sha256) for prompt in (prompt_of(t, self.items) for _, t in self.work)}
        )
        plan = [asdict(trial) for _, trial in self.work]
        decided = [__version__, identity, asdict(self.design), rated, held, prompts, plan]
        spec = hashlib.sha256(json.dumps(decided, sort_keys=True, default=str).encode()).hexdigest()[:16]
        return Head(spec=spec, model=info.model, questions=len(self.work))


def parse_modes(text: str) -> tuple[str, ...]:
    """Read a list of modes; ``nine`` and ``all`` stand for several."""
    found: list[str] = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        found += {"nine": NINE, "all": MODES}.get(name, (name,))
    if not found:
        raise UsageError("no mode is named", expected=" | ".join((*MODES, "nine", "all")))
    return tuple(dict.fromkeys(found))


def strategies(design: Design) -> list[Strategy]:
    """Return the strategies of a design, in the order of its modes."""
    return [_strategy(mode, design) for mode in design.modes]


def _strategy(mode: str, design: Design) -> Strategy:
    further: dict[str, Strategy] = {"levels": Levels(), "anchored": Anchored(), "2afc": TwoAlternatives()}
    if mode in further:
        return further[mode]
    stimulus, _, how = mode.partition("-")
    inner: Strategy
    if design.compat:
        published = Published(stimulus, int(design.opponents), design.groups, design.size)  # type: ignore[arg-type]
        if how == "ic":
            return PublishedExample(published)
        inner = published
    elif stimulus == "single":
        inner = Single(design.repeats)
    elif stimulus == "double":
        inner = Pairwise(design.opponents, design.repeats)
    else:
        inner = Listwise(design.size, design.groups, design.repeats)
    return {"": inner, "ic": InContext(inner), "cot": ChainOfThought(inner)}[how]


def make(items: Items, design: Design) -> Bench:
    """Plan a benchmark: open all pictures, hold exemplars out, draw all trials.

    Raises:
        UsageError: A malformed design, or too few pictures.
        DataError: No picture can be read.
    """
    design.check()
    if items.reference and {"2afc", "anchored"} & set(design.modes):
        raise UsageError(
            "2afc and anchored compare across references",
            expected="them without references",
            hint="use --reference nr",
        )
    if any(mode.endswith("-ic") or mode == "anchored" for mode in design.modes):
        items = hold_out(items)
    items, unreadable, pictures = _opened(subset(items, design.limit, design.seed))
    if len(items.rated) < 2:
        raise UsageError(f"{len(items.rated)} pictures are left to judge", expected="2 or more")
    work = [(s, trial) for s in strategies(design) for trial in s.plan(items, design.seed)]
    return Bench(design, items, tuple(work), tuple(unreadable), pictures)


def _opened(items: Items) -> tuple[Items, list[tuple[str, str]], dict[Path, tuple[str, int, int]]]:
    """Leave pictures out that cannot be opened, with the reason."""
    from mllmqa import media

    pictures: dict[Path, tuple[str, int, int]] = {}
    problems: dict[Path, str] = {}
    kept, lost = [], []
    for item in (*items.exemplars, *items.rated):
        for path in filter(None, (item.path, item.reference)):
            if path in pictures or path in problems:
                continue
            try:
                info = media.open_media(path).info
                if info.kind != "image":
                    raise UsageError("is no picture", where=path)
                pictures[path] = (info.sha256 or "", info.width, info.height)
            except MllmqaError as error:
                problems[path] = error_line(error)
        bad = next((problems[p] for p in (item.path, item.reference) if p in problems), None)
        if bad is None:
            kept.append(item)
        elif item in items.exemplars:
            raise DataError(f"{item.id} is to be an example and cannot be read", where=bad, hint="leave it out")
        else:
            lost.append((item.id, bad))
    kept = kept[len(items.exemplars) :]
    return replace(items, rated=tuple(kept)), lost, pictures
