"""Losses on expected scores: distances of each row, and correlation inside a data set.

Shapes: B rows. Every function takes a mask (B,) bool of the rows that count (None: all). Distances count those
rows; correlations count the rows of the sets in which there is a correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mllmqa.training.losses.parts import Part, check, cleared, mean_of, rows_that_count, wide

LEAST_STD = 1e-6
"""A side with a smaller deviation, in its own units, is constant: there is no direction to learn from."""


def l1(prediction: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Part:
    """|s − m|, mean over rows: SimpleVQA's (Sun et al., ACM MM 2022) and others' distance."""
    p, t, rows = _rows(prediction, target, mask)
    return mean_of((p - t).abs(), rows)


def l2(prediction: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Part:
    """(s − m)², mean over rows; beside the fidelity in E-VQA's pre-training (Sun et al., CVPRW 2025)."""
    p, t, rows = _rows(prediction, target, mask)
    return mean_of((p - t) ** 2, rows)


def smooth_l1(prediction: Tensor, target: Tensor, *, beta: float = 1.0, mask: Tensor | None = None) -> Part:
    """d² / (2β) for d < β, else d − β/2, mean over rows (Girshick, Fast R-CNN, ICCV 2015)."""
    p, t, rows = _rows(prediction, target, mask)
    return mean_of(F.smooth_l1_loss(p, t, beta=beta, reduction="none"), rows)


def huber(prediction: Tensor, target: Tensor, *, delta: float = 1.0, mask: Tensor | None = None) -> Part:
    """d² / 2 for d < δ, else δ (d − δ/2), mean over rows (Huber, 1964): δ times :func:`smooth_l1`."""
    p, t, rows = _rows(prediction, target, mask)
    return mean_of(F.huber_loss(p, t, delta=delta, reduction="none"), rows)


def _rows(prediction: Tensor, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Both sides in one dtype, cleared outside the mask; targets without gradient."""
    check("prediction", prediction, None)
    check("target", target, len(prediction))
    rows = rows_that_count(mask, prediction)
    p = cleared(prediction, rows)
    return p, cleared(target.detach(), rows).to(p.dtype), rows


@dataclass(frozen=True)
class _Units:
    """Centred vectors of length 1 inside each set, float64: prediction and target (B,); member (S, B) 0 or 1;
    size (S,) rows of each set, 0 for sets without a correlation."""

    prediction: Tensor
    target: Tensor
    member: Tensor
    size: Tensor


def _units(prediction: Tensor, target: Tensor, sets: Tensor | None, mask: Tensor | None, least: int) -> _Units:
    p, t, rows = _rows(prediction, target, mask)
    if sets is None:
        sets = torch.zeros(len(p), dtype=torch.int64, device=p.device)
    check("sets", sets, len(p))
    names, which = torch.unique(sets, return_inverse=True)
    member = ((which == torch.arange(len(names), device=p.device)[:, None]) & rows).double()
    size = member.sum(1)

    def centred(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = (member @ x) / size.clamp(min=1)
        deviation = torch.where(rows, x - mean[which], torch.zeros_like(x))
        return deviation, member @ deviation**2

    (p0, pp), (t0, tt) = centred(p.double()), centred(t.double())
    usable = (size >= least) & (pp > size * LEAST_STD**2) & (tt > size * LEAST_STD**2)
    one = torch.ones_like(pp)
    scale_p, scale_t = (torch.where(usable, x, one).rsqrt() * usable for x in (pp, tt))
    return _Units(p0 * scale_p[which], t0 * scale_t[which], member, size * usable)


def plcc(
    prediction: Tensor,
    target: Tensor,
    sets: Tensor | None = None,
    *,
    form: Literal["half", "fit"] = "half",
    least: int = 3,
    mask: Tensor | None = None,
) -> Part:
    """Loss of the Pearson correlation ρ inside each set, 0..1; mean over sets, weighted by their rows.

    ``half``: (1 − ρ) / 2. ``fit``: (1 − ρ) / 4 + (1 − ρ²) / 8, 0..1/2: the mean squared differences of z-scores
    before and after the best linear fit, a quarter each, averaged; so in the code of FAST-VQA (Wu et al., ECCV
    2022), DOVER (Wu et al., ICCV 2023) and E-VQA (Sun et al., CVPRW 2025).

    Args:
        prediction: (B,) predicted scores.
        target: (B,) mean opinions, higher is better; no gradient.
        sets: (B,) integer ids of the data sets; None: one set.
        form: See above.
        least: Rows from which on a set counts; with 2 rows ρ is ±1 and has no gradient.
        mask: Rows with a mean opinion.

    Returns:
        The loss; sets with too few rows or a constant side are left out, and an exact 0 remains without any.

    Raises:
        DataError: Shapes do not fit.
    """
    units = _units(prediction, target, sets, mask, least)
    rho = units.member @ (units.prediction * units.target)
    each = (1 - rho) / 2
    if form == "fit":
        each = each / 2 + (1 - rho**2) / 8
    return _over_sets(each, units, prediction)


def norm_in_norm(
    prediction: Tensor,
    target: Tensor,
    sets: Tensor | None = None,
    *,
    least: int = 3,
    mask: Tensor | None = None,
) -> Part:
    """Σ |p̂ − t̂| / (2 √n), centred vectors of length 1 (Li, Jiang & Jiang, ACM MM 2020; p = 1, q = 2), 0..1.

    Arguments, result and errors as for :func:`plcc`.
    """
    units = _units(prediction, target, sets, mask, least)
    gap = units.member @ (units.prediction - units.target).abs()
    return _over_sets(gap / (2 * units.size.clamp(min=1).sqrt()), units, prediction)


def _over_sets(each: Tensor, units: _Units, like: Tensor) -> Part:
    """Mean of ``each`` (S,) weighted by rows, in the dtype of the prediction."""
    total = units.size.sum()
    value = (each * units.size).sum() / total.clamp(min=1)
    return Part(value.to(wide(like).dtype), total.long())
