"""Losses on pairs inside a data set: opinions of different sets share no scale, so they are never compared.

Shapes: B rows, P pairs. A pair is (first, second); all its numbers are about the first against the second.
Every loss counts pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mllmqa.errors import DataError
from mllmqa.training.losses.parts import Part, check, cleared, mean_of, rows_that_count, wide

Kind = Literal["continuous", "binary", "either"]
EPSILON = 1e-8
"""As published: inside the roots of the fidelity, and added to variances."""


@dataclass(frozen=True)
class Opinions:
    """What people said about the rows of one batch, in the units of each set.

    Attributes:
        mean: (B,) mean opinions, higher is better.
        sets: (B,) integer ids of the data sets.
        std: (B,) deviations of the opinions; None: no row has one.
        has_mean: (B,) bool; None: all rows.
        has_std: (B,) bool; None: all rows, where ``std`` is given.
    """

    mean: Tensor
    sets: Tensor
    std: Tensor | None = None
    has_mean: Tensor | None = None
    has_std: Tensor | None = None


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows.

    Attributes:
        first, second: (P,) int64 row numbers.
        target: (P,) probability that the first is better, without gradient.
        gap: (P,) difference of the opinions.
        mask: (P,) bool, pairs that count.
        rows: B, the rows of the batch.
    """

    first: Tensor
    second: Tensor
    target: Tensor
    gap: Tensor
    mask: Tensor
    rows: int


def pairs_within(
    opinions: Opinions,
    kind: Kind = "continuous",
    *,
    tie: float = 0.5,
    chosen: tuple[Tensor, Tensor] | None = None,
) -> Pairs:
    """Pairs of rows of the same set with the probability that the first is better.

    ``continuous``: Φ((m₁ − m₂) / √(s₁² + s₂² + 1e-8)), Thurstone's case III, for pairs with both deviations
    (UNIQUE, Zhang et al., TIP 2021; DeQA-Score, You et al., CVPR 2025). ``binary``: 1 if m₁ > m₂, 0 if less,
    ``tie`` if equal (LIQE, Zhang et al., CVPR 2023). ``either``: continuous where it can be, else binary.

    Args:
        opinions: Of the B rows.
        kind: Which target.
        tie: Binary target for equal opinions: 0.5 as in LIQE; DeQA-Score has 0, which depends on the order.
        chosen: Row numbers (P,), (P,) of the pairs, as in training by drawn pairs; None: all B (B − 1) / 2.

    Raises:
        DataError: Shapes do not fit, or continuous targets are wanted and no row can have a deviation.
    """
    check("opinions.mean", opinions.mean, None)
    check("opinions.sets", opinions.sets, len(opinions.mean))
    if opinions.std is None and kind == "continuous":
        raise DataError(
            "opinions without deviations", where="pairs_within", hint='use the kind "binary", or "either"'
        )
    rows = rows_that_count(opinions.has_mean, opinions.mean)
    n = len(rows)
    first, second = torch.triu_indices(n, n, 1, device=rows.device) if chosen is None else chosen
    check("chosen", second, len(first))
    mask = rows[first] & rows[second] & (opinions.sets[first] == opinions.sets[second])
    mean = cleared(opinions.mean.detach(), rows)
    gap = mean[first] - mean[second]
    target = (gap > 0).to(gap) + tie * (gap == 0).to(gap)
    if opinions.std is not None and kind != "binary":
        check("opinions.std", opinions.std, n)
        spread = rows_that_count(opinions.has_std, opinions.std)
        both = spread[first] & spread[second]
        std = cleared(opinions.std.detach(), spread, 1.0)
        smooth = torch.special.ndtr(gap / noise_of(std[first], std[second]))
        target, mask = torch.where(both, smooth, target), mask & (both | (kind == "either"))
    return Pairs(first, second, target, gap, mask, n)


def noise_of(first: Tensor, second: Tensor) -> Tensor:
    """√(d₁² + d₂² + 1e-8): deviation of the difference of two independent scores."""
    return (first**2 + second**2 + EPSILON).sqrt()


