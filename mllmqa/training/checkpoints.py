"""Read a checkpoint of the Trainer back into the model that it was taken of, and prove that all of it arrived.

The Trainer's own ``_load_from_checkpoint`` and ``_load_best_model`` compare the names in memory with those in the
file, which are others for LLaVA, LLaVA-NeXT, LLaVA-OneVision, InternVL and Qwen2.5-VL in transformers 5: nothing
matches, a warning is logged, and the run goes on with the weights it started from (transformers issue #43701).
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from mllmqa.errors import MllmqaError, ModelLoadError
from mllmqa.models.adapters import load_weights, whole_tensors
from mllmqa.models.diagnosis import cannot_load
from mllmqa.training.saving import is_adapted, trained_in_full


def load_checkpoint(model: Any, folder: Path) -> None:
    """Read a whole model's or an adapter's checkpoint; resuming and going back to the best one are the same.

    Args:
        model: From :func:`mllmqa.training.adapt.prepare`, of the same stage; its tensors are overwritten in place.
        folder: Written by :func:`mllmqa.training.saving.write_weights`.

    Raises:
        ModelLoadError: A key is missing or unexpected, a shape differs, or a file is damaged.
    """
    if is_adapted(model):
        load_adapter_checkpoint(model, folder)
    else:
        load_full_checkpoint(model, folder)


def load_full_checkpoint(model: Any, folder: Path) -> None:
    """Read a whole model's checkpoint, whichever names its file uses; see :func:`load_checkpoint`.

    Loads a second model on the CPU in float32, which holds bfloat16 and float16 exactly.
    """
    try:
        stored, report = type(model).from_pretrained(
            folder,
            config=copy.deepcopy(model.config),
            dtype=torch.float32,
            output_loading_info=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # refused below, by name
            local_files_only=True,
        )
    except MllmqaError:
        raise
    except Exception as error:
        raise cannot_load(error, str(folder), folder) from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[what]:
            raise _refused(what.replace("_", " "), [str(key) for key in report[what]], folder)
    there, here = stored.state_dict(), model.state_dict()
    if there.keys() != here.keys():
        raise _refused("tensors in one of the two only", sorted(there.keys() ^ here.keys()), folder)
    with torch.no_grad():
        for name, value in here.items():
            value.copy_(there[name])


def load_adapter_checkpoint(model: Any, folder: Path) -> None:
    """Read an adapter's checkpoint with what was trained in full beside it; see :func:`load_checkpoint`."""
    missing = set(trained_in_full(model)) - whole_tensors(folder)
    if missing:
        raise _refused("trained tensors are not in it", sorted(missing), folder)
    load_weights(model, folder, where=str(folder))


def _refused(what: str, keys: list[str], folder: Path) -> ModelLoadError:
    return ModelLoadError(
        f"{len(keys)} {what}: {', '.join(sorted(keys)[:3])}",
        where=folder,
        expected="a checkpoint of this very model",
    )
