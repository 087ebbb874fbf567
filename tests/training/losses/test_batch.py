"""Losses of whole batches against hand arithmetic, and their properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.training import losses

SCORES = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])


def test_soft_levels_in_the_middle_by_hand() -> None:
    """mean 3, sigma 0.5: the bin of 3 holds Phi(1) - Phi(-1) = .6827, its neighbours .1573 each."""
    target = losses.soft_levels(torch.tensor([3.0]), 0.5, SCORES)[0]
    assert target.tolist() == pytest.approx([0.0013, 0.1573, 0.6827, 0.1573, 0.0013], abs=2e-4)


@settings(max_examples=60, deadline=None)
@given(mean=st.floats(1.0, 5.0), sigma=st.floats(0.2, 1.0))
def test_soft_levels_are_distributions(mean: float, sigma: float) -> None:
    target = losses.soft_levels(torch.tensor([mean]), sigma, SCORES)[0]
    assert float(target.min()) >= 0
    assert float(target.sum()) == pytest.approx(1, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(mean=st.floats(2.2, 3.8), sigma=st.floats(0.5, 0.7))
def test_soft_levels_keep_the_mean_away_from_the_ends(mean: float, sigma: float) -> None:
    target = losses.soft_levels(torch.tensor([mean]), sigma, SCORES)[0]
    assert float((target * SCORES).sum()) == pytest.approx(mean, abs=0.02)


def test_soft_levels_order_means() -> None:
    means = torch.linspace(1, 5, 41)
    expected = (losses.soft_levels(means, 0.6, SCORES) * SCORES).sum(1)
    assert bool((expected.diff() > 0).all())
    off = (expected - means).abs()
    assert float(off.max()) < 0.24  # what clipping costs at the very ends of the scale
    assert float(off[10:31].max()) < 0.02


def test_soft_levels_mirror() -> None:
    low = losses.soft_levels(torch.tensor([1.7]), 0.6, SCORES)[0]
    high = losses.soft_levels(torch.tensor([4.3]), 0.6, SCORES)[0]
    assert torch.allclose(low, high.flip(0), atol=1e-6)


def test_expectation_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0], [-50.0, -50.0, -50.0, 0.0, 0.0]])
    assert losses.expectation(logits, SCORES).tolist() == pytest.approx([3.0, 4.5])


def test_soft_cross_entropy_by_hand() -> None:
    target = torch.tensor([[0.5, 0.5]])
    value = losses.soft_cross_entropy(torch.tensor([[0.0, math.log(3.0)]]), target)  # p = .25, .75
    assert float(value) == pytest.approx(-(0.5 * math.log(0.25) + 0.5 * math.log(0.75)))


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_plcc_loss_ignores_scale_and_shift_but_not_sign(scale: float, shift: float) -> None:
    truth = torch.tensor([1.0, 2.0, 4.0, 3.0])
    assert float(losses.plcc_loss(truth * scale + shift, truth)) == pytest.approx(0, abs=1e-4)
    assert float(losses.plcc_loss(-truth * scale + shift, truth)) == pytest.approx(2, abs=1e-4)


def test_plcc_loss_by_hand_and_with_a_constant_side() -> None:
    # deviations (-1, 0, 1) and (-1, 1, 0): r = 1 / 2
    value = losses.plcc_loss(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 3.0, 2.0]))
    assert float(value) == pytest.approx(0.5)
    constant = torch.ones(3, requires_grad=True)
    loss = losses.plcc_loss(constant, torch.tensor([1.0, 2.0, 3.0]))
    loss.backward()
    assert float(loss.detach()) == 0
    assert constant.grad is not None
    assert bool(constant.grad.isfinite().all())


def test_rank_hinge_by_hand() -> None:
    better, worse = torch.tensor([4.0, 3.0, 2.0]), torch.tensor([3.0, 2.9, 2.5])
    # wanted 0.5 each: gaps 1, 0.1 and -0.5 lack 0, 0.4 and 1.0
    gap = torch.full((3,), 0.5)
    assert float(losses.rank_hinge(better, worse, gap)) == pytest.approx((0 + 0.4 + 1.0) / 3)
    assert float(losses.rank_hinge(better, worse - 1, gap)) == 0  # silent once the gap is there


def test_rank_loss_by_hand() -> None:
    better, worse = torch.tensor([2.0]), torch.tensor([2.0])
    assert float(losses.rank_loss(better, worse)) == pytest.approx(math.log(2))
    assert float(losses.rank_loss(better + 1, worse)) < float(losses.rank_loss(better, worse))
    assert float(losses.rank_loss(better, worse, 1.0)) == pytest.approx(math.log(1 + math.e))


def test_fidelity_loss_is_zero_at_the_target_only() -> None:
    half = torch.tensor([0.5])
    assert float(losses.fidelity_loss(torch.tensor([0.0]), half)) == pytest.approx(0, abs=1e-6)
    # p = Phi(1) = .8413 against certainty: 1 - sqrt(.8413)
    value = losses.fidelity_loss(torch.tensor([1.0]), torch.tensor([1.0]))
    assert float(value) == pytest.approx(1 - math.sqrt(0.841345), abs=1e-5)


def test_coverage_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]])
    assert losses.coverage(logits, torch.tensor([1, 2])).tolist() == pytest.approx([7 / 8])


@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_those_of_finite_differences(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    truth = torch.rand(6, generator=generator, dtype=torch.float64) * 4 + 1
    scores = SCORES.double()

    def total(x: torch.Tensor) -> torch.Tensor:
        value = losses.expectation(x, scores)
        target = losses.soft_levels(truth, 0.6, scores)
        pair = losses.rank_loss(value[:3], value[3:], 0.3) + losses.fidelity_loss(value[:3], truth[:3] / 5)
        return losses.soft_cross_entropy(x, target) + losses.plcc_loss(value, truth) + pair

    assert torch.autograd.gradcheck(total, (logits,))
