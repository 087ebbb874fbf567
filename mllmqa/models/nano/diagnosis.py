"""What the heads of nano's tower find of distortions, without a question: one pass for all categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mllmqa.data.distortions import CATEGORIES
from mllmqa.data.video_distortions import IN_TIME
from mllmqa.models.base import Diagnosis, Examined, ExaminedInTime, ImageHWC
from mllmqa.models.devices import input_device
from mllmqa.models.nano.timing import TimeHeads


@torch.inference_mode()
def examined(model: Any, processor: Any, images: Sequence[ImageHWC]) -> list[Examined]:
    """Look at pictures.

    Args:
        model: nano, with category tokens.
        processor: Its processor.
        images: As the model sees them (views), uint8 RGB (H, W, 3).

    Returns:
        For each picture its fidelity and all categories, as :data:`mllmqa.data.distortions.CATEGORIES` has them.
    """
    tower = model.base_model.vision_tower
    pixels = processor.image_processor(list(images), input_data_format="channels_last", return_tensors="pt")[
        "pixel_values"
    ]
    found = tower.found(pixels.to(input_device(model), tower.dtype))
    presence, severity, fidelity = (values.float().cpu().tolist() for values in found)
    return [
        Examined(tuple(map(Diagnosis, CATEGORIES, there, strong)), near)
        for there, strong, near in zip(presence, severity, fidelity, strict=True)
    ]


@torch.inference_mode()
def examined_in_time(heads: TimeHeads, slices: ImageHWC) -> list[ExaminedInTime]:
    """Look at slices of a clip.

    Args:
        heads: Of nano's tower.
        slices: uint8 RGB (T, W, 3), one picture of :func:`mllmqa.media.slice_pictures`.

    Returns:
        All categories, in the order of :data:`mllmqa.data.video_distortions.IN_TIME`.
    """
    found = heads.found(torch.from_numpy(np.ascontiguousarray(slices))[None].to(heads.rows.weight.device))
    presence, severity, rows = (values[0].float().cpu() for values in found)
    each = zip(IN_TIME, presence.tolist(), severity.tolist(), rows.T.tolist(), strict=True)
    return [ExaminedInTime(Diagnosis(name, p, s), tuple(moments)) for name, p, s, moments in each]
