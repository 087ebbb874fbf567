"""Where a model runs, and in which floating-point type."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from mllmqa.errors import MissingExtraError, UsageError

BALANCED = "balanced"
"""Layers spread over all GPUs by accelerate."""

DTYPES = ("auto", "float32", "bfloat16", "float16")
STORED = "stored"
"""The dtype of the checkpoint; for conversions."""
BATCH, BATCH_ON_CPU = 16, 8
"""Requests at once where the caller does not say. On a CPU larger ones leave the cache; the eight frames of a clip
share one."""
_DEVICES = "auto, cpu, cuda, cuda:N, mps or balanced"


def pick_device(name: str) -> str:
    """Return a torch device string that exists here, or :data:`BALANCED`.

    Raises:
        UsageError: Not a device of this machine.
        MissingExtraError: ``balanced`` without accelerate.
    """
    import torch

    if name.startswith("meta"):
        raise UsageError("the device 'meta' holds no data", expected=_DEVICES)
    if name == BALANCED:
        if find_spec("accelerate") is None:
            raise MissingExtraError("accelerate", extra="quantize", purpose="--device balanced")
        return name
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0][:80]})", expected=_DEVICES
        ) from error
    return name


def device_map(where: str, *, quantized: bool) -> str | dict[str, str] | None:
    """Return what ``from_pretrained`` is told about placement; None: load on the CPU and move.

    A quantised model is placed while it is loaded, since its weights are packed there.
    """
    if where == BALANCED:
        return BALANCED
    return {"": where} if quantized else None


def pick_dtype(name: str, where: str) -> Any:
    """Return the torch dtype called ``name``; ``auto`` is float32 on the CPU, bfloat16 elsewhere.

    :data:`STORED` is returned as "auto", which is what transformers calls it.

    float16 is allowed on the CPU: torch has every operator that the families need there (it is slow).

    Raises:
        UsageError: Unknown name.
    """
    import torch

    if name == STORED:
        return "auto"
    if name not in DTYPES:
        raise UsageError(f"unknown dtype {name!r}", expected=" | ".join(DTYPES))
    if name == "auto":
        on_cpu = where == "cpu" or (where == BALANCED and not torch.cuda.is_available())
        return torch.float32 if on_cpu else torch.bfloat16
    return getattr(torch, name)


def input_device(model: Any) -> Any:
    """Return the torch device of the token embedding: where inputs go, also when layers are spread."""
    return model.get_input_embeddings().weight.device
