"""What nano's networks are built of: the DCT, colours, residual blocks, statistics of maps; by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d

from mllmqa.models.nano.blocks import (
    HALF_RANGE,
    DctStem,
    Residual,
    dct_filters,
    luma_chroma_matrix,
    mean_and_std,
)


def test_dct_filters_are_an_orthonormal_basis() -> None:
    flat = dct_filters().reshape(64, 64).double()
    assert torch.allclose(flat @ flat.T, torch.eye(64, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(flat[0], torch.full((64,), 1 / 8, dtype=torch.float64))


def test_the_stem_measures_a_cosine_where_it_is() -> None:
    """A grey cosine of the DCT's own frequency: its coefficient stands out."""
    basis = dct_filters()[:, 0]
    for index in (0, 1, 5, 20, 63):
        block = basis[index] / basis[index].abs().max() * 0.5
        coefficients = conv2d(block[None, None], dct_filters())[0, :, 0, 0]
        assert int(coefficients.abs().argmax()) == index
        others = torch.cat([coefficients[:index], coefficients[index + 1 :]])
        assert float(others.abs().max()) < 1e-5


@pytest.mark.parametrize("chroma", [0, 1, 5, 64])
def test_coefficients_are_those_of_the_planes_one_by_one(chroma: int) -> None:
    """DC signed, on the scale of the pixels; of AC log(1 + |c|) on the 8-bit scale; then the learned ones."""
    torch.manual_seed(0)
    stem, pixels = DctStem(chroma, 3, 4), torch.rand(2, 3, 21, 33) * 2 - 1
    expected = []
    for plane, count in zip(
        conv2d(pixels, luma_chroma_matrix()).split(1, dim=1), (64, chroma, chroma), strict=True
    ):
        found = conv2d(plane, dct_filters(), stride=4)[:, :count]
        expected += [found[:, :1] / 8, (HALF_RANGE * found[:, 1:]).abs().log1p()]
    expected.append(stem.learned(pixels))
    assert torch.allclose(stem.coefficients(pixels), torch.cat(expected, dim=1), atol=1e-4)


def test_of_a_flat_picture_there_is_its_mean_alone() -> None:
    stem = DctStem(16, 1, 4)
    for value in (-1.0, -0.3, 0.0, 0.8):
        found = stem.coefficients(torch.full((1, 3, 8, 8), value)).detach().flatten()[:-1]
        assert float(found[0]) == pytest.approx(value, abs=1e-5)
        assert float(found[1:].abs().max()) < 1e-3


def test_only_what_is_learned_learns() -> None:
    """All filters are one convolution; the learned ones get the gradient that they would get alone."""
    stem, pixels = DctStem(16, 4, 8), torch.rand(1, 3, 16, 16)
    stem.coefficients(pixels).square().sum().backward()
    found, stem.learned.weight.grad = stem.learned.weight.grad, None
    stem.learned(pixels).square().sum().backward()
    assert found is not None and stem.learned.weight.grad is not None and bool(found.any())
    assert torch.allclose(found, stem.learned.weight.grad, rtol=1e-4, atol=1e-4)
    assert "fixed" not in stem.state_dict()


def test_dct_filters_run_from_low_to_high_frequencies() -> None:
    """Sign changes along both axes are the frequencies; zig-zag order means that their sum never falls."""
    orders = []
    for one in dct_filters()[:, 0]:
        row, column = one[0].sign(), one[:, 0].sign()
        orders.append(int((row.diff() != 0).sum() + (column.diff() != 0).sum()))
    assert orders == sorted(orders)
    assert (orders[0], orders[-1], orders.count(1), orders.count(7)) == (0, 14, 2, 8)


def test_luma_and_chroma_of_pure_colours_are_those_of_the_standard() -> None:
    matrix = luma_chroma_matrix()[:, :, 0, 0]
    assert matrix.sum(1).tolist() == pytest.approx([1, 0, 0], abs=1e-5)  # grey has no colour
    red, green, blue = matrix.T.tolist()
    assert red == pytest.approx([0.299, -0.1687, 0.5], abs=1e-4)
    assert green == pytest.approx([0.587, -0.3313, -0.4187], abs=1e-4)
    assert blue == pytest.approx([0.114, 0.5, -0.0813], abs=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 8), (9, 9)])
def test_residual_blocks_halve_rounding_up(stride: int, size: tuple[int, int]) -> None:
    block = Residual(4, 6, stride=stride).eval()
    out = block(torch.randn(2, 4, *size))
    assert out.shape == (2, 6, *[-(-side // stride) for side in size])
    assert float(out.detach().min()) >= 0


def test_statistics_of_a_map_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]])
    assert mean_and_std(maps)[0].tolist() == pytest.approx([2, 5, (1 + 1e-4) ** 0.5, 1e-2], rel=1e-5)


def test_mean_and_std_are_those_of_torch() -> None:
    maps = torch.randn(2, 5, 9, 7, generator=torch.Generator().manual_seed(1)) * 3 + 10
    var, mean = torch.var_mean(maps, dim=(2, 3), unbiased=False)
    assert torch.allclose(mean_and_std(maps), torch.cat([mean, (var + 1e-4).sqrt()], dim=1), rtol=1e-5)
