"""From a stage and an opened model to what a run is made of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
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
from mllmqa.training.conversation import Template, Writer, asked_level
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
    stage: Stage, model: Any, processor: Any, preset: Preset, *, processes: int = 1, template: Template | None = None
) -> Parts:
    """Open the data of a stage for a model.

    Args:
        stage: The recipe.
        model: Tells whether it has a video input.
        processor: Of the model.
        preset: How it is asked.
        processes: Of the run.
        template: Conversation template of the stage; None: the processor's.

    Raises:
        DataError: A file of samples is missing or malformed, names clash, or a loss finds nothing in any sample.
    """
    sets = [SampleSet(mix) for mix in stage.data]
    held = [SampleSet(mix) for mix in stage.evaluate]
    if not sets:
        raise DataError("the stage names no data", where=stage.name, hint="give data=FILE")
    check_names(held)
    scale = word_scale(preset.words)
    writer = Writer(processor, preset, template, stage.media_first, scale.words)
    look = Look.of(preset, takes_clips(model, processor), view=stage.view, frames=stage.frames)
    mixture = Mixture(sets, stage.seed, pairs=stage.pairs)
    teacher = read_teacher(Path(stage.teacher), scale.words) if stage.teacher else None
    rows = Rows(mixture, writer, look, items_of(stage, mixture.epoch_length, processes), teacher)
    level_ids = find_level_ids([*sets, *held], writer)
    sources = tuple(sorted({source for one in [*sets, *held] for source in one.sources}))
    kinds = _kinds([*sets, *held], look) if processes > 1 else []
    collator = Collator(
        processor, writer, sources, max_tokens=stage.max_tokens,
        companions=[companion(kind, writer, look) for kind in kinds],
    )  # fmt: skip
    objective = Objective(stage.losses, level_ids, scale.values)
    evaluate = {one.name: Rows(Mixture([one], stage.seed), writer, look, len(one)) for one in held}
    return Parts(stage, rows, collator, objective, evaluate, sources)


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
    """Return the tokens of the level words, from the first sample that tells one; None if none does."""
    for one in sets:
        for number in range(len(one)):
            sample = one[number]
            if asked_level(sample) is not None:
                writer.write(sample, {medium.key: ("image",) for medium in sample.media})
                return writer.level_ids
    return None


def read_teacher(path: Path, words: Sequence[str]) -> Teacher:
    """Read the level distributions that ``mllmqa score --out FILE.jsonl`` gave, by the hash of the medium.

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


def _kinds(sets: Sequence[SampleSet], look: Look) -> list[str]:
    """Kinds of media that every batch of a distributed run must hold."""
    there = {kind for one in sets for kind in one.kinds}
    clips = "video" in there and look.native
    pictures = "image" in there or ("video" in there and not look.native)
    return [kind for kind, wanted in (("image", pictures), ("video", clips)) if wanted]


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
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]
