"""A tiny nano with random weights, saved as it ships, and a back end that notes what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mllmqa import prompts
from mllmqa.data.distortions import CATEGORIES
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.data.video_distortions import IN_TIME
from mllmqa.models.base import Examined, ExaminedInTime, ImageHWC, LevelLogits, Request
from mllmqa.models.nano import build
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.timing import TimeHeads
from mllmqa.models.nano.vision import NanoVisionModel

SHAPE: dict[str, Any] = {
    "hidden_size": 16, "stage_channels": [8] * 4, "stage_depths": [0, 1, 1, 1], "learned_channels": 4,
    "patch_grid": 2, "branch_channels": [8, 8, 8], "heads_hidden": 8,
}  # fmt: skip
DECODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def write(folder: Path, in_time: TimeHeads | None = None, *, categories: bool = True) -> Path:
    """Save a model; ``mllmqa.loading.load`` knows it as nano.

    Args:
        folder: Where to.
        in_time: Heads for distortions in time, of all categories; None: it has none.
        categories: Whether it has heads for distortions of pictures.
    """
    words = (*prompts.level_scale().words, "Yes", "No", *vocabulary().severities)
    tokenizer = build.build_tokenizer([prompts.load("score/quality").question], words, 600)
    torch.manual_seed(0)
    more = {"category_tokens": len(CATEGORIES) if categories else 0}
    if in_time is not None:
        more |= {"time_categories": len(IN_TIME), "time_channels": in_time.norm.normalized_shape[0]}
    tower = NanoVisionModel(NanoVisionConfig(**SHAPE, **more)).eval()
    if in_time is not None:
        tower.in_time.load_state_dict(in_time.state_dict())
    model = build.build_model(tower, tokenizer, {**DECODER, "max_position_embeddings": 4096})
    build.save(model, build.build_processor(tokenizer, tower.config), folder)
    return folder


class Observed:
    """A back end that hands everything on, and notes closed questions and looks.

    Attributes:
        asked: How many requests had closed questions.
        examined: How many pictures each look was at.
        slices: Pictures of slices that were looked at.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.asked = 0
        self.examined: list[int] = []
        self.slices: list[ImageHWC] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def examine(self, images: Sequence[ImageHWC]) -> list[Examined]:
        self.examined.append(len(images))
        found: list[Examined] = self._backend.examine(images)
        return found

    @property
    def examines_time(self) -> bool:
        return bool(self._backend.examines_time)

    def examine_in_time(self, slices: ImageHWC) -> list[ExaminedInTime]:
        self.slices.append(slices)
        found: list[ExaminedInTime] = self._backend.examine_in_time(slices)
        return found

    def level_logits(self, requests: Sequence[Request], words: Sequence[str]) -> list[LevelLogits | Exception]:
        self.asked += len(requests)
        found: list[LevelLogits | Exception] = self._backend.level_logits(requests, words)
        return found
