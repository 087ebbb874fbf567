"""Which part of a model a parameter belongs to: what a stage trains, freezes and counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Literal

from torch import nn

from mllmqa.errors import ModelLoadError
from mllmqa.training.stage import PARTS, Part

LORA = "lora"
"""What counts and groups call the adapters' own parameters."""

_BEGINNINGS: tuple[tuple[str, Part], ...] = (
    # LLaVA, LLaVA-NeXT, LLaVA-OneVision, InternVL, nano
    ("model.vision_tower.", "vision"),
    ("model.multi_modal_projector.", "projector"),
    ("model.image_newline", "projector"),
    ("model.language_model.embed_tokens.", "embeddings"),
    ("model.language_model.layers.", "language"),
    ("model.language_model.norm.", "language"),
    ("lm_head.", "head"),
    # VQA²
    ("slowfast.", "motion"),
    ("slowfast_projector.", "motion_projector"),
    # Qwen2-VL and later; the projector is a module of the tower
    ("model.visual.merger.", "projector"),
    ("model.visual.deepstack_merger_list.", "projector"),
    ("model.visual.", "vision"),
    # mPLUG-Owl2
    ("model.vision_model.", "vision"),
    ("model.visual_abstractor.", "projector"),
    ("model.embed_tokens.", "embeddings"),
    ("model.layers.", "language"),
    ("model.norm.", "language"),
)
"""Beginnings of names, in the names of transformers 5; the first that fits counts."""

_WRAPPER = "base_model.model."
_INSIDE = re.compile(r"\.(base_layer|original_module|modules_to_save\.\w+|lora_\w+\.\w+)(?=\.|$)")


@dataclass(frozen=True)
class PartCount:
    """A row of the table of parameters.

    Attributes:
        part: One of :data:`~mllmqa.training.stage.PARTS`, or :data:`LORA`.
        parameters: How many numbers it has; of packed weights how many they stand for.
        trainable: How many of them are trained.
    """

    part: Part | Literal["lora"]
    parameters: int
    trainable: int


def base_name(name: str) -> str:
    """Return what a parameter or module of a PEFT model is called in the model under it.

    >>> base_name("base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight")
    'model.layers.0.self_attn.q_proj.weight'
    """
    return _INSIDE.sub("", name.removeprefix(_WRAPPER))


def is_lora(name: str) -> bool:
    """Tell whether a parameter belongs to an adapter and not to the model under it."""
    return ".lora_" in name


def part_of(name: str) -> Part:
    """Return the part of a parameter or buffer by its name, with or without the names that PEFT adds.

    Raises:
        ModelLoadError: No supported family has such a name.
    """
    plain = base_name(name)
    for beginning, part in _BEGINNINGS:
        if plain.startswith(beginning):
            return part
    raise ModelLoadError(
        f"no part of a model is known for the parameter {plain}",
        expected=f"names of a supported family, for {', '.join(PARTS)}",
        hint="add its beginning to mllmqa/training/parts.py",
    )


def parts_of(model: nn.Module) -> dict[str, Part]:
    """Return the part of every parameter, by its name in ``model.named_parameters()``.

    Args:
        model: Of any supported family, with or without PEFT's layers. An adapter's parameter is of the part that
            the adapter sits in.

    Raises:
        ModelLoadError: A parameter that no supported family has.
    """
    return {name: part_of(name) for name, _ in model.named_parameters()}


def count_parts(model: nn.Module) -> list[PartCount]:
    """Return the parameters of each part that the model has, and of the adapters, in the order of ``PARTS``."""
    rows: dict[Part | Literal["lora"], list[int]] = {}
    for name, parameter in model.named_parameters():
        part: Part | Literal["lora"] = part_of(name)
        row = rows.setdefault("lora" if is_lora(name) else part, [0, 0])
        size = _size(parameter)
        row[0] += size
        row[1] += size if parameter.requires_grad else 0
    order: tuple[Part | Literal["lora"], ...] = (*PARTS, "lora")
    return [PartCount(part, *rows[part]) for part in order if part in rows]


def _size(parameter: nn.Parameter) -> int:
    """Count the numbers that a parameter stands for: 4-bit weights are packed, those of ZeRO-3 are elsewhere."""
    if (packed := getattr(parameter, "quant_state", None)) is not None:
        return prod(packed.shape)
    return int(getattr(parameter, "ds_numel", parameter.numel()))
