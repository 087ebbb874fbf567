"""Losses between level distributions against hand arithmetic, and their minima."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.errors import DataError, UsageError
from mllmqa.training import losses

SCORES = torch.tensor([1.0, 2.0, 3.0])
LOG = math.log
P = torch.tensor([[0.5, 0.25, 0.25]])
LOGITS = P.log()
TARGET = torch.tensor([[0.0, 0.5, 0.5]])


def test_closed_kl_by_hand() -> None:
    """½ log(½ / ¼) twice = log 2; the level of target 0 counts nothing."""
    assert losses.level_kl(LOGITS, TARGET).value.item() == pytest.approx(LOG(2))
    assert losses.level_kl(LOGITS + 7, P).value.item() == pytest.approx(0, abs=1e-7)


def test_open_kl_by_hand() -> None:
    """The words have half of the mass, so every log p is lower by log 2: log 2 + log 2."""
    vocabulary = torch.tensor([[0.25, 0.125, 0.5, 0.125]]).log()
    ids = torch.tensor([0, 1, 3])
    assert losses.level_kl_open(vocabulary, TARGET, ids).value.item() == pytest.approx(2 * LOG(2))
    order = torch.tensor([3, 1, 0])
    assert losses.level_kl_open(vocabulary, TARGET.flip(1), order).value.item() == pytest.approx(2 * LOG(2))


def test_published_targets_need_not_sum_to_one() -> None:
    """t = (.6, .6, 0), p = (.5, .25, .25): .6 log 1.2 + .6 log 2.4."""
    value = losses.level_kl(LOGITS, torch.tensor([[0.6, 0.6, 0.0]])).value.item()
    assert value == pytest.approx(0.6 * LOG(1.2) + 0.6 * LOG(2.4), abs=1e-6)


def test_kl_with_impossible_levels() -> None:
    """−∞ where the target is 0 is fine: (½, ½) against softmax (0, 0) = 0; where it is not, the loss is ∞."""
    logits = torch.tensor([[-math.inf, 0.0, 0.0]], requires_grad=True)
    part = losses.level_kl(logits, TARGET)
    part.value.backward()
    assert part.value.item() == pytest.approx(0, abs=1e-7)
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert losses.level_kl(logits, P).value.item() == math.inf


def test_outside_mass_by_hand() -> None:
    """Outside ½ and 0: mean ¼; below the floor it is the floor, without gradient."""
    vocabulary = torch.tensor([[0.0, 0.0], [0.0, -200.0]], requires_grad=True)
    ids = torch.tensor([0])
    assert losses.outside_mass(vocabulary, ids).value.item() == pytest.approx(0.25)
    low = losses.outside_mass(vocabulary, ids, mask=torch.tensor([False, True]))
    assert low.value.item() == pytest.approx(0.01)
    (gradient,) = torch.autograd.grad(low.value, vocabulary)
    assert not gradient.any()
    assert losses.outside_mass(vocabulary, ids, floor=0.3).value.item() == pytest.approx(0.3)


def test_moments_by_hand() -> None:
    """½ · 1 + ¼ · 2 + ¼ · 3 = 1.75; ½ · .5625 + ¼ · .0625 + ¼ · 1.5625 = .6875."""
    mean, std = losses.moments(P, SCORES)
    assert (mean.item(), std.item()) == pytest.approx((1.75, math.sqrt(0.6875)))


def test_certainty_has_a_deviation_of_zero_and_no_gradient() -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    mean, std = losses.moments(logits.softmax(1), SCORES)
    assert (mean.item(), std.item()) == (1, 0)
    (mean + std).sum().backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_emd_by_hand() -> None:
    """Cumulated (.5, .75, 1) and (0, .5, 1): differences .5, .25, 0."""
    assert losses.emd(P, TARGET).value.item() == pytest.approx(math.sqrt((0.25 + 0.0625) / 3))
    assert losses.emd(P, TARGET, r=1).value.item() == pytest.approx(0.25)
    ends = torch.eye(3)
    assert losses.emd(ends[:1], ends[2:], r=1).value.item() == pytest.approx(2 / 3)  # two steps of three


@pytest.mark.parametrize("r", [1.0, 1.5, 2.0])
def test_emd_at_the_target_is_zero_with_a_finite_gradient(r: float) -> None:
    at = TARGET.clone().requires_grad_()
    part = losses.emd(at, TARGET, r=r)
    part.value.backward()
    assert part.value.item() == 0
    assert at.grad is not None
    assert bool(at.grad.isfinite().all())


def test_emd_grows_with_the_distance() -> None:
    """KL cannot tell a neighbour from the far end; EMD does."""
    ends = torch.eye(5)
    values = [losses.emd(ends[:1], ends[k : k + 1]).value.item() for k in range(5)]
    assert values == sorted(values)
    assert len(set(values)) == 5


def test_distillation_by_hand() -> None:
    """Teacher (½, ½), student (¼, ¾): ½ log 2 + ½ log ⅔ = ½ log (4/3). At T = 2 the student's odds are √3."""
    teacher, student = torch.zeros(1, 2), torch.tensor([[0.0, LOG(3)]])
    assert losses.distil_levels(student, teacher).value.item() == pytest.approx(LOG(4 / 3) / 2)
    low = 1 / (1 + math.sqrt(3))
    wanted = 4 * (-LOG(2) - (LOG(low) + LOG(1 - low)) / 2)
    assert losses.distil_levels(student, teacher, temperature=2).value.item() == pytest.approx(wanted)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), temperature=st.floats(0.5, 10))
