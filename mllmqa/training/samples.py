"""Training batches for nano's vision tower: rated photos and synthetic distortion pairs.

Batch i is a pure function of (seed, i): any worker may make it, in any order, and a resumed run sees the same.
"""

from __future__ import annotations

import math
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
from mllmqa.data.build import draw

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
        zoom: whether crops are of any size between `side` and the whole photo, brought to `side`; else rated ones
            keep their resolution, and others nearly.
        process, processes: which of how many processes this is; together they see what one would see with
            `processes` times as many rows.
    """

    rated: Sequence[tuple[Path, float]]
    sources: Sequence[Path]
    rated_rows: int
    pairs: int
    crops: Sequence[tuple[int, int]]
    seed: int
    process: int = 0
    processes: int = 1
    zoom: bool = False


@dataclass(frozen=True)
class Batch:
    """`pixels` (R + 2P, 3, c, c) uint8: R rated, then the first of P pairs, then their second.

    `level` (R,) 1..5; `severity` (2P, C) 0..5 of each category, 0 = not there; `gap` (P,) by how many steps of
    severity the second is the more damaged version of the same crop, NaN where its mixture is another one.
    """

    pixels: Tensor
    level: Tensor
    severity: Tensor
    gap: Tensor


SMOKE_DAMAGE = ("blur_gaussian", "noise_gaussian_rgb", "compression_jpeg")
LADDER = 0.5
"""Share of pairs that differ in severity only."""
CLEAN, TWO = 0.25, 0.3
"""Shares of clean pictures and of pictures with two distortions; the others have one."""
LIGHTEST_SEEN = 2.0
"""Least severity of what cannot be seen slighter without a reference."""
Recipe = tuple[tuple[str, float], ...]
"""Distortions in their order, with severities."""


class MixtureBatches(Dataset[Batch]):
    """Item i is the batch of step i."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def __len__(self) -> int:
        return sum(steps for _, steps in self.mixture.crops)

    def __getitem__(self, index: int) -> Batch:
        mix = self.mixture
        rng = np.random.default_rng([mix.seed, index, mix.process])
        side = self._side(index)
        images: list[Pixels] = []
        levels: list[float] = []
        first = (index * mix.processes + mix.process) * mix.rated_rows
        for position in range(first, first + mix.rated_rows):
            path, level = mix.rated[self._rated(position)]
            photo = read_rgb(path)
            scale = self._zoom(photo, side, rng) if mix.zoom else 1.0
            images.append(random_crop(photo, side, scale, rng))
            levels.append(level)
        pairs = [self._pair(side, rng) for _ in range(mix.pairs)]
        images += [pair.first[0] for pair in pairs] + [pair.second[0] for pair in pairs]
        severity = [severities(pair.first[1]) for pair in pairs] + [severities(pair.second[1]) for pair in pairs]
        stacked = np.stack(images).transpose(0, 3, 1, 2)
        return Batch(
            torch.from_numpy(np.ascontiguousarray(stacked)),
            torch.tensor(levels, dtype=torch.float32),
            torch.tensor(severity, dtype=torch.float32).reshape(-1, len(distortions.CATEGORIES)),
            torch.tensor([pair.gap for pair in pairs], dtype=torch.float32),
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

    @staticmethod
    def _zoom(photo: Image.Image, side: int, rng: np.random.Generator) -> float:
        return float(rng.uniform(1.0, max(1.0, min(photo.size) / side)))

    def _pair(self, side: int, rng: np.random.Generator) -> _Pair:
        source = read_rgb(self.mixture.sources[int(rng.integers(len(self.mixture.sources)))])
        scale = self._zoom(source, side, rng) if self.mixture.zoom else rng.choice((1.0, 1.0, 1.5))
        crop = random_crop(source, side, scale, rng)
        seed = int(rng.integers(2**32))
        first, second, gap = two_recipes(rng)
        return _Pair(made(crop, first, seed), made(crop, second, seed + int(math.isnan(gap))), gap)


@dataclass(frozen=True)
class _Pair:
    first: tuple[Pixels, Recipe]
    second: tuple[Pixels, Recipe]
    gap: float


def lightest(name: str) -> float:
    """Return the least severity at which a distortion is to be named."""
    return LIGHTEST_SEEN if distortions.category_of(name) in draw.NEEDS_REFERENCE else 1.0


def two_recipes(rng: np.random.Generator) -> tuple[Recipe, Recipe, float]:
    """Draw what is done to two versions of a photo: one distortion at two severities, or anything.

    Returns:
        Both, the lighter one first, and by how many steps of severity the second is worse; NaN: they are no ladder.
    """
    if rng.random() >= LADDER:
        return drawn(rng), drawn(rng), math.nan
    name = draw.one_name(rng, ordered=True)
    low = 0.0 if rng.random() < 0.4 else float(rng.uniform(lightest(name), 4))
    high = float(rng.uniform(max(lightest(name), low + 0.8), 5))
    return (((name, low),) if low else ()), ((name, high),), high - low


def drawn(rng: np.random.Generator) -> Recipe:
    """Draw no, one or two distortions; two are of an allowed pair of categories, in their order."""
    share = rng.random()
    if share < CLEAN:
        return ()
    if share >= CLEAN + TWO:
        name = draw.one_name(rng)
        return ((name, _severity(name, 5, rng)),)
    pairs = distortions.ordered_pairs()
    names = []
    for category in pairs[int(rng.integers(len(pairs)))]:
        among = distortions.names_of(category)
        names.append(among[int(rng.integers(len(among)))])
    return tuple((name, _severity(name, 4, rng)) for name in names)


def _severity(name: str, most: float, rng: np.random.Generator) -> float:
    """Continuous where the severities of a distortion are in order, else whole."""
    value = float(rng.uniform(lightest(name), most))
    return float(round(value)) if name in draw.NOT_MONOTONE else value


def made(crop: Pixels, recipe: Recipe, seed: int) -> tuple[Pixels, Recipe]:
    """Apply distortions one after the other; the same seed gives the same draws at any severity."""
    for place, (name, severity) in enumerate(recipe):
        crop = distortions.apply(crop, name, severity, np.random.default_rng([seed, place])).pixels
    return crop, recipe


def severities(recipe: Recipe) -> list[float]:
    """Return the severity of each category, 0 where it is not there."""
    found = {distortions.category_of(name): severity for name, severity in recipe}
    return [found.get(category, 0.0) for category in distortions.CATEGORIES]


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
    """Write a tiny made-up data set in BIQ2021's layout: gratings, three of four damaged, with a MOS to match.

    Damage is blur, noise or blocks in turn, so that neither sharpness nor noise alone tells the MOS.

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
                pixels = distortions.apply(pixels, SMOKE_DAMAGE[number % 4 - 1], severity, rng).pixels
            Image.fromarray(pixels).save(images / f"{prefix}{number}.jpg", quality=92)
            lines.append(f"{prefix}{number}.jpg,{0.9 - 0.15 * severity if number % 4 else 0.9:.4f}")
        (folder / f"{split} (Images and MOS).csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
