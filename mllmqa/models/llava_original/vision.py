"""Vision towers of LLaVA: their configuration by name, and their weights where the checkpoint has none.

LLaVA 1.5 stores only the name of its frozen tower; tuned towers lie inside the checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mllmqa.errors import ModelLoadError
from mllmqa.models.llava_original.shards import Stored, open_checkpoint

_CLIP_L = {
    **{"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096},
    **{"num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 14, "projection_dim": 768},
}
_SIGLIP_SO400M = {
    **{"model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304},
    **{"num_hidden_layers": 27, "num_attention_heads": 16, "patch_size": 14},
}
KNOWN: dict[str, dict[str, Any]] = {
    "openai/clip-vit-large-patch14-336": {**_CLIP_L, "image_size": 336},
    "openai/clip-vit-large-patch14": {**_CLIP_L, "image_size": 224},
    "google/siglip-so400m-patch14-384": {**_SIGLIP_SO400M, "image_size": 384},
}
"""Hub id of a published tower → its configuration."""

CLIP, SIGLIP = "clip_vision_model", "siglip_vision_model"
_PREFIX = "vision_model."
_NOT_READ = ("embeddings.position_ids", "head.")
_PATTERNS = ["config.json", "*.safetensors", "*.safetensors.index.json", "pytorch_model*"]


def tower_config(name: str, folder: Path | None) -> dict[str, Any]:
    """Return the configuration of a tower, as fields of transformers' class.

    Args:
        name: ``mm_vision_tower`` of the original configuration: a hub id or a folder.
        folder: A folder with the tower, given by the user.

    Raises:
        ModelLoadError: Neither a known tower nor a folder with a config.json of CLIP or SigLIP.
    """
    for place in (folder, Path(name)):
        if place is not None and (place / "config.json").is_file():
            return _read(place / "config.json")
    known = [fields for hub_id, fields in KNOWN.items() if Path(hub_id).name == Path(name).name]
    if not known:
        raise ModelLoadError(
            f"the vision tower {name!r} is not known", expected=" | ".join(KNOWN) + ", or a folder with config.json"
        )
    return dict(known[0])


def _read(file: Path) -> dict[str, Any]:
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        fields = dict(fields.get("vision_config", fields))
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelLoadError(f"malformed: {error!r}", where=file) from error
    if fields.get("model_type") not in (CLIP, SIGLIP):
        raise ModelLoadError(
            f"model_type is {fields.get('model_type')!r}", where=file, expected=f"{CLIP} or {SIGLIP}"
        )
    return fields


def tower_weights(name: str, folder: Path | None) -> dict[str, Stored]:
    """Return the tensors of a tower that lies outside the checkpoint, by their key inside the tower.

    Args:
        name: Hub id or folder, from the configuration.
        folder: A folder with the tower, given by the user; None: ``name`` as a folder, or the hub and its cache.

    Raises:
        ModelLoadError: The tower cannot be found, or its folder holds none.
    """
    place = folder or (Path(name) if Path(name).is_dir() else _from_hub(name))
    tensors = {
        key.removeprefix(_PREFIX): value
        for key, value in open_checkpoint(place).items()
        if key.startswith(_PREFIX) and not key.removeprefix(_PREFIX).startswith(_NOT_READ)
    }
    if not tensors:
        raise ModelLoadError(
            "no vision tower in its weights", where=place, expected=f"keys that begin with {_PREFIX}"
        )
    return tensors


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        try:
            return Path(snapshot_download(name, allow_patterns=_PATTERNS, local_files_only=True))
        except FileNotFoundError:
            return Path(snapshot_download(name, allow_patterns=_PATTERNS))
    except Exception as error:
        raise ModelLoadError(
            f"its vision tower {name!r} is not in the checkpoint, nor on this machine, nor can it be downloaded"
            f" ({type(error).__name__})",
            expected=f"{name} in the hub cache or in a folder",
            hint=f"download it where there is a network (hf download {name}), or give its folder as vision_tower",
        ) from error
