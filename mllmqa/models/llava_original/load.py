"""Load original LLaVA checkpoints into transformers' classes, and convert them once and for all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mllmqa.errors import MllmqaError, ModelLoadError
from mllmqa.models.llava_original import keys, shards
from mllmqa.models.llava_original.config import Family, convert, family_of, is_original
from mllmqa.models.llava_original.processor import build_processor, load_tokenizer
from mllmqa.models.llava_original.shards import Stored
from mllmqa.models.llava_original.vision import tower_config, tower_weights

MOTION = "model.slowfast"
"""Begins the keys of VQA²'s motion branch (:mod:`mllmqa.models.vqa2_motion`)."""


@dataclass(frozen=True)
class Opened:
    """A checkpoint whose settings are read and whose weights are not.

    Attributes:
        folder: Where it lies.
        original: Its config.json.
        config: The transformers configuration.
        family: Which class it becomes.
        processor: Its processor.
        tensors: Its tensors by original key.
        tower: A folder with its vision tower, given by the user.
    """

    folder: Path
    original: dict[str, Any]
    config: Any
    family: Family
    processor: Any
    tensors: dict[str, Stored]
    tower: Path | None


def open_original(
    folder: Path | str, *, vision_tower: Path | str | None = None, template: str | None = None
) -> Opened:
    """Read the settings of an original checkpoint and list its tensors.

    Args:
        folder: The checkpoint.
        vision_tower: Folder of its vision tower, where that is neither in the checkpoint nor in the hub cache.
        template: Name of the prompt template; None: the usual one of the model type.

    Raises:
        ModelLoadError: Not such a checkpoint, or not supported.
        MissingExtraError: Its tokenizer needs the package sentencepiece.
        UnknownNameError: No such template.
    """
    from mllmqa.models.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    place, tower_folder = Path(folder), None if vision_tower is None else Path(vision_tower)
    original = read_config(place)
    if (place / "adapter_config.json").is_file():
        raise ModelLoadError("a LoRA adapter of original LLaVA", where=place, hint="merge it into its base first")
    tower = tower_config(str(original["mm_vision_tower"]), tower_folder)
    try:
        family = family_of(original, tower)
        tokenizer, vocabulary = load_tokenizer(place, original, family)
        config = convert(original, tower, vocabulary)
        processor = build_processor(original, config, tokenizer, family=family, template_name=template)
    except MllmqaError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"its settings cannot be used: {type(error).__name__}: {str(error).strip()[:200]}", where=place
        ) from error
    tensors = shards.open_checkpoint(place)
    return Opened(place, original, config, family, processor, tensors, tower_folder)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config.json of a folder.

    Raises:
        ModelLoadError: There is none, it is malformed, or not of the original layout.
    """
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"cannot be read: {type(error).__name__}", where=file) from error
    if not isinstance(config, dict) or not is_original(config):
        raise ModelLoadError(
            "not of the original LLaVA layout", where=file, expected="model_type llava… and mm_vision_tower"
        )
    return config


def load_original(
    folder: Path | str,
    dtype: Any,
    *,
    vision_tower: Path | str | None = None,
    template: str | None = None,
    **arguments: Any,
) -> tuple[Any, Any]:
    """Load an original checkpoint as transformers' model and processor.

    Tensors are read one by one while the model is filled: memory is one model and a few tensors.

    Args:
        folder: The checkpoint: config.json, weights, tokenizer.
        dtype: A torch dtype.
        vision_tower: See :func:`open_original`.
        template: See :func:`open_original`.
        arguments: Given to ``from_pretrained``, e.g. ``device_map`` or ``quantization_config``.

    Returns:
        The model, in eval mode, and its processor.

    Raises:
        ModelLoadError: See :func:`open_original`; or a key is missing, unknown or of a wrong shape.
    """
    opened = open_original(folder, vision_tower=vision_tower, template=template)
    motion = next((key for key in opened.tensors if key.startswith(MOTION)), None)
    if motion:
        raise ModelLoadError(
            f"it has VQA²'s motion branch ({motion})", where=folder, hint="load it with mllmqa.models.vqa2_motion"
        )
    model = fill(opened, opened.tensors, dtype, **arguments)
    return model, opened.processor


def fill(
    opened: Opened,
    tensors: Mapping[str, Stored],
    dtype: Any,
    *,
    kind: Any = None,
    config: Any = None,
    added: Mapping[str, Stored] | None = None,
    **arguments: Any,
) -> Any:
    """Return the transformers model with these tensors in it; see :func:`load_original`.

    Args:
        opened: The checkpoint.
        tensors: Its tensors by original key.
        dtype: A torch dtype.
        kind: Class of the model; None: the family's.
        config: Its configuration; None: ``opened.config``.
        added: Tensors of parts that only ``kind`` has, by their key in it.
        arguments: Given to ``from_pretrained``.

    Raises:
        ModelLoadError: A key is missing, unknown or of a wrong shape, or a file is damaged.
    """
    import transformers

    kind = kind or getattr(transformers, _CLASSES[opened.family])
    config = config or opened.config
    state = state_dict(opened, tensors, kind, config, added or {})
    try:
        model, report = kind.from_pretrained(
            None, config=config, state_dict=state, dtype=dtype, output_loading_info=True, **arguments
        )
    except Exception as error:
        raise ModelLoadError(
            f"cannot be loaded: {type(error).__name__}: {str(error).strip()[:200]}", where=opened.folder
        ) from error
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[what]:
            raise ModelLoadError(f"{what.replace('_', ' ')}: {sorted(report[what])[:3]}", where=opened.folder)
    _settle(model, opened)
    return model.eval()


_CLASSES: dict[Family, str] = {
    "llava": "LlavaForConditionalGeneration",
    "llava_next": "LlavaNextForConditionalGeneration",
    "llava_onevision": "LlavaOnevisionForConditionalGeneration",
}


def state_dict(
    opened: Opened, tensors: Mapping[str, Stored], kind: Any, config: Any, added: Mapping[str, Stored]
) -> dict[str, Stored]:
    """Return target key → stored tensor for every parameter of the model, checked by name and shape.

    Args:
        opened: The checkpoint.
        tensors: Its tensors by original key.
        kind: Class of the model.
        config: Its configuration.
        added: Tensors that are named as in the model.

    Raises:
        ModelLoadError: A key is missing, unknown or of a wrong shape.
    """
    import torch

    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in kind(config).state_dict().items()}
    found = dict(tensors)
    if not keys.holds_tower(found):
        outside = tower_weights(str(opened.original["mm_vision_tower"]), opened.tower)
        found |= {keys.TOWER + key: value for key, value in outside.items()}
    found |= added
    chosen = keys.plan(
        {key: value.shape for key, value in found.items()},
        wanted,
        same=added,
        tower_layers=opened.config.vision_config.num_hidden_layers,
        tied=opened.config.tie_word_embeddings,
        where=opened.folder,
    )
    rows = opened.config.text_config.vocab_size
    return {
        target: shards.with_rows(found[key], rows) if target in keys.VOCABULARY else found[key]
        for target, key in chosen.items()
    }


def _settle(model: Any, opened: Opened) -> None:
    """Let generation end where the original does, and never write a row that the original does not have."""
    settings = model.generation_config
    tokenizer = opened.processor.tokenizer
    settings.pad_token_id = tokenizer.pad_token_id
    settings.eos_token_id = tokenizer.eos_token_id
    stored, rows = int(opened.original["vocab_size"]), opened.config.text_config.vocab_size
    if rows > stored:
        settings.suppress_tokens = list(range(stored, rows))


def stored_dtype(folder: Path) -> Any:
    """Return the torch dtype in which a checkpoint stores its language model."""
    return shards.open_checkpoint(folder)["model.embed_tokens.weight"].read().dtype
