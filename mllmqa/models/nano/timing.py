"""What happens in the time of a clip: heads that read spatiotemporal slices, a row of which is a moment.

Freezes, drops and flicker are no property of any frame, so the tower cannot see them. They are plain in slices
(:mod:`mllmqa.media.slices`): equal rows, one bright line of change, stripes. A convolution along the lines, then
residual dilated convolutions in time (TCN; Bai, Kolter & Koltun, arXiv:1803.01271), 127 moments wide; every row is
told by itself, and the whole by the strongest and the mean row.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PIECE = 16
"""Pixels of a line that are seen at once."""
PLANES = 24
DILATIONS = (1, 2, 4, 8, 16, 32)
GAIN = 4.0
"""Of differences between rows, which are small."""


class InTime(NamedTuple):
    """What is found in B clips, K categories, T rows.

    Attributes:
        presence: (B, K), 0..1, in the whole.
        severity: (B, K), 1..5: if it is there.
        rows: (B, T, K), 0..1, at each moment.
    """

    presence: Tensor
    severity: Tensor
    rows: Tensor


class Moments(nn.Module):
    """A residual block: two convolutions in time, (B, C, T) → the same shape."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.near = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        inside = F.gelu(self.near(self.norm(x.transpose(1, 2)).transpose(1, 2)))
        out: Tensor = x + self.mix(inside)
        return out


class TimeHeads(nn.Module):
    """Slices (B, T, W, 3) uint8 → what happens in them.

    Args:
        width: W, pixels of a row.
        channels: C.
        categories: K.
    """

    def __init__(self, width: int, channels: int, categories: int) -> None:
        super().__init__()
        self.lines = nn.Conv2d(6, PLANES, (1, PIECE), stride=(1, PIECE))
        self.gather = nn.Conv1d(PLANES * (width // PIECE), channels, 1)
        self.blocks = nn.ModuleList([Moments(channels, dilation) for dilation in DILATIONS])
        self.norm = nn.LayerNorm(channels)
        self.rows = nn.Linear(channels, categories)
        self.presence = nn.Linear(2 * channels, categories)
        self.severity = nn.Linear(2 * channels, categories)

    def forward(self, slices: Tensor, drop: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits of presence (B, K), severity (B, K) without bounds, logits of rows (B, T, K).

        Args:
            slices: uint8 (B, T, W, 3), T ≥ 1.
            drop: Share of features that is dropped, in training.
        """
        values = slices.to(self.rows.weight.dtype).permute(0, 3, 1, 2) / 127.5 - 1
        change = F.pad(GAIN * values.diff(dim=2), (0, 0, 1, 0))
        seen = F.gelu(self.lines(torch.cat([values, change], dim=1)))  # (B, P, T, W / 16)
        x = self.gather(seen.transpose(2, 3).flatten(1, 2))
        for block in self.blocks:
            x = block(F.dropout(x, drop, training=drop > 0))
        x = self.norm(x.transpose(1, 2))  # (B, T, C)
        whole = torch.cat([x.amax(dim=1), x.mean(dim=1)], dim=1)
        return self.presence(whole), self.severity(whole), self.rows(x)

    def found(self, slices: Tensor) -> InTime:
        """Return what happens, within its bounds; slices as for :meth:`forward`."""
        presence, severity, rows = self(slices)
        return InTime(presence.sigmoid(), severity.clamp(1, 5), rows.sigmoid())
