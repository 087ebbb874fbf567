"""Full-reference metrics of images: how far a picture is from its reference.

PSNR is computed here; the others are those of piq (Kastryulin et al., arXiv 2208.14818; Apache-2.0, extra
``fullref``). One name stands for one variant, which is stated, since "SSIM" alone names six different numbers. All
take RGB in 0..1, in float32; on the CPU, or where the pictures are (``measure_many``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mllmqa.errors import DataError, MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
PSNR_OF_EQUALS_DB = 80.0
"""PSNR is cut here, so that equal pictures have a finite one."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Short name.
        higher_is_better: Direction.
        perfect: Value of equal pictures.
        min_side_px: Smallest side that it takes.
        variant: Library, version, colour space, window, downsampling: what makes the number this number.
        paper: Where it was proposed.
    """

    name: str
    higher_is_better: bool
    perfect: float
    min_side_px: int
    variant: str
    paper: str

    def goodness(self, value: float) -> float:
        """Return the value with the sign that makes higher better, at most that of equal pictures.

        Without the limit a picture of stronger contrast, whose VIF exceeds 1, would be better than its reference.
        """
        return min(value, self.perfect) if self.higher_is_better else -value


def _metric(name: str, min_side: int, variant: str, paper: str, *, distance: bool = False) -> Metric:
    perfect = PSNR_OF_EQUALS_DB if name == "psnr" else float(not distance)
    return Metric(name, not distance, perfect, min_side, variant, paper)


METRICS: dict[str, Metric] = {
    one.name: one
    for one in (
        _metric("psnr", 1, "mllmqa: RGB, mean of squares over all channels, at most 80 dB", "ITU-T J.247"),
        _metric(
            "ssim", 11, "piq 0.8: RGB, 11×11 Gaussian σ 1.5, downsampled to a short side near 256", "Wang, TIP 2004"
        ),
        _metric("ms_ssim", 161, "piq 0.8: RGB, 5 scales, 11×11 Gaussian σ 1.5", "Wang, Asilomar 2003"),
        _metric("vsi", 16, "piq 0.8: RGB, downsampled to a short side near 256", "Zhang, TIP 2014"),
        _metric("fsim", 16, "piq 0.8: FSIMc (chromatic), downsampled to a short side near 256", "Zhang, TIP 2011"),
        _metric("gmsd", 16, "piq 0.8: grey, 2×2 mean and decimation", "Xue, TIP 2014", distance=True),
        _metric("vif", 41, "piq 0.8: pixel domain (VIFp), luma, σₙ² 2", "Sheikh, TIP 2006"),
        _metric("mdsi", 16, "piq 0.8: sum, short side to near 256", "Nafchi, Access 2016", distance=True),
        _metric("haarpsi", 16, "piq 0.8: RGB, 3 scales, 2×2 mean and decimation", "Reisenhofer, SPIC 2018"),
    )
}  # fmt: skip
NAMES: tuple[str, ...] = tuple(METRICS)
_IN_PIQ = {
    "ssim": "ssim",
    "ms_ssim": "multi_scale_ssim",
    "vsi": "vsi",
    "fsim": "fsim",
    "gmsd": "gmsd",
    "vif": "vif_p",
    "mdsi": "mdsi",
    "haarpsi": "haarpsi",
}


def known(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names.

    Raises:
        UnknownNameError: One is no metric, or there is none.
    """
    found = tuple(names)
    for name in found or ("",):
        if name not in METRICS:
            raise UnknownNameError(f"no full-reference metric {name!r}", expected="one of " + ", ".join(METRICS))
    return found


def psnr(reference: Pixels, distorted: Pixels) -> float:
    """Return 10·log10(255² / mean squared difference) in dB, at most 80 (equal pictures).

    Args:
        reference: uint8, any shape.
        distorted: uint8, the same shape.
    """
    error = np.mean(np.square(reference.astype(np.float64) - distorted))
    return float(min(10 * np.log10(255**2 / error), PSNR_OF_EQUALS_DB)) if error else PSNR_OF_EQUALS_DB


