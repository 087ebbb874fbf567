"""Training heads of nano's tower."""

from __future__ import annotations

import torch

from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.heads import TowerWithHeads
from mllmqa.models.nano.vision import NanoVisionModel


def test_heads_read_the_tokens_that_the_language_model_reads() -> None:
    torch.manual_seed(0)
    config = NanoVisionConfig(
        hidden_size=8, stage_channels=[8, 8, 8, 8], stage_depths=[0, 1, 1, 1], learned_channels=4, global_tokens=3
    )
    model = TowerWithHeads(NanoVisionModel(config), categories=12).eval()
    pixels = torch.rand(4, 3, 64, 48)
    with torch.inference_mode():
        out, tokens = model(pixels), model.tower(pixels).last_hidden_state
        pooled, local = tokens[:, :3].flatten(1), tokens[:, 3:].mean(1)
        assert torch.allclose(out.levels, model.levels(pooled), atol=1e-6)
        assert torch.allclose(out.presence, model.presence(pooled), atol=1e-6)
        assert torch.allclose(out.severity, model.severity(pooled), atol=1e-6)
        assert torch.allclose(out.local_levels, model.local_levels(local), atol=1e-6)
    assert (out.levels.shape, out.presence.shape, out.severity.shape) == ((4, 5), (4, 12), (4, 12))
