"""What a run will do, before it does: samples per set and task, steps, tokens, memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mllmqa.errors import DataError
from mllmqa.training.assemble import assemble, items_of, mixture_of
from mllmqa.training.estimate import Load
from mllmqa.training.mixture import SampleSet
from mllmqa.training.outline import Outline
from mllmqa.training.stage import Mix, Stage
from mllmqa.training.templates import load_template

MEASURED = 32
"""Items whose tokens are counted; more tell little and take long."""


@dataclass(frozen=True)
class SetPlan:
    """One set of samples.

    Attributes:
        name: What logs call it.
        samples: Its file.
        n: Samples of the wanted tasks.
        weight: How often an epoch shows each.
        tasks: Samples per task.
    """

    name: str
    samples: Path
    n: int
    weight: float
    tasks: dict[str, int]


@dataclass(frozen=True)
class Steps:
    """How long a run is.

    Attributes:
        sets: For training.
        evaluate: Sets that scores are correlated on.
        epoch: Items of one epoch: samples, or pairs.
        items: Items of the run, whole steps.
        per_step: Items of a step over all processes.
        steps: Steps of the optimiser.
    """

    sets: tuple[SetPlan, ...]
    evaluate: tuple[SetPlan, ...]
    epoch: int
    items: int
    per_step: int
    steps: int


@dataclass(frozen=True)
class Tokens:
    """Tokens of samples, counted on some of them.

    Attributes:
        samples: How many were counted.
        mean: Per sample.
        longest: Of the longest.
        answers: Learnt per sample.
        vision: Patches that the tower sees of the sample with the most.
        lost: Samples that could not be used.
    """

    samples: int
    mean: float
    longest: int
    answers: float
    vision: int
    lost: int

    def load(self, samples: int) -> Load:
        """Return the tokens of a batch of so many samples as long as the longest."""
        return Load(self.longest * samples, self.vision * samples, round(self.answers + 1) * samples)


def steps(stage: Stage, processes: int = 1) -> Steps:
    """Count samples and steps.

    Args:
        stage: Its files of samples are read through.
        processes: Of the run.

    Raises:
        DataError: No data are named, or a file is missing or malformed.
    """
    if not stage.data:
        raise DataError("the stage names no data", where=stage.name, hint="give data=FILE")
    sets = [SampleSet(mix) for mix in stage.data]
    epoch = mixture_of(stage, sets).epoch_length
    items = items_of(stage, epoch, processes)
    per_step = stage.batch * stage.accumulate * processes
    held = [_described(mix) for mix in stage.evaluate]
    return Steps(tuple(map(_of, sets)), tuple(held), epoch, items, per_step, items // per_step)


def tokens(stage: Stage, found: Outline, processes: int = 1, measured: int = MEASURED) -> Tokens:
    """Count the tokens of some items of the run, as its own collator makes them.

    Args:
        stage: Data, template, view.
        found: Processor and skeleton of the model.
        processes: Of the run.
        measured: Items to count, spread over the first epoch.

    Raises:
        DataError: A file is missing or malformed, or no sample of those can be used.
    """
    template = load_template(stage.template) if stage.template else None
    # Companions of a run in several processes would be counted as samples.
    parts = assemble(stage, found.model, found.processor, found.preset, processes=1, template=template)
    chosen = np.unique(np.linspace(0, len(parts.rows) - 1, measured).astype(int))
    lengths: list[int] = []
    answers: list[int] = []
    vision: list[int] = []
    lost = 0
    for item in chosen:
        batch = parts.collator([parts.rows[int(item)]])
        lost += len(batch["lost"])
        if not batch["ids"]:  # all of it is lost, only the filler is there
            continue
        lengths += batch["inputs"]["attention_mask"].sum(dim=1).tolist()
        answers += (batch["labels"] != -100).sum(dim=1).tolist()
        vision.append(-(-_patches(batch["inputs"], found.model) // len(batch["ids"])))
    if not lengths:
        raise DataError("none of its samples can be used", where=stage.name, hint="see `mllmqa data check --open`")
    return Tokens(len(lengths), float(np.mean(lengths)), max(lengths), float(np.mean(answers)), max(vision), lost)


def _of(one: SampleSet) -> SetPlan:
    return SetPlan(one.name, one.path, len(one), one.mix.weight, dict(sorted(Counter(one.tasks).items())))


def _described(mix: Mix) -> SetPlan:
    return _of(SampleSet(mix))


def _patches(inputs: dict[str, object], model: object) -> int:
    """Count what the vision tower sees of a batch: pixels by the area of a patch, or rows of patches."""
    total = 0
    for key, value in inputs.items():
        shape: Sequence[int] = getattr(value, "shape", ())
        if key.startswith("pixel_values") and len(shape) >= 4:
            total += int(np.prod(shape[:-3])) * (shape[-2] * shape[-1]) // patch_area(model)
        elif key.startswith("pixel_values") and len(shape) == 2:  # Qwen: one row per patch
            total += shape[0]
    return total


def patch_area(model: object) -> int:
    """Return the pixels of a patch of a model's vision tower, 14² where its configuration does not tell."""
    config = getattr(model, "config", None)
    tower = getattr(config, "vision_config", None) or getattr(config, "vision", None)  # the latter: mPLUG-Owl2
    side = getattr(tower, "patch_size", None) or 14
    return int(np.prod(side)) if isinstance(side, list | tuple) else int(side) ** 2