def measure(reference: Pixels, distorted: Pixels, names: Iterable[str] = NAMES) -> dict[str, float]:
    """Compare a picture with its reference.

    Args:
        reference: uint8 (H, W, 3) RGB.
        distorted: Same shape; it is never resized to fit.
        names: Of :data:`NAMES`.

    Returns:
        Values by name, in the order of the names; directions stand in :data:`METRICS`.

    Raises:
        UnknownNameError: No such metric.
        DataError: Not two pictures of one size, or smaller than a metric takes, or a value that is not finite.
        MissingExtraError: Another metric than PSNR, and piq is not installed.
    """
    wanted = known(names)
    _check(reference, distorted, wanted)
    values: dict[str, float] = {}
    tensors: tuple[torch.Tensor, torch.Tensor] | None = None
    for name in wanted:
        if name == "psnr":
            values[name] = psnr(reference, distorted)
            continue
        tensors = tensors or (_tensor(reference), _tensor(distorted))
        values[name] = _by_piq(name, *tensors)
    return values


def measure_many(
    reference: torch.Tensor, distorted: torch.Tensor, names: Iterable[str] = NAMES
) -> dict[str, npt.NDArray[np.float64]]:
    """Compare many pictures of one size with their references at once, on the device where they are.

    Args:
        reference: uint8 (B, 3, H, W) RGB.
        distorted: Same shape.
        names: Of :data:`NAMES`.

    Returns:
        (B,) by name, as :func:`measure` has them up to rounding; NaN where a metric cannot tell.

    Raises:
        UnknownNameError: No such metric.
        DataError: Not pictures of one size, or smaller than a metric takes.
        MissingExtraError: Another metric than PSNR, and piq is not installed.
    """
    import torch

    wanted, values = known(names), {}
    if reference.shape != distorted.shape:
        raise DataError(
            f"references are {tuple(reference.shape)}, distorted pictures {tuple(distorted.shape)}",
            expected="one shape for both",
        )
    for pair in zip(reference[:1], distorted[:1], strict=True):
        one, other = (pixels.permute(1, 2, 0).cpu().numpy() for pixels in pair)
        _check(one, other, wanted)
    with torch.inference_mode():
        pictures = [pixels.float() / 255 for pixels in (distorted, reference)]
        for name in wanted:
            if name == "psnr":
                error = (pictures[0] - pictures[1]).double().square().flatten(1).mean(1)
                found = (-10 * error.log10()).clamp(max=PSNR_OF_EQUALS_DB)
            else:
                found = getattr(piq_module(), _IN_PIQ[name])(*pictures, data_range=1.0, reduction="none")
            finite = torch.where(found.isfinite(), found, torch.nan)
            values[name] = finite.double().flatten().cpu().numpy()
    return values


def _check(reference: Pixels, distorted: Pixels, names: tuple[str, ...]) -> None:
    for what, pixels in (("the reference", reference), ("the distorted picture", distorted)):
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise DataError(f"{what} is {pixels.dtype} {pixels.shape}", expected="uint8 (H, W, 3)")
    if reference.shape != distorted.shape:
        raise DataError(
            f"the reference is {_size(reference)}, the distorted picture {_size(distorted)}",
            expected="one size for both",
            hint="bring both to the same size first",
        )
    short = min(reference.shape[:2])
    for name in names:
        if short < METRICS[name].min_side_px:
            raise DataError(
                f"{_size(reference)} is too small for {name}",
                expected=f"at least {METRICS[name].min_side_px} pixels on the short side",
                hint="leave this metric out or take larger pictures",
            )


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}×{pixels.shape[0]}"


def _tensor(pixels: Pixels) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].float() / 255


@cache
def piq_module() -> Any:
    """Import piq, which needs torchvision; beside a CPU build of torch with the declarations of mllmqa.

    Raises:
        MissingExtraError: One of both is not installed.
    """
    from mllmqa.models.torchvision_shim import ensure_torchvision

    missing = MissingExtraError("piq", extra="fullref", purpose="full-reference metrics other than PSNR")
    if ensure_torchvision() == "absent":
        raise missing
    try:
        import piq
    except ImportError as error:
        raise missing from error
    return piq


def _by_piq(name: str, reference: torch.Tensor, distorted: torch.Tensor) -> float:
    import torch

    function = getattr(piq_module(), _IN_PIQ[name])
    with torch.inference_mode():
        value = float(function(distorted, reference, data_range=1.0))
    if not np.isfinite(value):
        raise DataError(
            f"{name} is {value}", expected="a finite number", hint="leave this metric out for this pair"
        )
    return value
