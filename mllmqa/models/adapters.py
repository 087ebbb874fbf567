"""LoRA and other PEFT adapters: a folder with ``adapter_config.json`` on top of a base model.

On a full-precision base the adapter is merged, so that scoring costs what the base costs. On a quantised
base it stays beside the weights: merging would round it to 8 or 4 bits.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mllmqa.errors import MissingExtraError, ModelLoadError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def is_adapter(folder: Path) -> bool:
    """Tell whether a folder holds an adapter and not a whole model.

    Adapters in the layout of the original LLaVA code (``non_lora_trainables.bin``) are not meant.
    """
    if not (folder / CONFIG_FILE).is_file() or (folder / "non_lora_trainables.bin").is_file():
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
    except (ValueError, AttributeError) as error:
        raise ModelLoadError(
            f"malformed: {error}", where=path, expected="a JSON object as PEFT writes it"
        ) from error
    if not isinstance(name, str) or not name:
        raise ModelLoadError("names no base model", where=path, hint="say which with --base PATH")
    beside = folder / name
    return str(beside) if not Path(name).is_absolute() and beside.is_dir() else name


def attach(model: Any, folder: Path, *, merge: bool, where: str) -> Any:
    """Put an adapter on a loaded base model.

    Args:
        model: The base, in eval mode.
        folder: Holds ``adapter_config.json`` and ``adapter_model.safetensors``.
        merge: Add the adapter into the weights; else its layers stay beside them.
        where: Name of the model for messages.

    Returns:
        The model of the base's own class, with the adapter in it.

    Raises:
        MissingExtraError: peft is not installed.
        ModelLoadError: No safetensors, or the adapter does not fit the base.
    """
    if find_spec("peft") is None:
        raise MissingExtraError("peft", extra="train", purpose="an adapter")
    if not (folder / WEIGHTS_FILE).is_file():
        raise ModelLoadError("the adapter's weights are missing", where=folder, expected=WEIGHTS_FILE)
    from peft import PeftConfig, PeftModel

    try:
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        adapted = PeftModel(model, config)
        report = adapted.load_adapter(str(folder), "default", is_trainable=False)
    except Exception as error:
        raise ModelLoadError(
            f"the adapter does not fit: {type(error).__name__}: {str(error).splitlines()[0][:300]}",
            where=where,
            expected="an adapter trained on this base",
        ) from error
    for what, keys in (("missing", report.missing_keys), ("unexpected", report.unexpected_keys)):
        if keys:
            raise ModelLoadError(
                f"{len(keys)} {what} keys in the adapter: {', '.join(sorted(keys)[:3])}",
                where=where,
                expected="an adapter trained on this base",
            )
    return (adapted.merge_and_unload() if merge else adapted.get_base_model()).eval()
