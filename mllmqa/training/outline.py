"""The model of a stage without its weights: a skeleton to count, and the processor to count tokens with."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from mllmqa.errors import MllmqaError, ModelLoadError
from mllmqa.models import mplug_owl2, nano, originals
from mllmqa.models.diagnosis import cannot_load
from mllmqa.models.llava_original import is_original, open_original
from mllmqa.models.load import processor_of
from mllmqa.models.presets import Preset
from mllmqa.models.quantize import skeleton
from mllmqa.models.resolve import ModelSource
from mllmqa.models.torchvision_shim import ensure_torchvision
from mllmqa.training.opening import source_of
from mllmqa.training.stage import Stage


@dataclass(frozen=True)
class Outline:
    """What is known of a model before its weights are read.

    Attributes:
        model: On the meta device.
        processor: Its processor.
        preset: How it is asked, fitted to it.
    """

    model: nn.Module
    processor: Any
    preset: Preset


def outline(stage: Stage) -> Outline:
    """Build the skeleton of what ``stage.model`` names, from its settings on this machine; nothing is fetched.

    Raises:
        UsageError: No model is named, or one behind an endpoint.
        ModelLoadError: It is not on this machine, or its settings cannot be read.
    """
    source = source_of(stage)
    folder = _folder(source)
    ensure_torchvision()
    nano.register()
    try:
        config, processor = _settings(replace(source, location=str(folder), local=True, revision=None), folder)
        model = skeleton(config)
    except MllmqaError:
        raise
    except Exception as error:
        raise cannot_load(error, source.name, folder) from error
    preset = source.preset.fitted(config.model_type, getattr(config, "input_side", None))
    return Outline(model, processor, preset)


def _folder(source: ModelSource) -> Path:
    """Where its settings lie: its folder, or the hub's cache."""
    if source.local:
        return Path(source.location)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source.location, "config.json", revision=source.revision)
    if not isinstance(found, str):
        raise ModelLoadError("is not on this machine, and is fetched only when it is trained", where=source.name)
    return Path(found).parent


def _settings(source: ModelSource, folder: Path) -> tuple[Any, Any]:
    """Return configuration and processor."""
    from transformers import AutoConfig

    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if is_original(settings):
        if originals.seeing_parts(folder):
            raise ModelLoadError(
                "an original checkpoint of VQA² is only known when it is loaded", where=source.name
            )
        opened = open_original(folder)
        return opened.config, opened.processor
    if settings.get("model_type") == mplug_owl2.MODEL_TYPE:
        mplug_owl2.register()
    local = {"trust_remote_code": False, "local_files_only": True}
    return AutoConfig.from_pretrained(folder, **local), processor_of(source, local)
