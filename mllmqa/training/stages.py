"""Find a stage by name or file, take over what it extends, and apply ``key=value`` from the command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mllmqa import resources
from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.models.presets import nearest
from mllmqa.training.stage import Stage

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
    """Return a short hash of everything that the stage says."""
    text = json.dumps(stage.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_yaml(stage: Stage) -> str:
    """Return the resolved stage as a YAML file that :func:`read` reads again; defaults are written out."""
    fields = stage.model_dump(mode="json", exclude={"extends"})
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=116)


def _path(name: str) -> Path:
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or "/" in name:
        if not path.is_file():
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
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot be read as YAML: {' '.join(str(error).split())}", where=path) from error
    if not isinstance(fields, dict):
        raise UsageError("is no stage", where=path, expected="a mapping of fields")
    return fields


def _extended(path: Path, seen: list[Path]) -> Fields:
    """Return the fields with those of the stages that they extend; inner mappings are merged."""
    if path in seen:
        raise UsageError("extends itself", where=path)
    fields = _mapping(path)
    base = fields.get("extends")
    if base is None:
        return fields
    beside = path.parent / f"{base}.yaml"
    return _merged(_extended(beside if beside.is_file() else _path(str(base)), [*seen, path]), fields)


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
    if not equals or not key:
        raise UsageError(f"setting {text!r}", expected="key=value, e.g. batch=4 or lora.rank=8")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"setting {text!r} is no YAML value", expected="e.g. batch=4, lora=null") from error
    if isinstance(parsed, str) and (number := _number(parsed)) is not None:
        parsed = number  # YAML 1.1 takes 2e-5 for a text
    if key in LISTS_OF_FILES and isinstance(parsed, str):
        parsed = [{"samples": part} for part in parsed.split(",")]
    *path, last = key.split(".")
    place: Any = fields
    for step in path:
        place = _inner(place, step, text)
    if isinstance(place, list):
        place[_index(place, last, text)] = parsed
    else:
        place[last] = parsed


def _inner(place: Any, step: str, text: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, step, text)]
    inner = place.get(step)
    if isinstance(inner, int | float) and not isinstance(inner, bool):
        inner = {"weight": inner}  # losses.answer: 1.0 and then losses.answer.per=sample
    if not isinstance(inner, dict | list):
        inner = {}
    place[step] = inner
    return inner


def _index(place: list[Any], step: str, text: str) -> int:
    if not step.isdigit() or int(step) >= len(place):
        raise UsageError(f"setting {text!r}", expected=f"an index from 0 to {len(place) - 1} in place of {step!r}")
    return int(step)


def _number(text: str) -> float | None:
    try:
        return float(text) if text[:1] in "+-.0123456789" and "_" not in text else None
    except ValueError:
        return None
