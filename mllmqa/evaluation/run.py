"""Run an evaluation: read the data, let every scorer predict, log each prediction; continue what was killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import overlap, spec
from mllmqa.evaluation.items import Chosen, DataRecord, Item, from_registry, from_samples
from mllmqa.evaluation.metrics import open_metric
from mllmqa.evaluation.predictions import PredictionsJudge
from mllmqa.evaluation.runlog import Log, LogWriter, Prediction, ScorerRecord
from mllmqa.evaluation.scorers import IsDone, Judge, open_model
from mllmqa.whole_file import write_whole

SPEC_FILE = "spec.yaml"
"""The specification, as `mllmqa eval OUT/spec.yaml` runs it again."""


class Watch(Protocol):
    """Is told how a run goes on."""

    def begins(self, scorer: str, data: str, todo: int) -> None:
        """A scorer begins with a data set of which so many items are to be done."""
        ...

    def made(self, prediction: Prediction) -> None:
        """A prediction was logged."""
        ...

    def note(self, line: str) -> None:
        """Something that people should know."""
        ...


def run(wanted: spec.EvalSpec, out: Path, watch: Watch, *, resume: bool = False) -> Log:
    """Run an evaluation, or go on with it.

    A continued run keeps its data sets; scorers may be added. A scorer that has said something about every item is
    not opened again.

    Args:
        wanted: What to evaluate.
        out: Folder of the run: ``log.jsonl`` and ``spec.yaml``.
        watch: Is told what happens.
        resume: Whether a run that is there is continued.

    Returns:
        All that the log says.

    Raises:
        UsageError: There is a run already, a data set has no root, or a scorer cannot be had.
        DataError: Data are missing or malformed, or the log was made with other data or scorers.
        OSError: The disk is full; the run can be continued.
    """
    wanted = _with_absolute_roots(wanted)
    _open_cheap(wanted)
    writer = LogWriter(out, title=wanted.title, continued=resume)
    try:
        write_whole(out / SPEC_FILE, spec.to_yaml(wanted))
        for one in wanted.data:
            _read_data(one, wanted.seed, writer, watch)
        if others := sorted(set(writer.log.data) - {one.name for one in wanted.data}):
            raise DataError(f"the log has the data set {others[0]}, too", where=out, expected="the same data sets")
        for name, opened in _judges(wanted):
            _predict(name, opened, writer, watch)
        return writer.log
    finally:
        writer.close()


def figures_of(folder: Path, *, by: list[str], combine: list[str], resamples: int | None) -> spec.Figures:
    """Return how figures of a run are made: as its specification says, where nothing else is said.

    Raises:
        UsageError: The specification in the folder, or what is said, is malformed.
    """
    file = folder / SPEC_FILE
    before = spec.checked(spec.read_fields(str(file)), file).figures if file.is_file() else spec.Figures()
    said = {"by": by or None, "combine": combine or None, "resamples": resamples}
    fields = {**before.model_dump(), **{key: value for key, value in said.items() if value is not None}}
    return spec.checked_figures(fields)


def _with_absolute_roots(wanted: spec.EvalSpec) -> spec.EvalSpec:
    """Return the specification as the log and its copy in the folder of the run mean it, from anywhere."""
    made = []
    for one in wanted.data:
        if one.root is None:
            raise UsageError(f"where the data set {one.name} lies is not said", hint=f"--data {one.name}=ROOT")
        made.append(one.model_copy(update={"root": str(Path(one.root).expanduser().absolute())}))
    return wanted.model_copy(update={"data": tuple(made)})


def _open_cheap(wanted: spec.EvalSpec) -> None:
    """Find mistakes in what costs nothing to open, before a model is loaded and paid for."""
    for metric in wanted.metrics:
        open_metric(metric)
    for one in wanted.predictions:
        PredictionsJudge(one)


def _judges(wanted: spec.EvalSpec) -> Iterator[tuple[str, Callable[[], Judge]]]:
    """Yield each scorer's name, and what opens it; the cheap ones come first."""
    for name in wanted.metrics:
        yield name, lambda name=name: open_metric(name)  # type: ignore[misc]
    for file in wanted.predictions:
        yield file.name, lambda file=file: PredictionsJudge(file)  # type: ignore[misc]
    for model in wanted.asked():
        yield model.name, lambda model=model: open_model(model)  # type: ignore[misc]


def read_items(one: spec.DataSpec, seed: int) -> tuple[list[Item], DataRecord]:
    """Read a data set as it is specified.

    Raises:
        DataError: It is malformed.
        UsageError: It is not known.
    """
    chosen = Chosen(one.part, one.table, one.aspect, one.limit, seed)
    root = Path(one.root or "")
    if one.is_samples:
        items, record = from_samples(one.name, root, chosen)
    else:
        items, record = from_registry(one.name, one.set or one.name, root, chosen)
    return items, record.model_copy(update={"duplicates_within": one.near_duplicates})


def _read_data(one: spec.DataSpec, seed: int, writer: LogWriter, watch: Watch) -> None:
    items, record = read_items(one, seed)
    known = writer.log.data.get(one.name)
    if known is not None:
        if known.identity != record.identity:
            raise DataError(
                f"the log has other items of {one.name} (its labels, part, limit or seed differ)", where=known.root,
                expected="the same data", hint="name another --out",
            )  # fmt: skip
        return
    if stale := sorted(set(writer.log.items.get(one.name, {})) - {item.id for item in items}):
        raise DataError(
            f"the log has the item {stale[0]!r} of {one.name}, which is not asked for", hint="name another --out"
        )
    if one.near_duplicates is not None:
        watch.note(f"{one.name}: looking for near-duplicates of its training photos")
        items, record = overlap.with_distances(items, record, one.near_duplicates)
    for item in items:
        writer.write(item)
    writer.write(record)
    for text in record.notes:
        watch.note(f"{one.name}: {text}")


def _predict(name: str, opened: Callable[[], Judge], writer: LogWriter, watch: Watch) -> None:
    """Let one scorer predict all that it has not said something final about."""
    log = writer.log
    todo = {data: _todo(name, data, log) for data in log.data}
    known = log.scorers.get(name)
    if known is not None and not any(todo.values()):
        return
    judge = opened()
    if known is not None and known.spec != judge.record.spec:
        raise DataError(
            f"the log has {name} with other settings (spec {known.spec}, now {judge.record.spec})",
            hint="give it another name, or name another --out: such scores may not be mixed",
        )
    if known is None:
        writer.write(judge.record)
    for data, items in todo.items():
        if items:
            watch.begins(name, data, len(items))
        for made in judge.predict(data, items, _is_done(judge.record, data, log)):
            writer.write(made)
            watch.made(made)
    for line in getattr(judge, "notes", ()):
        watch.note(line)
    if usage := getattr(judge, "usage", None):
        watch.note(f"{name}: {usage}")


def _todo(scorer: str, data: str, log: Log) -> list[Item]:
    said = log.of(scorer, data)
    return [item for item in log.items[data].values() if item.id not in said or not said[item.id].is_final]


def _is_done(scorer: ScorerRecord, data: str, log: Log) -> IsDone:
    said = dict(log.of(scorer.name, data))

    def done(item: str, sha256: str | None) -> bool:
        before = said.get(item)
        return before is not None and before.is_final and (sha256 is None or before.sha256 == sha256)

    return done
