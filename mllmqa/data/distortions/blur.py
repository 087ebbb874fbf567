"""Blurs: Gaussian, motion, glass, lens, zoom, jitter. Borders are mirrored."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mllmqa.data.distortions.base import Distorted, Floats, Pixels, opencv, to_bytes

ZOOM_STEP = 0.02


def gaussian(pixels: Pixels, rng: np.random.Generator, *, sigma: float) -> Pixels:
    """Isotropic Gaussian of standard deviation `sigma` pixels."""
    return to_bytes(smooth(pixels.astype(np.float32), sigma))


def smooth(values: Floats, sigma: float) -> Floats:
    """Gaussian blur of float32 (H, W) or (H, W, C); the kernel reaches to 4 sigma."""
    cv2 = opencv()
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))


def filtered(pixels: Pixels, kernel: Floats) -> Pixels:
    """Correlation of every channel with a small odd-sized kernel."""
    cv2 = opencv()
    out = cv2.filter2D(pixels.astype(np.float32), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return to_bytes(out)


def motion(pixels: Pixels, rng: np.random.Generator, *, radius: int, sigma: float) -> Distorted:
    """One-sided Gaussian along a line of 2·radius + 1 whole-pixel steps; its angle is drawn from −90°..90°."""
    angle = float(rng.uniform(-90, 90))
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    rows = np.rint(steps * math.sin(math.radians(angle))).astype(int)
    columns = np.rint(steps * math.cos(math.radians(angle))).astype(int)
    kernel = np.zeros((4 * radius + 1, 4 * radius + 1), dtype=np.float32)
    np.add.at(kernel, (2 * radius + rows, 2 * radius + columns), weights / weights.sum())
    return Distorted(filtered(pixels, kernel), {"angle_deg": angle})


def line(pixels: Pixels, rng: np.random.Generator, *, length: float) -> Distorted:
    """Mean over a line of `length` pixels about each pixel; its angle is drawn from 0°..180°."""
    angle = float(rng.uniform(0, 180))
    reach = math.ceil((length - 1) / 2)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    along = x * math.cos(math.radians(angle)) + y * math.sin(math.radians(angle))
    across = np.abs(y * math.cos(math.radians(angle)) - x * math.sin(math.radians(angle)))
    inside = np.clip((length + 1) / 2 - np.abs(along), 0, 1) * np.clip(1 - across, 0, 1)
    return Distorted(filtered(pixels, (inside / inside.sum()).astype(np.float32)), {"angle_deg": angle})


def disk_kernel(radius: float, samples: int = 9) -> Floats:
    """Share of every pixel that a disk of this radius covers (samples² points per pixel), of sum 1."""
    reach = math.ceil(radius)
    size = 2 * reach + 1
    places = (np.arange(size * samples) + 0.5) / samples - size / 2
    inside = (places[:, None] ** 2 + places[None, :] ** 2 <= radius**2).astype(np.float64)
    covered = inside.reshape(size, samples, size, samples).mean(axis=(1, 3))
    return np.asarray(covered / covered.sum(), dtype=np.float32)


def lens(pixels: Pixels, rng: np.random.Generator, *, radius: float) -> Pixels:
    """Flat disk of `radius` pixels: a lens out of focus."""
    return filtered(pixels, disk_kernel(radius))


def zoom(pixels: Pixels, rng: np.random.Generator, *, limit: float) -> Pixels:
    """Mean of the picture and its enlargements by 1.00, 1.02, … up to `limit` about the centre (linear)."""
    cv2 = opencv()
    height, width = pixels.shape[:2]
    count = math.floor((limit - 1) / ZOOM_STEP + 1e-6) + 1
    values = pixels.astype(np.float32)
    total = values.copy()
    for factor in 1 + ZOOM_STEP * np.arange(count):
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        matrix = np.column_stack([np.eye(2) * factor, centre * (1 - factor)])
        total += cv2.warpAffine(
            values, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
    return to_bytes(total / (count + 1))


def swap_order(
    height: int, width: int, shift: float, rng: np.random.Generator, rounds: int = 3
) -> npt.NDArray[np.int64]:
    """One pass of the local pixel shuffle: (H·W,) the flat index of the pixel that each place receives.

    Every pixel proposes to swap with a place up to `shift` away on both axes; among proposals that touch the
    same pixel one wins by lot, the rest proposes again in the next round. Swaps are disjoint, so the result is
    a permutation: no pixel is lost or doubled. A fraction of `shift` makes the largest offset rarer.
    """
    order = np.arange(height * width)
    free = np.ones(height * width, dtype=bool)
    for _ in range(rounds):
        first = rng.permutation(np.flatnonzero(free))
        offsets = np.rint(rng.uniform(-shift - 0.5, shift + 0.5, (2, len(first)))).astype(np.int64)
        rows = np.clip(first // width + offsets[0], 0, height - 1)
        columns = np.clip(first % width + offsets[1], 0, width - 1)
        second = rows * width + columns
        possible = free[second]
        first, second = first[possible], second[possible]
        lots = np.arange(len(first))
        owner = np.empty(height * width, dtype=np.int64)
        owner[np.stack([first, second], axis=1).ravel()] = np.repeat(lots, 2)  # the last proposal stays
        wins = (owner[first] == lots) & (owner[second] == lots)
        first, second = first[wins], second[wins]
        order[first], order[second] = second, first
        free[first] = free[second] = False
    return order


def shuffled(pixels: Pixels, shift: float, iterations: int, rng: np.random.Generator) -> Pixels:
    """The pixels after some passes of `swap_order`."""
    height, width = pixels.shape[:2]
    flat = pixels.reshape(-1, 3)
    for _ in range(iterations):
        flat = flat[swap_order(height, width, shift, rng)]
    return flat.reshape(pixels.shape)


def jitter(pixels: Pixels, rng: np.random.Generator, *, shift: float) -> Pixels:
    """One pass of local swaps of pixels up to `shift` apart on each axis."""
    return shuffled(pixels, shift, 1, rng)


def glass(pixels: Pixels, rng: np.random.Generator, *, sigma: float, shift: float, iterations: int) -> Pixels:
    """Gaussian blur, passes of local pixel swaps, Gaussian blur."""
    blurred = gaussian(pixels, rng, sigma=sigma)
    return gaussian(shuffled(blurred, shift, iterations, rng), rng, sigma=sigma)
