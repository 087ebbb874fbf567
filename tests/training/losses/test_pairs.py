"""Pairs inside sets, fidelity and ranking against hand arithmetic."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mllmqa.errors import DataError
from mllmqa.training import losses
from mllmqa.training.losses import Opinions

PHI_1, PHI_2 = 0.8413447460685429, 0.9772498680518208  # Φ(1), Φ(2)
MEAN = torch.tensor([4.0, 3.0, 3.0, 60.0, 40.0])
SETS = torch.tensor([1, 1, 1, 2, 2])
STD = torch.tensor([0.6, 0.8, 0.6, 6.0, 8.0])
SOME = torch.tensor([True, True, False, True, True])


def table(pairs: losses.Pairs) -> dict[tuple[int, int], float]:
    """(first, second) → target, of the pairs that count."""
    rows = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.target.tolist(), pairs.mask.tolist(), strict=True)
    return {(i, j): round(target, 6) for i, j, target, counts in rows if counts}


def test_targets_by_hand() -> None:
    """In both sets deviations of .6 and .8 (or ten times) make 1 (or 10): Φ(1) and Φ(20 / 10)."""
    found = table(losses.pairs_within(Opinions(MEAN, SETS, STD)))
    beside = 0.5 * math.erfc(-1 / math.sqrt(0.72) / math.sqrt(2))  # 1 / √(.36 + .36)
    assert found == pytest.approx({(0, 1): PHI_1, (0, 2): beside, (1, 2): 0.5, (3, 4): PHI_2}, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "tie", "wanted"),
    [
        ("continuous", 0.5, {(0, 1): PHI_1, (3, 4): PHI_2}),
        ("binary", 0.5, {(0, 1): 1, (0, 2): 1, (1, 2): 0.5, (3, 4): 1}),
        ("binary", 0.0, {(0, 1): 1, (0, 2): 1, (1, 2): 0, (3, 4): 1}),
        ("either", 0.5, {(0, 1): PHI_1, (0, 2): 1, (1, 2): 0.5, (3, 4): PHI_2}),
    ],
)
def test_kinds_where_row_2_has_no_deviation(kind: Any, tie: float, wanted: dict[tuple[int, int], float]) -> None:
    std = torch.where(SOME, STD, torch.nan)
    found = table(losses.pairs_within(Opinions(MEAN, SETS, std, has_std=SOME), kind, tie=tie))
    assert found == pytest.approx(wanted, abs=1e-6)


def test_sets_without_means_or_deviations() -> None:
    mean = torch.where(SOME, MEAN, torch.nan)
    assert set(table(losses.pairs_within(Opinions(mean, SETS, STD, has_mean=SOME)))) == {(0, 1), (3, 4)}
    assert len(table(losses.pairs_within(Opinions(MEAN, SETS), "either"))) == 4
    with pytest.raises(DataError, match=r'opinions without deviations; use the kind "binary", or "either"'):
        losses.pairs_within(Opinions(MEAN, SETS))


def test_chosen_pairs_are_only_those_and_never_across_sets() -> None:
    chosen = (torch.tensor([1, 0]), torch.tensor([0, 3]))
    assert table(losses.pairs_within(Opinions(MEAN, SETS), "binary", chosen=chosen)) == {(1, 0): 0}


def test_fidelity_by_hand() -> None:
    """p = Φ(1), g = 1: 1 − √.8413; p = g: 0 without ε."""
    one = torch.ones(1, dtype=torch.float64)
    assert losses.fidelity(one, one, epsilon=0).item() == pytest.approx(1 - math.sqrt(PHI_1))
    assert losses.fidelity(one, PHI_1 * one, epsilon=0).item() == pytest.approx(0, abs=1e-12)
    assert losses.fidelity(one, one).item() == pytest.approx(1 - math.sqrt(PHI_1 + 1e-8) - 1e-4)
    assert losses.preference_cross_entropy(one, one).item() == pytest.approx(-math.log(PHI_1))
    assert losses.preference_cross_entropy(-one, one).item() == pytest.approx(-math.log(1 - PHI_1))


@pytest.mark.parametrize("epsilon", [0, 1e-8])
def test_fidelity_far_from_the_target(epsilon: float) -> None:
    """Φ(−1e4) is 0 in any precision. A root of it would have an infinite gradient."""
    z = torch.tensor([-1e4, -30.0, 30.0, 1e4, -3.0], requires_grad=True)
    g = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0])
    values = losses.fidelity(z, g, epsilon=epsilon)
    assert values.tolist()[:4] == pytest.approx([1, 1, 1, 1], abs=3e-4)
    values.sum().backward()
    assert z.grad is not None
    assert bool(z.grad.isfinite().all())
    assert z.grad[4].item() < 0
    far = losses.preference_cross_entropy(z, g)
    assert far[0].item() == pytest.approx(0.5e8, rel=1e-3)  # z² / 2


def test_fidelity_falls_towards_the_target() -> None:
    z = torch.linspace(-4, 1, 26, dtype=torch.float64)
    values = losses.fidelity(z, torch.full_like(z, PHI_1), epsilon=0)
    assert bool((values.diff() < 0).all())


def test_preference_loss_by_hand() -> None:
    """One pair, scores 2 apart. Noise √2: Φ(√2); 1: Φ(2); deviations √1.5 and √2.5 make 2: Φ(1)."""
    pairs = losses.pairs_within(Opinions(torch.tensor([5.0, 1.0]), torch.zeros(2).long()), "binary")
    score = torch.tensor([4.0, 2.0])

    def value(**options: Any) -> float:
        return losses.preference_loss(score, pairs, epsilon=0, **options).value.item()

    assert value() == pytest.approx(1 - math.sqrt(0.5 * math.erfc(-1)), abs=1e-6)
    assert value(noise=1) == pytest.approx(1 - math.sqrt(PHI_2), abs=1e-6)
    std = torch.tensor([1.5, 2.5]).sqrt()
    assert value(std=std) == pytest.approx(1 - math.sqrt(PHI_1), abs=1e-6)
    assert value(std=std, form="cross-entropy") == pytest.approx(-math.log(PHI_1), abs=1e-6)


def test_certain_predictions_stay_finite() -> None:
    """A predicted deviation of 0 (one level has all the mass) divides by 1e-4, not by 0."""
    pairs = losses.pairs_within(Opinions(MEAN, SETS, STD))
    score = torch.tensor([1.0, 5.0, 5.0, 1.0, 5.0], requires_grad=True)
    std = torch.zeros(5, requires_grad=True)
    part = losses.preference_loss(score, pairs, std=std)
    gradients = torch.autograd.grad(part.value, [score, std])
    assert part.count.item() == 4
    assert bool(part.value.isfinite())
    assert all(bool(g.isfinite().all()) for g in gradients)


def ranked(score: Tensor, **options: Any) -> losses.Part:
    opinions = Opinions(torch.tensor([4.0, 3.0, 3.0, 1.0]), torch.zeros(4, dtype=torch.int64))
    return losses.ranking_loss(score, losses.pairs_within(opinions, "binary"), **options)


def test_ranking_by_hand() -> None:
    """Five pairs differ: (0,1) 1, (0,2) 1, (0,3) 3, (1,3) 2, (2,3) 2; predicted −1, 1, 0, 1, −1."""
    score = torch.tensor([2.0, 3.0, 1.0, 2.0])
    plain = ranked(score)
    assert (plain.value.item(), plain.count.item()) == (pytest.approx((1 + 0 + 0 + 0 + 1) / 5), 5)
    assert ranked(score, margin=0.5).value.item() == pytest.approx((1.5 + 0 + 0.5 + 0 + 1.5) / 5)
    assert ranked(score, margin=None).value.item() == pytest.approx((2 + 0 + 3 + 1 + 3) / 5)
    near = ranked(score, limit=1.5)  # the first two
    assert (near.value.item(), near.count.item()) == (pytest.approx(0.5), 2)
    assert ranked(score, scaled=True).value.item() == pytest.approx(0.4 / 2)


def test_ranking_is_silent_in_the_right_order() -> None:
    assert ranked(torch.tensor([4.0, 3.0, 2.9, 1.0])).value.item() == 0
    assert ranked(torch.tensor([4.0, 3.0, 3.0, 1.0]), margin=None).value.item() == 0


def test_ranking_of_nothing() -> None:
    empty = losses.pairs_within(Opinions(torch.zeros(0), torch.zeros(0, dtype=torch.int64)), "binary")
    part = losses.ranking_loss(torch.zeros(0, requires_grad=True), empty, scaled=True)
    assert (part.value.item(), part.count.item()) == (0, 0)


def test_errors() -> None:
    pairs = losses.pairs_within(Opinions(MEAN, SETS, STD))
    for call in (
        lambda: losses.pairs_within(Opinions(MEAN, SETS[:2])),
        lambda: losses.pairs_within(Opinions(MEAN[None], SETS)),
        lambda: losses.pairs_within(Opinions(MEAN, SETS, STD[:1])),
        lambda: losses.pairs_within(Opinions(MEAN, SETS, STD, has_mean=SOME[:1])),
        lambda: losses.pairs_within(Opinions(MEAN, SETS, STD), chosen=(SETS, SETS[:1])),
        lambda: losses.preference_loss(MEAN[None], pairs),
        lambda: losses.preference_loss(MEAN[:3], pairs),
        lambda: losses.preference_loss(MEAN, pairs, std=STD[:2]),
        lambda: losses.ranking_loss(MEAN[:3], pairs),
    ):
        with pytest.raises(DataError, match=r"loss input '[\w.]+': shape .* expected \("):
            call()
