"""Operations of KADID-10k (Lin, Hosu, Saupe, QoMEX 2019) that the 35 functions lack.

Written from the published descriptions and parameters. One differs: KADID's `denoise` runs DnCNN over noise,
ours non-local means (the kind of smear is the same, the weights of a network are not needed).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mllmqa.data.distortions import noise
from mllmqa.data.distortions.base import (
    Distorted,
    Pixels,
    from_lab,
    from_ycrcb,
    normal,
    opencv,
    through_table,
    to_bytes,
    to_lab,
    to_ycrcb,
)
from mllmqa.data.distortions.blur import smooth

LEVELS = np.arange(256) / 255
PATCH_PX = 16
PATCH_REACH_PX = 8
BLOCK_PX = 32


def colour_diffusion(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """a and b of Lab blurred by 1.5·amount + 2 px, then times `amount`."""
    lab = to_lab(pixels)
    lab[..., 1:] = smooth(np.ascontiguousarray(lab[..., 1:]), 1.5 * amount + 2) * np.float32(amount)
    return from_lab(lab)


def colour_shift(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Distorted:
    """Green moved by `amount` px in a drawn direction, blended in where there are edges."""
    cv2 = opencv()
    height, width = pixels.shape[:2]
    angle = float(rng.uniform(0, 90))
    dx, dy = (round(amount * f(math.radians(angle))) for f in (math.cos, math.sin))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    slope = [cv2.Sobel(grey, cv2.CV_32F, *axes, ksize=1) for axes in ((1, 0), (0, 1))]
    edges = smooth(np.hypot(*slope), 4)
    low, high = np.percentile(edges, (1, 99))
    blend = np.clip((edges - low) / max(high - low, 1e-6), 0, 1)
    matrix = np.array([[1.0, 0, dx], [0, 1, dy]])
    green = pixels[..., 1].astype(np.float32)
    moved = cv2.warpAffine(green, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    out = pixels.copy()
    out[..., 1] = to_bytes(green + (moved - green) * blend)
    return Distorted(out, {"dx": dx, "dy": dy})


def palette(pixels: Pixels, rng: np.random.Generator, *, colours: int) -> Pixels:
    """An adaptive palette of this many colours (Pillow's median cut), without dither."""
    from PIL import Image

    image = Image.fromarray(pixels)
    cut = image.quantize(colors=colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return np.array(cut.convert("RGB"))


def noise_ycrcb(pixels: Pixels, rng: np.random.Generator, *, variance: float) -> Pixels:
    """White noise of the same variance on luma and chroma."""
    return from_ycrcb(to_ycrcb(pixels) + normal(pixels, rng) * np.float32(math.sqrt(variance)))


def noise_rgb(pixels: Pixels, rng: np.random.Generator, *, variance: float) -> Pixels:
    """White noise of this variance on R, G, B."""
    return noise.gaussian_rgb(pixels, rng, sigma=math.sqrt(variance))


def multiplicative(pixels: Pixels, rng: np.random.Generator, *, variance: float) -> Pixels:
    """Speckle of this variance."""
    return noise.speckle(pixels, rng, sigma=math.sqrt(variance))


def denoise(pixels: Pixels, rng: np.random.Generator, *, variance: float) -> Pixels:
    """White noise of this variance, then non-local means of a matching strength."""
    cv2 = opencv()
    noisy = noise_rgb(pixels, rng, variance=variance)
    strength = 255 * math.sqrt(variance)
    bgr = cv2.fastNlMeansDenoisingColored(np.ascontiguousarray(noisy[..., ::-1]), None, strength, strength, 5, 13)
    return np.ascontiguousarray(bgr[..., ::-1])


def _parabola(centre: float) -> npt.NDArray[np.float64]:
    """Tone curve over the 256 levels: the parabola through (0, 0), (½, centre), (1, 1), clipped."""
    bend = 2 - 4 * centre
    return np.clip(bend * LEVELS**2 + (1 - bend) * LEVELS, 0, 1)


def brighten(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """A bent tone curve: two parts on R, G, B, one part on L of Lab."""
    curve = _parabola(0.5 + amount / 2)
    lab = to_lab(pixels)
    lab[..., 0] = np.interp(lab[..., 0] / 100, LEVELS, curve) * 100
    return to_bytes((2 * curve[pixels] * 255 + from_lab(lab)) / 3)


def darken(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """A bent tone curve on R, G, B."""
    return through_table(pixels, _parabola(0.5 - amount / 2) * 255)


def mean_shift(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Add `amount` (of the 0..1 range, of either sign) to all channels."""
    return through_table(pixels, (LEVELS + amount) * 255)


def contrast_change(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Tone curve: the cubic spline through (.3, .25 − a/4), (.5, .5), (.7, .75 + a/4) and both ends."""
    bend = (0.25 - amount / 4 - 0.3) / 0.042
    middle = LEVELS - 0.5
    return through_table(pixels, (0.5 + (1 - bend / 4) * middle + bend * middle**3) * 255)


def jitter(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Five passes in which every pixel is fetched from a normal offset of `amount` px (bilinear)."""
    cv2 = opencv()
    height, width = pixels.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    values = pixels.astype(np.float32)
    for _ in range(5):
        offsets = rng.standard_normal((2, height, width), dtype=np.float32) * np.float32(amount)
        values = cv2.remap(
            values, x + offsets[0], y + offsets[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return to_bytes(values)


def patches(pixels: Pixels, rng: np.random.Generator, *, count: int) -> Pixels:
    """Patches of 16×16 px, each copied to a place up to 8 px away: locally right, structurally wrong."""
    out = pixels.copy()
    most = np.array(pixels.shape[:2]) - PATCH_PX
    for start, offset in zip(
        rng.integers(0, most + 1, (count, 2)),
        rng.integers(-PATCH_REACH_PX, PATCH_REACH_PX + 1, (count, 2)),
        strict=True,
    ):
        row, column = np.clip(start + offset, 0, most)
        patch = out[start[0] : start[0] + PATCH_PX, start[1] : start[1] + PATCH_PX].copy()
        out[row : row + PATCH_PX, column : column + PATCH_PX] = patch
    return out


def pixelate(pixels: Pixels, rng: np.random.Generator, *, strength: float) -> Pixels:
    """Shrunk to 0.95 − strength^0.6 of its size and enlarged again, by the nearest pixel both times."""
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = 0.95 - strength**0.6
    small = (max(1, int(width * scale)), max(1, int(height * scale)))
    image = Image.fromarray(pixels).resize(small, Image.Resampling.NEAREST)
    return np.array(image.resize((width, height), Image.Resampling.NEAREST))


def colour_blocks(pixels: Pixels, rng: np.random.Generator, *, count: int) -> Pixels:
    """Squares of 32×32 px of drawn colours, anywhere."""
    out = pixels.copy()
    most = np.array(pixels.shape[:2]) - BLOCK_PX
    for (row, column), colour in zip(
        rng.integers(0, most + 1, (count, 2)), rng.integers(0, 256, (count, 3)), strict=True
    ):
        out[row : row + BLOCK_PX, column : column + BLOCK_PX] = colour
    return out


def sharpen(pixels: Pixels, rng: np.random.Generator, *, amount: float) -> Pixels:
    """Unsharp mask on L of Lab: a 13×13 Gaussian of 6 px, times `amount`."""
    cv2 = opencv()
    lab = to_lab(pixels)
    soft = cv2.GaussianBlur(lab[..., 0], (13, 13), 6, borderType=cv2.BORDER_REPLICATE)
    lab[..., 0] = np.clip(lab[..., 0] + amount * (lab[..., 0] - soft), 0, 100)
    return from_lab(lab)
