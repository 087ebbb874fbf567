"""Load VQA²'s published checkpoints: ``llava_qwen`` layout with ``model.slowfast`` and its projector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mllmqa.errors import ModelLoadError
from mllmqa.models.llava_original import load as original
from mllmqa.models.llava_original import shards
from mllmqa.models.llava_original.shards import Stored

PARTS = ("slowfast", "slowfast_projector")
"""Modules of the motion branch."""
PREFIXES = tuple(f"model.{part}." for part in PARTS)
"""Begin the keys of the motion branch; the rest is :class:`Vqa2ForConditionalGeneration`'s own naming."""


def has_motion(folder: Path | str) -> bool:
    """Tell whether a checkpoint holds VQA²'s motion branch, by its keys.

    Raises:
        ModelLoadError: It has no weights, or they cannot be read.
    """
    return any(key.startswith(PREFIXES) for key in shards.open_checkpoint(Path(folder)))


def load_motion(
    folder: Path | str,
    dtype: Any,
    *,
    vision_tower: Path | str | None = None,
    layout: str = "assistant",
    widths: dict[str, Any] | None = None,
    **arguments: Any,
) -> tuple[Any, Any]:
    """Load a VQA² checkpoint.

    Args:
        folder: The checkpoint.
        dtype: A torch dtype.
        vision_tower: Folder of its vision tower, where the checkpoint has none.
        layout: How it is asked: ``assistant`` or ``scorer``.
        widths: ``motion_…`` fields of :class:`Vqa2Config` that differ from SlowFast-R50.
        arguments: Given to ``from_pretrained``.

    Returns:
        The model, in eval mode, and its processor.

    Raises:
        ModelLoadError: Not such a checkpoint, or a key is missing, unknown or of a wrong shape; names it.
        UnknownNameError: No such layout.
    """
    opened = original.open_original(folder, vision_tower=vision_tower)
    if opened.family != "llava_onevision":
        raise ModelLoadError(f"the family {opened.family}", where=folder, expected="llava_qwen with SigLIP")
    from mllmqa.models.vqa2_motion.modeling import Vqa2Config, Vqa2ForConditionalGeneration

    tokenizer = opened.processor.tokenizer
    fields = opened.config.to_dict()
    fields.pop("model_type", None)
    fields["motion_token_index"] = _add_placeholder(tokenizer, fields["text_config"]["vocab_size"], folder)
    config = Vqa2Config(**fields, **(widths or {}))
    motion = {key: value for key, value in opened.tensors.items() if key.startswith(PREFIXES)}
    rest = {key: value for key, value in opened.tensors.items() if key not in motion}
    model = original.fill(
        opened, rest, dtype, kind=Vqa2ForConditionalGeneration, config=config, added=_named(motion), **arguments
    )
    return model, _processor(tokenizer, config, layout)


def _named(motion: dict[str, Stored]) -> dict[str, Stored]:
    return {key.removeprefix("model."): value for key, value in motion.items()}


def _add_placeholder(tokenizer: Any, rows: int, folder: Path | str) -> int:
    from mllmqa.models.vqa2_motion.processing import MOTION

    tokenizer.add_tokens([MOTION], special_tokens=True)
    found = int(tokenizer.convert_tokens_to_ids(MOTION))
    if found >= rows:
        raise ModelLoadError(f"no free row for {MOTION} among {rows}", where=folder)
    return found


def _processor(tokenizer: Any, config: Any, layout: str) -> Any:
    from transformers import SiglipImageProcessorPil

    from mllmqa.models.vqa2_motion.processing import Vqa2Processor

    vision = config.vision_config
    side = vision.image_size // vision.patch_size
    half = [0.5, 0.5, 0.5]
    size = {"height": vision.image_size, "width": vision.image_size}
    images = SiglipImageProcessorPil(size=size, image_mean=half, image_std=half, resample=3)
    return Vqa2Processor(images, tokenizer, tokens_per_frame=(-(-side // 2)) ** 2, layout=layout)
