"""What nano's tower finds of distortions: heads on the statistics of its maps, and a token for each category.

The heads read statistics of the maps of every depth, the stem's included: blur, noise and blocks are plainer in
what has not yet been made to tell opinions. The tower is frozen when they are fitted
(:mod:`mllmqa.training.wholes`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SEVERITIES = 5
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


class StatisticHeads(nn.Module):
    """One hidden layer from standardised statistics to presence, severity and fidelity.

    Args:
        statistics: S, how many.
        hidden: Width of the layer.
        categories: C.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, statistics: int, hidden: int, categories: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(statistics))
        self.register_buffer("spread", torch.ones(statistics))
        self.hidden = nn.Linear(statistics, hidden)
        self.presence = nn.Linear(hidden, categories)
        self.severity = nn.Linear(hidden, categories)
        self.fidelity = nn.Linear(hidden, 1)

    def standardised(self, statistics: Tensor) -> Tensor:
        """(B, S) → the same with mean 0 and deviation 1 over the pictures of training, cut off at ±8."""
        return ((statistics - self.centre) / self.spread).clamp(-FAR, FAR)

    def forward(self, statistics: Tensor, drop: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """(B, S) → logits of presence (B, C), severity (B, C) and fidelity (B,), both without bounds.

        Args:
            statistics: As they are.
            drop: Share of the hidden layer that is dropped, in training.
        """
        hidden = F.dropout(F.gelu(self.hidden(self.standardised(statistics))), drop, training=drop > 0)
        return self.presence(hidden), self.severity(hidden), self.fidelity(hidden)[:, 0]

    def found(self, statistics: Tensor) -> Found:
        """(B, S) → what is there, within its bounds."""
        presence, severity, fidelity = self(statistics)
        return Found(presence.sigmoid(), severity.clamp(1, SEVERITIES), fidelity.clamp(1, 5))


class CategoryTokens(nn.Module):
    """One token for each category of distortion: a decoder only has to look up what the heads found.

    A token is n_c + p_c·(u + Σ_k h_k(s_c)·g_k) with the presence p_c (0..1), the severity s_c (1..5) and the hats
    h_k(s) = max(0, 1 − |s − k|), k = 1..5. The codes n, u and g are drawn once; u and g are the same for every
    category, so what is learnt of one holds for all.

    Args:
        statistics, hidden, categories: Of the heads.
        width: Of a token.
    """

    def __init__(self, statistics: int, hidden: int, categories: int, width: int) -> None:
        super().__init__()
        self.heads = StatisticHeads(statistics, hidden, categories)
        self.names = nn.Parameter(torch.empty(categories, width))
        self.present = nn.Parameter(torch.empty(width))
        self.grades = nn.Parameter(torch.empty(SEVERITIES, width))

    def forward(self, statistics: Tensor) -> Tensor:
        """(B, S) → (B, C, width)."""
        presence, severity, _ = self.heads.found(statistics)
        steps = torch.arange(1, SEVERITIES + 1, device=statistics.device, dtype=statistics.dtype)
        hats = (1 - (severity[..., None] - steps).abs()).clamp(min=0)
        tokens: Tensor = self.names + presence[..., None] * (self.present + hats @ self.grades)
        return tokens
