"""A batch of requests as their processor encoded it, which can be cut by rows and by pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mllmqa.models.base import ImageHWC, Request

if TYPE_CHECKING:
    from torch import Tensor

TEXT = frozenset({"input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids"})
_PIXELS = frozenset({"pixel_values", "image_sizes", "image_grid_thw", "batch_num_images"})


@dataclass(frozen=True)
class Batch:
    """Requests with equally many pictures each, encoded by their processor, on the CPU.

    Attributes:
        inputs: What the processor returned.
        pictures: Per row, a key of each picture; equal keys are equal pictures.
        counts: Entries of ``pixel_values`` per picture, row by row; None: not known.
    """

    inputs: dict[str, Any]
    pictures: list[tuple[str, ...]]
    counts: list[int] | None

    @classmethod
    def of(cls, requests: Sequence[Request], inputs: dict[str, Any], processor: Any) -> Batch:
        """Describe an encoded batch."""
        keys: list[tuple[str, ...]] = [()]
        if len(requests) > 1:  # one has nobody to share with
            keys = picture_keys(requests)
        known = requests[0].clip is None and inputs.keys() <= TEXT | _PIXELS and "pixel_values" in inputs
        return cls(inputs, keys, _counts(requests, inputs, processor) if known else None)

    def tokens(self) -> list[dict[str, Tensor]]:
        """Return the text inputs of each row without padding: key → (T,)."""
        masks = self.inputs["attention_mask"].bool()
        text = {key: value for key, value in self.inputs.items() if key in TEXT}
        return [{key: value[i][mask] for key, value in text.items()} for i, mask in enumerate(masks)]

    def pixels(self, slots: Sequence[int]) -> dict[str, Any]:
        """Return the pixel inputs of some pictures, by their place in the batch."""
        import torch

        counts = self.counts or []
        starts = [sum(counts[:slot]) for slot in slots]
        values = self.inputs["pixel_values"]
        found = {"pixel_values": torch.cat([values[a : a + counts[s]] for a, s in zip(starts, slots, strict=True)])}
        for key in ("image_sizes", "image_grid_thw"):
            if key in self.inputs:
                found[key] = torch.as_tensor(self.inputs[key])[list(slots)]
        return found


def picture_keys(requests: Sequence[Request]) -> list[tuple[str, ...]]:
    """Return a key of each picture of each request: a hash of its content, computed once per array."""
    known: dict[int, str] = {}

    def key(image: ImageHWC) -> str:
        if id(image) not in known:
            digest = hashlib.sha256(str(image.shape).encode())
            digest.update(np.ascontiguousarray(image).data)
            known[id(image)] = digest.hexdigest()
        return known[id(image)]

    return [tuple(key(image) for image in request.images) for request in requests]


def _counts(requests: Sequence[Request], inputs: dict[str, Any], processor: Any) -> list[int] | None:
    """Return how many entries of ``pixel_values`` each picture has, where the family's layout is known."""
    images = [image for request in requests for image in request.images]
    total = len(inputs["pixel_values"])
    if "image_grid_thw" in inputs:
        counts = [int(n) for n in inputs["image_grid_thw"].prod(-1)]
    elif total == len(images):
        counts = [1] * total
    elif hasattr(processor.image_processor, "get_number_of_image_patches"):
        tiles = processor.image_processor.get_number_of_image_patches
        counts = [int(tiles(*image.shape[:2], {})) for image in images]
    else:
        return None
    return counts if len(counts) == len(images) and sum(counts) == total else None


def to_device(inputs: dict[str, Any], device: Any, dtype: Any) -> dict[str, Any]:
    """Move tensors, floats also to ``dtype``; to a GPU from pinned memory, without waiting for the copy."""
    import torch

    moved = {}
    for key, value in inputs.items():
        if isinstance(value, torch.Tensor):
            kind = dtype if value.is_floating_point() else value.dtype
            if device.type == "cuda" and value.device.type == "cpu":
                value = value.to(kind).pin_memory()
            value = value.to(device, kind, non_blocking=device.type == "cuda")
        moved[key] = value
    return moved


def last_positions(attention_mask: Tensor) -> Tensor:
    """Return the index of the last real token of each row, for left and right padding. (B, T) → (B,)."""
    import torch

    mask = attention_mask.bool()
    steps = torch.arange(mask.shape[1], device=mask.device)
    return (steps * mask).argmax(dim=1)


def padded(rows: list[dict[str, Tensor]], pad: int) -> dict[str, Any]:
    """Stack rows of unequal length, padded on the right: key → (B, T)."""
    from torch.nn.utils.rnn import pad_sequence

    return {
        key: pad_sequence(
            [row[key] for row in rows], batch_first=True, padding_value=pad if key == "input_ids" else 0
        )
        for key in rows[0]
    }
