"""What nano's tower finds of distortions: a branch of its own, heads on it, and a token for each category.

The branch starts from the stem's coefficients: blur, noise and blocks are plain there, and what the tower has
learnt of opinions does not stand in the way. It is trained when the tower is done and frozen
(:mod:`mllmqa.training.branch`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mllmqa.models.nano.blocks import Mixing, Residual, mean_and_std

SEVERITIES = 5
SHORT_SIDES_PX = (224, 320, 384, 448)
"""Fidelity is read for each of these, and between them in proportion: full-reference metrics shrink pictures by
whole numbers first, so one and the same damage is another one to them at another size."""
PART = 0.6
"""Sides of four overlapping parts, one in each corner, over those of the picture: fidelity is the mean of what is
read of the whole and of these. Of wide pictures of photos that it never saw it is nearer so (docs/log.md)."""
FAR = 8.0
"""Standard deviations at which a statistic is cut off: nothing that was not seen in training may dominate."""


class Found(NamedTuple):
    """What the heads find in B pictures, C categories.

    Attributes:
        presence: (B, C), 0..1.
        severity: (B, C), 1..5: if it is there.
        fidelity: (B,), 1..5: how near to the undistorted picture, as a pseudo-MOS of full-reference metrics
            (:class:`mllmqa.data.fullref.PseudoMos`) would be with it at hand.
    """

    presence: Tensor
    severity: Tensor
    fidelity: Tensor


class DistortionBranch(Mixing):
    """Coefficients (B, inputs, H, W) → mean and deviation of the maps of each stage, (B, statistics).

    Args:
        inputs: Coefficients of the stem.
        channels: Of the mixed coefficients, then of each stage; every stage halves the sides.
    """

    def __init__(self, inputs: int, channels: Sequence[int]) -> None:
        super().__init__(inputs, channels[0])
        self.stages = nn.ModuleList(Residual(*widths, stride=2) for widths in pairwise(channels))

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return the statistics; in full precision, whatever the maps are in."""
        return torch.cat([mean_and_std(maps) for maps in self.maps(coefficients)], dim=1)

    def maps(self, coefficients: Tensor) -> Iterator[Tensor]:
        """Give the maps of each stage, float32."""
        maps = self.mixed(coefficients)
        for stage in self.stages:
            maps = stage(maps)
            yield maps.float()

    def whole_and_parts(self, coefficients: Tensor) -> Tensor:
        """Return the statistics of the picture and of its four :data:`PART`, (B, 5, statistics)."""
        looks = [[maps, *corners(maps)] for maps in self.maps(coefficients)]
        return torch.stack(
            [torch.cat([mean_and_std(one) for one in look], dim=1) for look in zip(*looks, strict=True)], dim=1
        )


def corners(maps: Tensor) -> list[Tensor]:
    """(B, C, H, W) → four overlapping parts, row by row, each of :data:`PART` of the sides, at least one pixel."""
    rows, columns = (
        (slice(0, part), slice(length - part, length))
        for length, part in ((length, max(1, round(PART * length))) for length in maps.shape[2:])
    )
    return [maps[:, :, row, column] for row in rows for column in columns]


def at_size(fidelity: Tensor, short_sides: Tensor) -> Tensor:
    """Fidelity at each of K sizes (B, K), short sides in pixels (B,) → fidelity (B,)."""
    place = torch.zeros_like(fidelity[:, 0])
    for low, high in pairwise(SHORT_SIDES_PX):
        place = place + ((short_sides - low) / (high - low)).clamp(0, 1)
    hats = 1 - (place[:, None] - torch.arange(len(SHORT_SIDES_PX), device=place.device)).abs()
    return (fidelity * hats.clamp(min=0)).sum(dim=1)


class DistortionHeads(nn.Module):
    """One hidden layer from a branch's statistics to presence, severity and fidelity.

    Args:
        statistics: S, how many.
        hidden: Width of the layer.
        categories: C.
    """

    def __init__(self, statistics: int, hidden: int, categories: int) -> None:
        super().__init__()
        self.standard = nn.BatchNorm1d(statistics, affine=False)
        self.hidden = nn.Linear(statistics, hidden)
        self.presence = nn.Linear(hidden, categories)
        self.severity = nn.Linear(hidden, categories)
        self.fidelity = nn.Linear(hidden, len(SHORT_SIDES_PX))

    def inside(self, statistics: Tensor, drop: float = 0.0) -> Tensor:
        """(B, S) → the hidden layer (B, hidden) of standardised statistics, cut off at ±8."""
        hidden = F.gelu(self.hidden(self.standard(statistics).clamp(-FAR, FAR)))
        return F.dropout(hidden, drop, training=drop > 0)

    def forward(self, statistics: Tensor, drop: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """(B, S) → logits of presence (B, C), severity (B, C) and fidelity at each size (B, K), without bounds.

        Args:
            statistics: As they are.
            drop: Share of the hidden layer that is dropped, in training.
        """
        return self.read(self.inside(statistics, drop))

    def read(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same from the hidden layer (B, hidden)."""
        return self.presence(hidden), self.severity(hidden), self.fidelity(hidden)

    def found(self, statistics: Tensor, short_sides: Tensor) -> Found:
        """(B, 5, S) of whole and parts, and (B,) short sides in pixels → what is there, within its bounds.

        Presence and severity are those of the whole, fidelity is the mean.
        """
        presence, severity, fidelity = self(statistics.flatten(0, 1))
        looks = statistics.shape[1]
        fidelity = at_size(fidelity, short_sides.repeat_interleave(looks)).clamp(1, 5)
        whole = severity[::looks].clamp(1, SEVERITIES)
        return Found(presence[::looks].sigmoid(), whole, fidelity.view(-1, looks).mean(dim=1))


class CategoryTokens(nn.Module):
    """One token for each category of distortion: a decoder only has to look up what the heads found.

    A token is n_c + p_c·(u + Σ_k h_k(s_c)·g_k) with the presence p_c (0..1), the severity s_c (1..5) and the hats
    h_k(s) = max(0, 1 − |s − k|), k = 1..5. The codes n, u and g are drawn once; u and g are the same for every
    category, so what is learnt of one holds for all.

    Args:
        inputs: Coefficients of the stem.
        channels: Of the branch.
        hidden: Width of the layer inside the heads.
        categories: C.
        width: Of a token.
    """

    def __init__(self, inputs: int, channels: Sequence[int], hidden: int, categories: int, width: int) -> None:
        super().__init__()
        self.branch = DistortionBranch(inputs, channels)
        self.heads = DistortionHeads(2 * sum(channels[1:]), hidden, categories)
        self.names = nn.Parameter(torch.empty(categories, width))
        self.present = nn.Parameter(torch.empty(width))
        self.grades = nn.Parameter(torch.empty(SEVERITIES, width))

    def forward(self, statistics: Tensor) -> Tensor:
        """Statistics of the branch, (B, S) → (B, C, width)."""
        logits, severity, _ = self.heads(statistics)
        presence, severity = logits.sigmoid(), severity.clamp(1, SEVERITIES)
        steps = torch.arange(1, SEVERITIES + 1, device=statistics.device, dtype=statistics.dtype)
        hats = (1 - (severity[..., None] - steps).abs()).clamp(min=0)
        tokens: Tensor = self.names + presence[..., None] * (self.present + hats @ self.grades)
        return tokens
