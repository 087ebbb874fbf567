"""Pictures → nano's input: no resizing, -1..1, NaN where a picture of a batch is smaller than others."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mllmqa.models.torchvision_shim import ensure_torchvision

ensure_torchvision()  # before any model class of transformers is imported

from transformers import BatchFeature  # noqa: E402
from transformers.image_processing_backends import PilBackend  # noqa: E402

from mllmqa.models.nano.blocks import HALF_RANGE  # noqa: E402


class NanoImageProcessor(PilBackend):  # type: ignore[misc]  # transformers is not typed here
    """Pictures of any size, uint8 → `pixel_values` (B, 3, H, W) float32 in -1..1.

    H and W are the largest of the batch; each picture lies in the upper left corner and NaN fills the rest.
    Sizes are the affair of the view (:mod:`mllmqa.media.views`): nothing is resized or cropped here.
    """

    any_size = True
    """Whether pictures of unequal sizes may share a batch, filled up with NaN."""
    do_resize = False
    do_center_crop = False
    do_rescale = True
    do_normalize = False
    do_convert_rgb = True
    model_input_names = ("pixel_values",)

    def _preprocess(
        self, images: list[npt.NDArray[np.uint8]], return_tensors: str | None = None, **_: Any
    ) -> BatchFeature:
        """`images`: (3, H, W) uint8, of any sizes."""
        height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
        filled = np.full((len(images), height, width, 3), np.nan, dtype=np.float32)  # channels last
        for place, image in zip(filled, images, strict=True):
            inside = place[: image.shape[1], : image.shape[2]]
            np.divide(image.transpose(1, 2, 0), HALF_RANGE, out=inside, dtype=np.float32)
            inside -= 1
        return BatchFeature(data={"pixel_values": filled.transpose(0, 3, 1, 2)}, tensor_type=return_tensors)
