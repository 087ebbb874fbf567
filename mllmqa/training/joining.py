"""Encoded rows → tensors of a batch: which rows can share one, padding, and joining."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mllmqa.training.rows import Lost, Row

PER_TOKEN = frozenset({"input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids"})
"""What a processor says of each token; all else is said of media."""

Encoded = tuple[Row, dict[str, Any]]
"""A row and what its processor made of it: (T,) for each key of :data:`PER_TOKEN`."""
Shape = tuple[int, ...]


def joined(rows: Sequence[dict[str, Any]], pad: int, *, any_size: bool = False) -> dict[str, Any]:
    """Pad tokens on the right and put the pictures of all rows behind one another.

    Args:
        rows: What the processor made of each.
        pad: Token to pad with.
        any_size: Whether the model takes pictures of unequal sizes, (N, 3, H, W) filled up with NaN (nano).
    """
    longest = max(len(row["input_ids"]) for row in rows)
    found: dict[str, list[Any]] = defaultdict(list)
    per_token = {key for row in rows for key in row if key in PER_TOKEN}
    for row in rows:
        for key in per_token:  # one that only rows with media have says 0, text, for the others
            value = row.get(key, torch.zeros_like(row["input_ids"]))
            fill = pad if key == "input_ids" else 0
            found[key].append(torch.nn.functional.pad(value, (0, longest - len(value)), value=fill))
        for key in row.keys() - PER_TOKEN:
            found[key].append(torch.as_tensor(row[key]))
    return {key: torch.stack(v) if key in PER_TOKEN else _behind(key, v, any_size) for key, v in found.items()}


def _behind(key: str, values: list[Tensor], any_size: bool) -> Tensor:
    """Join along the first axis; tiles of pictures (N, tiles, 3, S, S) are filled up to the most tiles."""
    if any_size and key == "pixel_values":
        height, width = (max(value.shape[axis] for value in values) for axis in (2, 3))
        pads = [(0, width - value.shape[3], 0, height - value.shape[2]) for value in values]
        values = [torch.nn.functional.pad(v, p, value=torch.nan) for v, p in zip(values, pads, strict=True)]
    if key == "pixel_values" and values[0].dim() == 5:
        most = max(value.shape[1] for value in values)
        values = [torch.nn.functional.pad(v, (0, 0, 0, 0, 0, 0, 0, most - v.shape[1])) for v in values]
    return torch.cat(values)


def _shapes(one: Encoded, any_size: bool) -> dict[str, Shape]:
    """Sizes in which the rows of a batch must agree: key → shape without the axes that can be joined or filled."""
    media = {key: torch.as_tensor(value) for key, value in one[1].items() if key not in PER_TOKEN}

    def shape(key: str, value: Tensor) -> Shape:
        if key == "pixel_values" and (any_size or value.dim() == 5):
            return tuple(value.shape[1:2] if any_size else value.shape[2:])
        return tuple(value.shape[1:])

    return {key: shape(key, value) for key, value in media.items()}


def usual(rows: Sequence[Encoded], *, any_size: bool = False) -> dict[str, Shape]:
    """The shape that most rows have; the first one at a tie."""
    counts: dict[str, Counter[Shape]] = defaultdict(Counter)
    for one in rows:
        for key, shape in _shapes(one, any_size).items():
            counts[key][shape] += 1
    return {key: count.most_common(1)[0][0] for key, count in counts.items()}


def fits(one: Encoded, shapes: dict[str, Shape], *, any_size: bool = False) -> Encoded | Lost:
    """T8 of the facts: clips with unequal numbers of frames cannot share a batch of LLaVA-OneVision."""
    row = one[0]
    for key, shape in _shapes(one, any_size).items():
        if shape != shapes[key]:
            what = f"sample {row.id}: {key} of the shape {shape}, most of its batch have {shapes[key]}"
            hint = "use batch=1, or a frame rule with a fixed number of frames (frames=uniform:8)"
            return Lost(row.id, row.source, "uneven", f"{what}; {hint}")
    return one
