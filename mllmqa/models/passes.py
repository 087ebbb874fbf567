"""What the requests of a batch compute once, and which of them share a forward pass.

A processor returns one padded batch. It is cut into passes so that no work is done twice:

* the vision features of a picture are computed once, however many requests show it;
* requests with the same pictures and the same text up to somewhere behind them share that prefix: its keys
  and values are computed once, and only the rest of each request runs after it;
* the other rows go in buckets of similar length, so that little padding is computed.

None of this changes a result beyond float noise; a test per family says so. Batches of videos, and those
whose pixel layout is not known here, run as they are, in one pass.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mllmqa.models.batches import Batch, last_positions, padded, to_device

if TYPE_CHECKING:
    from torch import Tensor

PREFIX_FAMILIES = frozenset({"llava", "llava_next", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "internvl"})
"""``model_type`` of those whose prefix may be computed by itself: causal attention, also over the picture."""

MAX_PADDING = 0.25
"""Of a bucket's tokens."""

MIN_SAVED = 0.25
"""Of a group's tokens: a shorter common prefix is not worth the second pass."""


def run(model: Any, batch: Batch, device: Any, pad: int) -> Tensor:
    """Return the logits at the last position of each row, float32 on the CPU, (B, V).

    Args:
        model: With the forward pass of a transformers image-text-to-text model.
        batch: From :meth:`Batch.of`.
        device: Where inputs go.
        pad: Token to pad with.
    """
    import torch

    with torch.inference_mode():
        if batch.counts is None or len(batch.pictures) == 1:
            return _plain(model, batch.inputs, device)
        tokens = batch.tokens()
        groups = _prefix_groups(model, batch, tokens)
        alone = sorted(set(range(len(tokens))) - {row for rows, _ in groups for row in rows})
        vision = _Vision(model, batch, device)
        rows: list[int] = []
        parts: list[Tensor] = []
        if groups:
            rows += [row for members, _ in groups for row in members]
            parts.append(_after_prefix(model, vision, tokens, groups, (device, pad)))
        for bucket in _buckets(alone, [len(t["input_ids"]) for t in tokens]):
            rows += bucket
            inputs = {**padded([tokens[row] for row in bucket], pad), **vision.of(bucket)}
            parts.append(_plain(model, inputs, device))
        order = torch.tensor(rows).argsort()
        return torch.cat(parts)[order]


def _plain(model: Any, inputs: dict[str, Any], device: Any) -> Tensor:
    """Run one forward pass and return the last real token's logits of each row."""
    ready = to_device(inputs, device, model.dtype)
    last = last_positions(ready["attention_mask"])
    return _rows(model(**ready, logits_to_keep=last[:, None], use_cache=False).logits)


def _rows(logits: Tensor) -> Tensor:
    if logits.shape[1] != 1:
        raise ValueError(f"got logits of shape {tuple(logits.shape)}, expected one position per row")
    return logits[:, 0].float().cpu()


def _buckets(rows: list[int], lengths: list[int]) -> list[list[int]]:
    """Split rows by length, so that at most :data:`MAX_PADDING` of what each bucket computes is padding."""
    buckets: list[list[int]] = []
    for row in sorted(rows, key=lambda r: lengths[r]):
        if buckets:
            held = sum(lengths[r] for r in buckets[-1]) + lengths[row]
            if held >= (1 - MAX_PADDING) * lengths[row] * (len(buckets[-1]) + 1):
                buckets[-1].append(row)
                continue
        buckets.append([row])
    return buckets


# ---------------------------------------------------------------------- vision features once


class _Vision:
    """The vision inputs of a batch: features, computed once per picture, or pixels where none repeats.

    Args:
        model: The model.
        batch: With known ``counts``.
        device: Where inputs go.
    """

    def __init__(self, model: Any, batch: Batch, device: Any) -> None:
        self._batch = batch
        self._n = len(batch.pictures[0])
        keys = [key for pictures in batch.pictures for key in pictures]
        first = {key: keys.index(key) for key in keys}
        distinct = list(first.values())
        self._parts: _Parts | None = None
        if len(distinct) < len(keys) and "mm_encoder_outputs" in inspect.signature(model.forward).parameters:
            pixels = batch.pixels(distinct)
            if "batch_num_images" in batch.inputs:
                pixels["batch_num_images"] = self._told([1] * len(distinct), [max(2, len(distinct))])
            features = model.get_image_features(**to_device(pixels, device, model.dtype), return_dict=True)
            self._parts = _Parts(features, [(batch.counts or [])[slot] for slot in distinct])
            self._owner = [distinct.index(first[key]) for key in keys]

    def of(self, rows: Sequence[int]) -> dict[str, Any]:
        """Return the vision inputs of some rows."""
        slots = [row * self._n + i for row in rows for i in range(self._n)]
        inputs = self._batch.pixels(slots)
        if self._parts is not None:
            del inputs["pixel_values"]
            return {**inputs, "mm_encoder_outputs": {"image": self._parts.of([self._owner[s] for s in slots])}}
        if "batch_num_images" in self._batch.inputs:
            inputs["batch_num_images"] = self._told([1] * len(rows), [self._n] * len(rows))
        return inputs

    def _told(self, single: list[int], several: list[int]) -> Tensor:
        """LLaVA-OneVision cuts a picture into tiles only where it is the only one of its prompt."""
        import torch

        return torch.tensor(single if self._n == 1 else several)


