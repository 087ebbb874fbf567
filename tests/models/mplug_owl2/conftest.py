"""The fixtures that the original code gave, loaded once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from mllmqa.models import mplug_owl2
from tests.models.mplug_owl2.original import FIXTURES

mplug_owl2.register()


@dataclass(frozen=True)
class Case:
    """One fixture folder."""

    folder: Path
    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]
    model: Any
    processor: Any

    def picture(self, name: str) -> Image.Image:
        with Image.open(self.folder / f"{name}.png") as opened:
            opened.load()
            return opened

    @property
    def level_ids(self) -> list[int]:
        return list(self.meta["level_ids"].values())

    def level_scores(self, logits: torch.Tensor) -> NDArray[np.float32]:
        """(B, V) → (B,) on the scale 1 to 5."""
        return (logits[:, self.level_ids].softmax(-1) @ torch.tensor([5.0, 4, 3, 2, 1])).numpy()


def load(folder: Path, **options: Any) -> Any:
    """Load a model through the Auto class, in float32 and eval mode by default."""
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, **{"dtype": torch.float32, **options}).eval()


def load_processor(folder: Path) -> Any:
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(folder)


@cache
def case(name: str) -> Case:
    folder = FIXTURES / name
    with np.load(folder / "arrays.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    meta = json.loads((folder / "meta.json").read_text())
    return Case(folder, arrays, meta, load(folder), load_processor(folder))


@pytest.fixture
def images() -> Case:
    return case("img_mha_q8")


@pytest.fixture
def videos() -> Case:
    return case("video_mha_q16_4f")


@pytest.fixture
def training() -> Case:
    return case("train_labels_padded")
