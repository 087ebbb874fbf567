"""Presets: published scorers described as data, and the resolution of ``--model NAME|PATH|HUB-ID``."""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mllmqa import prompts
from mllmqa.errors import ModelLoadError, UnknownNameError, UsageError
from mllmqa.models.adapters import base_of, is_adapter

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
    view: str | None = None
    """What the model sees of a frame; None: the view of pictures."""


class Licence(_Strict):
    """Licences of code and weights, as stated by the authors."""

    code: str
    weights: str


class Published(_Strict):
    """One row of a published table."""

    data: str
    srcc: float
    plcc: float | None = None
    source: str


class AnchoredPreset(_Strict):
    """How a model is asked to compare an input with anchor images; the defaults serve any model."""

    prompt: str = "compare/second_to_first"
    """Prompt id: it asks how the second image compares with the first."""
    words: str = "comparison"
    """Scale of the answer words (:func:`mllmqa.prompts.word_scale`)."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Divides the logits of the words; 1 takes the model's own probabilities."""
    link: Literal["normal", "logistic"] = "normal"
    """Of the MAP estimate (:mod:`mllmqa.ranking`)."""
    orders: Literal["anchor-first", "both"] = "both"
    """How an input is shown beside an anchor. ``both`` asks twice and averages, so that a liking for the first or
    second image cancels; a model that was trained with the anchor in front needs only that."""
    images: str | None = None
    """Hub data set with the published anchor images, worst first; it is never fetched by itself."""
    matrix: tuple[tuple[float, ...], ...] | None = None
    """Published preferences among those images, row over column; None: always measured with the model, in both
    orders."""

    @field_validator("matrix")
    @classmethod
    def _is_preferences(cls, matrix: tuple[tuple[float, ...], ...] | None) -> tuple[tuple[float, ...], ...] | None:
        n = len(matrix or ())
        for i, row in enumerate(matrix or ()):
            if len(row) != n or any(not 0 <= p <= 1 for p in row):
                raise ValueError(f"row {i + 1} is not {n} probabilities")
            if any(abs(p + (matrix or ())[j][i] - 1) > 1e-6 for j, p in enumerate(row) if j < i):
                raise ValueError(f"row {i + 1}: a preference and its opposite do not sum to 1")
        return matrix


class Preset(_Strict):
    """A scorer as data: where its weights are, how it is asked, what it sees.

    A file with ``extends: NAME`` states only what differs from that preset.
    """

    name: str
    extends: str | None = None
    title: str
    family: str | None = None
    """``model_type`` of its config.json; None: any."""
    family_default: bool = False
    """Whether folders and hub ids of this family without a preset of their own are asked like this one."""
    weights: str | None
    """Hub id, ``package:FOLDER`` inside mllmqa, or None (named by the user)."""
    revision: str | None = None
    base: str | None = None
    """Hub id of the model that ``weights``, an adapter, belongs to."""
    parameters: str
    aspects: dict[str, str]
    """Aspect → prompt id."""
    words: str = "levels"
    """Scale of the answer words (:func:`mllmqa.prompts.word_scale`), on 1..5."""
    words_apart: bool = False
    """Whether the words are tokens by themselves, without a space, put behind an answer start that ends in one."""
    view: str
    """View (:mod:`mllmqa.media.views`); {side} is the side of the model's input in pixels."""
    views: tuple[str, ...] | None = None
    """The only views that it can take; None: any."""
    video: VideoPreset
    layout: str | None = None
    """Whole text of a prompt with {question}, {media} and {answer}, as published; None: the chat template."""
    media_separator: str = ""
    """Between the placeholders of several pictures in ``{media}``."""
    template_arguments: dict[str, bool | str] = {}
    """Given to the chat template, e.g. ``enable_thinking``."""
    answer_separator: str | None = None
    """Between chat template and answer start; None: a space unless the template ends with white space."""
    anchored: AnchoredPreset | None = None
    """For models that score by comparison with anchor images only, and need them."""
    licence: Licence
    paper: str | None = None
    published: tuple[Published, ...] = ()
    notes: str = ""

    def prompt_texts(self) -> dict[str, str]:
        """Return what is asked about a picture, by aspect; the picture is ``<image>`` where a layout places it.

        Where the model's own chat template places it, question and answer start stand for the prompt.
        """
        layout = self.layout or "{question} … {answer}"
        media = self.media_separator.join(["<image>"] * (2 if self.anchored else 1))
        texts = {}
        for aspect, name in self.aspects.items():
            prompt = prompts.render(prompts.load(name), medium="image")
            texts[aspect] = lay_out(layout, media=media, question=prompt.question, answer=prompt.answer)
        return texts

    def fitted(self, model_type: str, side: int | None) -> Preset:
        """Return this preset for a loaded model; the generic one gives way to the default of the family.

        Raises:
            ModelLoadError: The model is of another family than the preset is for.
        """
        default = [p for p in presets().values() if p.family == model_type and p.family_default]
        chosen = default[0] if default and self.name == GENERIC_PRESET else self
        if chosen.family not in (None, model_type):
            raise ModelLoadError(
                f"the model is of the family {model_type}",
                where=chosen.name,
                expected=str(chosen.family),
            )
        return chosen.model_copy(update={"view": chosen.view.replace("{side}", str(side))})


@dataclass(frozen=True)
class ModelSource:
    """Where a model is loaded from.

    Attributes:
        name: As the user named it.
        preset: How it is asked.
        location: Local folder, or hub id.
        local: Whether ``location`` is a folder.
        revision: Hub revision, if any.
        adapter: Folder or hub id of a PEFT adapter to put on it, if any.
        adapter_revision: Hub revision of the adapter, if any.
    """

    name: str
    preset: Preset
    location: str
    local: bool
    revision: str | None = None
    adapter: str | None = None
    adapter_revision: str | None = None


