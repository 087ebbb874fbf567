"""Training batches for nano's vision tower: rated photos and synthetic distortion pairs.

Batch i is a pure function of (seed, i): any worker may make it, in any order, and a resumed run sees the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from mllmqa.data import distortions

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Mixture:
    """What a batch holds.

    Attributes:
        rated: (path, level 1..5) of the rated photos.
        sources: photos to distort.
        rated_rows: rated crops per batch.
        pairs: distortion pairs per batch (two crops each).
        crops: (crop side in pixels, steps) one after the other.
        seed: root of all randomness.
    """

    rated: Sequence[tuple[Path, float]]
    sources: Sequence[Path]
    rated_rows: int
    pairs: int
    crops: Sequence[tuple[int, int]]
    seed: int


@dataclass(frozen=True)
class Batch:
    """`pixels` (R + 2P, 3, c, c) uint8: R rated, then P lighter, then their P heavier partners.

    `level` (R,) 1..5; `kind` (2P,) 0 = undistorted, else 1 + index in `distortions.NANO_NAMES`;
    `severity` (2P,) 0..5.
    """

    pixels: Tensor
    level: Tensor
    kind: Tensor
    severity: Tensor


class MixtureBatches(Dataset[Batch]):
    """Item i is the batch of step i."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def __len__(self) -> int:
        return sum(steps for _, steps in self.mixture.crops)

    def __getitem__(self, index: int) -> Batch:
        mix, rng = self.mixture, np.random.default_rng([self.mixture.seed, index])
        side = self._side(index)
        images: list[Pixels] = []
        levels: list[float] = []
        for position in range(mix.rated_rows):
            path, level = mix.rated[self._rated(index * mix.rated_rows + position)]
            images.append(random_crop(read_rgb(path), side, 1.0, rng))
            levels.append(level)
        pairs = [self._pair(side, rng) for _ in range(mix.pairs)]
        images += [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
        severity = [pair[3] for pair in pairs] + [pair[4] for pair in pairs]
        kind = [pair[2] if s else 0 for pair, s in zip(pairs + pairs, severity, strict=True)]
        stacked = np.stack(images).transpose(0, 3, 1, 2)
        return Batch(
            torch.from_numpy(np.ascontiguousarray(stacked)),
            torch.tensor(levels, dtype=torch.float32),
            torch.tensor(kind),
            torch.tensor(severity, dtype=torch.float32),
        )

    def _side(self, index: int) -> int:
        for side, steps in self.mixture.crops:
            if index < steps:
                return side
            index -= steps
        return self.mixture.crops[-1][0]

    def _rated(self, position: int) -> int:
        """Every epoch is a new permutation of all rated photos."""
        epoch, place = divmod(position, len(self.mixture.rated))
        order = np.random.default_rng([self.mixture.seed, 1, epoch]).permutation(len(self.mixture.rated))
        return int(order[place])

    def _pair(self, side: int, rng: np.random.Generator) -> tuple[Pixels, Pixels, int, float, float]:
        """Lighter crop, heavier crop, kind (≥ 1), and their severities (0 = untouched)."""
        source = read_rgb(self.mixture.sources[int(rng.integers(len(self.mixture.sources)))])
        crop = random_crop(source, side, rng.choice((1.0, 1.0, 1.5)), rng)
        kind = int(rng.integers(len(distortions.NANO_NAMES)))
        low = 0.0 if rng.random() < 0.4 else float(rng.uniform(1, 4))
        high = float(rng.uniform(max(1.0, low + 0.8), 5))
        seed = int(rng.integers(2**32))
        name = distortions.NANO_NAMES[kind]
        light = distortions.apply(crop, name, low, np.random.default_rng(seed)).pixels if low else crop
        heavy = distortions.apply(crop, name, high, np.random.default_rng(seed)).pixels
        return light, heavy, kind + 1, low, high


def read_rgb(path: Path) -> Image.Image:
    """A photo as RGB (the training sets hold plain JPEGs)."""
    with Image.open(path) as image:
        return image.convert("RGB")


def random_crop(image: Image.Image, side: int, scale: float, rng: np.random.Generator) -> Pixels:
    """A random square of side × scale pixels (or the largest that fits), brought to `side`, maybe mirrored.

    Returns (side, side, 3) uint8. Small photos are enlarged; everything else keeps or loses resolution.
    """
    take = min(round(side * scale), *image.size)
    left = int(rng.integers(image.width - take + 1))
    top = int(rng.integers(image.height - take + 1))
    part = image.crop((left, top, left + take, top + take))
    if take != side:
        part = part.resize((side, side), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(part)


def make_smoke_set(folder: Path, seed: int, photos: int = 16, side: int = 512) -> Path:
    """Write a tiny made-up data set in BIQ2021's layout: gratings, blurred or not, with a MOS to match.

    Returns:
        The folder: `Images/` and both label files, `photos` rows each, the second set unlike the first.
    """
    images = folder / "Images"
    images.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:side, 0:side] / side
    for split, prefix in (("Train", "a"), ("Test", "b")):
        lines = ["Image Name,MOS"]
        for number in range(photos):
            rng = np.random.default_rng([seed, ord(prefix), number])
            waves = [np.sin((x * a + y * b) * 2 * np.pi) for a, b in rng.uniform(-40, 40, (3, 2))]
            flat = rng.uniform(60, 200, 3) + 50 * np.stack(waves, axis=-1)
            flat[side // 4 : side // 2, : int(rng.integers(side // 4, side))] += rng.uniform(-60, 60)
            pixels = np.clip(flat + rng.normal(0, 3, flat.shape), 0, 255).astype(np.uint8)
            severity = 1 + 4 * number / (photos - 1)
            if number % 4:
                pixels = distortions.apply(pixels, "nano_defocus_blur", severity, rng).pixels
            Image.fromarray(pixels).save(images / f"{prefix}{number}.jpg", quality=92)
            lines.append(f"{prefix}{number}.jpg,{0.9 - 0.15 * severity if number % 4 else 0.9:.4f}")
        (folder / f"{split} (Images and MOS).csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