def fidelity(z: Tensor, target: Tensor, *, epsilon: float = EPSILON) -> Tensor:
    """1 − √(p g + ε) − √((1 − p)(1 − g) + ε) with p = Φ(z) (FRank, Tsai et al., SIGIR 2007).

    With ε (UNIQUE, LIQE, DeQA-Score) the least value is −1e-4, not 0. Without, gradients stay finite and reach far:
    roots are taken in the logarithm.

    Args:
        z: (P,) predicted differences in deviations of their noise.
        target: (P,) g, 0..1.
        epsilon: 1e-8, or 0 as in DeQA-Score's binary form.

    Returns:
        (P,) values.
    """
    z, g = wide(z), wide(target).to(wide(z).dtype)
    if epsilon == 0:
        first: Tensor = (torch.special.log_ndtr(z) / 2).exp() * g.sqrt()
        second: Tensor = (torch.special.log_ndtr(-z) / 2).exp() * (1 - g).clamp(min=0).sqrt()
    else:
        first = (torch.special.ndtr(z) * g + epsilon).sqrt()
        second = (torch.special.ndtr(-z) * (1 - g) + epsilon).sqrt()
    return 1 - first - second


def preference_cross_entropy(z: Tensor, target: Tensor) -> Tensor:
    """−g log Φ(z) − (1 − g) log Φ(−z), (P,): the binary cross entropy of DeQA-Score's code, at any distance."""
    z, g = wide(z), wide(target).to(wide(z).dtype)
    result: Tensor = -g * torch.special.log_ndtr(z) - (1 - g) * torch.special.log_ndtr(-z)
    return result


def preference_loss(
    prediction: Tensor,
    pairs: Pairs,
    *,
    std: Tensor | None = None,
    noise: float = math.sqrt(2),
    form: Literal["fidelity", "cross-entropy"] = "fidelity",
    epsilon: float = EPSILON,
) -> Part:
    """Loss of predicted preferences Φ((s₁ − s₂) / noise), mean over pairs (Thurstone, 1927).

    Args:
        prediction: (B,) predicted scores.
        pairs: Of :func:`pairs_within`.
        std: (B,) predicted deviations, noise = √(d₁² + d₂² + 1e-8), case III (DeQA-Score without ``use_fix_std``,
            UNIQUE); detach them to train scores only. None: ``noise``.
        noise: Fixed deviation of a difference, case V: √2, unit deviations (DeQA-Score's released script),
            or 1 (LIQE, E-VQA).
        form: Fidelity, or cross entropy.
        epsilon: Of :func:`fidelity`.

    Raises:
        DataError: Shapes do not fit.
    """
    z = _difference(prediction, pairs)
    if std is None:
        z = z / noise
    else:
        check("std", std, len(prediction))
        z = z / noise_of(cleared(std[pairs.first], pairs.mask, 1.0), cleared(std[pairs.second], pairs.mask, 1.0))
    each = (
        fidelity(z, pairs.target, epsilon=epsilon)
        if form == "fidelity"
        else preference_cross_entropy(z, pairs.target)
    )
    return mean_of(each, pairs.mask)


def ranking_loss(
    prediction: Tensor,
    pairs: Pairs,
    *,
    margin: float | None = 0.0,
    limit: float | None = None,
    scaled: bool = False,
) -> Part:
    """Hinge max(0, margin − sign(m₁ − m₂)(s₁ − s₂)), mean over pairs with different opinions.

    RankIQA (Liu et al., ICCV 2017) has a fixed margin; SimpleVQA (Sun et al., ACM MM 2022) the opinions' own
    difference, and in its code margin 0 with limit 1; FAST-VQA (Wu et al., ECCV 2022) margin 0, scaled, where its
    code also counts ties.

    Args:
        prediction: (B,) predicted scores.
        pairs: Of :func:`pairs_within`.
        margin: Wanted gap ≥ 0; None: |m₁ − m₂|, which needs predictions in the units of the opinions.
        limit: Only pairs with |m₁ − m₂| below it; None: all.
        scaled: Divide by 1 + the largest hinge of the batch.

    Raises:
        DataError: Shapes do not fit.
    """
    gap = pairs.gap.to(wide(prediction).dtype)
    mask = pairs.mask & (gap != 0)
    if limit is not None:
        mask = mask & (gap.abs() < limit)
    wanted = gap.abs() if margin is None else margin
    hinge = (wanted - gap.sign() * _difference(prediction, pairs)).relu()
    part = mean_of(hinge, mask)
    if not scaled:
        return part
    counted = torch.where(mask, hinge, torch.zeros_like(hinge))
    return Part(part.value / (1 + torch.cat([counted, counted.new_zeros(1)]).max()), part.count)


def _difference(prediction: Tensor, pairs: Pairs) -> Tensor:
    check("prediction", prediction, pairs.rows)
    return cleared(prediction[pairs.first], pairs.mask) - cleared(prediction[pairs.second], pairs.mask)
