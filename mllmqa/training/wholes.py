"""What nano's heads for distortions learn from: whole pictures, distorted, as its frozen tower sees them.

A row is the statistics of a picture's maps, the severities of its categories and, of some, its pseudo-MOS. Rows are
made in parts of :data:`PART`, each a file of its own, so a killed run goes on; row i is a function of (seed, i).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mllmqa.data import distortions
from mllmqa.data.fullref import PseudoMos, measure
from mllmqa.media.views import fit_short
from mllmqa.models.nano.categories import SEVERITIES, StatisticHeads
from mllmqa.models.nano.vision import NanoVisionModel
from mllmqa.training.loop import Losses, absent_parts, save_atomically
from mllmqa.training.samples import Pixels, drawn, made, read_rgb, severities

log = logging.getLogger(__name__)

PART = 250
"""Rows of a file."""
LEAST_SPREAD = 1e-3
"""Of a statistic, where it hardly varies."""
END, END_WEIGHT = 0.3, 2.0
"""Within this of the ends of the scale a severity counts twice: whole steps are asked for, and an even draw is half
as often near an end as near a step between."""
SUPPOSED = 0.5
"""Weight of a pseudo-MOS that is supposed; a judged one has 1."""


@dataclass(frozen=True)
class Wholes:
    """Which pictures are drawn.

    Attributes:
        pristine: Undistorted photos.
        good: Photos that people did not rate low; shrunk, they stand in for undistorted ones.
        pristine_share: Of the draws.
        unshrunk: Share of the distorted versions of rated photos that are made of them as they are.
        view_px: Short side at which the model sees pictures.
        short_px: Least and greatest short side of photos when they are distorted; half have the greatest.
        shrunk_px: Least and greatest short side of rated photos: what is wrong with them is lost with the pixels.
        zoom: Least share of its sides that is taken of a pristine photo.
        reduced: Least share of its sides at which a shrunk photo is seen, half of the time; else as it is.
        judged: Share of rows with a pseudo-MOS, of those that are large enough for it.
        seed: Root of all randomness.
    """

    pristine: Sequence[Path]
    good: Sequence[Path]
    pristine_share: float
    unshrunk: float
    view_px: int
    short_px: tuple[int, int]
    shrunk_px: tuple[int, int]
    zoom: float
    reduced: float
    judged: float
    seed: int

    def __getitem__(self, index: int) -> tuple[Pixels, list[float], float]:
        """Return a picture as the model sees it, its severities (C,), its pseudo-MOS 1..5 or NaN."""
        rng = np.random.default_rng([self.seed, index])
        recipe = drawn(rng)
        pristine = not self.good or rng.random() < self.pristine_share
        shrunk = not pristine and not (recipe and rng.random() < self.unshrunk)
        photo = self._photo(pristine, shrunk, rng)
        pixels, _ = made(photo, recipe, int(rng.integers(2**31)))
        judged, scale = float("nan"), PseudoMos.default()
        if rng.random() < self.judged and min(photo.shape[:2]) >= scale.min_side_px:
            judged = scale.score(measure(photo, pixels, scale.names))
        seen_at = rng.uniform(self.reduced, 1) if shrunk and rng.random() < 0.5 else 1.0
        view_px = min(self.view_px, round(seen_at * min(pixels.shape[:2])))
        return fit_short(pixels, view_px), severities(recipe), judged

    def _photo(self, pristine: bool, shrunk: bool, rng: np.random.Generator) -> Pixels:
        """A photo or a part of it, maybe mirrored, at the size at which it is distorted; never enlarged."""
        paths = self.pristine if pristine else self.good
        photo = np.asarray(read_rgb(paths[int(rng.integers(len(paths)))]))
        if pristine and rng.random() < 0.6:
            photo = self._part(photo, rng)
        if rng.random() < 0.5:
            photo = photo[:, ::-1]
        least, most = self.shrunk_px if shrunk else self.short_px
        short = int(rng.integers(least, most + 1)) if shrunk or rng.random() < 0.5 else most
        return distortions.to_short_side(np.ascontiguousarray(photo), min(short, *photo.shape[:2]))

    def _part(self, photo: Pixels, rng: np.random.Generator) -> Pixels:
        """A random part of the photo, of its own shape."""
        height, width = photo.shape[:2]
        share = rng.uniform(self.zoom, 1)
        rows, columns = round(height * share), round(width * share)
        top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
        return photo[top : top + rows, left : left + columns]


@dataclass(frozen=True)
class Rows:
    """`statistics` (N, S), `severity` (N, C) 0: not there, `judged` (N,) 1..5 or NaN, `supposed` (N,); all float32.

    `supposed` is what the severities alone say of the pseudo-MOS.
    """

    statistics: Tensor
    severity: Tensor
    judged: Tensor
    supposed: Tensor

    def of(self, chosen: Tensor) -> Rows:
        """Return some of the rows."""
        return Rows(self.statistics[chosen], self.severity[chosen], self.judged[chosen], self.supposed[chosen])


@torch.inference_mode()
def write_rows(tower: NanoVisionModel, wholes: Wholes, count: int, folder: Path, process: int, of: int) -> None:
    """Look at `count` pictures and write their rows; parts that are there already are left.

    Args:
        tower: In eval mode.
        wholes: The pictures.
        count: How many; rounded up to whole parts.
        folder: Where the parts go.
        process: This one makes every `of`-th part.
        of: Processes.
    """
    for part, path in absent_parts(folder, -(-count // PART), process, of):
        made_rows = [wholes[index] for index in range(part * PART, (part + 1) * PART)]
        seen = [tower.statistics(_as_seen(pixels))[0] for pixels, _, _ in made_rows]
        severity = torch.tensor([strong for _, strong, _ in made_rows])
        judged = torch.tensor([score for _, _, score in made_rows])
        rows = {"statistics": torch.stack(seen).half(), "severity": severity, "judged": judged}
        save_atomically(rows, path)
        log.info("%s: %d pictures", path.name, PART)


def _as_seen(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float()[None] / 127.5 - 1


def read_rows(folder: Path) -> Rows:
    """Read all parts."""
    parts = [torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pt"))]
    names = ("statistics", "severity", "judged")
    statistics, severity, judged = (torch.cat([part[name] for part in parts]).float() for name in names)
    return Rows(statistics, severity, judged, supposed(severity, judged))


def supposed(severity: Tensor, judged: Tensor) -> Tensor:
    """Return the pseudo-MOS that the severities speak for, 1..5: few are judged, and distortions are known of all.

    Ridge regression (penalty 1) on s, s² and s > 0 of every category, over the judged rows; undistorted: 5.

    Args:
        severity: (N, C), 0: not there.
        judged: (N,), 1..5 or NaN.

    Returns:
        (N,); NaN where nothing was judged at all.
    """
    told = torch.cat([severity, severity.square(), (severity > 0).float()], dim=1).double()
    known = judged.isfinite()
    inputs, wanted = told[known], judged[known].double()
    middle, mean = inputs.mean(0), wanted.mean()
    inputs = inputs - middle
    normal = inputs.T @ inputs + torch.eye(told.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(normal, inputs.T @ (wanted - mean))
    found: Tensor = ((told - middle) @ weights + mean).clamp(1, 5).float()
    return torch.where((severity > 0).any(1) | found.isnan(), found, 5.0)


def standardise(heads: StatisticHeads, rows: Rows) -> None:
    """Let the heads know the mean and the deviation of each statistic, as half precision will keep them."""
    heads.centre.copy_(rows.statistics.mean(0).half())
    heads.spread.copy_(rows.statistics.std(0).clamp(min=LEAST_SPREAD).half())


def batches(rows: Rows, size: int, seed: tuple[int, ...], steps: range) -> Iterator[Rows]:
    """Draw rows; the batch of a step is a function of (seed, step)."""
    for step in steps:
        chosen = torch.from_numpy(np.random.default_rng([*seed, step]).integers(len(rows.severity), size=size))
        yield rows.of(chosen)


def head_losses(heads: StatisticHeads, batch: Rows, drop: float, noise: float, clean: float) -> Losses:
    """Losses of a batch: presence, severity of what is there, fidelity as judged or as supposed.

    Args:
        heads: Trained.
        batch: From :func:`batches`.
        drop: Share of the hidden layer that is dropped.
        noise: Standard deviation of what is added to the standardised statistics.
        clean: Weight of undistorted pictures in the presence, of others 1: a false alarm on a good photo is what
            users notice first.
    """
    shaken = batch.statistics + noise * torch.randn_like(batch.statistics) * heads.spread
    presence, severity, fidelity = heads(shaken, drop)
    there, judged = batch.severity > 0, batch.judged.isfinite()
    near = torch.where(judged, batch.judged, batch.supposed)
    sure = torch.where(judged, 1.0, SUPPOSED) * near.isfinite()
    missed = F.binary_cross_entropy_with_logits(presence, there.float(), reduction="none").mean(1)
    weight = torch.where(there.any(1), 1.0, clean)
    wrong = F.smooth_l1_loss(severity, batch.severity, beta=0.5, reduction="none")
    at_end = (batch.severity < 1 + END) | (batch.severity > SEVERITIES - END)
    counted = there * torch.where(at_end, END_WEIGHT, 1.0)
    far = F.smooth_l1_loss(fidelity, near.nan_to_num(), beta=0.3, reduction="none")
    return {
        "presence": (missed * weight).sum() / weight.sum(),
        "severity": (wrong * counted).sum() / counted.sum().clamp(min=1),
        "fidelity": (far * sure).mean(),
    }
