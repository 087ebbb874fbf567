"""Stages and steps of training on tiny checkpoints of every family, for the tests of ``mllmqa.training``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mllmqa import prompts
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.hf import HFBackend
from mllmqa.training.adapt import parameter_groups
from mllmqa.training.opening import Opened
from mllmqa.training.stage import Stage
from tests import tiny_models
from tests.conftest import photo_pixels
from tests.models.mplug_owl2 import original

FAMILIES = (*tiny_models.FAMILIES, "mplug_owl2", "nano", "vqa2_motion")
MOTION_WIDTHS: dict[str, Any] = {"motion_width": 16, "motion_depths": [1, 1, 1, 1], "motion_positions": 40}


def checkpoint(family: str, folder: Path, **options: Any) -> str:
    """Build a tiny checkpoint, and return what ``--model`` calls it; nano is the shipped one."""
    if family == "nano":
        return family
    if family == "mplug_owl2":
        return str(original.write(folder, original.config(), original.weights(original.config())))
    return str(tiny_models.build(family, folder, **options))


def motion_model(folder: Path) -> Any:
    """Return a random VQA² model."""
    from transformers import AutoConfig

    from mllmqa.models.vqa2_motion.modeling import Vqa2Config, Vqa2ForConditionalGeneration

    fields = AutoConfig.from_pretrained(tiny_models.build("llava_onevision", folder)).to_dict()
    fields.pop("model_type")
    return Vqa2ForConditionalGeneration(Vqa2Config(**fields, **MOTION_WIDTHS))


def stage(model: str | None = None, **fields: Any) -> Stage:
    """Return a stage in float32 with large rates, so that two steps move everything."""
    made = {"name": "tiny", "title": "A test", "model": model, "optimizer": {"rate": 1e-2}, "batch": 1}
    return Stage.model_validate({**made, "precision": "fp32", **fields})


def request(side: int = 56) -> Request:
    prompt = prompts.render(prompts.load("score/quality"), medium="image")
    return Request(prompt, (photo_pixels(side, side),))


def autocast(model: Any) -> Any:
    """Compute in bfloat16 where some of the model's weights are, as the Trainer does."""
    mixed = any(parameter.dtype == torch.bfloat16 for parameter in model.parameters())
    return torch.autocast("cpu", torch.bfloat16, enabled=mixed)


def logits(backend: HFBackend) -> np.ndarray:
    """Return the logits of the level words for one picture, (5,) float32."""
    backend.model.eval()
    side = 512 if backend.preset.name == "nano" else 56
    with autocast(backend.model):
        (answer,) = backend.level_logits([request(side)], prompts.word_scale(backend.preset.words).words)
    assert isinstance(answer, LevelLogits), answer
    return answer.logits


def loss(model: Any, opened: Opened) -> torch.Tensor:
    """Return a loss that every token of a picture and its question takes part in."""
    backend = opened.backend(model)
    asked = request(512 if opened.preset.name == "nano" else 56)
    inputs = backend._inputs([asked], [backend.text(asked)])
    with autocast(model):  # of one forward pass: what it has cast is kept until it ends
        rows = model(**inputs, use_cache=False).logits[0].float()
    return torch.nn.functional.cross_entropy(rows, torch.arange(len(rows), device=rows.device) % rows.shape[-1])


def train(model: Any, opened: Opened, what: Stage, steps: int = 2) -> list[float]:
    """Take steps of AdamW and return the loss before each."""
    optimizer = torch.optim.AdamW(parameter_groups(model, what))
    model.train()
    losses = []
    for _ in range(steps):
        value = loss(model, opened)
        losses.append(value.item())
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    return losses


def tensors(model: Any) -> dict[str, torch.Tensor]:
    """Return a copy of everything that a model stores."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
