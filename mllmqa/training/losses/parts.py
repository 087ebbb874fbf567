"""What every masked loss returns, and how several become one.

A row (or pair, or token) that does not count is replaced before anything is computed from it, so that whatever
stands there (NaN, infinity, DeQA's −10000) reaches neither the value nor a gradient of the loss's own inputs. If
nothing counts, the value is an exact 0 that still hangs on the graph: its gradients are zeros, and no process of a
distributed run waits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mllmqa.errors import DataError, UsageError


@dataclass(frozen=True)
class Part:
    """One loss of one batch.

    Attributes:
        value: () float32, or float64 for float64 inputs: mean over what counted, exactly 0 if nothing did.
        count: () int64: how many rows, pairs or tokens counted (the function says which).
    """

    value: Tensor
    count: Tensor


@dataclass(frozen=True)
class Term:
    """One part of a total: `value` and `count` of :class:`Part` without the graph, and its weight."""

    name: str
    weight: float
    value: Tensor
    count: Tensor


@dataclass(frozen=True)
class Combined:
    """A weighted sum of parts.

    Attributes:
        total: () the sum of weight times value, with its graph.
        terms: The parts in the order of the weights.
    """

    total: Tensor
    terms: tuple[Term, ...]

    def numbers(self) -> dict[str, float]:
        """The unweighted values, `n_<name>` how many counted, and `total`, as plain numbers for a log."""
        result = {"total": float(self.total.detach())}
        for term in self.terms:
            result[term.name] = float(term.value)
            result[f"n_{term.name}"] = float(term.count)
        return result


def combine(parts: Mapping[str, Part], weights: Mapping[str, float]) -> Combined:
    """Weigh and add named parts, in the order of the weights.

    A part of weight 0 is reported and does not enter the total. Weights are multiplied as they are: a part that
    few rows of the batch counted for weighs as much as one for all rows.

    Args:
        parts: Name → loss.
        weights: Name → weight, finite; exactly the same names.

    Raises:
        UsageError: The names differ, there are none, or a weight is not finite.
    """
    if not weights or set(parts) != set(weights):
        raise UsageError(
            f"the losses {sorted(parts)} and the weights {sorted(weights)} do not go together",
            expected="one weight for each loss, and at least one",
        )
    for name, weight in weights.items():
        if not math.isfinite(weight):
            raise UsageError(f"weight {weight}", where=f"loss {name!r}", expected="a finite number")
    used = [weight * parts[name].value for name, weight in weights.items() if weight != 0]
    total = used[0] if used else torch.zeros_like(next(iter(parts.values())).value)
    for value in used[1:]:
        total = total + value
    terms = (Term(name, w, parts[name].value.detach(), parts[name].count) for name, w in weights.items())
    return Combined(total, tuple(terms))


# ---------------------------------------------------------------- shared by the modules of this package


def wide(x: Tensor) -> Tensor:
    """Float16, bfloat16 and integers as float32; float32 and float64 as they are."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def known(*labels: Tensor) -> Tensor:
    """(B,) bool: rows where every given label, (B,) or (B, K), is finite: a mask for labels with NaN for none."""
    rows = [x.isfinite().flatten(1).all(1) if x.dim() > 1 else x.isfinite() for x in labels]
    return torch.stack(rows).all(0)


def check(name: str, x: Tensor, *shape: int | None) -> None:
    """Raise a DataError unless ``x`` has this shape; None stands for any length."""
    if x.dim() != len(shape) or any(n not in (None, m) for n, m in zip(shape, x.shape, strict=True)):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise DataError(f"shape {tuple(x.shape)}", where=f"loss input {name!r}", expected=f"({wanted})")


def rows_that_count(mask: Tensor | None, like: Tensor) -> Tensor:
    """The mask (B,) bool for the first axis of ``like``; None: every row."""
    if mask is None:
        return torch.ones(len(like), dtype=torch.bool, device=like.device)
    check("mask", mask, len(like))
    if mask.dtype != torch.bool:
        raise DataError(f"dtype {mask.dtype}", where="loss input 'mask'", expected="torch.bool")
    return mask


def cleared(x: Tensor, mask: Tensor, fill: float = 0.0) -> Tensor:
    """``x``, in at least float32, with the rows outside the mask replaced by a constant without gradient."""
    x = wide(x)
    shaped = mask.reshape(mask.shape + (1,) * (x.dim() - mask.dim()))
    return torch.where(shaped, x, torch.full_like(x, fill, requires_grad=False))


def mean_of(values: Tensor, mask: Tensor) -> Part:
    """Mean of ``values`` (N,) where ``mask`` (N,) holds; values elsewhere must be finite."""
    count = mask.sum()
    return Part(torch.where(mask, values, torch.zeros_like(values)).sum() / count.clamp(min=1), count)


def root(x: Tensor, r: float) -> Tensor:
    """``x ** (1 / r)`` for x ≥ 0, with gradient 0 where x is 0."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, torch.ones_like(x)) ** (1 / r), torch.zeros_like(x))
