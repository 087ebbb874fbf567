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
PREFIX = "base_model.model."
"""PEFT puts it before the names of the base's tensors."""
_HUB_FILES = ("adapter_*", "non_lora_trainables.bin", "config.json", "mllmqa.json")


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds an adapter and not a whole model."""
    if not (folder / CONFIG_FILE).is_file():
        return False
    return not any(any(folder.glob(pattern)) for pattern in ("model*.safetensors", "pytorch_model*.bin"))


def base_of(folder: Path) -> tuple[str, str | None]:
    """Return the base model that an adapter names, a hub id, preset or folder, and its hub revision if it says one.

    A relative folder is looked for beside the adapter first, then in the working directory.

    Raises:
        ModelLoadError: The file is malformed, or names no base.
    """
    path = folder / CONFIG_FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        name, revision = fields.get("base_model_name_or_path"), fields.get("revision")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ModelLoadError(
            f"malformed: {error}", where=path, expected="a JSON object as PEFT writes it"
        ) from error
    if not isinstance(name, str) or not name:
        raise ModelLoadError("names no base model", where=path, hint="say which with --base PATH")
    beside = folder / name
    if not Path(name).is_absolute() and os.path.isdir(beside):  # noqa: PTH112 - never raises, whatever the name
        return str(beside), None
    return name, revision if isinstance(revision, str) else None


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
            ``weights_only=True``), and for mPLUG-Owl2 perhaps ``non_lora_trainables.bin``. Whole tensors in either
            file replace those of the base.
        merge: Add the adapter into the weights; else its layers stay beside them.
        where: Name of the model for messages.

    Returns:
        The model of the base's own class, with the adapter in it.

    Raises:
        MissingExtraError: peft is not installed.
        ModelLoadError: No weights, or the adapter does not fit the base.
    """
    adapted, _ = _adapted(model, folder, trainable=False, where=where)
    return (adapted.merge_and_unload() if merge else adapted.get_base_model()).eval()


def attach_trainable(model: Any, folder: Path, *, where: str) -> tuple[Any, frozenset[str]]:
    """Put an adapter on a loaded base model to train it on; see :func:`attach`.

    Returns:
        The PEFT model, and the names of the tensors of the base that the adapter's files replaced.

    Raises:
        MissingExtraError: peft is not installed.
        ModelLoadError: No weights, or the adapter does not fit the base.
    """
    return _adapted(model, folder, trainable=True, where=where)


def _adapted(model: Any, folder: Path, *, trainable: bool, where: str) -> tuple[Any, frozenset[str]]:
    if find_spec("peft") is None:
        raise MissingExtraError("peft", extra="train", purpose="an adapter")
    published = model.config.model_type == MODEL_TYPE
    wanted = (WEIGHTS_FILE, OLD_WEIGHTS_FILE) if published else (WEIGHTS_FILE,)
    if not any((folder / name).is_file() for name in wanted):
        raise ModelLoadError("the adapter's weights are missing", where=folder, expected=" or ".join(wanted))
    replaced: set[str] = set()
    if (folder / non_lora.FILE).is_file():
        if not published:
            raise ModelLoadError(f"it has {non_lora.FILE}", where=folder, expected=f"that beside {MODEL_TYPE} only")
        replaced |= set(non_lora.load_non_lora(model, folder / non_lora.FILE))
    from peft import PeftConfig, PeftModel

    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = not trainable
        if trainable:
            config.modules_to_save = None  # without copies of these modules, their tensors go into the base itself
            replaced |= whole_tensors(folder)
        adapted = PeftModel(model, config)
    except Exception as error:
        raise _misfit(error, folder, where) from error
    load_weights(adapted, folder, where=where)
    return adapted, frozenset(replaced)


def load_weights(adapted: Any, folder: Path, *, where: str) -> None:
    """Read the weights of an adapter's folder into a model that has its layers: adapters and whole tensors.

    Raises:
        ModelLoadError: A key is missing, unexpected or of a wrong shape, or the file is damaged.
    """
    try:
        report = adapted.load_adapter(str(folder), "default", is_trainable=not _frozen(adapted))
    except Exception as error:
        raise _misfit(error, folder, where) from error
    for what, keys in (("missing", report.missing_keys), ("unexpected", report.unexpected_keys)):
        if keys:
            raise ModelLoadError(
                f"{len(keys)} {what} keys in the adapter: {', '.join(sorted(keys)[:3])}",
                where=where,
                expected="an adapter trained on this base",
            )


def whole_tensors(folder: Path) -> frozenset[str]:
    """Return the names of the base's tensors that an adapter's weights replace: parts trained in full beside it.

    PEFT's own ``modules_to_save`` and :mod:`mllmqa.training.saving` store them alike.

    Raises:
        ModelLoadError: The file is damaged.
    """
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        return frozenset()
    if (broken := broken_weights(folder)) is not None:
        raise broken
    from safetensors import safe_open

    with safe_open(str(file), framework="pt") as stored:
        return frozenset(name.removeprefix(PREFIX) for name in stored.keys() if ".lora_" not in name)  # noqa: SIM118


def _frozen(adapted: Any) -> bool:
    return bool(adapted.peft_config["default"].inference_mode)


def _misfit(error: Exception, folder: Path, where: str) -> ModelLoadError:
    return broken_weights(folder) or ModelLoadError(
        f"the adapter does not fit: {said(error)}", where=where, expected="an adapter trained on this base"
    )
