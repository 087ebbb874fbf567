"""What an evaluation is: data sets × models × prompts, metrics, predictions, and how figures are made of them.

A specification is a YAML file, shipped in ``eval/specs`` or the user's own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from mllmqa import resources
from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.schema import Record

COMBINATIONS = ("rank-average", "ridge")
Part = Literal["train", "validation", "test"]
Direction = Literal["higher-better", "lower-better"]
_Spec = TypeVar("_Spec", bound=Record)


class DataSpec(Record):
    """One data set. Written short: ``biq2021`` or ``biq2021=FOLDER``, ``NAME=samples.jsonl``."""

    name: str
    """In this run."""
    set: str | None = None
    """Name in the registry; None: ``name``, unless ``root`` is a file of samples."""
    root: str | None = None
    """Its folder, or a file of samples (``.jsonl``); None: given with ``--data NAME=ROOT``."""
    table: str | None = None
    part: Part | None = None
    aspect: str = "quality"
    limit: int | None = Field(default=None, ge=1)
    """So many items, drawn by the seed."""
    near_duplicates: int | None = Field(default=None, ge=0, le=64)
    """Tell items within so many bits of a training photo, and give the figures without them, too."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        name, equals, root = value.partition("=")
        return {"name": name, "root": root} if equals else {"name": name}

    @property
    def is_samples(self) -> bool:
        """Whether it is a file of samples, and not a data set of the registry."""
        return self.root is not None and self.root.endswith(".jsonl")


class ModelSpec(Record):
    """One model and how it is asked; the fields are the options of ``mllmqa score``. Written short: its name."""

    name: str = ""
    """In this run; empty: of the model, with its prompt if one is named."""
    model: str
    prompt: str | None = None
    """Prompt id in place of the preset's for this aspect, e.g. ``score/quality``."""
    aspect: str = "quality"
    frames: str | None = None
    view: str | None = None
    decoder: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    quantize: str | None = None
    base: str | None = None
    anchors: str | None = None
    batch_size: int | None = Field(default=None, ge=1)
    base_url: str | None = None
    concurrency: int | None = None
    timeout_s: float | None = None
    budget: str | None = None
    price: str | None = None
    readout: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        value = {"model": value} if isinstance(value, str) else value
        if isinstance(value, dict) and not value.get("name") and isinstance(value.get("model"), str):
            prompt = value.get("prompt")
            value = {**value, "name": f"{named(value['model'])}{f' + {prompt}' if prompt else ''}"}
        return value


class PredictionsSpec(Record):
    """A file of predictions that others made. Written short: ``FILE`` or ``NAME=FILE``."""

    name: str
    file: str
    data: str | None = None
    """The data set that it is about; None: each."""
    item: str | None = None
    """Column with the item's id, path or file name; None: the one that is named like that."""
    score: str | None = None
    std: str | None = None
    direction: Direction = "higher-better"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        name, equals, file = value.partition("=")
        return {"name": name, "file": file} if equals else {"name": named(value), "file": value}


class Figures(Record):
    """How figures are made of a log; they can be made anew in another way at any time."""

    by: tuple[str, ...] = ()
    """Groups: ``source``, ``reference``, ``distortion``, ``severity``, ``level``, ``split``, ``folder``, or a
    column of the label file."""
    combine: tuple[Literal["rank-average", "ridge"], ...] = ()
    resamples: int = Field(default=10_000, ge=1)
    """Of the bootstrap of SRCC and PLCC; figures that need a call per resample have a tenth."""
    seed: int = 0


class EvalSpec(Record):
    """A whole evaluation."""

    name: str = "eval"
    title: str = ""
    data: tuple[DataSpec, ...] = Field(min_length=1)
    models: tuple[ModelSpec, ...] = ()
    prompts: tuple[str, ...] = ()
    """Each model is asked by each of these prompts; empty: by its own."""
    metrics: tuple[str, ...] = ()
    predictions: tuple[PredictionsSpec, ...] = ()
    figures: Figures = Figures()
    seed: int = 0
    """Of the draw of items."""

    @model_validator(mode="after")
    def _consistent(self) -> EvalSpec:
        for what, names in (("data sets", [one.name for one in self.data]), ("scorers", self.scorers())):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"two {what} are called {twice[0]!r}: give one of them another name")
        unknown = {one.data for one in self.predictions} - {None} - {one.name for one in self.data}
        if unknown:
            raise ValueError(
                f"predictions are about the data set {sorted(map(str, unknown))[0]!r}, which is not there"
            )
        if not self.scorers():
            raise ValueError("nothing to evaluate: name a model, a metric or predictions")
        return self

    def asked(self) -> tuple[ModelSpec, ...]:
        """Return the models × prompts."""
        if not self.prompts:
            return self.models
        return tuple(
            one.model_copy(update={"prompt": prompt, "name": f"{one.name} + {prompt}"})
            for one in self.models
            for prompt in self.prompts
        )

    def scorers(self) -> list[str]:
        """Return the names of all scorers, in their order."""
        return [*(one.name for one in self.asked()), *self.metrics, *(one.name for one in self.predictions)]


def named(place: str) -> str:
    """Return a name for a model or file by the last part of its path.

    >>> named("runs/nano-2/model/"), named("api:gpt-x"), named("dir/preds.csv")
    ('model', 'api:gpt-x', 'preds')
    """
    last = place.rstrip("/").rpartition("/")[2] or place
    return last.rpartition(".")[0] if last.endswith((".csv", ".jsonl", ".json", ".parquet", ".xlsx")) else last


def names() -> list[str]:
    """Return the names of the shipped specifications."""
    return sorted(path.stem for path in (resources.folder("eval") / "specs").glob("*.yaml"))


def read_fields(name: str) -> dict[str, Any]:
    """Return the fields of a specification, by name or file, unchecked.

    Raises:
        UnknownNameError: There is none.
        UsageError: The file is no YAML mapping.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml") and "/" not in name:
        if name not in names():
            raise UnknownNameError(f"no specification {name!r}", expected=f"{' | '.join(names())}, or a YAML file")
        path = resources.folder("eval") / "specs" / f"{name}.yaml"
    if not os.path.isfile(path):  # noqa: PTH113 - False for names that are too long, too
        raise UnknownNameError("no such file", where=name, expected="a specification (YAML)")
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"cannot be read as YAML: {' '.join(str(error).split())}", where=path) from error
    if not isinstance(fields, dict):
        raise UsageError("is no specification", where=path, expected="a mapping of fields")
    return {"name": path.stem, **fields}


def checked(fields: dict[str, Any], where: object = None) -> EvalSpec:
    """Return a specification made of its fields.

    Raises:
        UsageError: A field is wrong; names it.
    """
    return _validated(EvalSpec, fields, where)


def checked_figures(fields: dict[str, Any]) -> Figures:
    """Return how figures are made, of its fields; as :func:`checked`."""
    return _validated(Figures, fields, None)


def _validated(kind: type[_Spec], fields: dict[str, Any], where: object) -> _Spec:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "specification"
        raise UsageError(f"{field}: {first['msg'].removeprefix('Value error, ')}", where=where) from error


def to_yaml(spec: EvalSpec) -> str:
    """Return the specification as a YAML file that is read again; what it does not say is left out."""
    fields = spec.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=116)
