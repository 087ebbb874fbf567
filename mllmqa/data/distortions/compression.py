"""Compression: encode and decode with Pillow."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from mllmqa.data.distortions.base import Pixels


def recode(pixels: Pixels, file_format: str, **options: Any) -> Pixels:
    """Through Pillow's encoder and decoder of a format."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return np.array(Image.open(buffer).convert("RGB"))


def jpeg(pixels: Pixels, rng: np.random.Generator, *, quality: int) -> Pixels:
    """JPEG, 4:2:0, at Pillow's (libjpeg's) quality."""
    return recode(pixels, "JPEG", quality=quality)


def jpeg_2000(pixels: Pixels, rng: np.random.Generator, *, psnr_db: float) -> Pixels:
    """JPEG 2000 with a target PSNR in dB."""
    return recode(pixels, "JPEG2000", quality_mode="dB", quality_layers=[psnr_db])


def jpeg_2000_rate(pixels: Pixels, rng: np.random.Generator, *, ratio: float) -> Pixels:
    """JPEG 2000 (irreversible wavelet) with a target compression ratio."""
    return recode(pixels, "JPEG2000", quality_mode="rates", quality_layers=[ratio], irreversible=True)
