"""From ``--model NAME|PATH|HUB-ID|api:NAME`` to where the model is and how it is asked."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from mllmqa.errors import ModelLoadError, UnknownNameError, UsageError
from mllmqa.models.adapters import CONFIG_FILE as ADAPTER_CONFIG
from mllmqa.models.adapters import base_of, is_adapter
from mllmqa.models.presets import API_PRESET, GENERIC_PRESET, Preset, nearest, presets

API_PREFIX = "api:"
"""``--model api:NAME`` is the model NAME behind an OpenAI-compatible endpoint."""
MARKER_FILE = "mllmqa.json"
"""In a model folder: ``{"preset": NAME}`` says how that model wants to be asked."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


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

    @property
    def remote(self) -> bool:
        """Whether it is behind an endpoint, so that ``location`` is what the endpoint calls it."""
        return self.preset.name == API_PRESET


def write_marker(folder: Path, name: str) -> None:
    """Let a model folder say which preset it wants to be asked with."""
    (folder / MARKER_FILE).write_text(json.dumps({"preset": name}) + "\n", encoding="utf-8")


def resolve(name: str, revision: str | None = None, base: str | None = None) -> ModelSource:
    """Find what ``--model name`` means: a preset, a local folder, or a hub id (in this order).

    Args:
        name: As the user wrote it.
        revision: Hub revision; of the base, where ``name`` is an adapter (None: the one that it names).
        base: Model under an adapter; None: the one that its ``adapter_config.json`` names.

    Raises:
        UnknownNameError: None of the three.
        UsageError: ``base`` for what is no adapter, or a revision of the embedded model.
        ModelLoadError: A folder that holds no model, or an adapter whose base is none.
    """
    known = presets()
    if name.startswith(API_PREFIX):
        return _from_endpoint(name, revision, base)
    folder = _folder(name)
    if folder is not None and name not in known and is_adapter(folder):
        return _from_adapter(name, revision, base)
    if base is not None:
        raise UsageError("--base is for adapters", where=name, expected="a folder with adapter_config.json")
    if name in known and known[name].weights is not None:
        if revision and str(known[name].weights).startswith("package:"):
            raise UsageError("the model inside the package has no revisions", where=name)
        return _from_preset(known[name], revision)
    if folder is not None:
        return ModelSource(name, _preset_of(folder), str(folder.resolve()), local=True)
    looks_like_path = name.startswith((".", "/", "~")) or Path(name).is_absolute()
    if _HUB_ID.fullmatch(name) and not looks_like_path:
        preset = next((p for p in known.values() if p.weights == name), known[GENERIC_PRESET])
        return ModelSource(name, preset, name, local=False, revision=revision or preset.revision)
    raise UnknownNameError(
        f"no model {name!r}",
        expected="a name listed by `mllmqa models`, a folder with config.json, a hub id like org/name, or api:NAME",
        hint=nearest(name, [n for n, p in known.items() if p.weights]),
    )


def _folder(name: str) -> Path | None:
    """Return the folder that a name means, None if there is none; never raises, whatever the name."""
    folder = os.path.expanduser(name)  # noqa: PTH111 - leaves ~nobody as it is
    return Path(folder) if name and os.path.isdir(folder) else None  # noqa: PTH112


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
    wanted, of_base = (base, None) if base else base_of(folder)
    named_in = Path(name) if base else folder / ADAPTER_CONFIG
    if wanted.startswith(API_PREFIX):  # a downloaded file could send the user's pictures away
        raise ModelLoadError(
            f"its base {wanted!r} is behind an endpoint",
            where=named_in,
            expected="a model whose weights are at hand",
        )
    beneath = _folder(wanted)
    if beneath is not None and wanted not in presets() and is_adapter(beneath):
        raise ModelLoadError(f"its base {wanted!r} is an adapter itself", where=named_in, expected="a whole model")
    try:
        under = resolve(wanted, revision or of_base)
    except UnknownNameError as error:
        if base:
            raise
        raise ModelLoadError(
            f"its base {wanted!r} is no model here", where=named_in, hint="say which with --base"
        ) from error
    if under.adapter is not None:
        raise ModelLoadError(f"its base {wanted!r} is an adapter itself", where=named_in, expected="a whole model")
    preset = _marked(folder, under.preset)
    return replace(under, name=name, preset=preset, adapter=str(folder))


def _preset_of(folder: Path) -> Preset:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelLoadError("this folder holds no model", where=folder, expected="a config.json in it")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelLoadError(f"cannot be loaded as JSON: {error}", where=path) from error
    if not isinstance(settings, dict):
        raise ModelLoadError(f"is a JSON {type(settings).__name__}", where=path, expected="a JSON object")
    return _marked(folder, presets()[GENERIC_PRESET])


def _marked(folder: Path, otherwise: Preset) -> Preset:
    """Return the preset that a folder's marker file names."""
    marker = folder / MARKER_FILE
    if not marker.is_file():
        return otherwise
    expected = '{"preset": NAME} with a name of `mllmqa models`'
    try:
        name = str(json.loads(marker.read_text(encoding="utf-8"))["preset"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelLoadError(f"malformed: {error!r}", where=marker, expected=expected) from error
    here = {known: preset for known, preset in presets().items() if known != API_PRESET}
    if name not in here:  # the preset of endpoints would send the user's pictures away
        raise ModelLoadError(
            f"no preset {name!r} for a model in a folder", where=marker, expected=expected, hint=nearest(name, here)
        )
    return here[name]


def on_this_machine(preset: Preset) -> bool:
    """Tell whether a preset's weights lie here: in the package, or in the hub cache."""
    if preset.weights is None:
        return False
    if preset.weights.startswith("package:"):
        return Path(_from_preset(preset, None).location).is_dir()
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(preset.weights, "config.json", revision=preset.revision), str)