@cache
def presets() -> dict[str, Preset]:
    """Return all presets by name, with what they take over from the presets that they extend.

    Raises:
        ModelLoadError: A preset file is malformed (names file and field).
    """
    raw = {path: _read(path) for path in sorted(_FOLDER.glob("*.yaml"))}
    by_name = {path.stem: fields for path, fields in raw.items()}
    found = {}
    for path, fields in raw.items():
        try:
            preset = Preset.model_validate(_extended(fields, by_name))
        except ValidationError as error:
            raise ModelLoadError(f"malformed preset: {error}", where=path) from error
        if preset.name != path.stem:
            raise ModelLoadError(f"name is {preset.name!r}", where=path, expected=repr(path.stem))
        found[preset.name] = preset
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ModelLoadError(f"malformed preset: {error}", where=path) from error
    if not isinstance(fields, dict):
        raise ModelLoadError("malformed preset", where=path, expected="a mapping of fields")
    return fields


def _extended(fields: dict[str, Any], by_name: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the fields with those of the preset that they extend; one level."""
    base = fields.get("extends")
    if base is None:
        return fields
    if base not in by_name or by_name[base].get("extends"):
        raise ModelLoadError(f"extends {base!r}", where=fields.get("name"), expected="a preset that extends none")
    return {**by_name[base], "family_default": False, **fields}


def lay_out(layout: str, **parts: str) -> str:
    """Put the parts into a layout; braces inside the parts stay as they are.

    >>> lay_out("USER: {question} {media}", question="{why}?", media="<image>")
    'USER: {why}? <image>'
    """
    return re.sub("|".join(f"{{{name}}}" for name in parts), lambda found: parts[found[0][1:-1]], layout)


def preset_named(name: str) -> Preset:
    """Return a preset.

    Raises:
        UnknownNameError: No preset has this name; offers the nearest one.
    """
    if name not in presets():
        close = difflib.get_close_matches(name, presets(), n=1)
        raise UnknownNameError(
            f"no preset {name!r}",
            expected="a name listed by `mllmqa models`",
            hint=f"did you mean {close[0]!r}?" if close else None,
        )
    return presets()[name]


def write_marker(folder: Path, name: str) -> None:
    """Let a model folder say which preset it wants to be asked with."""
    (folder / MARKER_FILE).write_text(json.dumps({"preset": name}) + "\n", encoding="utf-8")


def resolve(name: str, revision: str | None = None, base: str | None = None) -> ModelSource:
    """Find what ``--model name`` means: a preset, a local folder, or a hub id (in this order).

    Args:
        name: As the user wrote it.
        revision: Hub revision; of the base, where ``name`` is an adapter.
        base: Model under an adapter; None: the one that its ``adapter_config.json`` names.

    Raises:
        UnknownNameError: None of the three.
        UsageError: ``base`` for what is no adapter, or a revision of the embedded model.
        ModelLoadError: A folder that holds no model.
    """
    known = presets()
    if name.startswith(API_PREFIX):
        return _from_endpoint(name, revision, base)
    folder = Path(name).expanduser()
    is_folder = bool(name) and os.path.isdir(folder)  # noqa: PTH112 - never raises, whatever the name
    if is_folder and name not in known and is_adapter(folder):
        return _from_adapter(name, revision, base)
    if base is not None:
        raise UsageError("--base is for adapters", where=name, expected="a folder with adapter_config.json")
    if name in known and known[name].weights is not None:
        if revision and str(known[name].weights).startswith("package:"):
            raise UsageError("the model inside the package has no revisions", where=name)
        return _from_preset(known[name], revision)
    if is_folder:
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


def _from_endpoint(name: str, revision: str | None, base: str | None) -> ModelSource:
    if not (remote := name.removeprefix(API_PREFIX)).strip():
        raise UsageError("no model is named after api:", expected="api:MODEL, as the endpoint calls it")
    if revision or base:
        raise UsageError("a model behind an endpoint has no revisions and no base", where=name)
    return ModelSource(name, presets()[API_PRESET], remote, local=False)


def _from_preset(preset: Preset, revision: str | None) -> ModelSource:
    weights = preset.weights or ""
    if weights.startswith("package:"):
        folder = Path(__file__).parent / weights.removeprefix("package:") / "weights"
        return ModelSource(preset.name, preset, str(folder), local=True)
    revision = revision or preset.revision
    if preset.base is None:
        return ModelSource(preset.name, preset, weights, local=False, revision=revision)
    return ModelSource(preset.name, preset, preset.base, local=False, adapter=weights, adapter_revision=revision)


def _from_adapter(name: str, revision: str | None, base: str | None) -> ModelSource:
    """Resolve the base of an adapter; a marker file beside the adapter says how the two are asked."""
    folder = Path(name).expanduser().resolve()
    under = resolve(base or base_of(folder), revision)
    if under.adapter is not None:
        raise ModelLoadError("its base is an adapter itself", where=name, expected="a whole model")
    preset = _marked(folder, under.preset)
    return replace(under, name=name, preset=preset, adapter=str(folder))


def _preset_of(folder: Path) -> Preset:
    if not (folder / "config.json").is_file():
        raise ModelLoadError("this folder holds no model", where=folder, expected="a config.json in it")
    return _marked(folder, presets()[GENERIC_PRESET])


def _marked(folder: Path, otherwise: Preset) -> Preset:
    """Return the preset that a folder's marker file names."""
    marker = folder / MARKER_FILE
    if not marker.is_file():
        return otherwise
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
