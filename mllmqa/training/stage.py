"""A stage of training as data: what is learnt, from what, which parts of the model move and how fast.

One YAML file in ``train/configs/`` is one stage. Everything that decides the result is in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mllmqa.prompts import word_scale
from mllmqa.schema import Record

Part = Literal["vision", "projector", "language", "embeddings", "head", "motion", "motion_projector"]
PARTS: tuple[Part, ...] = ("vision", "projector", "language", "embeddings", "head", "motion", "motion_projector")
"""Parts of a model, each parameter in exactly one: vision tower; what turns its output into tokens (projector,
abstractor, merger); layers of the language model; its input embeddings; its output layer; VQA²'s SlowFast branch
and its projector. An output layer that shares the embeddings' weights is ``embeddings``."""

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
"""Several names, or one alone."""


LONGEST = 1000
"""Bits of a whole number above which it counts as infinite: no float holds it."""


def number(value: object) -> float | None:
    """Return a number as YAML gives it, None for what is none: YAML 1.1 takes ``2e-5`` for a text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return math.inf if isinstance(value, int) and value.bit_length() > LONGEST else float(value)
    if isinstance(value, str) and re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", value):
        return float(value)
    return None


class Mix(Record):
    """One set of samples in the mixture."""

    samples: str
    """A file of samples (``mllmqa build``), from the working directory or absolute."""
    weight: Positive = 1.0
    """How often an epoch shows each sample: 2 is twice, 0.5 is half of them, another half in the next epoch."""
    tasks: Names | None = None
    """Only these tasks; None: all."""
    name: str | None = None
    """What logs call it; None: the ``source`` of the samples, or the name of the file's folder. Opinions are only
    compared within one source."""

    @field_validator("tasks")
    @classmethod
    def _some_task(cls, tasks: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if tasks == ():
            raise ValueError("names no task: leave it out for all")
        return tasks


class Lora(Record):
    """Low-rank adapters (Hu et al., ICLR 2022)."""

    rank: Count = 16
    alpha: Positive = 32
    dropout: Share = 0.0
    targets: str | tuple[str, ...] = "language"
    """``language``: every linear layer of the language model's blocks; or a regular expression that the whole name
    of a module must match; or names of modules by their last parts (``q_proj``, ``v_proj.multiway.1``) within the
    language model."""
    rate: Rate | None = None
    """Learning rate of the adapters; None: that of the stage."""
    dora: bool = False
    """Magnitude apart from direction (DoRA, Liu et al., ICML 2024)."""
    rank_stabilised: bool = False
    """Scale alpha / √rank (rsLoRA, Kalajdzievski, 2023)."""

    @field_validator("targets")
    @classmethod
    def _can_match(cls, targets: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not targets or (not isinstance(targets, str) and "" in targets):
            raise ValueError("names no module")
        if isinstance(targets, str):
            try:
                re.compile(targets)
            except re.error as error:
                raise ValueError(f"is no regular expression: {error}") from error
        return targets


class Answer(Record):
    """Next-token cross entropy of the answers."""

    weight: Weight = 1.0
    leave_out_level: bool = False
    """Not the level word where the sample has a distribution over levels, as DeQA-Score."""
    per: Literal["token", "sample"] = "token"


class Levels(Record):
    """KL divergence of the level distribution from the soft label."""

    weight: Weight = 1.0
    over: Literal["vocabulary", "words"] = "vocabulary"


class Emd(Record):
    """Earth mover's distance of the level distributions (NIMA, TIP 2018)."""

    weight: Weight = 1.0
    r: Annotated[float, Field(ge=1)] = 2.0


class Fidelity(Record):
    """Fidelity of preferences inside a data set, or their cross entropy."""

    weight: Weight = 1.0
    std: Literal["unit", "predicted", "predicted-detached"] = "unit"
    target: Literal["continuous", "binary", "either"] = "either"
    form: Literal["fidelity", "cross-entropy"] = "fidelity"


class Ranking(Record):
    """Hinge on differences of scores inside a data set."""

    weight: Weight = 1.0
    margin: Weight | None = 0.0
    """In levels; None: the difference of the opinions."""


class Correlation(Record):
    """Pearson's correlation, or norm-in-norm, inside a data set of the batch."""

    weight: Weight = 1.0


class Distance(Record):
    """Distance of the expected level from the mean opinion, both on 1..5."""

    weight: Weight = 1.0
    form: Literal["l1", "l2", "smooth", "huber"] = "smooth"
    beta: Positive = 0.5


class Distil(Record):
    """The level distribution of a teacher (NTIRE-style): :attr:`Stage.teacher` says whose."""

    weight: Weight = 1.0
    temperature: Positive = 1.0


