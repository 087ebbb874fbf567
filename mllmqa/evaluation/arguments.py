"""From the options of ``mllmqa eval`` to a specification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mllmqa.errors import UsageError
from mllmqa.evaluation.spec import COMBINATIONS, DataSpec, EvalSpec, PredictionsSpec, checked, named, read_fields

ROLES = ("item", "score", "std")
REMOTE = "api:"
OF_MACHINE = ("device", "dtype", "quantize")
OF_ENDPOINT = ("base_url", "budget", "price")


@dataclass(frozen=True)
class Arguments:
    """What a user said; None and empty say nothing.

    Attributes:
        spec: Name or file of a specification.
        data: ``NAME=ROOT``, or a folder; see :func:`with_roots`.
        part: Of each data set.
        limit: Items of each data set.
        near_duplicates: Bits; see :class:`mllmqa.evaluation.spec.DataSpec`.
        models: Names, folders, hub ids, ``api:NAME``.
        model_options: Further fields of the models: of endpoints for ``api:`` ones, of devices for the others.
        prompts: Prompt ids.
        metrics: Names.
        predictions: ``FILE`` or ``NAME=FILE``.
        columns: ``item=NAME,score=NAME,std=NAME`` of the files of predictions.
        lower_better: Names of files of predictions whose scores fall with quality.
        by: Groups.
        combine: ``rank-average``, ``ridge``.
        resamples: Of the bootstrap.
        seed: Of the draw of items.
    """

    spec: str | None = None
    data: Sequence[str] = ()
    part: str | None = None
    limit: int | None = None
    near_duplicates: int | None = None
    models: Sequence[str] = ()
    model_options: dict[str, Any] | None = None
    prompts: Sequence[str] = ()
    metrics: Sequence[str] = ()
    predictions: Sequence[str] = ()
    columns: str | None = None
    lower_better: Sequence[str] = ()
    by: Sequence[str] = ()
    combine: Sequence[str] = ()
    resamples: int | None = None
    seed: int | None = None


def specified(given: Arguments) -> EvalSpec:
    """Return the specification that the arguments make: the named one, with what is said besides.

    Scorers that are named are added to those of the specification; what is said of data holds for each data set.

    Raises:
        UnknownNameError: There is no such specification.
        UsageError: Something is malformed, or there is nothing to evaluate.
    """
    fields = with_roots(read_fields(given.spec) if given.spec is not None else {}, list(given.data))
    about = {"part": given.part, "limit": given.limit, "near_duplicates": given.near_duplicates}
    said = {key: value for key, value in about.items() if value is not None}
    fields["data"] = [{**one, **said} for one in fields["data"]]
    fields["models"] = [*fields.get("models", ()), *_models(given)]
    fields["predictions"] = [*fields.get("predictions", ()), *_predictions(given)]
    for key, values in (("prompts", given.prompts), ("metrics", given.metrics)):
        fields[key] = [*fields.get(key, ()), *values]
    if not (fields["models"] or fields["predictions"] or fields["metrics"]):
        raise UsageError("nothing to evaluate", expected="--model, --metric or --predictions")
    figures = dict(fields.get("figures") or {})
    for key, chosen in (("by", given.by), ("combine", given.combine)):
        figures[key] = list(dict.fromkeys([*figures.get(key, ()), *chosen]))
    if given.resamples is not None:
        figures["resamples"] = given.resamples
    if wrong := [one for one in figures["combine"] if one not in COMBINATIONS]:
        raise UsageError(f"--combine {wrong[0]}", expected=" | ".join(COMBINATIONS))
    seed = fields.get("seed", 0) if given.seed is None else given.seed
    return checked({**fields, "figures": figures, "seed": seed}, given.spec)


def _models(given: Arguments) -> list[dict[str, Any]]:
    """Return the named models, each with the options that such a model can have."""
    said = {key: value for key, value in (given.model_options or {}).items() if value is not None}
    made = []
    for one in given.models:
        other = OF_MACHINE if one.startswith(REMOTE) else OF_ENDPOINT
        made.append({"model": one, **{key: value for key, value in said.items() if key not in other}})
    if unused := [key for key in said if not any(key in one for one in made)]:
        flag = f"--{unused[0].replace('_', '-')}"
        expected = (
            f"--model {REMOTE}NAME with it" if unused[0] in OF_ENDPOINT else "--model of this machine with it"
        )
        raise UsageError(f"{flag} is said of no model", expected=expected)
    return made


def _predictions(given: Arguments) -> list[dict[str, Any]]:
    columns = dict(_column(part) for part in given.columns.split(",")) if given.columns else {}
    made = [PredictionsSpec.model_validate(one).model_dump(exclude_unset=True) for one in given.predictions]
    names = [one["name"] for one in made]
    if unknown := [one for one in given.lower_better if one not in names]:
        raise UsageError(f"--lower-better {unknown[0]}", expected=" | ".join(names) or "--predictions with it")
    if columns and not made:
        raise UsageError("--columns names those of a file of predictions", expected="--predictions with it")
    low: dict[str, Any] = {"direction": "lower-better"}
    return [{**one, **columns, **(low if one["name"] in given.lower_better else {})} for one in made]


def _column(part: str) -> tuple[str, str]:
    role, equals, name = (piece.strip() for piece in part.partition("="))
    if role not in ROLES or not equals or not name:
        raise UsageError(f"--columns {part!r}", expected=f"ROLE=COLUMN, of {', '.join(ROLES)}")
    return role, name


def with_roots(fields: dict[str, Any], data: list[str]) -> dict[str, Any]:
    """Say where the data sets of a specification lie, or which there are.

    Args:
        fields: Of the specification.
        data: ``NAME=ROOT``, where ROOT is a folder or a file of samples, or a folder alone, which is recognised. A
            name that the specification has gets its root; others are added where it names no data.

    Raises:
        UsageError: The specification has other data sets, or a folder is not recognised.
    """
    known = [DataSpec.model_validate(one).model_dump(exclude_unset=True) for one in fields.get("data", ())]
    by_name = {one["name"]: one for one in known}
    for text in data:
        name, root = _named_root(text)
        if known and name not in by_name:
            raise UsageError(f"--data {text}", expected=f"NAME=ROOT with NAME one of {', '.join(by_name)}")
        by_name.setdefault(name, {"name": name})["root"] = root
    return {**fields, "data": list(by_name.values())}


def _named_root(text: str) -> tuple[str, str]:
    name, equals, root = text.partition("=")
    if equals and name and root:
        return name, root
    if equals:
        raise UsageError(f"--data {text!r}", expected="NAME=ROOT, or a folder")
    if text.endswith(".jsonl"):
        return named(text), text
    from mllmqa.data import registry

    return registry.recognise(Path(text)).name, text
