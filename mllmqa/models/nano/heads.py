"""Training heads on nano's vision tower: level logits, distortion kind, severity. They are not shipped."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from mllmqa.models.nano.vision import NanoVisionModel


@dataclass(frozen=True)
class HeadOutputs:
    """Per row: `levels` and `local_levels` (B, K) logits, `kind` (B, kinds + 1) logits, `severity` (B,) 0..5."""

    levels: Tensor
    local_levels: Tensor
    kind: Tensor
    severity: Tensor


class TowerWithHeads(nn.Module):
    """The tower, with heads that read the very tokens that the language model will read.

    Args:
        tower: the vision tower.
        kinds: number of distortion kinds; class 0 of the kind head means "none".
        levels: number of level words.
    """

    def __init__(self, tower: NanoVisionModel, kinds: int, levels: int = 5) -> None:
        super().__init__()
        width = tower.config.hidden_size
        pooled = width * tower.config.global_tokens
        self.tower = tower
        self.levels = nn.Linear(pooled, levels)
        self.kind = nn.Linear(pooled, kinds + 1)
        self.severity = nn.Linear(pooled, 1)
        self.local_levels = nn.Linear(width, levels)

    def forward(self, pixel_values: Tensor) -> HeadOutputs:
        """pixel_values (B, 3, H, W) in -1..1."""
        out = self.tower(pixel_values)
        local = out.last_hidden_state[:, self.tower.config.global_tokens :].mean(dim=1)
        pooled = out.pooler_output
        return HeadOutputs(
            self.levels(pooled), self.local_levels(local), self.kind(pooled), self.severity(pooled)[:, 0]
        )
