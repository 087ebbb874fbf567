"""Nano's heads for distortions of pictures: statistics by hand, bounds, and a token for each category."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from mllmqa.models.nano.categories import FAR, CategoryTokens, StatisticHeads
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.vision import TILES, NanoVisionModel, mean_and_std, statistics_of


@pytest.fixture(scope="module")
def tower() -> NanoVisionModel:
    """A small one with random weights."""
    torch.manual_seed(1)
    config = NanoVisionConfig(
        hidden_size=8, stage_channels=[4, 6, 8, 10], stage_depths=[0, 1, 1, 1], learned_channels=4,
        category_tokens=3, heads_hidden=5, patch_grid=2,
    )  # fmt: skip
    return NanoVisionModel(config).eval()


def by_hand(presence: tuple[float, ...] = (0.0, 0.0), severity: tuple[float, ...] = (3.0, 3.0)) -> StatisticHeads:
    """Heads that say the same of every picture."""
    heads = StatisticHeads(3, 4, len(presence))
    with torch.no_grad():
        for part in (heads.presence, heads.severity, heads.fidelity):
            part.weight.zero_()
        heads.presence.bias.copy_(torch.tensor(presence))
        heads.severity.bias.copy_(torch.tensor(severity))
        heads.fidelity.bias.fill_(2.5)
    return heads


# ------------------------------------------------------------------ statistics


def test_statistics_of_a_map_by_hand() -> None:
    """36 tiles of one value each: mean and deviation, the fourth lowest and the fourth highest of them."""
    values = torch.arange(TILES * TILES, dtype=torch.float32)
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0))
    maps = torch.stack([values[order].reshape(1, TILES, TILES), torch.full((1, TILES, TILES), 2.0)], dim=1)
    (found,) = statistics_of(maps)
    deviation = (float(values.var(unbiased=False)) + 1e-4) ** 0.5
    assert found.tolist() == pytest.approx([17.5, 2, deviation, 1e-2, 3, 2, 32, 2], rel=1e-5)


def test_tiles_are_means_of_a_part() -> None:
    """Of a map of 12×12, a tile is the mean of 2×2 places; what is equal on average leaves the tiles equal."""
    maps = torch.tensor([1.0, 3.0]).repeat(72).reshape(1, 1, 12, 12)
    assert statistics_of(maps)[0].tolist() == pytest.approx([2, (1 + 1e-4) ** 0.5, 2, 2], rel=1e-5)
    maps[0, 0, :8] += 10  # four of six rows of tiles: 12 low ones, 24 high ones
    assert statistics_of(maps)[0, 2:].tolist() == pytest.approx([2, 12])


@given(st.integers(1, 9), st.integers(1, 9))
def test_maps_of_any_size_have_equally_many(height: int, width: int) -> None:
    maps = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height * 10 + width))
    found = statistics_of(maps)
    assert found.shape == (2, 12)
    assert torch.equal(found[:, :6], mean_and_std(maps))
    low, high = found[:, 6:9], found[:, 9:]
    assert bool((low <= high).all())
    assert bool((low >= maps.amin((2, 3)) - 1e-6).all()) and bool((high <= maps.amax((2, 3)) + 1e-6).all())


def test_statistics_come_from_all_maps_but_the_deepest(tower: NanoVisionModel) -> None:
    pixels = torch.rand(2, 3, 72, 104, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.inference_mode():
        found = tower.statistics(pixels)
        computed = torch.cat([statistics_of(one) for one in tower._seen(pixels)[:-1]], dim=1)
    assert found.shape == (2, 4 * (4 + 6 + 8))
    assert torch.allclose(found, computed, atol=1e-5)


def test_statistics_do_not_depend_on_neighbours_nor_on_what_fills_up(tower: NanoVisionModel) -> None:
    chance = torch.Generator().manual_seed(4)
    pictures = [torch.rand(3, *size, generator=chance) * 2 - 1 for size in ((64, 96), (40, 120), (64, 96), (9, 33))]
    filled = torch.full((4, 3, 64, 120), torch.nan)
    for place, picture in zip(filled, pictures, strict=True):
        place[:, : picture.shape[1], : picture.shape[2]] = picture
    with torch.inference_mode():
        together, told = tower.statistics(filled), tower.found(filled)
        assert bool(together.isfinite().all())
        for row, picture in enumerate(pictures):
            assert torch.allclose(tower.statistics(picture[None])[0], together[row], atol=1e-4)
            alone = tower.found(picture[None])
            for one, all_ in zip(alone, told, strict=True):
                assert torch.allclose(one[0], all_[row], atol=1e-4)
    assert float((together[0] - together[2]).abs().max()) > 1e-3  # the check can fail


# ------------------------------------------------------------------ heads


def test_statistics_are_standardised_and_cut_off() -> None:
    heads = StatisticHeads(3, 4, 2)
    heads.centre.copy_(torch.tensor([1.0, 0.0, -2.0]))
    heads.spread.copy_(torch.tensor([0.5, 2.0, 1.0]))
    values = torch.tensor([[1.0, 4.0, -3.0], [1e9, -1e9, -2.0]])
    assert heads.standardised(values).tolist() == [[0, 2, -1], [FAR, -FAR, 0]]


def test_what_was_never_seen_does_not_dominate() -> None:
    """Beyond eight deviations nothing more changes."""
    torch.manual_seed(0)
    heads = StatisticHeads(2, 4, 2)
    far, farther = torch.tensor([[FAR, -FAR]]), torch.tensor([[1e6, -1e6]])
    for one, other in zip(heads(far), heads(farther), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(heads(far)[0], heads(far / 2)[0])


def test_heads_are_one_hidden_layer() -> None:
    torch.manual_seed(0)
    heads = StatisticHeads(3, 4, 2)
    heads.centre.fill_(0.5)
    heads.spread.fill_(2.0)
    values = torch.randn(5, 3)
    hidden = F.gelu(((values - 0.5) / 2) @ heads.hidden.weight.T + heads.hidden.bias)
    presence, severity, fidelity = heads(values)
    assert torch.allclose(presence, hidden @ heads.presence.weight.T + heads.presence.bias, atol=1e-6)
    assert torch.allclose(severity, hidden @ heads.severity.weight.T + heads.severity.bias, atol=1e-6)
    assert torch.allclose(fidelity, (hidden @ heads.fidelity.weight.T + heads.fidelity.bias)[:, 0], atol=1e-6)
    assert (presence.shape, severity.shape, fidelity.shape) == ((5, 2), (5, 2), (5,))


@given(st.floats(-80, 80), st.floats(-20, 20), st.floats(-20, 20))
def test_what_is_found_lies_within_its_bounds(presence: float, severity: float, fidelity: float) -> None:
    heads = by_hand((presence, -presence), (severity, severity))
    with torch.no_grad():
        heads.fidelity.bias.fill_(fidelity)
        found = heads.found(torch.randn(2, 3))
    assert bool(((found.presence >= 0) & (found.presence <= 1)).all())
    assert found.presence.sum(1).tolist() == pytest.approx([1, 1], abs=1e-6)
    assert found.severity[:, 0].tolist() == pytest.approx([min(max(severity, 1), 5)] * 2, abs=1e-5)
    assert found.fidelity.tolist() == pytest.approx([min(max(fidelity, 1), 5)] * 2, abs=1e-5)


def test_the_hidden_layer_is_dropped_only_where_asked() -> None:
    torch.manual_seed(0)
    heads, values = StatisticHeads(3, 64, 2), torch.randn(4, 3)
    assert torch.equal(heads(values)[0], heads(values)[0])
    assert not torch.equal(heads(values, drop=0.5)[0], heads(values, drop=0.5)[0])


def test_mean_and_deviation_are_saved_with_the_heads() -> None:
    heads = StatisticHeads(3, 4, 2)
    heads.centre.fill_(7.0)
    again = StatisticHeads(3, 4, 2)
    again.load_state_dict(heads.state_dict())
    assert again.centre.tolist() == [7, 7, 7]
    assert not heads.centre.requires_grad


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
    tokens = CategoryTokens(3, 4, 2, 6)
    with torch.no_grad():
        for codes in (tokens.names, tokens.present, tokens.grades):
            codes.normal_()
        tokens.heads.load_state_dict(by_hand((presence, -40.0), (severity, 2.0)).state_dict())
        (found,) = tokens(torch.randn(1, 3))
    share, hats = wanted
    strong = sum((weight * tokens.grades[k] for k, weight in hats.items()), torch.zeros(6))
    assert torch.allclose(found[0], tokens.names[0] + share * (tokens.present + strong if hats else 0), atol=1e-5)
    assert torch.allclose(found[1], tokens.names[1], atol=1e-5)


def test_tokens_of_the_tower_are_those_of_its_heads(tower: NanoVisionModel) -> None:
    pixels = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.inference_mode():
        tokens = tower(pixels).last_hidden_state
        own = tower.categories(tower.statistics(pixels))
    assert tokens.shape == (2, 2 + 4 + 3, 8)
    assert torch.allclose(tokens[:, -3:], own, atol=1e-5)
