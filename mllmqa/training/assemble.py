"""From a stage and an opened model to what a run is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mllmqa.errors import DataError
from mllmqa.models.hf import takes_clips
from mllmqa.models.presets import Preset
from mllmqa.prompts import word_scale
from mllmqa.records import read_jsonl
from mllmqa.schema import Score
from mllmqa.training.collate import Collator, companion
from mllmqa.training.conversation import Template, Writer
from mllmqa.training.mixture import Mixture, SampleSet
from mllmqa.training.objective import Objective
from mllmqa.training.rows import Rows, Teacher
from mllmqa.training.shown import Look
from mllmqa.training.stage import Stage


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Attributes:
        stage: The recipe.
        rows: Training items.
        collator: Makes batches.
        objective: The losses.
        evaluate: Name → items whose opinions the scores are correlated with.
        sources: Names of the sources by id.
    """

    stage: Stage
    rows: Rows
    collator: Collator
    objective: Objective
    evaluate: Mapping[str, Rows]
    sources: tuple[str, ...]


def assemble(
    stage: Stage,
    model: Any,
    processor: Any,
    preset: Preset,
    *,
    processes: int = 1,
    template: Template | None = None,
) -> Parts:
    """Open the data of a stage for a model.

    Args:
        stage: The recipe.
        model: Tells whether it has a video input.
        processor: Of the model.
        preset: How it is asked.
        processes: Of the run.
        template: Conversation template of the stage; None: as the preset asks.

    Raises:
        DataError: A file of samples is missing or malformed, names clash, or a loss finds nothing in any sample.
        UsageError: The model cannot see clips by the view.
    """
    sets = [SampleSet(mix) for mix in stage.data]
    held = [SampleSet(mix.model_copy(update={"weight": 1.0})) for mix in stage.evaluate]  # each sample once
    if not sets:
        raise DataError("the stage names no data", where=stage.name, hint="give data=FILE")
    check_names(held)
    scale = word_scale(preset.words)
    writer = Writer(processor, preset, template, stage.media_first, scale.words)
    look = Look.of(preset, takes_clips(model, processor), view=stage.view, frames=stage.frames)
    mixture = mixture_of(stage, sets)
    teacher = read_teacher(Path(stage.teacher), scale.words) if stage.teacher else None
    rows = Rows(mixture, writer, look, items_of(stage, mixture.epoch_length, processes), teacher)
    level_ids = find_level_ids([*sets, *held], writer)
    check_labels(stage, sets, held)
    everything = {kind for one in [*sets, *held] for kind in one.kinds}
    if "video" in everything:
        look.check_clips()
    sources = tuple(sorted({source for one in [*sets, *held] for source in one.sources}))
    collator = Collator(
        processor, writer, sources, max_tokens=stage.max_tokens, **_companions(everything, writer, look, processes)
    )  # fmt: skip
    objective = Objective(stage.losses, level_ids, scale.values, drawn=stage.pairs)
    evaluate = {one.name: Rows(Mixture([one], stage.seed), writer, look, len(one)) for one in held}
    return Parts(stage, rows, collator, objective, evaluate, sources)


def mixture_of(stage: Stage, sets: Sequence[SampleSet]) -> Mixture:
    """Return the order in which a stage shows its sets."""
    return Mixture(sets, stage.seed, pairs=stage.pairs, block=stage.batch if stage.sets_apart else 1)


def items_of(stage: Stage, epoch: int, processes: int) -> int:
    """Items of a whole run: the wanted epochs, rounded up to whole steps so that no process runs short.

    Args:
        stage: Epochs, batch and accumulation.
        epoch: Items of one epoch.
        processes: Of the run.
    """
    step = stage.batch * stage.accumulate * processes
    return math.ceil(stage.epochs * epoch / step) * step


