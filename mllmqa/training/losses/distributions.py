"""Losses between distributions over the level words.

Shapes: B rows, K levels, V vocabulary. Targets are (B, K) probabilities in the order of the level ids or logits.
Every function takes a mask (B,) bool of the rows that count (None: all) and its count is their number.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mllmqa.errors import UsageError
from mllmqa.training.losses.batch import expectation
from mllmqa.training.losses.parts import Part, check, cleared, mean_of, root, rows_that_count, wide


def level_kl_open(logits: Tensor, target: Tensor, level_ids: Tensor, *, mask: Tensor | None = None) -> Part:
    """KL to the levels' distribution over the full vocabulary (DeQA-Score, You et al., CVPR 2025).

    Σ_k t_k (log t_k − log p_k), p the softmax over all V tokens and t zero outside the levels, mean over rows: as
    published, targets that do not sum to 1 included. The published code takes the logarithm of a softmax and is NaN
    as soon as a probability underflows (a logit gap of 104 in float32); this is the same number, and finite there.

    Args:
        logits: (B, V) at the level position (:func:`~mllmqa.training.losses.logits_at`).
        target: (B, K) probabilities, ≥ 0.
        level_ids: (K,) int64.
        mask: Rows with a target.

    Raises:
        DataError: Shapes do not fit.
    """
    check("logits", logits, None, None)
    check("target", target, len(logits), len(level_ids))
    rows = rows_that_count(mask, logits)
    log_p = cleared(logits, rows).log_softmax(1)[:, level_ids]
    return mean_of(_kl(log_p, cleared(target, rows, 1 / len(level_ids))), rows)


def level_kl(logits: Tensor, target: Tensor, *, mask: Tensor | None = None) -> Part:
    """KL to the levels' distribution over the closed set of levels: Σ_k t_k (log t_k − log softmax_k).

    As :func:`level_kl_open` without pressure on the level words as such: what scoring reads (Q-Align, 2024, eq. 3).

    Args:
        logits: (B, K) of the level words.
        target: (B, K) probabilities, ≥ 0; the minimum is 0 only if they sum to 1.
        mask: Rows with a target.

    Raises:
        DataError: Shapes do not fit.
    """
    check("logits", logits, None, None)
    check("target", target, *logits.shape)
    rows = rows_that_count(mask, logits)
    return mean_of(_kl(cleared(logits, rows).log_softmax(1), cleared(target, rows, 1 / logits.shape[1])), rows)


def _kl(log_p: Tensor, target: Tensor) -> Tensor:
    """(B,) divergences; a level of target 0 counts nothing, also where its logit is −∞."""
    target = target.to(log_p.dtype)
    reached = torch.where(target > 0, log_p, torch.zeros_like(log_p))
    return (torch.xlogy(target, target) - target * reached).sum(1)


def outside_mass(logits: Tensor, level_ids: Tensor, *, floor: float = 0.01, mask: Tensor | None = None) -> Part:
    """Open-vocabulary probability outside the levels, mean over rows, at least ``floor`` (DeQA-Score's "in-level").

    max(floor, mean(1 − Σ_k p_k)), p the softmax over the vocabulary: off in the published training.

    Args:
        logits: (B, V) at the level position.
        level_ids: (K,) int64.
        floor: Below it there is no gradient.
        mask: Rows with a level.

    Raises:
        DataError: Shapes do not fit.
    """
    check("logits", logits, None, None)
    check("level_ids", level_ids, None)
    rows = rows_that_count(mask, logits)
    z = cleared(logits, rows)
    inside = (z[:, level_ids].logsumexp(1) - z.logsumexp(1)).exp()
    part = mean_of(1 - inside, rows)
    return Part(torch.where(part.count > 0, part.value.clamp(min=floor), part.value), part.count)


def moments(probabilities: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, each (B,), of (B, K) probabilities over (K,) scores.

    m = Σ p x, d = √(Σ p (x − m)²), as DeQA-Score predicts them (CVPR 2025); it also does so for open-set
    probabilities that do not sum to 1. The gradient of d is 0 where d is 0.

    Raises:
        DataError: Shapes do not fit.
    """
    check("probabilities", probabilities, None, len(scores))
    p = wide(probabilities)
    x = scores.to(p)
    mean = (p * x).sum(1)
    return mean, root((p * (x - mean[:, None]) ** 2).sum(1), 2)


def emd(prediction: Tensor, target: Tensor, *, r: float = 2.0, mask: Tensor | None = None) -> Part:
    """Earth mover's distance between distributions over ordered levels (NIMA, Talebi & Milanfar, TIP 2018).

    (1/K Σ_k |CDF_k − CDF'_k|^r)^(1/r) for each row, then the mean; r = 2 in NIMA's training, 1 in its tables.

    Args:
        prediction: (B, K) probabilities (a softmax; its first argument here is not logits).
        target: (B, K) probabilities.
        r: ≥ 1.
        mask: Rows with a target.

    Raises:
        DataError: Shapes do not fit.
        UsageError: r is below 1.
    """
    if not r >= 1:
        raise UsageError(f"r = {r}", where="emd", expected="at least 1")
    check("prediction", prediction, None, None)
    check("target", target, *prediction.shape)
    rows = rows_that_count(mask, prediction)
    gap = cleared(prediction, rows).cumsum(1) - cleared(target, rows).cumsum(1)
    return mean_of(root((gap.abs() ** r).mean(1), r), rows)


def distil_levels(
    student: Tensor, teacher: Tensor, *, temperature: float = 1.0, mask: Tensor | None = None
) -> Part:
    """T² KL(teacher ‖ student) of softened distributions (Hinton, Vinyals & Dean, 2015, section 2).

    Both are softmax(logits / T); T² keeps the size of the gradient when T changes.

    Args:
        student: (B, K) logits of the level words.
        teacher: (B, K) logits; they get no gradient.
        temperature: T > 0.
        mask: Rows that the teacher has seen.

    Raises:
        DataError: Shapes do not fit.
        UsageError: The temperature is not above 0.
    """
    if not temperature > 0:
        raise UsageError(f"temperature {temperature}", where="distil_levels", expected="above 0")
    check("student", student, None, None)
    check("teacher", teacher, *student.shape)
    rows = rows_that_count(mask, student)
    wanted = (cleared(teacher.detach(), rows) / temperature).log_softmax(1)
    had = (cleared(student, rows) / temperature).log_softmax(1)
    p = wanted.exp()
    gap = torch.where(p > 0, wanted - had, torch.zeros_like(had))
    return mean_of(temperature**2 * (p * gap).sum(1), rows)


def distil_expectation(
    student: Tensor, teacher: Tensor, scores: Tensor, *, beta: float = 0.5, mask: Tensor | None = None
) -> Part:
    """Smooth L1 between the expected levels of student and teacher: distillation of the score alone.

    For a teacher with other words or another number of levels convert its logits first: only scores are compared.

    Args:
        student: (B, K) logits of the level words.
        teacher: (B, K) logits; they get no gradient.
        scores: (K,) values of the levels.
        beta: Where the square becomes linear, in levels, > 0.
        mask: Rows that the teacher has seen.

    Raises:
        DataError: Shapes do not fit.
    """
    check("student", student, None, len(scores))
    check("teacher", teacher, *student.shape)
    rows = rows_that_count(mask, student)
    had, wanted = cleared(student, rows), cleared(teacher.detach(), rows)
    scores = scores.to(had)
    each = F.smooth_l1_loss(expectation(had, scores), expectation(wanted, scores), beta=beta, reduction="none")
    return mean_of(each, rows)
