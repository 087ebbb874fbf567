"""Losses of whole batches, where every row counts: what the stages of nano use.

Shapes: B rows, K levels. Level scores run from 1 (worst) to K (best); level order in tensors is the order of
`scores`. Every function returns a scalar mean over rows, float32, differentiable in its first argument.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def soft_levels(mean: Tensor, sigma: float, scores: Tensor) -> Tensor:
    """Target distributions over levels for given mean opinions (DeQA-Score, You et al., CVPR 2025, eq. 3-6).

    The variant ``affine`` of :mod:`mllmqa.data.labels`, as tensors: it carries no gradient.

    Args:
        mean: (B,) in [min(scores), max(scores)].
        sigma: standard deviation of single opinions, in levels, > 0.
        scores: (K,) the levels' values, one unit apart.

    Returns:
        (B, K), rows sum to 1.
    """
    from mllmqa.data.labels import affine

    target = affine(mean.double().cpu().numpy(), np.full(len(mean), sigma), scores.double().cpu().numpy())
    return torch.from_numpy(target).to(mean)


def expectation(logits: Tensor, scores: Tensor) -> Tensor:
    """Expected level (B,) of closed-set logits (B, K): softmax over the level words only (Q-Align, 2024)."""
    return (logits.softmax(1) * scores).sum(1)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of (B, K) logits against (B, K) target distributions."""
    return -(target * F.log_softmax(logits, dim=1)).sum(1).mean()


def plcc_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """1 − Pearson correlation within the batch, 0..2; 0 when a side is constant (no direction to learn from)."""
    p, t = prediction - prediction.mean(), target - target.mean()
    scale = p.norm() * t.norm()
    if float(scale.detach()) < 1e-8:
        return prediction.sum() * 0.0
    correlation: Tensor = (p * t).sum() / scale
    return 1 - correlation


def rank_loss(better: Tensor, worse: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """Logistic pair-rank loss (RankNet, Burges et al., ICML 2005; RankIQA for distortion pairs, Liu et al. 2017).

    Args:
        better: (B,) predictions of the items known to be better.
        worse: (B,) predictions of their partners.
        margin: the wanted gap, in levels, ≥ 0.
    """
    return F.softplus(worse + margin - better).mean()


def rank_hinge(better: Tensor, worse: Tensor, gap: Tensor) -> Tensor:
    """Margin ranking loss (RankIQA, Liu et al., ICCV 2017) with a wanted gap of its own for each pair.

    Unlike :func:`rank_loss` it is silent once the gap is there, so it does not push the worse side to the
    end of the scale.

    Args:
        better: (B,) predictions of the items known to be better.
        worse: (B,) predictions of their partners.
        gap: (B,) wanted differences, in levels, ≥ 0.

    Returns:
        The mean, 0 for no pairs.
    """
    return F.relu(gap - (better - worse)).sum() / max(1, len(gap))


def fidelity_loss(difference: Tensor, probability: Tensor, sigma: float = 1.0) -> Tensor:
    """Fidelity loss on pairs (FRank, Tsai et al., SIGIR 2007; UNIQUE, Zhang et al., TIP 2021).

    Args:
        difference: (B,) predicted score difference first − second.
        probability: (B,) target probability, 0..1, that the first is better.
        sigma: standard deviation of the comparison noise, in score units (Thurstone case V).
    """
    p = torch.special.ndtr(difference / sigma).clamp(1e-6, 1 - 1e-6)
    t = probability
    overlap: Tensor = (p * t + 1e-12).sqrt() + ((1 - p) * (1 - t) + 1e-12).sqrt()
    return 1 - overlap.mean()


def coverage(logits: Tensor, level_ids: Tensor) -> Tensor:
    """Open-vocabulary probability mass (B,) on the level words, from (B, V) logits."""
    return logits.softmax(1)[:, level_ids].sum(1)
