"""Training heads on nano's vision tower: levels, categories of distortion, their severity. Not shipped."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from mllmqa.models.nano.vision import NanoVisionModel


@dataclass(frozen=True)
class HeadOutputs:
    """Per row: `levels` and `local_levels` (B, K) logits, `presence` (B, C) logits, `severity` (B, C) 0..5."""

    levels: Tensor
    local_levels: Tensor
    presence: Tensor
    severity: Tensor


class TowerWithHeads(nn.Module):
    """The tower, with heads that read the very tokens that the language model will read.

    Args:
        tower: the vision tower.
        categories: number of categories of distortion; a row may show none, one, or several.
        levels: number of level words.
    """

    def __init__(self, tower: NanoVisionModel, categories: int, levels: int = 5) -> None:
        super().__init__()
        width = tower.config.hidden_size
        pooled = width * tower.config.global_tokens
        self.tower = tower
        self.levels = nn.Linear(pooled, levels)
        self.presence = nn.Linear(pooled, categories)
        self.severity = nn.Linear(pooled, categories)
        self.local_levels = nn.Linear(width, levels)

    def forward(self, pixel_values: Tensor) -> HeadOutputs:
        """pixel_values (B, 3, H, W) in -1..1."""
        out = self.tower(pixel_values)
        local = out.last_hidden_state[:, self.tower.config.global_tokens :].mean(dim=1)
        pooled = out.pooler_output
        return HeadOutputs(
            self.levels(pooled), self.local_levels(local), self.presence(pooled), self.severity(pooled)
        )