def test_distillation_is_zero_at_the_teacher_only(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    teacher, student = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)
    same = losses.distil_levels(teacher + 3, teacher, temperature=temperature).value
    assert same.item() == pytest.approx(0, abs=1e-9)
    assert losses.distil_levels(student, teacher, temperature=temperature).value.item() > 0


def test_large_temperatures_match_logits() -> None:
    """T² KL tends to half the mean square of centred logit differences (Hinton et al.): (1 + 1) / 2 / 2."""
    teacher, student = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    assert losses.distil_levels(student, teacher, temperature=1e3).value.item() == pytest.approx(0.5, abs=1e-5)


def test_expectation_distillation_by_hand() -> None:
    """Expectations 1.75 and 2.5: distance .75, beta .5: .75 − .25; with beta 1: .75² / 2."""
    teacher = TARGET.clamp(min=1e-30).log()
    assert losses.distil_expectation(LOGITS, teacher, SCORES).value.item() == pytest.approx(0.5)
    assert losses.distil_expectation(LOGITS, teacher, SCORES, beta=1).value.item() == pytest.approx(0.28125)


def test_teachers_learn_nothing() -> None:
    teacher, student = torch.randn(2, 3, 5).requires_grad_().unbind()
    value = losses.distil_levels(student, teacher).value
    value = value + losses.distil_expectation(student, teacher, torch.arange(5.0)).value
    (gradient,) = torch.autograd.grad(value, teacher, allow_unused=True, retain_graph=True)
    assert gradient is None
    assert torch.autograd.grad(value, student)[0].any()


def test_errors() -> None:
    ids = torch.tensor([0, 1])
    for call in (
        lambda: losses.level_kl(LOGITS, TARGET[:, :2]),
        lambda: losses.level_kl_open(LOGITS, TARGET, ids),
        lambda: losses.level_kl_open(LOGITS[0], TARGET, ids),
        lambda: losses.emd(P, TARGET[:0]),
        lambda: losses.moments(P, SCORES[:2]),
        lambda: losses.outside_mass(LOGITS[0], ids),
        lambda: losses.distil_levels(LOGITS, LOGITS[:, :2]),
        lambda: losses.distil_expectation(LOGITS, LOGITS, SCORES[:2]),
        lambda: losses.level_kl(LOGITS, TARGET, mask=torch.ones(2, dtype=torch.bool)),
    ):
        with pytest.raises(DataError, match=r"loss input '\w+': shape .* expected \("):
            call()
    with pytest.raises(UsageError, match=r"emd: r = 0.5; expected at least 1"):
        losses.emd(P, TARGET, r=0.5)
    with pytest.raises(UsageError, match=r"temperature 0; expected above 0"):
        losses.distil_levels(LOGITS, LOGITS, temperature=0)
