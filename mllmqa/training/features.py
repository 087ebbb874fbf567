"""Vision features computed once, so that the language stage costs no vision: memory-mapped, resumable."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from mllmqa.data import distortions
from mllmqa.media.views import parse_view
from mllmqa.models.nano.heads import TowerWithHeads
from mllmqa.training.samples import Pixels, random_crop, read_rgb

log = logging.getLogger(__name__)

View = Literal["full", "crop", "distorted"]
TILES = "square-tiles:512"  # as in presets/nano.yaml


@dataclass(frozen=True)
class Features:
    """One view of every photo.

    `tokens` (n, T, D) float16, what the projector reads; `teacher` (n, K) float32, the head's level distribution.
    """

    tokens: npt.NDArray[np.float16]
    teacher: npt.NDArray[np.float32]


def make_view(path: Path, view: View, side: int, rng: np.random.Generator) -> Pixels:
    """The photo as the tower shall see it: a tile of nano's view, a random crop, or a distorted crop; uint8."""
    image = read_rgb(path)
    if view == "full":
        tiles = parse_view(TILES)(np.asarray(image))
        return tiles[int(rng.integers(len(tiles)))]
    crop = random_crop(image, side, 1.0, rng)
    if view == "crop":
        return crop
    name = distortions.NANO_NAMES[rng.integers(len(distortions.NANO_NAMES))]
    return distortions.apply(crop, name, float(rng.uniform(1, 5)), rng).pixels


def cached(
    folder: Path, name: str, model: TowerWithHeads, photos: Sequence[Path], view: View, side: int, seed: int
) -> Features:
    """Features of all photos in order, from `folder` when they are there, else computed (two threads) and kept."""
    done = folder / f"{name}.npz"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        chunks = list(_compute(model, photos, view, side, seed))
        temporary = folder / f"{name}.tmp.npz"
        tokens, teacher = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
        np.savez(temporary, tokens=tokens, teacher=teacher)
        temporary.replace(done)
        log.info("features %s: %d photos", name, len(photos))
    with np.load(done) as arrays:
        return Features(arrays["tokens"], arrays["teacher"])


def _compute(
    model: TowerWithHeads, photos: Sequence[Path], view: View, side: int, seed: int, chunk: int = 16
) -> Iterator[tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]]:
    model.eval()

    def one(start: int) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float32]]:
        rng = np.random.default_rng([seed, start])
        views = [make_view(path, view, side, rng) for path in photos[start : start + chunk]]
        pixels = torch.from_numpy(np.stack(views).transpose(0, 3, 1, 2)).float() / 127.5 - 1
        with torch.inference_mode():
            out = model.tower(pixels.contiguous(memory_format=torch.channels_last))
            levels = model.levels(out.pooler_output).softmax(1)
        return out.last_hidden_state.half().numpy(), levels.numpy()

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(one, range(0, len(photos), chunk))
