"""Write a whole model so that ``--model FOLDER`` loads it: safetensors, configuration, processor, marker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mllmqa.errors import UsageError
from mllmqa.models.presets import GENERIC_PRESET, Preset
from mllmqa.models.resolve import write_marker


def save_whole(
    model: Any,
    processor: Any,
    preset: Preset,
    folder: Path,
    *,
    dtype: str | None = None,
    state: Mapping[str, Any] | None = None,
) -> None:
    """Write a model with its processor, and which preset asks it.

    Args:
        model: Of a class that transformers' Auto classes know, without adapters; it stays as it is.
        processor: Its processor.
        preset: How it is asked; of the generic one nothing is written.
        folder: Made if need be; files of the same names are replaced.
        dtype: Stored floating-point type, e.g. ``bfloat16``; None: that of each tensor.
        state: Its tensors, where the model itself does not hold them (ZeRO-3).

    Raises:
        UsageError: transformers' Auto classes do not know the model's class, so that nobody could load it.
        OSError: The folder cannot be written.
    """
    check_known(model)
    vars(model.config).pop("auto_map", None)  # names the authors' remote code
    if dtype is not None:
        state = _cast(model.state_dict() if state is None else state, dtype)
    model.save_pretrained(folder, state_dict=state)
    processor.save_pretrained(folder)
    if preset.name != GENERIC_PRESET:
        write_marker(folder, preset.name)
    if dtype is not None:
        _state_dtype(folder / "config.json", dtype)


def check_known(model: Any) -> None:
    """Raise UsageError unless transformers' Auto classes know the model's class."""
    from mllmqa.models.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    from transformers import CONFIG_MAPPING

    from mllmqa.models import vqa2_motion

    if model.config.model_type == vqa2_motion.MODEL_TYPE:  # loaded from the original layout, without registering
        vqa2_motion.register()
    if model.config.model_type not in CONFIG_MAPPING:
        raise UsageError(
            f"its class {type(model).__name__} is not known to transformers' Auto classes",
            hint="mllmqa loads the original as it is",
        )


def _cast(state: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Return the tensors in another floating-point type; shared ones stay shared."""
    import torch

    kind, made = getattr(torch, dtype), {}
    by_place: dict[tuple[int, tuple[int, ...]], Any] = {}
    for name, value in state.items():
        if not value.is_floating_point():
            made[name] = value
            continue
        place = value.data_ptr(), tuple(value.shape)
        made[name] = by_place.setdefault(place, value.to(kind))
    return made


def _state_dtype(file: Path, dtype: str) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    for part in (config, *(config[name] for name in ("text_config", "vision_config") if name in config)):
        part["dtype"] = dtype
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
