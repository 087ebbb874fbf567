"""Distances and correlations of scores against hand arithmetic."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.errors import DataError
from mllmqa.training import losses

P = torch.tensor([1.0, 2.0, 5.0])
T = torch.tensor([1.5, 4.0, 5.0])  # distances .5, 2, 0


def test_distances_by_hand() -> None:
    assert losses.l1(P, T).value.item() == pytest.approx(2.5 / 3)
    assert losses.l2(P, T).value.item() == pytest.approx(4.25 / 3)
    assert losses.smooth_l1(P, T).value.item() == pytest.approx((0.125 + 1.5) / 3)
    assert losses.smooth_l1(P, T, beta=0.5).value.item() == pytest.approx((0.25 + 1.75) / 3)
    assert losses.huber(P, T).value.item() == pytest.approx((0.125 + 1.5) / 3)
    assert losses.huber(P, T, delta=0.25).value.item() == pytest.approx((0.25 * 0.375 + 0.25 * 1.875) / 3)
    assert losses.l1(P, T, mask=torch.tensor([True, False, True])).value.item() == pytest.approx(0.25)


@pytest.mark.parametrize("loss", [losses.l1, losses.l2, losses.smooth_l1, losses.huber])
def test_distances_are_zero_at_the_target_and_grow(loss: Any) -> None:
    values = [loss(P + shift, P).value.item() for shift in (0.0, 0.1, 0.5, 1.0, 3.0)]
    assert values[0] == 0
    assert values == sorted(values)
    assert len(set(values)) == 5


def test_plcc_by_hand() -> None:
    """Deviations (−1, 0, 1) and (−1, 1, 0): ρ = ½; (1 − ½) / 2, and ½ / 4 + ¾ / 8."""
    p, t = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 3.0, 2.0])
    assert losses.plcc(p, t).value.item() == pytest.approx(0.25)
    assert losses.plcc(p, t, form="fit").value.item() == pytest.approx(0.21875)
    # p̂ = (−1, 0, 1) / √2, t̂ = (−1, 1, 0) / √2: differences (0, 1, 1) / √2, over 2 √3
    assert losses.norm_in_norm(p, t).value.item() == pytest.approx(math.sqrt(2) / (2 * math.sqrt(3)))
    assert losses.plcc(-t, t).value.item() == pytest.approx(1)
    assert losses.plcc(-t, t, form="fit").value.item() == pytest.approx(0.5)


SETS = torch.tensor([9, 4, 9, 4, 9, 4, 4, 2, 2, 7, 7, 7])
SCORE = torch.tensor([1.0, 5.0, 2.0, 6.0, 3.0, 7.0, 8.0, 1.0, 2.0, 1.0, 2.0, 3.0])
WANTED = torch.tensor([1.0, 90.0, 3.0, 80.0, 2.0, 70.0, 60.0, 1.0, 2.0, 5.0, 5.0, 5.0])


def test_sets_are_correlated_each_for_itself() -> None:
    """Set 9: ρ = ½, 3 rows; set 4: ρ = −1, 4 rows; set 2 has two rows only, in set 7 all opinions are equal."""
    part = losses.plcc(SCORE, WANTED, SETS)
    assert part.value.item() == pytest.approx((3 * 0.25 + 4 * 1) / 7)
    assert part.count.item() == 7
    assert losses.plcc(SCORE, WANTED, SETS, least=2).count.item() == 9
    without = losses.plcc(SCORE, WANTED, SETS, mask=SETS != 4)
    assert (without.value.item(), without.count.item()) == (pytest.approx(0.25), 3)
    assert losses.norm_in_norm(SCORE, WANTED, SETS).count.item() == 7


@pytest.mark.parametrize("loss", [losses.plcc, losses.norm_in_norm])
def test_a_constant_side_teaches_nothing(loss: Any) -> None:
    constant = torch.full((4,), 3.1, requires_grad=True)
    truth = torch.tensor([1.0, 2.0, 3.0, 4.0])
    part = loss(constant, truth)
    part.value.backward()
    assert (part.value.item(), part.count.item()) == (0, 0)
    assert constant.grad is not None
    assert not constant.grad.any()
    assert loss(truth, constant.detach()).count.item() == 0


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_correlation_ignores_scale_and_shift_of_each_set(scale: float, shift: float) -> None:
    moved = torch.where(SETS == 4, SCORE * scale + shift, SCORE)
    for loss in (losses.plcc, losses.norm_in_norm):
        assert loss(moved, WANTED, SETS).value.item() == pytest.approx(
            loss(SCORE, WANTED, SETS).value.item(), abs=1e-4
        )


def test_correlation_falls_with_noise() -> None:
    truth, noise = torch.linspace(1, 5, 20), torch.randn(20, generator=torch.Generator().manual_seed(0))
    for options in ({}, {"form": "fit"}):
        values = [losses.plcc(truth + k * noise, truth, **options).value.item() for k in (0.0, 0.3, 1.0, 3.0)]
        assert values[0] == pytest.approx(0, abs=1e-6)
        assert values == sorted(values)


def test_far_offsets_do_not_cost_precision() -> None:
    p, t = torch.tensor([0.0, 0.25, 0.5, 0.125]), torch.tensor([1.0, 2.0, 4.0, 3.0])
    assert losses.plcc(p + 4096, t).value.item() == pytest.approx(losses.plcc(p, t).value.item(), abs=1e-7)


def test_errors() -> None:
    for call in (
        lambda: losses.l1(P, T[:2]),
        lambda: losses.l2(P[None], T),
        lambda: losses.huber(P, T, mask=torch.ones(2, dtype=torch.bool)),
        lambda: losses.plcc(P, T, SETS),
        lambda: losses.norm_in_norm(P, T[:1]),
    ):
        with pytest.raises(DataError, match=r"loss input '\w+': shape .* expected \("):
            call()
