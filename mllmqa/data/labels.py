"""Training targets from opinions: distributions over the five levels.

All arrays are float64 and go from level 1 (bad) to 5 (excellent), in the last axis. The three ways from a mean and
a deviation to a distribution are named, and the name is in the result, so that a data set says which one it holds:

- ``deqa``: as published (DeQA-Score, You et al., CVPR 2025): a discretised Gaussian, one affine correction, clipped
  at 0, *not* renormalised: sums up to 1.05, means off by up to 0.09, and uniform for a mean of exactly 3.
- ``affine``: the same correction solved without that singular point, clipped and renormalised; nano's target.
- ``tilted``: the correct one, see :func:`tilted`; sums to 1, has exactly the wanted mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mllmqa.errors import DataError, UsageError

Floats = NDArray[np.float64]
Variant = Literal["deqa", "affine", "tilted"]
Density = Literal["pdf", "cdf"]
LEVELS: Floats = np.arange(1.0, 6.0)

TWO_LEVEL_STD = 0.05
"""Below this deviation, in levels, third levels hold less than 1e-80: ``tilted`` is the two-level label."""


@dataclass(frozen=True)
class SoftLabels:
    """Distributions over the levels.

    Attributes:
        probabilities: (N, 5), level 1 to 5.
        variant: How they were made; ``histogram`` for opinions as they were given.
        fallback: (N,) bool: two neighbouring levels were used instead (``deqa``), or the deviation was so small
            that the label is that (``tilted``).
    """

    probabilities: Floats
    variant: Literal["deqa", "affine", "tilted", "histogram"]
    fallback: NDArray[np.bool_]

    @property
    def mean(self) -> Floats:
        """(N,) expectation over the levels."""
        return np.asarray(self.probabilities @ LEVELS, dtype=np.float64)


def soft_labels(
    level: ArrayLike, std: ArrayLike | None, variant: Variant = "tilted", *, density: Density = "pdf"
) -> SoftLabels | None:
    """Distributions over the five levels for mean opinions with deviations.

    Args:
        level: (N,) mean opinions on 1..5 (:meth:`mllmqa.data.ratings.RatingScale.level`).
        std: (N,) deviations of the opinions in levels; None: the data set has none.
        variant: See the module.
        density: For ``deqa``: the density at the level (KonIQ, KADID), or the mass of its unit bin (SPAQ).

    Returns:
        The labels; None without deviations: a missing deviation is stated, never made up.

    Raises:
        DataError: A mean is not in 1..5, a deviation is negative, or one of them is not finite.
        UsageError: The variant is unknown.
    """
    if variant not in get_args(Variant):
        raise UsageError(f"unknown variant {variant!r}", expected=" | ".join(get_args(Variant)))
    if std is None:
        return None
    mean, spread = _checked(level, std)
    if variant == "deqa":
        return deqa(mean, spread, density)
    if variant == "affine":
        return SoftLabels(affine(mean, spread), "affine", np.zeros(len(mean), dtype=bool))
    return SoftLabels(tilted(mean, spread), "tilted", spread < TWO_LEVEL_STD)


def _checked(level: ArrayLike, std: ArrayLike) -> tuple[Floats, Floats]:
    mean = np.atleast_1d(np.asarray(level, dtype=np.float64))
    spread = np.broadcast_to(np.asarray(std, dtype=np.float64), mean.shape)
    wrong = np.flatnonzero(~((mean >= 1) & (mean <= 5) & (spread >= 0) & np.isfinite(spread)))
    if len(wrong):
        k = int(wrong[0])
        raise DataError(
            f"{len(wrong)} labels cannot be made, first of mean {mean[k]:g} and deviation {spread[k]:g}",
            where=f"item {k}", expected="a mean in 1..5 and a deviation of at least 0",
        )  # fmt: skip
    return mean, spread


# ---------------------------------------------------------------- the correct one


def tilted(mean: Floats, std: Floats) -> Floats:
    """Discrete Gaussians with exactly the given means.

    p_x ∝ exp(θ x − x² / (2 s²)) for x = 1 … 5, with θ such that Σ x p_x = mean. Of all distributions over the
    levels with this mean and the same second moment it has the largest entropy; in the middle of the scale and for
    moderate s it is the sampled Gaussian itself. The mean grows with θ (its derivative is the variance), so θ is
    found by Newton steps inside a bracket. As s goes to 0 the limit is the two-level label; at the ends of the
    scale one level holds everything.

    Args:
        mean: (N,) in 1..5.
        std: (N,) ≥ 0, in levels.

    Returns:
        (N, 5), rows sum to 1; means are exact to 1e-9.
    """
    result = two_levels(mean)
    inner = np.flatnonzero((std >= TWO_LEVEL_STD) & (mean - 1 > 1e-10) & (5 - mean > 1e-10))
    if not len(inner):
        return result
    wanted, base = mean[inner], -((LEVELS[None, :] - 3) ** 2) / (2 * std[inner, None] ** 2)
    # Beyond |θ| of the bracket one end level outweighs the other four together by more than the 1e-10 from above.
    high = 4.5 / std[inner] ** 2 + 40.0
    low = -high
    theta = np.zeros_like(wanted)
    for _ in range(200):
        p = _softmax(base + theta[:, None] * (LEVELS - 3))
        error = p @ LEVELS - wanted
        if np.abs(error).max() < 1e-13:
            break
        low, high = np.where(error < 0, theta, low), np.where(error > 0, theta, high)
        variance = (p * (LEVELS[None, :] - (p @ LEVELS)[:, None]) ** 2).sum(1)
        step = theta - error / np.maximum(variance, 1e-300)
        theta = np.where((step > low) & (step < high), step, (low + high) / 2)
    result[inner] = p
    return result


def two_levels(mean: Floats) -> Floats:
    """The two neighbouring levels with linear weights: (N, 5), sums 1, means exact."""
    result: Floats = np.maximum(0.0, 1.0 - np.abs(LEVELS[None, :] - mean[:, None]))
    return result


def _softmax(logits: Floats) -> Floats:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = weights / weights.sum(axis=1, keepdims=True)
    return result


# ---------------------------------------------------------------- as published, and nano's


def deqa(mean: Floats, std: Floats, density: Density = "pdf", *, least_std: float = 0.2) -> SoftLabels:
    """The published soft labels of DeQA-Score, with their defects.

    Args:
        mean: (N,) in 1..5.
        std: (N,) in levels.
        density: See :func:`soft_labels`.
        least_std: Below it two neighbouring levels are used; also where the mean comes out wrong by over 0.1.
    """
    raw = _gaussian(mean, np.maximum(std, 1e-300), density)
    total, first = raw.sum(1), raw @ LEVELS
    alpha = (mean - 3) / (first - 3 * total + 1e-9)
    probabilities = np.maximum(alpha[:, None] * raw + ((1 - alpha * total) / 5)[:, None], 0)
    fallback = (std < least_std) | (np.abs(probabilities @ LEVELS - mean) > 0.1)
    inside = np.clip(mean, 1 + 1e-8, 5 - 1e-8)  # the published edges, widened by 1e-8, leave that much behind
    return SoftLabels(np.where(fallback[:, None], two_levels(inside), probabilities), "deqa", fallback)


def affine(mean: Floats, std: Floats, levels: Floats = LEVELS) -> Floats:
    """Unit-bin Gaussians with the affine correction to sum 1 and the mean, clipped at 0 and renormalised.

    Clipping moves the mean near the ends of the scale, by up to 0.24 for a deviation of 0.6.

    Args:
        mean: (N,) within the levels.
        std: (N,) in levels, above 0.
        levels: (K,) values, one unit apart.

    Returns:
        (N, K), rows sum to 1.
    """
    mass = _gaussian(mean, std, "cdf", levels)
    count, total = float(len(levels)), float(levels.sum())
    norm, first = mass.sum(1), mass @ levels
    det = norm * total - first * count
    flat = np.abs(det) < 1e-6  # the mean lies on the centre of the scale: only the sum needs correction
    safe = np.where(flat, 1.0, det)
    alpha = np.where(flat, 1 / norm, (total - mean * count) / safe)
    beta = np.where(flat, 0.0, (norm * mean - first) / safe)
    fixed = np.maximum(alpha[:, None] * mass + beta[:, None], 0)
    result: Floats = fixed / fixed.sum(axis=1, keepdims=True)
    return result


def _gaussian(mean: Floats, std: Floats, density: Density, levels: Floats = LEVELS) -> Floats:
    z, s = levels[None, :] - mean[:, None], std[:, None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        if density == "pdf":
            found = np.exp(-((z / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
        else:
            found = _normal_cdf((z + 0.5) / s) - _normal_cdf((z - 0.5) / s)
    result: Floats = np.nan_to_num(found, nan=0.0, posinf=0.0)  # a deviation of 0 has no density; see the fallback
    return result


_erfc: Callable[[Floats], Floats] = np.vectorize(math.erfc, otypes=[np.float64])


def _normal_cdf(z: Floats) -> Floats:
    return 0.5 * _erfc(-z / math.sqrt(2))


# ---------------------------------------------------------------- opinions as they were given


def histogram_labels(counts: ArrayLike) -> SoftLabels:
    """Distributions over the five levels from numbers of opinions, worst first.

    Five bins are taken as they are. Other numbers of bins (AVA has ten) are spread over 1..5 at equal distances,
    and every opinion is shared by its two neighbouring levels with linear weights: the mean stays exact.

    Args:
        counts: (N, B) numbers or shares of opinions, B ≥ 2.

    Raises:
        DataError: A row has a negative or no opinion, or one that is not finite.
    """
    votes = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    usable = np.isfinite(votes).all(1) & (votes >= 0).all(1) & (votes.sum(1) > 0)
    if votes.shape[1] < 2 or not usable.all():
        first = int(np.argmin(usable))
        raise DataError(
            f"opinions {votes[first].tolist()}", where=f"item {first}", expected="two or more bins, none below 0"
        )
    bins = votes.shape[1]
    places = LEVELS if bins == len(LEVELS) else np.linspace(1, 5, bins)
    return SoftLabels(
        (votes / votes.sum(1, keepdims=True)) @ two_levels(places), "histogram", np.zeros(len(votes), dtype=bool)
    )
