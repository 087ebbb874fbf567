"""What nano's branch for distortions learns from: pictures, distorted, about as large as the model will see them.

Each photo is shown in two versions, every other time one distortion at two severities: which is worse is known.
Pictures come in lots, each lot a function of (seed, its number): any worker may make it, and a resumed run sees the
same. Making them takes far longer than learning from them, so lots are kept for a while and drawn from again.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil, isnan, nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from mllmqa.data import distortions
from mllmqa.data.fullref import PseudoMos
from mllmqa.data.fullref.metrics import measure_many
from mllmqa.errors import DataError
from mllmqa.media.views import fit_short
from mllmqa.training.samples import Pixels, Recipe, made, read_rgb, two_recipes

LEAST_SHRUNK = 0.65
"""Sides of shrunk photos over what they were: what was wrong with them is lost with the pixels."""
MEASURED_AT_ONCE = 64
"""Pictures whose metrics are taken together; FSIM keeps dozens of maps of each."""
KINDS = ("pristine", "good", "shrunk")
Sizes = Sequence[tuple[int, int]]
"""Short side of a photo when it is distorted, and of the view of it."""


@dataclass(frozen=True)
class Format:
    """Pictures that are cut to one size, so that a lot may hold them.

    Attributes:
        side: Short side of what is cut.
        share: Weight in the draw of formats.
        sizes: For each kind of photo that occurs, among which sizes is drawn; views are at least `side`.
        long: Long side of what is cut; squares where it is no longer than `side`. Of the pictures of a lot all lie
            or all stand.
    """

    side: int
    share: float
    sizes: Mapping[str, Sizes]
    long: int = 0

    def longer(self, side: int) -> int:
        """Return the long side of a photo of a short side: enough for what is cut of its view."""
        return ceil(side * self.long / self.side) + 1 if self.long > self.side else side


@dataclass(frozen=True)
class Lot:
    """N pictures of one size, a part of them with a pseudo-MOS or with what it takes to find it.

    Rows 2i and 2i + 1 are the same part of a photo.

    Attributes:
        pixels: (N, 3, H, W) uint8.
        severity: (N, 35) of every distortion, 0: not there.
        short_side: (N,) in pixels, of the picture when it was distorted.
        fidelity: (N,) the pseudo-MOS, 1..5, or NaN.
        gap: (N/2,) by how many steps of severity the second of two is worse, NaN where that is not known.
        first: First row of those that have a reference.
        reference: (J, 3, p, q) uint8, undistorted.
        distorted: (J, 3, p, q) uint8, as measured, not as seen.
    """

    pixels: Tensor
    severity: Tensor
    short_side: Tensor
    fidelity: Tensor
    gap: Tensor
    first: int
    reference: Tensor
    distorted: Tensor

    def of(self, pairs: Tensor) -> Lot:
        """Return both versions of some of the photos, without references."""
        rows = torch.stack([2 * pairs, 2 * pairs + 1], dim=1).flatten()
        told = self.severity[rows], self.short_side[rows], self.fidelity[rows], self.gap[pairs]
        return Lot(self.pixels[rows], *told, 0, *_without_reference(self.pixels))


class _Version(NamedTuple):
    reference: Pixels
    distorted: Pixels
    seen: Pixels
    recipe: Recipe

    @property
    def short_side(self) -> int:
        """In pixels, when it was distorted."""
        return int(min(self.distorted.shape[:2]))


@dataclass(frozen=True)
class Wholes(Dataset[Lot]):
    """Item i is lot i.

    Attributes:
        pristine: Undistorted photos.
        good: Photos that people did not rate low, shown as they are: none of them stands in for an undistorted one.
        shrunk: Photos of which people did not think badly: well shrunk, all stand in for undistorted ones. At night
            and at dusk few are rated high.
        formats: What lots look like.
        lot: Pictures of one, the kinds of its format in equal parts.
        zoom: Least share of the largest part of a pristine photo that is taken, in its short side.
        judged: Share of lots in which one kind of photo gets its pseudo-MOS, which takes long.
        seed: Root of all randomness.
    """

    pristine: Sequence[Path]
    good: Sequence[Path]
    shrunk: Sequence[Path]
    formats: Sequence[Format]
    lot: int
    zoom: float
    judged: float
    seed: int

    def __post_init__(self) -> None:
        """Refuse what no lot can be made of.

        Raises:
            DataError: Photos of a kind are missing, a lot is too small for two versions of a photo of each, or a
                format asks for views that are smaller than what it cuts.
        """
        for look in self.formats:
            if self.lot < 2 * len(look.sizes):
                raise DataError(f"lots of {self.lot} pictures", expected=f"at least {2 * len(look.sizes)}")
            for kind, sizes in look.sizes.items():
                if not getattr(self, kind):
                    raise DataError(f"no {kind} photos", expected=f"some for parts of {look.side} px")
                if min(size for pair in sizes for size in pair) < look.side:
                    raise DataError(f"sizes {list(sizes)} of {kind} photos", expected=f"at least {look.side}")
            if not {"pristine", "shrunk"} & look.sizes.keys():
                raise DataError(f"parts of {look.side} px are all distorted", expected="another kind than good")

    def __getitem__(self, index: int) -> Lot:
        rng = np.random.default_rng([self.seed, index])
        shares = np.array([one.share for one in self.formats])
        look = self.formats[int(rng.choice(len(shares), p=shares / shares.sum()))]
        kinds, least = [kind for kind in KINDS if kind in look.sizes], PseudoMos.default().min_side_px
        referred = str(rng.choice(kinds))
        least = least if rng.random() < self.judged else sys.maxsize
        photos = self.lot // len(kinds) // 2
        stands = look.long > look.side and rng.random() < 0.5
        shown: list[_Version] = []
        gaps: list[float] = []
        for kind in kinds:
            sizes = look.sizes[kind][int(rng.integers(len(look.sizes[kind])))]
            for _ in range(photos):
                versions, gap = self._two(kind, sizes, look, stands, rng)
                shown += versions
                gaps.append(gap)
        first = 2 * photos * kinds.index(referred)
        told = shown[first : first + 2 * photos]
        compared = told if min(one.short_side for one in told) >= least else []
        return Lot(
            _stacked([one.seen for one in shown]),
            torch.tensor([[dict(one.recipe).get(name, 0.0) for name in distortions.NAMES] for one in shown]),
            torch.tensor([float(one.short_side) for one in shown]),
            torch.tensor([nan if one.recipe else 5.0 for one in shown]),
            torch.tensor(gaps),
            first,
            _stacked([one.reference for one in compared]),
            _stacked([one.distorted for one in compared]),
        )

    def _two(
        self, kind: str, sizes: tuple[int, int], look: Format, stands: bool, rng: np.random.Generator
    ) -> tuple[list[_Version], float]:
        """Two versions of a photo, the same part of each as it is seen, and the gap between them."""
        side, view = sizes
        part = _shape(look.side, max(look.side, look.long), stands)
        photo = self._photo(kind, _shape(side, look.longer(side), stands), rng)
        first, second, gap = two_recipes(rng)
        while kind == "good" and not (first and second):
            first, second, gap = two_recipes(rng)
        seed, place = (int(drawn) for drawn in rng.integers(2**31, size=2))
        versions = []
        for recipe, own in ((first, seed), (second, seed + isnan(gap))):
            distorted, _ = made(photo, recipe, own)
            seen = _cut(fit_short(distorted, view), part, np.random.default_rng(place))
            versions.append(_Version(photo, distorted, seen, recipe))
        return versions, gap

    def _photo(self, kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Pixels:
        """A part of a photo, maybe turned or mirrored, brought to a height and width."""
        side, square = min(shape), shape[0] == shape[1]
        least = ceil(side / LEAST_SHRUNK) if kind == "shrunk" else side
        photo, most = self._large_enough(kind, least, shape, rng)
        if kind == "pristine":
            least = max(least, round(self.zoom * most))
        short = int(rng.integers(least, most + 1))
        lies = photo.shape[0] < photo.shape[1]
        long = -(-short * max(shape) // side)  # rounded up
        photo = _cut(photo, _shape(short, long, not lies), rng)
        turned = int(rng.integers(2)) if square else lies != (shape[0] < shape[1])
        photo = np.rot90(photo, turned + 2 * int(rng.integers(2)))
        if rng.random() < 0.5:
            photo = photo[:, ::-1]
        photo = distortions.to_short_side(np.ascontiguousarray(photo), side)
        return np.ascontiguousarray(photo[: shape[0], : shape[1]])

    def _large_enough(
        self, kind: str, least: int, shape: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Pixels, int]:
        """A photo and the short side of its largest part of the shape, turned or not; smaller are passed over.

        Raises:
            DataError: Fifty photos in a row are smaller.
        """
        paths: Sequence[Path] = getattr(self, kind)
        for _ in range(50):
            photo = np.asarray(read_rgb(paths[int(rng.integers(len(paths)))]))
            most = min(*photo.shape[:2], max(photo.shape[:2]) * min(shape) // max(shape))
            if most >= least:
                return photo, most
        longer = "" if shape[0] == shape[1] else f", or less long parts than {max(shape)} px"
        raise DataError(f"no photo of at least {least} px among 50 drawn", expected=f"larger {kind} photos{longer}")


def dark_more_often(photos: Sequence[Path], below: float, times: int) -> list[Path]:
    """Repeat photos whose median grey value (0..255) is below a bound: few are of nights and of dusk."""
    return [photo for photo in photos for _ in range(times if times > 1 and _median_grey(photo) < below else 1)]


def _median_grey(photo: Path) -> float:
    with Image.open(photo) as image:
        image.draft("L", (image.width // 2, image.height // 2))  # JPEG is decoded at half the size
        return float(np.median(np.asarray(image.convert("L"))))


def _shape(short: int, long: int, stands: bool) -> tuple[int, int]:
    """Height and width."""
    return (long, short) if stands else (short, long)


def _cut(pixels: Pixels, shape: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """A random part of a height and width."""
    top, left = (int(rng.integers(there - wanted + 1)) for there, wanted in zip(pixels.shape, shape, strict=False))
    return pixels[top : top + shape[0], left : left + shape[1]]


def _stacked(pictures: Sequence[Pixels]) -> Tensor:
    """(H, W, 3) each → (N, 3, H, W)."""
    if not pictures:
        return torch.empty(0, 3, 0, 0, dtype=torch.uint8)
    return torch.from_numpy(np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)))


def _without_reference(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """No references and no pictures that have one; views of others would keep these in memory."""
    return pixels.new_empty(0, 3, 0, 0), pixels.new_empty(0, 3, 0, 0)


def judged(lot: Lot, device: torch.device) -> Lot:
    """Put a lot on a device and measure the rows that have a reference, which is dropped.

    What metrics cannot tell stays without a pseudo-MOS.
    """
    moved = {field.name: getattr(lot, field.name) for field in fields(lot)}
    lot = replace(lot, **{name: value.to(device) for name, value in moved.items() if name != "first"})
    if not len(lot.reference):
        return lot
    scale = PseudoMos.default()
    rows = [slice(start, start + MEASURED_AT_ONCE) for start in range(0, len(lot.reference), MEASURED_AT_ONCE)]
    found = [scale.scores(measure_many(lot.reference[of], lot.distorted[of], scale.names)) for of in rows]
    scores = torch.from_numpy(np.concatenate(found)).to(device, lot.fidelity.dtype)
    fidelity = lot.fidelity.clone()
    fidelity[lot.first : lot.first + len(scores)] = scores
    reference, distorted = _without_reference(lot.pixels)
    return replace(lot, fidelity=fidelity, first=0, reference=reference, distorted=distorted)


def batches(
    lots: Callable[[int], Iterable[Lot]], start: int, *, size: int, repeats: int, kept: int, seed: tuple[int, ...]
) -> Iterator[Lot]:
    """Give batches: of every new lot one, then some of lots that are kept.

    The batch of a step is a function of (seed, step): a resumed run first makes the lots that would be kept.

    Args:
        lots: Gives the lots from a number on, judged.
        start: First step.
        size: Pictures of a batch, two of each photo.
        repeats: Batches for each new lot.
        kept: How many lots.
        seed: Of the draws.
    """
    now = start // repeats
    begin = max(0, now - kept + 1)
    pool: deque[Lot] = deque(maxlen=kept)
    for number, lot in enumerate(lots(begin), begin):
        pool.append(lot)
        for turn in range(repeats if number >= now else 0):
            step = number * repeats + turn
            rng = np.random.default_rng([*seed, step])
            of = pool[int(rng.integers(len(pool))) if turn else -1]
            pairs = torch.from_numpy(rng.permutation(len(of.gap))[: size // 2])
            if step >= start:
                yield of.of(pairs.to(of.pixels.device))
