"""Every distortion: its category, its operation, its parameters at severities 1..5. The one place of these numbers.

The 35 are those of DepictQA-Wild (arXiv 2405.18842) with its parameters; `kadid_*` are the 25 of KADID-10k
(QoMEX 2019) in the order of its file names, with the parameters of KADIS-700k. Columns of whole numbers are
rounded between severities, columns with a decimal point are not. `ends` widen a parameter beyond 1 and 5 for
`aligned` only: (nearly none, extreme).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mllmqa.data.distortions import (
    blur,
    brightness,
    compression,
    contrast,
    kadid,
    noise,
    quantization,
    saturate,
    sharpness,
)
from mllmqa.data.distortions.base import Result

Five = tuple[float, float, float, float, float]
Ends = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Entry:
    """One distortion.

    Attributes:
        category: What is seen: one of the twelve categories of the 35, or `spatial`, `colour`, …
        operation: The function: pixels, generator, and the columns as keywords.
        columns: Parameter → its value at severities 1..5.
        ends: Parameter → its values at severities 0 and 6.
        ordered: Severity 2.5 lies between 2 and 3 (it does not where the sign alternates).
    """

    category: str
    operation: Callable[..., Result]
    columns: Mapping[str, Five]
    ends: Ends = field(default_factory=dict)
    ordered: bool = True


def _row(category: str, operation: Callable[..., Result], ends: Ends | None = None, **columns: Five) -> Entry:
    return Entry(category, operation, columns, ends or {})


_UP, _DOWN = (0.1, 0.2, 0.3, 0.4, 0.5), (-0.1, -0.2, -0.3, -0.4, -0.5)
_UP_RGB, _DOWN_RGB = (0.10, 0.15, 0.20, 0.27, 0.35), (-0.10, -0.15, -0.20, -0.27, -0.35)

WILD: dict[str, Entry] = {
    "blur_gaussian": _row("blur", blur.gaussian, {"sigma": (0.2, 12.0)}, sigma=(1.0, 2.0, 3.0, 4.0, 5.0)),
    "blur_motion": _row(
        "blur",
        blur.motion,
        {"radius": (1, 40), "sigma": (0.2, 30.0)},
        radius=(5, 10, 15, 15, 20),
        sigma=(3.0, 5.0, 7.0, 9.0, 12.0),
    ),
    "blur_glass": _row(
        "blur",
        blur.glass,
        {"sigma": (0.3, 3.0), "shift": (0.0, 8.0), "iterations": (1, 2)},
        sigma=(0.7, 0.9, 1.2, 1.4, 1.6),
        shift=(1.0, 2.0, 2.0, 3.0, 4.0),
        iterations=(1, 1, 2, 2, 2),
    ),
    "blur_lens": _row("blur", blur.lens, {"radius": (0.5, 16.0)}, radius=(2.0, 3.0, 4.0, 6.0, 8.0)),
    "blur_zoom": _row("blur", blur.zoom, {"limit": (1.0, 1.5)}, limit=(1.03, 1.06, 1.10, 1.15, 1.21)),
    "blur_jitter": _row("blur", blur.jitter, {"shift": (0.0, 12.0)}, shift=(1.0, 2.0, 3.0, 4.0, 5.0)),
    "noise_gaussian_rgb": _row(
        "noise", noise.gaussian_rgb, {"sigma": (0.002, 0.6)}, sigma=(0.05, 0.10, 0.15, 0.20, 0.25)
    ),
    "noise_gaussian_ycrcb": _row(
        "noise",
        noise.gaussian_ycrcb,
        {"sigma_y": (0.002, 0.2), "sigma_c": (0.002, 0.56)},
        sigma_y=(0.05, 0.06, 0.07, 0.08, 0.09),
        sigma_c=(0.05, 0.087, 0.133, 0.188, 0.252),
    ),
    "noise_speckle": _row("noise", noise.speckle, {"sigma": (0.005, 1.0)}, sigma=(0.14, 0.21, 0.28, 0.35, 0.42)),
    "noise_spatially_correlated": _row(
        "noise", noise.spatially_correlated, {"sigma": (0.0, 0.6)}, sigma=(0.08, 0.11, 0.14, 0.18, 0.22)
    ),
    "noise_poisson": _row(
        "noise", noise.poisson, {"photons": (2000.0, 4.0)}, photons=(80.0, 60.0, 40.0, 25.0, 15.0)
    ),
    "noise_impulse": _row("noise", noise.impulse, {"amount": (0.0, 0.4)}, amount=(0.01, 0.03, 0.05, 0.07, 0.10)),
    "compression_jpeg": _row("compression", compression.jpeg, {"quality": (95, 1)}, quality=(25, 18, 12, 8, 5)),
    "compression_jpeg_2000": _row(
        "compression", compression.jpeg_2000, {"psnr_db": (48.0, 16.0)}, psnr_db=(29.0, 27.5, 26.0, 24.5, 23.0)
    ),
    "brighten_shift_hsv": _row("brighten", brightness.shift_value, {"amount": (0.0, 0.9)}, amount=_UP),
    "brighten_shift_rgb": _row("brighten", brightness.shift_rgb, {"amount": (0.0, 0.8)}, amount=_UP_RGB),
    "brighten_gamma_hsv": _row(
        "brighten", brightness.gamma_value, {"gamma": (1.0, 0.1)}, gamma=(0.70, 0.58, 0.47, 0.36, 0.25)
    ),
    "brighten_gamma_rgb": _row(
        "brighten", brightness.gamma_rgb, {"gamma": (1.0, 0.1)}, gamma=(0.8, 0.7, 0.6, 0.45, 0.3)
    ),
    "darken_shift_hsv": _row("darken", brightness.shift_value, {"amount": (0.0, -0.9)}, amount=_DOWN),
    "darken_shift_rgb": _row("darken", brightness.shift_rgb, {"amount": (0.0, -0.8)}, amount=_DOWN_RGB),
    "darken_gamma_hsv": _row(
        "darken", brightness.gamma_value, {"gamma": (1.0, 8.0)}, gamma=(1.5, 1.8, 2.2, 2.7, 3.5)
    ),
    "darken_gamma_rgb": _row(
        "darken", brightness.gamma_rgb, {"gamma": (1.0, 8.0)}, gamma=(1.4, 1.7, 2.1, 2.6, 3.2)
    ),
    "contrast_strengthen_scale": _row(
        "contrast_strengthen", contrast.scale, {"factor": (1.0, 12.0)}, factor=(1.4, 1.7, 2.1, 2.6, 4.0)
    ),
    "contrast_strengthen_stretch": _row(
        "contrast_strengthen", contrast.stretch, {"steepness": (1.0, 25.0)}, steepness=(2.0, 4.0, 6.0, 8.0, 10.0)
    ),
    "contrast_weaken_scale": _row(
        "contrast_weaken", contrast.scale, {"factor": (1.0, 0.0)}, factor=(0.75, 0.60, 0.45, 0.30, 0.20)
    ),
    "contrast_weaken_stretch": _row(
        "contrast_weaken", contrast.stretch, {"steepness": (1.3, 0.1)}, steepness=(1.0, 0.9, 0.8, 0.6, 0.4)
    ),
    "saturate_strengthen_hsv": _row(
        "saturate_strengthen", saturate.hsv, {"factor": (1.0, 255.0)}, factor=(3.0, 6.0, 12.0, 20.0, 64.0)
    ),
    "saturate_strengthen_ycrcb": _row(
        "saturate_strengthen", saturate.ycrcb, {"factor": (1.0, 64.0)}, factor=(2.0, 3.0, 5.0, 8.0, 16.0)
    ),
    "saturate_weaken_hsv": _row("saturate_weaken", saturate.hsv, factor=(0.70, 0.55, 0.40, 0.20, 0.0)),
    "saturate_weaken_ycrcb": _row("saturate_weaken", saturate.ycrcb, factor=(0.6, 0.4, 0.2, 0.1, 0.0)),
    "oversharpen": _row(
        "oversharpen", sharpness.oversharpen, {"amount": (0.0, 20.0)}, amount=(2.0, 2.8, 4.0, 6.0, 8.0)
    ),
    "pixelate": _row("pixelate", sharpness.pixelate, {"scale": (1.0, 0.06)}, scale=(0.5, 0.4, 0.3, 0.25, 0.2)),
    "quantization_otsu": _row("quantization", quantization.otsu, {"classes": (64, 2)}, classes=(15, 11, 8, 5, 3)),
    "quantization_median": _row(
        "quantization", quantization.median, {"colours": (128, 2)}, colours=(20, 15, 10, 6, 3)
    ),
    "quantization_hist": _row("quantization", quantization.histogram, {"bins": (256, 2)}, bins=(24, 16, 8, 6, 4)),
}

KADID: dict[str, Entry] = {
    "kadid_gaussian_blur": _row("blur", blur.gaussian, sigma=(0.1, 0.5, 1.0, 2.0, 5.0)),
    "kadid_lens_blur": _row("blur", blur.lens, radius=(1.0, 2.0, 4.0, 6.0, 8.0)),
    "kadid_motion_blur": _row("blur", blur.line, length=(1.0, 2.0, 4.0, 6.0, 10.0)),
    "kadid_color_diffusion": _row("colour", kadid.colour_diffusion, amount=(1.0, 3.0, 6.0, 8.0, 12.0)),
    "kadid_color_shift": _row("colour", kadid.colour_shift, amount=(1.0, 3.0, 6.0, 8.0, 12.0)),
    "kadid_color_quantization": _row("quantization", kadid.palette, colours=(64, 48, 32, 16, 8)),
    "kadid_color_saturation_1": _row("saturate_weaken", saturate.hsv, factor=(0.4, 0.2, 0.1, 0.0, -0.4)),
    "kadid_color_saturation_2": _row("saturate_strengthen", saturate.lab, factor=(1.0, 2.0, 3.0, 6.0, 9.0)),
    "kadid_jpeg2000": _row("compression", compression.jpeg_2000_rate, ratio=(16.0, 32.0, 45.0, 120.0, 170.0)),
    "kadid_jpeg": _row("compression", compression.jpeg, quality=(43, 36, 24, 7, 4)),
    "kadid_white_noise": _row("noise", kadid.noise_rgb, variance=(0.001, 0.002, 0.003, 0.005, 0.01)),
    "kadid_white_noise_color": _row("noise", kadid.noise_ycrcb, variance=(0.0001, 0.0005, 0.001, 0.002, 0.003)),
    "kadid_impulse_noise": _row("noise", noise.impulse, amount=(0.001, 0.005, 0.01, 0.02, 0.03)),
    "kadid_multiplicative_noise": _row("noise", kadid.multiplicative, variance=(0.001, 0.005, 0.01, 0.02, 0.05)),
    "kadid_denoise": _row("denoise", kadid.denoise, variance=(0.001, 0.002, 0.003, 0.005, 0.01)),
    "kadid_brighten": _row("brighten", kadid.brighten, amount=(0.1, 0.2, 0.4, 0.7, 1.1)),
    "kadid_darken": _row("darken", kadid.darken, amount=(0.05, 0.1, 0.2, 0.4, 0.8)),
    "kadid_mean_shift": Entry(
        "brightness", kadid.mean_shift, {"amount": (0.0, 0.08, -0.08, 0.15, -0.15)}, {}, False
    ),
    "kadid_jitter": _row("spatial", kadid.jitter, amount=(0.05, 0.1, 0.2, 0.5, 1.0)),
    "kadid_non_eccentricity_patch": _row("spatial", kadid.patches, count=(20, 40, 60, 80, 100)),
    "kadid_pixelate": _row("pixelate", kadid.pixelate, strength=(0.01, 0.05, 0.1, 0.2, 0.5)),
    "kadid_quantization": _row("quantization", quantization.uniform, levels=(20, 16, 13, 10, 7)),
    "kadid_color_block": _row("spatial", kadid.colour_blocks, count=(2, 4, 6, 8, 10)),
    "kadid_high_sharpen": _row("oversharpen", kadid.sharpen, amount=(1.0, 2.0, 3.0, 6.0, 12.0)),
    "kadid_contrast_change": Entry(
        "contrast", kadid.contrast_change, {"amount": (0.0, 0.15, -0.4, 0.3, -0.6)}, {}, False
    ),
}

ALL: dict[str, Entry] = {**WILD, **KADID}
