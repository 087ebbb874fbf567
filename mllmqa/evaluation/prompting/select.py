"""Difficult pictures for a small benchmark: where experts' metrics and opinions disagree, and unlike each other.

After Wu et al. (ECCV 2024), section "difficult-sample selection", in the spirit of MAD competition (Wang &
Simoncelli, J. Vision 2008): greedily add the picture with the greatest ::

    (prediction − opinion)² / (std² + 1) + weight · (1 − cos(features, mean features of the chosen))

all of prediction, opinion and std on 0..1. Corrected: features keep their lengths along the feature axis (the
published code normalises along the axis of a batch of one, which leaves only their signs), of equal pictures the
first is taken instead of the last, and the weight of diversity is stated by the caller (0.01 there, at which it
hardly counts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mllmqa.errors import DataError, UsageError

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What is known of N pictures.

    Attributes:
        predictions: Mean of the experts' metrics after a monotone fit to the opinions, shape (N,), 0..1.
        opinions: Shape (N,), 0..1.
        stds: Of the opinions on the same scale, shape (N,); zeros where they are not published.
        features: Of the pictures, shape (N, D), any metric length > 0.
    """

    predictions: Float
    opinions: Float
    stds: Float
    features: Float

    @classmethod
    def of(
        cls, predictions: ArrayLike, opinions: ArrayLike, stds: ArrayLike | None, features: ArrayLike
    ) -> Evidence:
        """Check and hold the arrays.

        Raises:
            DataError: Shapes differ, a number is not finite or off its scale, or a feature has no length.
        """
        x, y = np.asarray(predictions, np.float64), np.asarray(opinions, np.float64)
        s = np.zeros_like(y) if stds is None else np.asarray(stds, np.float64)
        f = np.asarray(features, np.float64)
        if x.ndim != 1 or x.shape != y.shape or y.shape != s.shape or f.ndim != 2 or len(f) != len(x):
            raise DataError(f"shapes {x.shape}, {y.shape}, {s.shape}, {f.shape}", expected="(N,) thrice and (N, D)")
        if not all(np.isfinite(one).all() for one in (x, y, s, f)):
            raise DataError("a number is not finite")
        if ((x < 0) | (x > 1) | (y < 0) | (y > 1) | (s < 0)).any():
            raise DataError("a prediction or opinion is off the scale 0..1, or a deviation is negative")
        if not (np.linalg.norm(f, axis=1) > 0).all():
            raise DataError("a picture has features of length 0")
        return cls(x, y, s, f)

    @property
    def error(self) -> Float:
        """(prediction − opinion)² / (std² + 1), shape (N,)."""
        found: Float = (self.predictions - self.opinions) ** 2 / (self.stds**2 + 1)
        return found


def difficult(evidence: Evidence, k: int, weight: float = 0.01) -> list[int]:
    """Choose k pictures without references, in the order of choice.

    Args:
        evidence: Of N pictures.
        k: 1 to N.
        weight: Of diversity, ≥ 0; the error is at most 1, diversity at most 2.

    Raises:
        UsageError: k or the weight is out of range.
    """
    return _greedy(evidence.error, evidence.features, k, weight)


def difficult_references(
    evidence: Evidence, groups: Sequence[str], references: int, per_reference: int, weight: float = 0.01
) -> list[int]:
    """Choose references by the mean error of their versions, then the versions with the greatest error of each.

    The features of a reference are the mean of its versions' normalised ones.

    Args:
        evidence: Of N distorted pictures.
        groups: Reference of each, N of them.
        references: How many to choose.
        per_reference: Versions of each; all, where there are fewer.
        weight: Of diversity among the references.

    Raises:
        DataError: Not N names.
        UsageError: A number is out of range.
    """
    if len(groups) != len(evidence.opinions):
        raise DataError(f"{len(groups)} references for {len(evidence.opinions)} pictures")
    if per_reference < 1:
        raise UsageError(f"{per_reference} versions of each reference", expected="1 or more")
    names = list(dict.fromkeys(groups))
    members = [[i for i, group in enumerate(groups) if group == name] for name in names]
    unit = evidence.features / np.linalg.norm(evidence.features, axis=1, keepdims=True)
    error = np.array([evidence.error[m].mean() for m in members])
    features = np.array([unit[m].mean(axis=0) for m in members])
    chosen = _greedy(error, features, references, weight)
    return [i for g in chosen for i in sorted(members[g], key=lambda i: (-evidence.error[i], i))[:per_reference]]


def _greedy(error: Float, features: Float, k: int, weight: float) -> list[int]:
    n = len(error)
    if not 1 <= k <= n or not weight >= 0:
        raise UsageError(
            f"{k} of {n} pictures with weight {weight}", expected=f"1 to {n}, and a weight of at least 0"
        )
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    left, total, chosen = np.ones(n, bool), np.zeros(unit.shape[1]), list[int]()
    for _ in range(k):
        gain = error.copy()
        length = float(np.linalg.norm(total))
        if chosen:
            gain += weight * (1 - (unit @ total / length if length > 0 else 0.0))
        gain[~left] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        left[best] = False
        total = total + unit[best]
    return chosen
