"""Checkpoints in the layout of the original LLaVA code: found here or on the hub, and loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mllmqa.models.llava_original import is_original, load_original, open_original, stored_dtype
from mllmqa.models.vqa2_motion import has_motion, load_motion
from mllmqa.models.vqa2_motion.load import PARTS

if TYPE_CHECKING:
    from mllmqa.models.resolve import ModelSource

_FILES = (
    *("config.json", "generation_config.json", "tokenizer*", "vocab.json", "merges.txt", "added_tokens.json"),
    *("special_tokens_map.json", "*.safetensors", "*.safetensors.index.json", "pytorch_model*"),
)


def original_folder(source: ModelSource) -> Path | None:
    """Return the folder of a checkpoint in the original layout, fetched from the hub if need be.

    Returns:
        None for every other model.

    Raises:
        OSError: The hub cannot be reached, or has no such model.
    """
    if source.local:
        folder = Path(source.location)
        return folder if _says_original(folder / "config.json") else None
    from huggingface_hub import snapshot_download
    from transformers.utils import cached_file

    config = cached_file(source.location, "config.json", revision=source.revision)
    if not _says_original(Path(config)):
        return None
    return Path(snapshot_download(source.location, revision=source.revision, allow_patterns=list(_FILES)))


def _says_original(config: Path) -> bool:
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # whoever loads it says what is wrong with it
    return isinstance(settings, dict) and is_original(settings)


def configuration(folder: Path, vision_tower: Path | None) -> Any:
    """Return the transformers configuration that a checkpoint becomes."""
    return open_original(folder, vision_tower=vision_tower).config


def seeing_parts(folder: Path) -> tuple[str, ...]:
    """Return the modules that see beside those of :func:`configuration`: VQA²'s motion branch."""
    return PARTS if has_motion(folder) else ()


def load(folder: Path, dtype: Any, vision_tower: Path | None, **arguments: Any) -> tuple[Any, Any]:
    """Load a checkpoint with or without VQA²'s motion branch.

    Args:
        folder: From :func:`original_folder`.
        dtype: A torch dtype, or "auto": as stored.
        vision_tower: Folder of its vision tower, where that is neither in it nor in the hub cache.
        arguments: Given to ``from_pretrained``, e.g. ``device_map``.

    Returns:
        Model and processor.

    Raises:
        ModelLoadError: A key is missing, unknown or of a wrong shape, or the layout is not supported.
    """
    dtype = stored_dtype(folder) if dtype == "auto" else dtype
    if has_motion(folder):
        return load_motion(folder, dtype, vision_tower=vision_tower, **arguments)
    return load_original(folder, dtype, vision_tower=vision_tower, **arguments)
