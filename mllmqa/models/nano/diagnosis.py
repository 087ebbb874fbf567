"""What the heads of nano's tower find of distortions, without a question: one pass for all categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mllmqa.data.distortions import CATEGORIES
from mllmqa.models.base import Diagnosis, ImageHWC
from mllmqa.models.devices import input_device


@torch.inference_mode()
def diagnosed(model: Any, processor: Any, images: Sequence[ImageHWC]) -> list[tuple[Diagnosis, ...]]:
    """Look at pictures.

    Args:
        model: nano, with category tokens.
        processor: Its processor.
        images: As the model sees them (views), uint8 RGB (H, W, 3).

    Returns:
        For each picture all categories, in the order of :data:`mllmqa.data.distortions.CATEGORIES`.
    """
    tower = model.base_model.vision_tower
    pixels = processor.image_processor(list(images), input_data_format="channels_last", return_tensors="pt")[
        "pixel_values"
    ]
    said = tower(pixels.to(input_device(model), tower.dtype))
    presence, severity = (found.float().cpu().tolist() for found in tower.categories.found(said.pooler_output))
    return [
        tuple(Diagnosis(category, p, s) for category, p, s in zip(CATEGORIES, there, strong, strict=True))
        for there, strong in zip(presence, severity, strict=True)
    ]
