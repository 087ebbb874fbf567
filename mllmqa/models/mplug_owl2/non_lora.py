"""What the original LoRA recipes train beside the adapter: ``non_lora_trainables.bin``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mllmqa.errors import ModelLoadError

FILE = "non_lora_trainables.bin"
_PREFIX = "base_model."
_WRAPPED = "model.model."


def load_non_lora(model: Any, file: Path) -> list[str]:
    """Put the fully trained parts (abstractor, vision tower where it was trained) into the base model.

    Args:
        model: The base; its dtype and devices stay.
        file: Tensors by name, with the prefixes that PEFT put in front; read with ``weights_only=True``.

    Returns:
        The names of the parameters that were replaced.

    Raises:
        ModelLoadError: The file cannot be read, or a tensor has no place in the model.
    """
    import torch

    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelLoadError(f"cannot be read: {type(error).__name__}", where=file) from error
    named = {_inner_name(name): value for name, value in stored.items()}
    own = model.state_dict()
    for name, value in named.items():
        if name not in own:
            raise ModelLoadError(f"unexpected key {name}", where=file, expected="parts of the base model")
        if own[name].shape != value.shape:
            raise ModelLoadError(
                f"{name} has shape {tuple(value.shape)}", where=file, expected=str(tuple(own[name].shape))
            )
    model.load_state_dict(named, strict=False)
    return sorted(named)


def _inner_name(name: str) -> str:
    """Return the name inside the base model.

    >>> _inner_name("base_model.model.model.visual_abstractor.vit_eos")
    'model.visual_abstractor.vit_eos'
    """
    name = name.removeprefix(_PREFIX)
    return name.removeprefix("model.") if name.startswith((_WRAPPED, "model.lm_head.")) else name