class Losses(Record):
    """Weighted losses. A number stands for a weight: ``answer: 1.0``. What is left out is not computed."""

    answer: Answer | None = None
    levels: Levels | None = None
    emd: Emd | None = None
    fidelity: Fidelity | None = None
    ranking: Ranking | None = None
    plcc: Correlation | None = None
    norm_in_norm: Correlation | None = None
    distance: Distance | None = None
    distil: Distil | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _weight_alone(cls, value: object) -> object:
        return value if (weight := number(value)) is None else {"weight": weight}

    def weights(self) -> dict[str, float]:
        """Return name → weight of the losses that are there, in their order."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: loss.weight for name, loss in named.items() if loss is not None}


class Optimizer(Record):
    """AdamW (Loshchilov & Hutter, ICLR 2019) with a warm-up and a schedule."""

    rate: Rate
    """Of every part that states none of its own."""
    name: Literal["adamw", "adamw-8bit"] = "adamw"
    betas: tuple[Share, Share] = (0.9, 0.999)
    epsilon: Positive = 1e-8
    weight_decay: Weight = 0.0
    """Of matrices only; norms and biases have none."""
    warmup: Share = 0.03
    """Share of the steps with a linearly rising rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    clip: Positive = 1.0
    """Largest gradient norm."""


class Stage(Record):
    """One stage of training.

    Raises (on validation):
        ValueError: What contradicts itself, e.g. no part is trained, or a loss needs what the stage does not have.
    """

    name: str
    title: str
    extends: str | None = None
    """A stage whose fields are taken over where this one says nothing."""
    paper: str | None = None
    model: str | None = None
    """Where it starts: what ``mllmqa score --model`` takes. None: must be given as ``model=…``."""
    preset: str | None = None
    """How the model is asked, now and when it is done; None: what :attr:`model` brings."""
    revision: str | None = None
    data: tuple[Mix, ...] = ()
    evaluate: tuple[Mix, ...] = ()
    """Sets whose SRCC and PLCC are reported during training; level samples with opinions."""
    template: str | None = None
    """Conversation template of ``prompts/train/``; None: the processor's own."""
    media_first: bool = False
    """Put all media in front of the first question, as Q-Align does for any number of tags."""
    train: Mapping[Part, Rate | None] = Field(default_factory=dict)
    """Parts that are trained in full, with their learning rates (null: that of the optimiser). All others stay."""
    lora: Lora | None = None
    losses: Losses = Losses(answer=Answer())
    teacher: str | None = None
    """Results of ``mllmqa score --jsonl FILE`` by the teacher on the media of :attr:`data`, for ``distil``."""
    pairs: bool = False
    """Whether each drawn sample brings another one of its source into the batch (DeQA-Score). Samples that show two
    media themselves, as those of Compare2Score, need none."""
    sets_apart: bool = False
    """Whether each batch of a process shows one set of :attr:`data` only: short rows are not padded to the length
    of clips, and correlations have more opinions of one source to go by. Shares are rounded to whole batches."""
    remember_vision: bool = False
    """Keep what the frozen vision tower says of a picture in ``OUT/vision``, and look it up when it comes again."""
    optimizer: Optimizer
    epochs: Positive = 1.0
    batch: Count
    """Samples (pairs, if :attr:`pairs`) per process and step."""
    accumulate: Count = 1
    """Batches whose gradients are added up before a step."""
    global_batch: Count | None = None
    """What batch × accumulate × processes is where the stage was published; a run with another is told so."""
    precision: Literal["fp32", "bf16"] = "bf16"
    quantize: Literal["8bit", "4bit"] | None = None
    gradient_checkpointing: bool = True
    max_tokens: Count = 2048
    """A longer sample is left out and counted."""
    frames: str | None = None
    """Frame rule of clips; None: that of the preset."""
    view: str | None = None
    """What the model sees; None: that of the preset."""
    seed: Annotated[int, Field(ge=0)] = 0
    deepspeed: str | None = None
    """Name of a file of ``train/deepspeed/``, e.g. ``zero3``; None: plain data parallel."""
    save_every: Count = 200
    """Steps between checkpoints."""
    evaluate_every: Count | None = None
    """Steps between evaluations; None: at the end only."""
    keep: Count = 2
    """Checkpoints that are kept."""
    log_every: Count = 10
    report_to: Names = ("tensorboard",)
    """Where metrics go, as the Trainer of transformers names them; ``none``: nowhere but the run's own log."""
    compare_on: str | None = None
    """Set of :attr:`evaluate` whose SRCC chooses the checkpoint that is kept as the model; None: the last one."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Stage:
        if not self.train and self.lora is None:
            raise ValueError("trains nothing: name parts under `train`, or give `lora`")
        weights = self.losses.weights()
        if not any(weights.values()):
            raise ValueError("no loss has a weight")
        if (self.losses.distil is not None) != (self.teacher is not None):
            raise ValueError("`losses.distil` and `teacher` go together")
        if self.quantize and self.lora is None:
            raise ValueError("quantised weights cannot be trained in full: give `lora`")
        if self.quantize and "language" in self.train:
            raise ValueError("the language model is quantised and cannot be in `train`; its adapters are `lora`")
        if self.lora and "language" in self.train:
            raise ValueError("the language model is trained in full under `train`, and by `lora`: one of them")
        if self.remember_vision and "vision" in self.train:
            raise ValueError("`remember_vision` needs a frozen tower, and `vision` is in `train`")
        if self.compare_on is not None and self.evaluate_every is None:
            raise ValueError("`compare_on` needs `evaluate_every`")
        return self

    def scores(self, words: str) -> tuple[float, ...]:
        """Return the values of the level words of a scale (``prompts/WORDS.yaml``), best first."""
        return word_scale(words).values
