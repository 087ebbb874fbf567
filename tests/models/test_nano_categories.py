"""Nano's branch and heads for distortions of pictures: by hand, their bounds, and a token for each category."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from mllmqa.models.nano.blocks import mean_and_std
from mllmqa.models.nano.categories import (
    FAR,
    SHORT_SIDES_PX,
    CategoryTokens,
    DistortionBranch,
    DistortionHeads,
    at_size,
    corners,
)
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.vision import NanoVisionModel


@pytest.fixture(scope="module")
def tower() -> NanoVisionModel:
    """A small one with random weights."""
    torch.manual_seed(1)
    config = NanoVisionConfig(
        hidden_size=8, stage_channels=[4, 6, 8, 10], stage_depths=[0, 1, 1, 1], learned_channels=4,
        category_tokens=3, branch_channels=[4, 5, 6], heads_hidden=5, patch_grid=2,
    )  # fmt: skip
    tower = NanoVisionModel(config).eval()
    with torch.no_grad():
        for weights in (tower.categories.heads.hidden.weight, tower.categories.heads.presence.weight):
            weights *= 20  # so that what is seen makes a difference
    return tower


def by_hand(presence: tuple[float, ...], severity: tuple[float, ...], statistics: int = 3) -> DistortionHeads:
    """Heads that say the same of every picture."""
    heads = DistortionHeads(statistics, 4, len(presence)).eval()
    with torch.no_grad():
        for part in (heads.presence, heads.severity, heads.fidelity):
            part.weight.zero_()
        heads.presence.bias.copy_(torch.tensor(presence))
        heads.severity.bias.copy_(torch.tensor(severity))
        heads.fidelity.bias.fill_(2.5)
    return heads


# ------------------------------------------------------------------ branch


@torch.no_grad()
def test_the_branch_by_hand() -> None:
    """Mixed coefficients, then a stage that halves the sides: mean and deviation of its maps, and of no others."""
    torch.manual_seed(0)
    branch = DistortionBranch(5, (4, 6, 7)).eval()
    maps = branch.mixed(torch.randn(2, 5, 12, 9))
    first = branch.stages[0](maps)
    second = branch.stages[1](first)
    assert (first.shape, second.shape) == ((2, 6, 6, 5), (2, 7, 3, 3))
    torch.manual_seed(0)
    DistortionBranch(5, (4, 6, 7))
    found = branch(torch.randn(2, 5, 12, 9))
    assert torch.equal(found, torch.cat([mean_and_std(first), mean_and_std(second)], dim=1))


@torch.no_grad()
@given(st.integers(1, 9), st.integers(1, 9))
def test_maps_of_any_size_have_equally_many_statistics(height: int, width: int) -> None:
    branch = DistortionBranch(3, (4, 5, 6, 2)).eval()
    found = branch(torch.rand(2, 3, height, width))
    assert found.shape == (2, 2 * (5 + 6 + 2))
    assert bool(found.isfinite().all())


def test_corners_are_parts_of_six_tenths_row_by_row() -> None:
    maps = torch.arange(10 * 5.0).reshape(1, 1, 10, 5)
    expected = [maps[..., :6, :3], maps[..., :6, 2:], maps[..., 4:, :3], maps[..., 4:, 2:]]
    assert all(map(torch.equal, corners(maps), expected))
    assert [one.shape[2:] for one in corners(torch.zeros(1, 1, 1, 2))] == 4 * [(1, 1)]


@torch.no_grad()
@given(st.integers(1, 40), st.integers(1, 40))
def test_the_whole_comes_first_then_its_parts(height: int, width: int) -> None:
    branch, coefficients = DistortionBranch(3, (4, 5, 6)).eval(), torch.rand(2, 3, height, width)
    found, maps = branch.whole_and_parts(coefficients), list(branch.maps(coefficients))
    assert found.shape == (2, 5, 2 * (5 + 6))
    assert torch.equal(found[:, 0], branch(coefficients))
    assert torch.equal(found[:, 4], torch.cat([mean_and_std(corners(one)[3]) for one in maps], dim=1))


@torch.no_grad()
def test_fidelity_is_the_mean_of_the_whole_and_its_parts_the_rest_that_of_the_whole() -> None:
    torch.manual_seed(2)
    heads, statistics = DistortionHeads(3, 4, 2).eval(), 9 * torch.randn(2, 5, 3)
    sides = torch.tensor([300.0, 448.0])
    found = heads.found(statistics, sides)
    each = [heads.found(statistics[:, look : look + 1], sides) for look in range(5)]
    assert torch.allclose(found.fidelity, torch.stack([one.fidelity for one in each]).mean(0), atol=1e-5)
    assert torch.allclose(found.presence, each[0].presence) and torch.allclose(found.severity, each[0].severity)
    assert not torch.allclose(each[0].presence, each[1].presence)


def test_statistics_are_exact_where_maps_are_not() -> None:
    branch = DistortionBranch(3, (4, 5)).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert branch.stages[0](branch.mixed(torch.rand(1, 3, 8, 8))).dtype == torch.bfloat16
        assert branch(torch.rand(1, 3, 8, 8)).dtype == torch.float32


def test_what_is_found_does_not_depend_on_neighbours_nor_on_what_fills_up(tower: NanoVisionModel) -> None:
    chance = torch.Generator().manual_seed(4)
    pictures = [torch.rand(3, *size, generator=chance) * 2 - 1 for size in ((64, 96), (40, 120), (64, 96), (9, 33))]
    filled = torch.full((4, 3, 64, 120), torch.nan)
    for place, picture in zip(filled, pictures, strict=True):
        place[:, : picture.shape[1], : picture.shape[2]] = picture
    with torch.inference_mode():
        together = tower.found(filled)
        assert all(bool(one.isfinite().all()) for one in together)
        for row, picture in enumerate(pictures):
            for one, all_ in zip(tower.found(picture[None]), together, strict=True):
                assert torch.allclose(one[0], all_[row], atol=1e-4)
    assert float((together.presence[0] - together.presence[2]).abs().max()) > 1e-3  # the check can fail


# ------------------------------------------------------------------ heads


def standardised(values: tuple[float, ...], squares: tuple[float, ...], categories: int = 2) -> DistortionHeads:
    """Heads that have seen statistics of these means and variances."""
    torch.manual_seed(0)
    heads = DistortionHeads(len(values), 4, categories).eval()
    heads.standard.running_mean = torch.tensor(values)
    heads.standard.running_var = torch.tensor(squares)
    return heads


def test_what_was_never_seen_does_not_dominate() -> None:
    """Beyond eight deviations nothing more changes."""
    heads = standardised((1.0, 0.0), (0.25, 4.0))
    edge = torch.tensor([[1 + 0.5 * FAR, -2 * FAR]]) * 1.001
    for one, other in zip(heads(edge), heads(1e6 * edge), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(heads(edge)[0], heads(edge / 2)[0])


def test_heads_are_one_hidden_layer() -> None:
    heads = standardised((0.5, 0.5, 0.5), (4.0, 4.0, 4.0))
    values = torch.randn(5, 3)
    hidden = F.gelu(((values - 0.5) / 2) @ heads.hidden.weight.T + heads.hidden.bias)
    presence, severity, fidelity = heads(values)
    assert torch.allclose(presence, hidden @ heads.presence.weight.T + heads.presence.bias, atol=1e-5)
    assert torch.allclose(severity, hidden @ heads.severity.weight.T + heads.severity.bias, atol=1e-5)
    assert torch.allclose(fidelity, hidden @ heads.fidelity.weight.T + heads.fidelity.bias, atol=1e-5)
    assert (presence.shape, severity.shape, fidelity.shape) == ((5, 2), (5, 2), (5, len(SHORT_SIDES_PX)))


@given(st.lists(st.floats(1, 5), min_size=4, max_size=4), st.floats(32, 4000))
def test_fidelity_is_read_for_the_size_of_the_picture(at_each: list[float], short_side: float) -> None:
    """At the sizes that are known, between them in proportion, beyond them as at the next."""
    known = at_size(torch.tensor([at_each] * 4), torch.tensor(SHORT_SIDES_PX))
    assert known.tolist() == pytest.approx(at_each, abs=1e-5)
    (found,) = at_size(torch.tensor([at_each]), torch.tensor([short_side])).tolist()
    assert found == pytest.approx(np.interp(short_side, SHORT_SIDES_PX, at_each), abs=1e-4)


def test_the_size_is_that_of_the_picture_not_of_the_batch(tower: NanoVisionModel) -> None:
    pixels = torch.full((2, 3, 384, 416), torch.nan)
    pixels[0], pixels[1, :, :320, :400] = 0.1, 0.1
    heads = tower.categories.heads
    before = heads.fidelity.weight.detach().clone(), heads.fidelity.bias.detach().clone()
    with torch.no_grad():
        heads.fidelity.weight.zero_()
        heads.fidelity.bias[:] = torch.tensor([1.5, 2.0, 3.0, 4.0])
        assert tower.found(pixels).fidelity.tolist() == pytest.approx([3.0, 2.0])
        heads.fidelity.weight[:], heads.fidelity.bias[:] = before


@given(st.floats(-80, 80), st.floats(-20, 20), st.floats(-20, 20))
def test_what_is_found_lies_within_its_bounds(presence: float, severity: float, fidelity: float) -> None:
    heads = by_hand((presence, -presence), (severity, severity))
    with torch.no_grad():
        heads.fidelity.bias.fill_(fidelity)
        found = heads.found(torch.randn(2, 5, 3), torch.tensor([100.0, 400.0]))
    assert bool(((found.presence >= 0) & (found.presence <= 1)).all())
    assert found.presence.sum(1).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert found.severity[:, 0].tolist() == pytest.approx([min(max(severity, 1), 5)] * 2, abs=1e-5)
    assert found.fidelity.tolist() == pytest.approx([min(max(fidelity, 1), 5)] * 2, abs=1e-5)


def test_the_hidden_layer_is_dropped_only_where_asked() -> None:
    torch.manual_seed(0)
    heads, values = DistortionHeads(3, 64, 2).eval(), torch.randn(4, 3)
    assert torch.equal(heads(values)[0], heads(values)[0])
    assert not torch.equal(heads(values, drop=0.5)[0], heads(values, drop=0.5)[0])


def test_mean_and_deviation_are_saved_with_the_heads() -> None:
    heads = standardised((7.0, 7.0, 7.0), (2.0, 2.0, 2.0))
    again = DistortionHeads(3, 4, 2)
    again.load_state_dict(heads.state_dict())
    assert again.standard.running_mean.tolist() == [7, 7, 7]
    assert not [name for name, _ in heads.named_parameters() if name.startswith("standard")]


# ------------------------------------------------------------------ tokens


@pytest.mark.parametrize(
    ("presence", "severity", "wanted"),
    [
        (-40.0, 4.0, (0.0, {})),
        (40.0, 1.0, (1.0, {0: 1.0})),
        (40.0, 3.25, (1.0, {2: 0.75, 3: 0.25})),
        (0.0, 5.0, (0.5, {4: 1.0})),
        (0.0, 9.0, (0.5, {4: 1.0})),  # there is nothing above catastrophic
        (40.0, -2.0, (1.0, {0: 1.0})),  # nor below slight
    ],
)
def test_a_token_by_hand(presence: float, severity: float, wanted: tuple[float, dict[int, float]]) -> None:
    torch.manual_seed(0)
    tokens = CategoryTokens(5, (4, 3), 4, 2, 6).eval()
    with torch.no_grad():
        for codes in (tokens.names, tokens.present, tokens.grades):
            codes.normal_()
        tokens.heads.load_state_dict(by_hand((presence, -40.0), (severity, 2.0), statistics=6).state_dict())
        (found,) = tokens(torch.randn(1, 6))
    share, hats = wanted
    strong = sum((weight * tokens.grades[k] for k, weight in hats.items()), torch.zeros(6))
    assert torch.allclose(found[0], tokens.names[0] + share * (tokens.present + strong if hats else 0), atol=1e-5)
    assert torch.allclose(found[1], tokens.names[1], atol=1e-5)


def test_tokens_of_the_tower_are_those_of_its_heads(tower: NanoVisionModel) -> None:
    pixels = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.inference_mode():
        tokens = tower(pixels).last_hidden_state
        (statistics,) = tower._looked(pixels, tower._parts)
        own = tower.categories(statistics[:, 0])
    assert tokens.shape == (2, 2 + 4 + 3, 8)
    assert torch.allclose(tokens[:, -3:], own, atol=1e-5)
