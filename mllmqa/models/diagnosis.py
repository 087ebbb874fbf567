"""What is wrong with the files of a model, when a library has failed on them: one line that names the file.

Libraries say ``Error while deserializing header`` or ``pop from empty list`` and not which of forty files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mllmqa.errors import ModelLoadError

_NEEDED = {
    "weights": ("*.safetensors", "*.bin"),
    "tokenizer": ("tokenizer.json", "*.model", "vocab.json", "vocab.txt", "*.tiktoken"),
    "image processor": ("preprocessor_config.json", "processor_config.json"),
}
"""Parts of a model, and the files that hold them."""
_EXPECTED = "config.json, *.safetensors and a processor that transformers reads without remote code"


def cannot_load(error: Exception, where: str, folder: Path | None) -> ModelLoadError:
    """Return the error of a model that a library could not load.

    Args:
        error: What the library raised.
        where: Name of the model.
        folder: Of its files; None: on the hub.
    """
    hint = "if this machine is offline, download the model first" if folder is None else None
    if folder is not None and (found := broken_weights(folder)) is not None:
        return found
    if folder is not None and not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for path in folder.glob("*.bin") if path.name != "training_args.bin")
        if pickled:
            hint = f"{pickled[0]} is a pickle, which can hold code; of this family only safetensors are read"
    if folder is not None and hint is None:
        hint = _lacking(folder)
    return ModelLoadError(f"cannot be loaded: {said(error)}", where=where, expected=_EXPECTED, hint=hint)


def _lacking(folder: Path) -> str | None:
    """Tell which file is not there at all, of those that libraries miss with many words."""
    for what, patterns in _NEEDED.items():
        if not any(any(folder.glob(pattern)) for pattern in patterns):
            return f"of its {what} no file is there: none of {', '.join(patterns)}"
    return None


def broken_weights(folder: Path) -> ModelLoadError | None:
    """Return the error of the first weight file in a folder that cannot be read; None if all can."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            from safetensors import safe_open

            with safe_open(path, framework="pt"):
                pass
        except Exception as error:  # noqa: BLE001 - every failure is the answer
            return ModelLoadError(
                f"cannot be loaded, cut off or damaged ({said(error)})",
                where=path,
                expected="a whole *.safetensors file",
                hint="download it again",
            )
    for path in sorted([*folder.glob("pytorch_model*.bin"), *folder.glob("adapter_model.bin")]):
        try:
            import torch

            torch.load(path, map_location="meta", weights_only=True)
        except Exception as error:  # noqa: BLE001 - every failure is the answer
            return ModelLoadError(
                f"cannot be loaded, damaged or more than weights ({type(error).__name__})",
                where=path,
                expected="tensors only, as torch.save writes them; code in it is never run",
                hint="download it again, or ask its author for safetensors",
            )
    return None


def said(error: Exception) -> str:
    """Return class and first sentence of what a library raised; with the next line where that ends in a colon.

    >>> said(ValueError("Validation error for field 'x':\\n    not a number. Try again."))
    "ValueError: Validation error for field 'x': not a number."
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
    text = f"{lines[0]} {lines[1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
    sentence = re.split(r"(?<=[a-z'\")][.!?])\s", text, maxsplit=1)[0]
    return f"{type(error).__name__}: {sentence[:300].rstrip(' ,;')}"


def check_tokenizer(processor: Any, where: str) -> None:
    """Check that a tokenizer knows any text: without its files, transformers makes an empty one.

    Raises:
        ModelLoadError: It does not, or fails on a plain word.
    """
    if getattr(processor, "encode", None) is not None:  # mPLUG-Owl2 refuses a missing vocabulary by itself
        return
    expected = "tokenizer.json, or the vocabulary of its kind"
    try:
        known = processor.tokenizer("quality", add_special_tokens=False)["input_ids"]
    except Exception as error:
        raise ModelLoadError(f"its tokenizer fails: {said(error)}", where=where, expected=expected) from error
    if not known:
        raise ModelLoadError("its tokenizer is empty", where=where, expected=expected)