class _Parts:
    """Vision features cut by picture.

    Args:
        features: What ``get_image_features`` returned.
        counts: Entries of ``pixel_values`` per picture.
    """

    def __init__(self, features: Any, counts: list[int]) -> None:
        import torch

        self._kind = type(features)
        pooled = features.pooler_output
        self._stacked = isinstance(pooled, torch.Tensor)  # one tensor for all tiles of all pictures
        self._pooled = list(pooled.split(counts) if self._stacked else pooled)
        self._deep = getattr(features, "deepstack_features", None)

    def of(self, order: list[int]) -> Any:
        """Return the features of these pictures, in this order, as the model takes them."""
        import torch

        pooled = [self._pooled[i] for i in order]
        made = self._kind(pooler_output=torch.cat(pooled) if self._stacked else pooled)
        if self._deep is not None:
            made.deepstack_features = [[layer[i] for i in order] for layer in self._deep]
        return made


# ---------------------------------------------------------------------- text prefix once

Group = tuple[list[int], int]
"""Rows, and the length of the prefix that they share."""


def _prefix_groups(model: Any, batch: Batch, tokens: list[dict[str, Tensor]]) -> list[Group]:
    """Find rows that share pictures and a prefix that holds them all."""
    if not _may_share_prefix(model):
        return []
    members: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, pictures in enumerate(batch.pictures):
        members[pictures].append(row)
    found = []
    for rows in members.values():
        ids = [tokens[row]["input_ids"] for row in rows]
        length = _common_prefix(ids)
        total = sum(len(i) for i in ids)
        shown_later = any(bool((i[length:] == model.config.image_token_id).any()) for i in ids)
        if len(rows) > 1 and not shown_later and length * (len(rows) - 1) >= MIN_SAVED * total:
            found.append((rows, length))
    return found


def _may_share_prefix(model: Any) -> bool:
    """Tell whether keys and values are all that later tokens need of earlier ones, at any distance."""
    text = model.config.get_text_config()
    layers = getattr(text, "layer_types", None) or ["full_attention"]
    window = getattr(text, "sliding_window", None) if getattr(text, "use_sliding_window", True) else None
    return model.config.model_type in PREFIX_FAMILIES and set(layers) == {"full_attention"} and window is None


def _common_prefix(rows: list[Tensor]) -> int:
    """Return how many tokens all rows begin with, at most one less than the shortest has."""
    import torch

    shortest = min(len(row) for row in rows) - 1
    same = torch.stack([row[:shortest] == rows[0][:shortest] for row in rows]).all(dim=0)
    return int(same.long().cumprod(0).sum())


def _after_prefix(
    model: Any, vision: _Vision, tokens: list[dict[str, Tensor]], groups: list[Group], where: tuple[Any, int]
) -> Tensor:
    """Run each group's prefix once, then all rests after it. Returns logits in the order of the groups' rows."""
    import torch
    from transformers import DynamicCache

    device, pad = where
    firsts = [rows[0] for rows, _ in groups]
    lengths = torch.tensor([length for _, length in groups], device=device)
    heads = padded([{k: v[:n] for k, v in tokens[rows[0]].items()} for rows, n in groups], pad)
    inputs = to_device({**heads, **vision.of(firsts)}, device, model.dtype)
    cache = DynamicCache(config=model.config.get_text_config())
    model(**inputs, cache=cache, use_cache=True, logits_to_keep=1)
    owner = torch.tensor([g for g, (rows, _) in enumerate(groups) for _ in rows], device=device)
    cache.batch_select_indices(owner)
    rests = [{k: v[n:] for k, v in tokens[row].items()} for rows, n in groups for row in rows]
    tails = to_device(padded(rests, pad), device, model.dtype)
    positions = lengths[owner, None] + torch.arange(tails["input_ids"].shape[1], device=device)
    deltas = getattr(model.model, "rope_deltas", None)  # Qwen's pictures take fewer positions than tokens
    if deltas is not None:
        positions = (positions + deltas.to(device)[owner]).expand(3, -1, -1)
    last = last_positions(tails["attention_mask"])
    output = model(
        input_ids=tails["input_ids"],
        attention_mask=torch.cat([inputs["attention_mask"][owner], tails["attention_mask"]], dim=1),
        position_ids=positions,
        cache=cache,
        use_cache=True,
        logits_to_keep=last[:, None],
    )
    return _rows(output.logits)
