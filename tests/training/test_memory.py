"""A remembered tower says what the tower says, once, for every process that shares the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mllmqa.errors import UsageError
from mllmqa.models.nano.processing import NanoImageProcessor
from mllmqa.training import adapt, memory, opening
from tests.training.training_made import stage_of, tiny


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("towers")
    for family in ("llava", "nano", "qwen3_vl"):
        tiny(family, root / family)
    return root


def prepared(places: Path, family: str) -> Any:
    stage = stage_of(model=str(tiny(family, places / family)), precision="fp32")
    return adapt.prepare(opening.open_model(stage).model, stage)


def features(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    found = model.get_image_features(pixel_values=pixels).pooler_output
    return torch.cat(list(found))


def seen(count: int, side: int) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(count)) * 2 - 1


@pytest.mark.parametrize("family", ["llava", "nano"])
def test_what_is_looked_up_is_what_the_tower_says(places: Path, tmp_path: Path, family: str) -> None:
    model = prepared(places, family)
    pixels = seen(3, model.config.vision_config.image_size)
    with torch.no_grad():
        plain = features(model, pixels)
    weights = set(model.state_dict())
    memory.remember(model, tmp_path / "vision")
    assert set(model.state_dict()) == weights  # a checkpoint is none the wiser
    first = features(model, pixels[:2])
    assert len(list((tmp_path / "vision").iterdir())) == 2
    mixed = features(model, pixels[[2, 1, 0, 1]])  # new, known, known, twice
    assert len(list((tmp_path / "vision").iterdir())) == 3
    per = len(plain) // 3
    assert torch.allclose(first, plain[: 2 * per], atol=1e-5)
    wanted = torch.cat([plain[k * per : (k + 1) * per] for k in (2, 1, 0, 1)])
    assert torch.allclose(mixed, wanted, atol=1e-5)
    assert mixed.requires_grad  # the projector behind it learns

    other = prepared(places, family)
    memory.remember(other, tmp_path / "vision")
    with torch.no_grad():
        for parameter in other.model.vision_tower.parameters():
            parameter.zero_()  # nothing is computed any more: all three are looked up
    assert torch.allclose(features(other, pixels), plain, atol=1e-5)


def test_a_picture_is_the_same_beside_larger_ones(places: Path, tmp_path: Path) -> None:
    model = prepared(places, "nano")
    see = NanoImageProcessor()
    memory.remember(model, tmp_path / "vision")
    small, large = (torch.randint(0, 256, (3, side, side), dtype=torch.uint8) for side in (40, 64))
    alone = see([small], return_tensors="pt")["pixel_values"]
    filled = see([small, large], return_tensors="pt")["pixel_values"]
    first = features(model, alone)
    both = features(model, filled)
    assert len(list((tmp_path / "vision").iterdir())) == 2
    assert torch.equal(both[: len(first)], first)


def test_what_cannot_be_remembered_is_refused(places: Path, tmp_path: Path) -> None:
    model = prepared(places, "qwen3_vl")
    with pytest.raises(UsageError, match=r"remember_vision.*models of LLaVA's kind"):
        memory.remember(model, tmp_path / "vision")
    model = prepared(places, "llava")
    next(model.model.vision_tower.parameters()).requires_grad_(True)
    with pytest.raises(UsageError, match=r"frozen tower, and .* is trained; leave it out"):
        memory.remember(model, tmp_path / "vision")
    with pytest.raises(ValueError, match=r"`remember_vision` needs a frozen tower"):
        stage_of(train={"vision": None}, remember_vision=True)
