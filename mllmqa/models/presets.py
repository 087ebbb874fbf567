"""Presets: published scorers described as data, and the resolution of ``--model NAME|PATH|HUB-ID``."""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mllmqa.errors import ModelLoadError, UnknownNameError, UsageError

DEFAULT_MODEL = "nano"
GENERIC_PRESET = "generic"
API_PRESET = "api"
API_PREFIX = "api:"
"""``--model api:NAME`` is the model NAME behind an OpenAI-compatible endpoint."""
MARKER_FILE = "mllmqa.json"
"""In a model folder: ``{"preset": NAME}`` says how that model wants to be asked."""

_FOLDER = Path(__file__).parent / "presets"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

VideoMode = Literal["native", "images", "per-frame", "auto"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VideoPreset(_Strict):
    """How a model takes a video."""

    mode: VideoMode
    """``native``: its own video input; ``images``: all frames as images of one prompt; ``per-frame``: each
    frame by itself, distributions averaged; ``auto``: native where the processor has it, else images."""
    frames: str
    """Frame rule (:mod:`mllmqa.media.sample`)."""


class Licence(_Strict):
    """Licences of code and weights, as stated by the authors."""

    code: str
    weights: str


class Preset(_Strict):
    """A scorer as data: where its weights are, how it is asked, what it sees."""

    name: str
    title: str
    weights: str | None
    """Hub id, ``package:FOLDER`` inside mllmqa, or None (named by the user)."""
    revision: str | None = None
    parameters: str
    aspects: dict[str, str]
    """Aspect → prompt id."""
    view: str
    """View (:mod:`mllmqa.media.views`)."""
    views: tuple[str, ...] | None = None
    """The only views that it can take; None: any."""
    video: VideoPreset
    answer_separator: str | None = None
    """Between chat template and answer start; None: a space unless the template ends with white space."""
    licence: Licence
    paper: str | None = None
    notes: str = ""


@dataclass(frozen=True)
class ModelSource:
    """Where a model is loaded from.

    Attributes:
        name: As the user named it.
        preset: How it is asked.
        location: Local folder, or hub id.
        local: Whether ``location`` is a folder.
        revision: Hub revision, if any.
    """

    name: str
    preset: Preset
    location: str
    local: bool
    revision: str | None = None


@cache
def presets() -> dict[str, Preset]:
    """Return all presets by name.

    Raises:
        ModelLoadError: A preset file is malformed (names file and field).
    """
    found = {}
    for path in sorted(_FOLDER.glob("*.yaml")):
        try:
            preset = Preset.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, ValidationError) as error:
            raise ModelLoadError(f"malformed preset: {error}", where=path) from error
        if preset.name != path.stem:
            raise ModelLoadError(f"name is {preset.name!r}", where=path, expected=repr(path.stem))
        found[preset.name] = preset
    return found


def resolve(name: str, revision: str | None = None) -> ModelSource:
    """Find what ``--model name`` means: a preset, a local folder, or a hub id (in this order).

    Raises:
        UnknownNameError: None of the three.
        ModelLoadError: A folder that holds no model.
    """
    known = presets()
    if name.startswith(API_PREFIX):
        if not (remote := name.removeprefix(API_PREFIX)).strip():
            raise UsageError("no model is named after api:", expected="api:MODEL, as the endpoint calls it")
        if revision:
            raise UsageError("a model behind an endpoint has no revisions", where=name)
        return ModelSource(name, known[API_PRESET], remote, local=False)
    if name in known and known[name].weights is not None:
        if revision and str(known[name].weights).startswith("package:"):
            raise UsageError("the model inside the package has no revisions", where=name)
        return _from_preset(known[name], revision)
    folder = Path(name).expanduser()
    if name and os.path.isdir(folder):  # noqa: PTH112 - never raises, whatever the name
        return ModelSource(name, _preset_of(folder), str(folder.resolve()), local=True)
    looks_like_path = name.startswith((".", "/", "~")) or folder.is_absolute()
    if _HUB_ID.fullmatch(name) and not looks_like_path:
        preset = next((p for p in known.values() if p.weights == name), known[GENERIC_PRESET])
        return ModelSource(name, preset, name, local=False, revision=revision or preset.revision)
    close = difflib.get_close_matches(name, [n for n, p in known.items() if p.weights], n=1)
    raise UnknownNameError(
        f"no model {name!r}",
        expected="a name listed by `mllmqa models`, a folder with config.json, a hub id like org/name, or api:NAME",
        hint=f"did you mean {close[0]!r}?" if close else None,
    )


def _from_preset(preset: Preset, revision: str | None) -> ModelSource:
    weights = preset.weights or ""
    if weights.startswith("package:"):
        folder = Path(__file__).parent / weights.removeprefix("package:") / "weights"
        return ModelSource(preset.name, preset, str(folder), local=True)
    return ModelSource(preset.name, preset, weights, local=False, revision=revision or preset.revision)


def _preset_of(folder: Path) -> Preset:
    if not (folder / "config.json").is_file():
        raise ModelLoadError("this folder holds no model", where=folder, expected="a config.json in it")
    marker = folder / MARKER_FILE
    if not marker.is_file():
        return presets()[GENERIC_PRESET]
    try:
        name = json.loads(marker.read_text(encoding="utf-8"))["preset"]
        return presets()[name]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelLoadError(
            f"malformed: {error!r}", where=marker, expected='{"preset": NAME} with a name of `mllmqa models`'
        ) from error


def on_this_machine(preset: Preset) -> bool:
    """Tell whether a preset's weights lie here: in the package, or in the hub cache."""
    if preset.weights is None:
        return False
    if preset.weights.startswith("package:"):
        return Path(_from_preset(preset, None).location).is_dir()
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(preset.weights, "config.json", revision=preset.revision), str)
