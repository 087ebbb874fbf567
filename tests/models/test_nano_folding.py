"""A folded tower sees what it saw, has no norm left to compute, and leaves other models alone."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mllmqa
from mllmqa.models.hf import HFBackend
from mllmqa.models.nano import vision, weights_folder
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.folding import fold
from mllmqa.models.nano.vision import NanoVisionModel
from mllmqa.training.opening import open_model
from tests.tiny_stages import stage


@pytest.fixture
def tower() -> NanoVisionModel:
    """With norms that do something: statistics, scales and shifts are drawn."""
    chance = torch.Generator().manual_seed(2)
    shape = {
        "hidden_size": 8,
        "stage_channels": [6, 8, 10, 12],
        "stage_depths": [0, 1, 2, 1],
        "learned_channels": 4,
    }
    tower = NanoVisionModel(NanoVisionConfig(**shape, category_tokens=3, branch_channels=[4, 6, 8])).eval()
    for norm in tower.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values in (norm.weight.data, norm.running_var):
                values.uniform_(0.5, 2, generator=chance)
            for values in (norm.bias.data, norm.running_mean):
                values.normal_(generator=chance)
    return tower


def maps(tower: NanoVisionModel, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The last two stages, and the statistics of the branch."""
    return tower._looked(pixels, tower._maps)


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), (37, 90), (64, 64)])
def test_the_maps_are_the_same_but_for_rounding(
    tower: NanoVisionModel, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vision, "multiplies_bfloat16", lambda: False)
    pixels = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    folded = copy.deepcopy(tower)
    fold(folded)
    assert list(folded.state_dict()) == list(tower.state_dict()), "it can be saved"
    for norm in folded.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.fill_(float("nan"))  # and is not asked any more
    for before, after in zip(maps(tower, pixels), maps(folded, pixels), strict=True):
        assert torch.allclose(before, after, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


def test_where_a_gradient_is_wanted_the_norms_themselves_are_asked(tower: NanoVisionModel) -> None:
    pixels = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    before = maps(tower, pixels)
    fold(tower)
    after = maps(tower, pixels)
    assert all(map(torch.equal, before, after))
    torch.cat([one.flatten() for one in after]).sum().backward()
    for learns in (tower.stages[1][0].norm1, tower.categories.branch.norm, tower.categories.branch.stages[0].norm2):
        assert learns.weight.grad is not None


def test_what_is_computed_in_bfloat16_stays_as_near(
    tower: NanoVisionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    exact = maps(tower, pixels)[1].detach()
    monkeypatch.setattr(vision, "multiplies_bfloat16", lambda: True)
    with torch.inference_mode():
        before = maps(tower, pixels)[1]
        fold(tower)
        after = maps(tower, pixels)[1]
    assert not torch.equal(before, exact), "this is bfloat16"
    assert (after - exact).abs().mean() < 1.5 * (before - exact).abs().mean()


needs_bfloat16 = pytest.mark.skipif(not vision.multiplies_bfloat16(), reason="this CPU has no products of bfloat16")


@needs_bfloat16
@settings(max_examples=15, deadline=None)
@given(st.integers(64, 200), st.integers(64, 200), st.integers(2, 5))
def test_what_bfloat16_rounds_does_not_depend_on_the_batch(height: int, width: int, count: int) -> None:
    tower = shipped()
    chance = torch.Generator().manual_seed(height * width)
    pixels = torch.rand(count, 3, height, width, generator=chance) * 2 - 1
    with torch.inference_mode():
        together = maps(tower, pixels)
        alone = [maps(tower, one[None]) for one in pixels]
    for all_, apart in zip(together, zip(*alone, strict=True), strict=True):
        assert torch.equal(all_, torch.cat(apart))


@pytest.mark.parametrize("size", [(269, 16), (328, 22), (113, 37), (279, 40), (3000, 8), (300, 64), (16, 269)])
def test_narrow_pictures_are_seen_as_they_are(size: tuple[int, int]) -> None:
    """oneDNN's bfloat16 convolution of stride 2 reads past its input where tall maps come out one wide."""
    tower = shipped()
    pixels = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    exact = [one.detach() for one in maps(tower, pixels)]
    for _ in range(3):  # what lies past the input differs from time to time
        with torch.inference_mode():
            found = maps(tower, pixels)
        for one, other in zip(found, exact, strict=True):
            assert float((one - other).abs().mean() / other.abs().mean()) < 0.02


@pytest.mark.parametrize(("size", "expected"), [(64, torch.bfloat16), (63, torch.float32)])
def test_where_it_trains_the_caller_says_what_is_computed_in(
    tower: NanoVisionModel, size: int, expected: torch.dtype
) -> None:
    seen = []
    tower.train().stages[1][0].conv1.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    pixels = torch.rand(2, 3, size, 70)
    with torch.autocast("cpu", torch.bfloat16):
        tower(pixels)
    tower(pixels)
    assert seen == [expected, torch.float32]


@cache
def shipped() -> NanoVisionModel:
    backend = mllmqa.load("nano", device="cpu").backend
    assert isinstance(backend, HFBackend)
    tower: NanoVisionModel = backend.model.base_model.vision_tower
    return tower


def test_in_train_mode_the_norms_learn(tower: NanoVisionModel) -> None:
    fold(tower)
    tower.train()
    with torch.no_grad():
        maps(tower, torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    assert int(tower.stages[1][0].norm1.num_batches_tracked) == 1


def test_what_answers_is_folded_and_what_is_opened_for_training_is_not() -> None:
    """A copy would stay behind when the Trainer moves the model, and would not learn."""
    answers = mllmqa.load("nano", device="cpu").backend
    assert isinstance(answers, HFBackend)
    assert answers.model.base_model.vision_tower.stem.folded is not None
    opened = open_model(stage(str(weights_folder()), train={"projector": None}))
    tower = opened.model.base_model.vision_tower
    assert tower.stem.folded is None
    with torch.no_grad():
        seen = maps(tower.double(), torch.zeros(1, 3, 16, 16, dtype=torch.float64))
    assert seen[0].dtype == torch.float64


def test_convolutions_that_an_adapter_wraps_are_left_alone(tower: NanoVisionModel) -> None:
    peft = pytest.importorskip("peft")
    wrapped = peft.get_peft_model(tower, peft.LoraConfig(target_modules=["conv1"])).eval()
    fold(wrapped)
    residual = tower.stages[1][0]
    assert residual.folded is None
    assert tower.stem.folded is not None


def test_other_models_are_left_alone() -> None:
    other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    pixels = torch.rand(1, 3, 8, 8)
    before = other(pixels)
    fold(other)
    assert torch.equal(before, other(pixels))
