"""LoRA and other PEFT adapters: a folder with ``adapter_config.json`` on top of a base model.

On a full-precision base the adapter is merged, so that scoring costs what the base costs. On a quantised
base it stays beside the weights: merging would round it to 8 or 4 bits.
"""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mllmqa.errors import MissingExtraError, ModelLoadError
from mllmqa.models.diagnosis import broken_weights, said
from mllmqa.models.mplug_owl2 import MODEL_TYPE, non_lora

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
OLD_WEIGHTS_FILE = "adapter_model.bin"
"""Read for mPLUG-Owl2 only, whose authors publish such files, and with ``weights_only=True``."""
_HUB_FILES = ("adapter_*", "non_lora_trainables.bin", "config.json", "mllmqa.json")


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds an adapter and not a whole model."""
    if not (folder / CONFIG_FILE).is_file():
        return False
    return not any(any(folder.glob(pattern)) for pattern in ("model*.safetensors", "pytorch_model*.bin"))


def base_of(folder: Path) -> str:
    """Return the base model that an adapter names: a hub id or a folder.

    A relative folder is looked for beside the adapter first, then in the working directory.

    Raises:
        ModelLoadError: The file is malformed, or names no base.
    """
    path = folder / CONFIG_FILE
    try:
        name = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ModelLoadError(
            f"malformed: {error}", where=path, expected="a JSON object as PEFT writes it"
        ) from error
    if not isinstance(name, str) or not name:
        raise ModelLoadError("names no base model", where=path, hint="say which with --base PATH")
    beside = folder / name
    is_folder = os.path.isdir(beside)  # noqa: PTH112 - never raises, whatever the name
    return str(beside) if not Path(name).is_absolute() and is_folder else name


def folder_of(adapter: str, revision: str | None) -> Path:
    """Return the folder of an adapter, fetched from the hub if it is a hub id.

    Raises:
        ModelLoadError: It cannot be fetched.
    """
    if Path(adapter).is_dir():
        return Path(adapter)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(adapter, revision=revision, allow_patterns=list(_HUB_FILES)))
    except Exception as error:
        raise ModelLoadError(
            f"the adapter cannot be fetched: {type(error).__name__}",
            where=adapter,
            hint="if this machine is offline, download it first",
        ) from error


def attach(model: Any, folder: Path, *, merge: bool, where: str) -> Any:
    """Put an adapter on a loaded base model.

    Args:
        model: The base, in eval mode.
        folder: Holds ``adapter_config.json``, ``adapter_model.safetensors`` (or ``.bin``, read with
            ``weights_only=True``), and for mPLUG-Owl2 perhaps ``non_lora_trainables.bin``, whose parts
            replace those of the base.
        merge: Add the adapter into the weights; else its layers stay beside them.
        where: Name of the model for messages.

    Returns:
        The model of the base's own class, with the adapter in it.

    Raises:
        MissingExtraError: peft is not installed.
        ModelLoadError: No weights, or the adapter does not fit the base.
    """
    if find_spec("peft") is None:
        raise MissingExtraError("peft", extra="train", purpose="an adapter")
    published = model.config.model_type == MODEL_TYPE
    wanted = (WEIGHTS_FILE, OLD_WEIGHTS_FILE) if published else (WEIGHTS_FILE,)
    if not any((folder / name).is_file() for name in wanted):
        raise ModelLoadError("the adapter's weights are missing", where=folder, expected=" or ".join(wanted))
    if (folder / non_lora.FILE).is_file():
        if not published:
            raise ModelLoadError(f"it has {non_lora.FILE}", where=folder, expected=f"that beside {MODEL_TYPE} only")
        non_lora.load_non_lora(model, folder / non_lora.FILE)
    from peft import PeftConfig, PeftModel

    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        adapted = PeftModel(model, config)
        report = adapted.load_adapter(str(folder), "default", is_trainable=False)
    except Exception as error:
        raise broken_weights(folder) or ModelLoadError(
            f"the adapter does not fit: {said(error)}", where=where, expected="an adapter trained on this base"
        ) from error
    for what, keys in (("missing", report.missing_keys), ("unexpected", report.unexpected_keys)):
        if keys:
            raise ModelLoadError(
                f"{len(keys)} {what} keys in the adapter: {', '.join(sorted(keys)[:3])}",
                where=where,
                expected="an adapter trained on this base",
            )
    return (adapted.merge_and_unload() if merge else adapted.get_base_model()).eval()
