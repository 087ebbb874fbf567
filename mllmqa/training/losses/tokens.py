"""Losses on answer tokens, and where in an answer the level word stands.

Shapes: B rows, L positions, V vocabulary. Labels are −100 wherever nothing is learnt (question, padding).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mllmqa.errors import DataError
from mllmqa.training.losses.parts import Part, check, wide

IGNORED = -100


def answer_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    per: Literal["token", "sample"] = "token",
    items: Tensor | int | None = None,
    leave_out: Tensor | None = None,
) -> Part:
    """Next-token cross entropy over the answer (Q-Align, Wu et al., ICML 2024): −log p of each label.

    The logit at position i predicts label i + 1. Only answer positions are converted to float32, so a long
    question costs no second copy. With ``per="token"`` and the same ``items`` it is the loss of transformers.

    Args:
        logits: (B, L, V), any floating dtype.
        labels: (B, L) int64, −100 where ignored.
        per: ``token``: mean over all tokens of the batch, long answers weigh more; ``sample``: mean over each
            row's tokens, then over the rows that have any.
        items: Tokens (or rows, for ``sample``) in all micro-batches of one accumulated step, transformers'
            ``num_items_in_batch``: the sum is divided by it, so that the accumulated gradient is that of one
            large batch. None: those of this batch.
        leave_out: (B, L) bool, label positions to ignore too; DeQA-Score leaves the level word out.

    Returns:
        The loss; count = tokens, or rows for ``sample``.

    Raises:
        DataError: Shapes do not fit, or a label is outside the vocabulary.
    """
    check("logits", logits, None, None, None)
    check("labels", labels, *logits.shape[:2])
    wanted = labels[:, 1:]
    if leave_out is not None:
        check("leave_out", leave_out, *labels.shape)
        wanted = wanted.masked_fill(leave_out[:, 1:], IGNORED)
    row, place = (wanted != IGNORED).nonzero(as_tuple=True)
    token = wanted[row, place]
    vocabulary = logits.shape[2]
    if len(token) and not 0 <= int(token.min()) <= int(token.max()) < vocabulary:
        raise DataError(
            f"label ids from {int(token.min())} to {int(token.max())}", where="loss input 'labels'",
            expected=f"0 to {vocabulary - 1}, or {IGNORED} for none",
        )  # fmt: skip
    each = F.cross_entropy(wide(logits[row, place]), token, reduction="none")
    per_row = (wanted != IGNORED).sum(1)
    if per == "sample":
        each, count = each / per_row[row], (per_row > 0).sum()
    else:
        count = per_row.sum()
    divisor = count if items is None else torch.as_tensor(items, device=each.device)
    return Part(each.sum() / divisor.clamp(min=1), count)


def level_positions(
    labels: Tensor,
    prefixes: Sequence[Sequence[int]],
    level_ids: Sequence[int] | Tensor,
    *,
    mask: Tensor | None = None,
) -> Tensor:
    """Where the level word stands in each label row (DeQA-Score, You et al., CVPR 2025: its code's rule).

    The row is searched for the ids of the answer start ("The quality of the image is"); the label after the first
    hit is the level. Several starts may be given, for images and videos in one batch: the hit that ends first
    counts.

    Args:
        labels: (B, L) int64.
        prefixes: Token ids of the possible answer starts, each at least one id.
        level_ids: (K,) ids of the level words.
        mask: (B,) bool, rows that have a level; None: all.

    Returns:
        (B,) int64 positions of the level in the labels; −1 for rows outside the mask.

    Raises:
        DataError: A row has no answer start with a label after it, or that label is not a level word.
    """
    check("labels", labels, None, None)
    rows, length = labels.shape
    place = torch.full((rows,), length, dtype=torch.int64, device=labels.device)
    if not prefixes or not all(len(prefix) for prefix in prefixes):
        raise DataError("an answer start without tokens", where="loss input 'prefixes'", expected="token ids")
    for prefix in prefixes:
        if len(prefix) >= length:
            continue
        same = labels.unfold(1, len(prefix), 1) == torch.as_tensor(list(prefix), device=labels.device)
        hit = same.all(2)[:, : length - len(prefix)]
        first = hit.int().argmax(1) + len(prefix)
        place = torch.where(hit.any(1), torch.minimum(place, first), place)
    wanted = torch.ones_like(place, dtype=torch.bool) if mask is None else mask
    check("mask", wanted, rows)
    missing = (wanted & (place == length)).nonzero()
    if len(missing):
        raise DataError(
            "the labels have no answer start with a label after it", where=f"row {int(missing[0])}",
            expected=f"one of the token sequences {[list(prefix) for prefix in prefixes]}",
            hint="mask rows that carry no level",
        )  # fmt: skip
    found = labels.gather(1, place.clamp(max=max(length - 1, 0))[:, None])[:, 0] if length else place
    ids = torch.as_tensor(level_ids, device=labels.device)
    odd = (wanted & ~torch.isin(found, ids)).nonzero()
    if len(odd):
        k = int(odd[0])
        raise DataError(
            f"the label after the answer start is {int(found[k])}", where=f"row {k}, position {int(place[k])}",
            expected=f"a level word, one of {ids.tolist()}",
        )  # fmt: skip
    return torch.where(wanted, place, torch.full_like(place, -1))


def logits_at(logits: Tensor, positions: Tensor, *, inserted: int = 0) -> Tensor:
    """The logits (B, V) that predict the labels at ``positions``: those one place before.

    Args:
        logits: (B, T, V).
        positions: (B,) int64 of :func:`level_positions`; rows with −1 give some logits of theirs, to be masked.
        inserted: Positions that the model put before the label and the labels do not have (vision tokens).

    Raises:
        DataError: A position has no logit before it.
    """
    check("logits", logits, None, None, None)
    check("positions", positions, logits.shape[0])
    place = positions + inserted - 1
    wrong = ((positions >= 0) & ((place < 0) | (place >= logits.shape[1]))).nonzero()
    if len(wrong):
        k = int(wrong[0])
        raise DataError(
            f"position {int(positions[k])} with {inserted} inserted has no logit before it", where=f"row {k}",
            expected=f"a logit index from 0 to {logits.shape[1] - 1}",
        )  # fmt: skip
    place = torch.where(positions >= 0, place, torch.zeros_like(place))
    return logits[torch.arange(len(place), device=place.device), place]