def find_level_ids(sets: Sequence[SampleSet], writer: Writer) -> tuple[int, ...] | None:
    """Return the tokens of the level words, from the first sample that can be written; None if none tells a level.

    Raises:
        DataError: No sample that tells one can be written: why the first cannot.
    """
    first: DataError | None = None
    for one in sets:
        for number in one.levels:
            sample = one[number]
            try:
                writer.write(sample, {medium.key: ("image",) for medium in sample.media})
            except DataError as error:
                first = first or error
            else:
                return writer.level_ids
    if first is not None:
        raise first
    return None


NEEDS = {"levels": "soft", "emd": "soft", "distil": "level"}
"""Loss → what it needs of a sample; the others need the mean opinion (``answer`` nothing)."""
CALLED = {
    "level": "an answer that tells a level",
    "soft": "an answer that tells a level, and probabilities of the levels",
    "mean": "an answer that tells a level, and a mean opinion",
    "std": "an answer that tells a level, and a mean opinion with its deviation",
}


def check_labels(stage: Stage, sets: Sequence[SampleSet], held: Sequence[SampleSet]) -> None:
    """Raise a DataError where a loss, or an evaluation, has nothing to learn from in any sample."""
    known = set().union(*(one.labels for one in sets))
    for loss in stage.losses.weights():
        need = NEEDS.get(loss, "mean")
        if loss == "fidelity" and stage.losses.fidelity and stage.losses.fidelity.target == "continuous":
            need = "std"
        if loss != "answer" and need not in known:
            raise DataError(
                f"no sample has what the loss {loss} needs", where=stage.name, expected=CALLED[need],
                hint="leave the loss out, or add such samples to `data`",
            )  # fmt: skip
    for one in held:
        if "mean" not in one.labels:
            raise DataError("no sample can be correlated", where=one.path, expected=CALLED["mean"])


def read_teacher(path: Path, words: Sequence[str]) -> Teacher:
    """Read the level distributions that ``mllmqa score --jsonl FILE.jsonl`` gave, by the hash of the medium.

    Raises:
        DataError: The file is malformed, or its words are not those of the student.
    """
    found: dict[str, tuple[float, ...]] = {}
    for record in read_jsonl(path):
        if not isinstance(record, Score) or record.media is None or record.media.sha256 is None:
            continue
        if set(record.levels) != set(words):
            raise DataError(
                f"{record.source} was scored with {', '.join(record.levels)}", where=path, expected=", ".join(words)
            )
        found[record.media.sha256] = tuple(record.levels[word] for word in words)
    if not found:
        raise DataError("holds no scored record", where=path, expected="results of `mllmqa score`")
    return found


def check_names(sets: Sequence[SampleSet]) -> None:
    """Raise a DataError where two sets of an evaluation have one name."""
    names = [one.name for one in sets]
    for k, name in enumerate(names):
        if name in names[:k]:
            raise DataError(
                f"two sets of `evaluate` are called {name!r}", where=sets[k].path, hint="give them a `name`"
            )


def _companions(there: Set[str], writer: Writer, look: Look, processes: int) -> dict[str, Any]:
    """Rows of the kinds of media that every batch of a distributed run must hold, and one for an empty batch."""
    clips = "video" in there and look.native
    pictures = "image" in there or ("video" in there and not look.native)
    kinds = [kind for kind, wanted in (("image", pictures), ("video", clips)) if wanted]
    rows = [companion(kind, writer, look) for kind in kinds or ["text"]]
    return {"companions": rows if processes > 1 and kinds else (), "filler": rows[0]}


def describe_data(stage: Stage) -> list[dict[str, Any]]:
    """Return what a model card says of the data: file, hash, number of samples, tasks."""
    import hashlib

    made = []
    for mix in stage.data:
        one = SampleSet(mix)
        with one.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        tasks = {task: one.tasks.count(task) for task in sorted(set(one.tasks))}
        sources = sorted(set(one.sources))
        made.append(
            {"samples": str(one.path), "sha256": digest, "n": len(one), "weight": mix.weight}
            | {"tasks": tasks, "sources": sources}
        )
    return made
