"""Find a stage by name or file, take over what it extends, and apply ``key=value`` from the command line."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mllmqa import resources
from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.models.presets import nearest
from mllmqa.training.stage import Stage, number

Fields = dict[str, Any]
LISTS_OF_FILES = ("data", "evaluate")


def names() -> list[str]:
    """Return the names of the shipped stages."""
    return sorted(_shipped())


def _shipped() -> dict[str, Path]:
    folder = resources.folder("train") / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml")) if "optimizer" in _is_stage(path)}


def _is_stage(path: Path) -> Fields:
    """The fields that make a file a stage of its own or one that extends another."""
    fields = _mapping(path)
    return fields if "extends" not in fields else {"optimizer": None}


def read(name: str, settings: Sequence[str] = ()) -> Stage:
    """Return the stage of this name or file.

    Args:
        name: A shipped stage, or a YAML file.
        settings: ``key=value`` with dots for inner keys: ``batch=4``, ``train.vision=2e-6``, ``lora.rank=8``,
            ``losses.fidelity.weight=0.5``, ``data=FILE`` or ``data=FILE,FILE``, ``lora=null``. Values are YAML.

    Raises:
        UnknownNameError: No such stage.
        UsageError: The file or a setting is malformed, or the stage contradicts itself.
    """
    path = _path(name)
    fields = _extended(path, [])
    fields.setdefault("name", path.stem)
    for text in settings:
        _set(fields, text)
    try:
        return Stage.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "stage"
        raise UsageError(f"{field}: {first['msg'].removeprefix('Value error, ')}", where=path) from error


def digest(stage: Stage) -> str:
    """Return a short hash of everything that the stage says, however much of it is taken over from another."""
    text = json.dumps(stage.model_dump(mode="json", exclude={"extends"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_yaml(stage: Stage) -> str:
    """Return the resolved stage as a YAML file that :func:`read` reads again; defaults are written out."""
    fields = stage.model_dump(mode="json", exclude={"extends"})
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=116)


def _path(name: str) -> Path:
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        if not os.path.isfile(path):  # noqa: PTH113 - False for names that are too long, too
            raise UnknownNameError("no such file", where=name, expected="a stage (YAML)")
        return path
    shipped = _shipped()
    if name not in shipped:
        raise UnknownNameError(
            f"no stage {name!r}", expected=f"{' | '.join(shipped)}, or a YAML file", hint=nearest(name, shipped)
        )
    return shipped[name]


def _mapping(path: Path) -> Fields:
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: a date that is none
        raise UsageError(f"cannot be read as YAML: {' '.join(str(error).split())}", where=path) from error
    if not isinstance(fields, dict):
        raise UsageError("is no stage", where=path, expected="a mapping of fields")
    return fields


def _extended(path: Path, seen: list[Path]) -> Fields:
    """Return the fields with those of the stages that they extend; inner mappings are merged."""
    if path.resolve() in seen:
        raise UsageError("extends itself", where=path)
    fields = _mapping(path)
    base = fields.get("extends")
    if base is None:
        return fields
    if not isinstance(base, str):
        raise UsageError(f"extends {base!r}", where=path, expected="the name of a stage, or a file beside it")
    beside = path.parent / (base if base.endswith((".yaml", ".yml")) else f"{base}.yaml")
    found = beside if os.path.isfile(beside) else _path(base)  # noqa: PTH113
    return _merged(_extended(found, [*seen, path.resolve()]), fields)


def _merged(base: Fields, over: Fields) -> Fields:
    made = dict(base)
    for key, value in over.items():
        if key in ("train", "losses"):  # which parts and which losses is one choice, not two halves of one
            made[key] = value
        elif isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = _merged(made[key], value)
        else:
            made[key] = value
    made.pop("name", None) if "name" not in over else None
    return made


def _set(fields: Fields, text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key or "" in key.split("."):
        raise UsageError(f"setting {text!r}", expected="key=value, e.g. batch=4 or lora.rank=8")
    if key == "extends":
        raise UsageError(f"setting {text!r}", expected="the stage itself in place of what it shall extend")
    try:
        parsed = yaml.safe_load(value)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"setting {text!r} is no YAML value", expected="e.g. batch=4, lora=null") from error
    if key in LISTS_OF_FILES and isinstance(parsed, str):
        parsed = [{"samples": part} for part in parsed.split(",")]
    *path, last = key.split(".")
    place: Any = fields
    for step in path:
        place = _inner(place, step, text)
    if not isinstance(place, dict | list):
        raise UsageError(f"setting {text!r}", expected=f"a key without {last!r}: what is there has no parts")
    if isinstance(place, list):
        place[_index(place, last, text)] = parsed
    else:
        place[last] = parsed


def _inner(place: Any, step: str, text: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, step, text)]
    if not isinstance(place, dict):
        return place  # said by the caller
    inner = place.get(step)
    if (weight := number(inner)) is not None:
        inner = {"weight": weight}  # losses.answer: 1.0 and then losses.answer.per=sample
    if not isinstance(inner, dict | list):
        inner = {}
    place[step] = inner
    return inner


def _index(place: list[Any], step: str, text: str) -> int:
    if not step.isdigit() or int(step) >= len(place):
        raise UsageError(f"setting {text!r}", expected=f"an index from 0 to {len(place) - 1} in place of {step!r}")
    return int(step)
