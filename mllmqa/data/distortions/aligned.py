"""Severities that look alike across functions: the parameter is chosen on the picture for a target loss.

The tables' severities are comparable within one function only (PSNR at severity 1 runs from 16 to 34 dB). Here a
severity is a target for 1 − MS-SSIM against the undistorted picture, and the parameter that meets it is found by
bisection along the table. MS-SSIM (Wang, Simoncelli, Bovik 2003) is taken on Y, Cr and Cb with weights 6:1:1, so
that changes of colour count; its scales are as many as the picture allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mllmqa.data.distortions.base import Distorted, Floats, Pixels, check_pixels, opencv, to_ycrcb
from mllmqa.data.distortions.engine import entry_of, interpolated, run
from mllmqa.data.distortions.tables import Entry
from mllmqa.errors import DataError

TARGETS: tuple[float, ...] = (0.02, 0.05, 0.08, 0.12, 0.18)
"""1 − MS-SSIM at severities 1..5: about the medians of the 35 at the same severities of the table."""
TOLERANCE = 0.2
"""A loss this far from the target, as a share of it, still counts as met (whole-numbered parameters jump)."""

_WINDOW_PX, _SIGMA_PX = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
_SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
_CHANNEL_WEIGHTS = np.array([6, 1, 1]) / 8
_STEPS = 14


def ms_ssim_loss(reference: Pixels, distorted: Pixels) -> float:
    """1 − MS-SSIM over Y, Cr, Cb (6:1:1): 0 for equal pictures, at most 1.

    Five scales where the short side has 176 px or more, fewer below (weights renormalised).
    """
    return 1 - _ms_ssim(to_ycrcb(reference), to_ycrcb(distorted))


def _local(values: Floats) -> Floats:
    cv2 = opencv()
    window = (_WINDOW_PX, _WINDOW_PX)
    return np.asarray(cv2.GaussianBlur(values, window, _SIGMA_PX, borderType=cv2.BORDER_REFLECT_101))


def _ms_ssim(one: Floats, other: Floats) -> float:
    cv2 = opencv()
    scales = int(np.clip(np.floor(np.log2(min(one.shape[:2]) / _WINDOW_PX)) + 1, 1, 5))
    weights = _SCALE_WEIGHTS[:scales] / _SCALE_WEIGHTS[:scales].sum()
    product = np.ones(3)
    for scale, weight in enumerate(weights):
        mean_1, mean_2 = _local(one), _local(other)
        variance_1, variance_2 = _local(one * one) - mean_1**2, _local(other * other) - mean_2**2
        covariance = _local(one * other) - mean_1 * mean_2
        similarity = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
        if scale == scales - 1:
            similarity = similarity * (2 * mean_1 * mean_2 + _C1) / (mean_1**2 + mean_2**2 + _C1)
        product *= np.maximum(similarity.mean(axis=(0, 1), dtype=np.float64), 0) ** weight
        half = (max(1, one.shape[1] // 2), max(1, one.shape[0] // 2))
        one, other = (np.asarray(cv2.resize(v, half, interpolation=cv2.INTER_AREA)) for v in (one, other))
    return float(product @ _CHANNEL_WEIGHTS)


@dataclass(frozen=True)
class _Search:
    """The loss along the table of one distortion on one picture, always with the same draws."""

    pixels: Pixels
    entry: Entry
    seed: int

    def at(self, place: float) -> tuple[float, Distorted]:
        """Return the loss at a severity, 0..6 (the ends of the entry), and the picture distorted so."""
        rng = np.random.Generator(np.random.PCG64(self.seed))
        made = run(self.pixels, self.entry, interpolated(self.entry, place), rng)
        return ms_ssim_loss(self.pixels, made.pixels), made


def align(
    pixels: Pixels, name: str, severity: float, rng: np.random.Generator, *, target: float | None = None
) -> Distorted:
    """Apply a distortion with the parameter that meets a full-reference loss on this picture.

    Args:
        pixels: (H, W, 3) uint8 RGB, both sides at least 32 px; never changed.
        name: Any distortion whose severities are ordered.
        severity: 1..5, fractions allowed: the target is `TARGETS` there. Ignored if `target` is given.
        rng: One draw seeds all tries, so that angle and grain stay the same along the search.
        target: 1 − MS-SSIM to meet, in 0..1.

    Returns:
        The pixels; the parameters, with `loss` reached, `target_loss`, and `table_severity`: the place in the
        table (0 and 6 are its ends).

    Raises:
        DataError: The target cannot be met within `TOLERANCE` on this picture (a grey one has no colour to
            lose; whole-numbered parameters jump); the message says what can.
    """
    check_pixels(pixels)
    entry = entry_of(name)
    if not entry.ordered:
        raise DataError("its severities have no order", where=name, expected="another distortion")
    if target is None:
        if not 1 <= severity <= 5:
            raise DataError(f"severity is {severity}", where=name, expected="a number in 1..5")
        target = float(np.interp(severity, (1, 2, 3, 4, 5), TARGETS))
    if not 0 < target < 1:
        raise DataError(f"target is {target}", where=name, expected="a loss between 0 and 1")
    search = _Search(pixels, entry, int(rng.integers(2**63)))
    place, loss, made = _bisect(search, target, name)
    return Distorted(made.pixels, {**made.parameters, "loss": loss, "target_loss": target, "table_severity": place})


def _bisect(search: _Search, target: float, name: str) -> tuple[float, float, Distorted]:
    """The place in the table whose loss is nearest to the target, its loss, and the picture."""
    low, high = (0.0, 6.0) if search.entry.ends else (1.0, 5.0)
    tries = {place: search.at(place) for place in (low, high)}
    for _ in range(_STEPS):
        place = min(tries, key=lambda p: abs(tries[p][0] - target))
        if abs(tries[place][0] - target) <= 0.01 * target or not tries[low][0] <= target <= tries[high][0]:
            break
        middle = (low + high) / 2
        tries[middle] = search.at(middle)
        low, high = (middle, high) if tries[middle][0] < target else (low, middle)
    place = min(tries, key=lambda p: abs(tries[p][0] - target))
    loss, made = tries[place]
    if abs(loss - target) > TOLERANCE * target:
        reached = ", ".join(f"{found:.3f}" for found in sorted(found for found, _ in tries.values()))
        raise DataError(
            f"no parameter meets a loss of {target:.3f} on this picture (tried: {reached})",
            where=name,
            hint="use another severity or the table's",
        )
    return place, loss, made
