"""What holds for every masked loss: masks are as good as leaving out, nothing is never NaN, order and precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mllmqa.training import losses
from mllmqa.training.losses import Opinions, Pairs, Part

IDS = torch.tensor([3, 0, 7, 5, 1])
SCORES = torch.arange(1.0, 6.0)


@dataclass(frozen=True)
class Rows:
    """A batch: `logits` (B, V) are the model's; all else are labels, which may be anything outside the mask."""

    logits: Tensor
    target: Tensor
    mean: Tensor
    std: Tensor
    sets: Tensor
    teacher: Tensor
    mask: Tensor

    def at(self, index: Tensor) -> Rows:
        return Rows(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def made(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Rows:
    g = torch.Generator().manual_seed(seed)
    target = torch.randn(n, 5, generator=g, dtype=dtype).softmax(1)
    return Rows(
        logits=torch.randn(n, 9, generator=g, dtype=dtype) * 2,
        target=target,
        mean=1 + 4 * torch.rand(n, generator=g, dtype=dtype),
        std=0.2 + torch.rand(n, generator=g, dtype=dtype),
        sets=torch.randint(0, 2, (n,), generator=g),
        teacher=torch.randn(n, 5, generator=g, dtype=dtype),
        mask=torch.rand(n, generator=g) < 0.6,
    )


def levels(rows: Rows) -> Tensor:
    return rows.logits[:, IDS].float() if rows.logits.dtype == torch.bfloat16 else rows.logits[:, IDS]


def probabilities(rows: Rows) -> Tensor:
    """Of the model, and NaN where the mask says that it does not count."""
    return torch.where(rows.mask[:, None], levels(rows).softmax(1), math.nan)


def score(rows: Rows) -> Tensor:
    return torch.where(rows.mask, losses.moments(levels(rows).softmax(1), SCORES)[0], math.nan)


def pairs(rows: Rows, kind: Any = "continuous") -> Pairs:
    return losses.pairs_within(Opinions(rows.mean, rows.sets, rows.std, rows.mask, rows.mask), kind)


def predicted_std(rows: Rows) -> Tensor:
    return torch.where(rows.mask, losses.moments(levels(rows).softmax(1), SCORES)[1], -math.inf)


LOSSES: dict[str, Callable[[Rows], Part]] = {
    "level_kl_open": lambda r: losses.level_kl_open(r.logits, r.target, IDS, mask=r.mask),
    "level_kl": lambda r: losses.level_kl(r.logits[:, IDS], r.target, mask=r.mask),
    "outside_mass": lambda r: losses.outside_mass(r.logits, IDS, mask=r.mask),
    "emd": lambda r: losses.emd(probabilities(r), r.target, mask=r.mask),
    "distil_levels": lambda r: losses.distil_levels(r.logits[:, IDS], r.teacher, temperature=2, mask=r.mask),
    "distil_expectation": lambda r: losses.distil_expectation(r.logits[:, IDS], r.teacher, SCORES, mask=r.mask),
    "fidelity": lambda r: losses.preference_loss(score(r), pairs(r)),
    "fidelity_std": lambda r: losses.preference_loss(score(r), pairs(r), std=predicted_std(r)),
    "fidelity_binary": lambda r: losses.preference_loss(score(r), pairs(r, "binary"), noise=1.0, epsilon=0),
    "cross_entropy_pairs": lambda r: losses.preference_loss(score(r), pairs(r), form="cross-entropy"),
    "ranking": lambda r: losses.ranking_loss(score(r), pairs(r), margin=0.3),
    "ranking_gap": lambda r: losses.ranking_loss(score(r), pairs(r), margin=None, limit=2.0),
    "ranking_scaled": lambda r: losses.ranking_loss(score(r), pairs(r), scaled=True),
    "l1": lambda r: losses.l1(score(r), r.mean, mask=r.mask),
    "l2": lambda r: losses.l2(score(r), r.mean, mask=r.mask),
    "smooth_l1": lambda r: losses.smooth_l1(score(r), r.mean, mask=r.mask),
    "huber": lambda r: losses.huber(score(r), r.mean, delta=0.5, mask=r.mask),
    "plcc": lambda r: losses.plcc(score(r), r.mean, r.sets, mask=r.mask),
    "plcc_fit": lambda r: losses.plcc(score(r), r.mean, r.sets, form="fit", mask=r.mask),
    "norm_in_norm": lambda r: losses.norm_in_norm(score(r), r.mean, r.sets, mask=r.mask),
}
TAKE_LOGITS = {"level_kl_open", "level_kl", "outside_mass", "distil_levels", "distil_expectation"}
every = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
Loss = Callable[[Rows], Part]


def value_and_gradient(loss: Loss, rows: Rows) -> tuple[Part, Tensor]:
    logits = rows.logits.clone().requires_grad_()
    part = loss(replace(rows, logits=logits))
    (gradient,) = torch.autograd.grad(part.value, logits)
    return part, gradient


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_mask_is_leaving_out(name: str, seed: int) -> None:
    """Value, count and gradient; what the masked rows hold is NaN, ±∞ or DeQA's −10000."""
    loss, takes_logits = LOSSES[name], name in TAKE_LOGITS
    rows = made(14, seed)
    out = ~rows.mask
    spoiled = replace(
        rows,
        logits=rows.logits.masked_fill(out[:, None], math.nan) if takes_logits else rows.logits,
        target=rows.target.masked_fill(out[:, None], -10000),
        mean=rows.mean.masked_fill(out, math.nan),
        std=rows.std.masked_fill(out, -math.inf),
        teacher=rows.teacher.masked_fill(out[:, None], math.inf),
    )
    part, gradient = value_and_gradient(loss, spoiled)
    alone, wanted = value_and_gradient(loss, rows.at(rows.mask))
    assert part.value.item() == pytest.approx(alone.value.item(), abs=1e-12)
    assert part.count.item() == alone.count.item()
    assert torch.allclose(gradient[rows.mask], wanted, atol=1e-12)
    assert not gradient[out].any()


@every
@pytest.mark.parametrize("n", [0, 1, 6])
def test_nothing_is_an_exact_zero_on_the_graph(loss: Loss, n: int) -> None:
    rows = replace(made(n), mask=torch.zeros(n, dtype=torch.bool))
    part, gradient = value_and_gradient(loss, rows)
    assert (part.value.item(), part.count.item()) == (0, 0)
    assert part.value.dtype == torch.float64
    assert gradient.shape == rows.logits.shape
    assert not gradient.any()


@every
def test_a_single_row_is_finite(loss: Loss) -> None:
    part, gradient = value_and_gradient(loss, replace(made(1), mask=torch.ones(1, dtype=torch.bool)))
    assert math.isfinite(part.value.item())
    assert bool(gradient.isfinite().all())


@every
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_is_nothing(loss: Loss, seed: int) -> None:
    rows = made(12, seed)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    part, gradient = value_and_gradient(loss, rows)
    turned, permuted = value_and_gradient(loss, rows.at(order))
    assert turned.value.item() == pytest.approx(part.value.item(), abs=1e-12)
    assert turned.count.item() == part.count.item()
    assert torch.allclose(permuted, gradient[order], atol=1e-12)


@every
@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_those_of_finite_differences(loss: Loss, seed: int) -> None:
    rows = made(9, seed)
    logits = rows.logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(replace(rows, logits=x)).value, (logits,))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_precision(loss: Loss, dtype: torch.dtype) -> None:
    """Half precision is read, not computed in: the value is that of the same numbers in float64."""
    rows = made(12, 3, torch.float32)
    rows = replace(rows, logits=rows.logits.to(dtype))
    exact = replace(rows, **{k: getattr(rows, k).double() for k in ("logits", "target", "mean", "std", "teacher")})
    part, gradient = value_and_gradient(loss, rows)
    assert part.value.dtype == torch.float32
    assert gradient.dtype == dtype
    assert part.value.item() == pytest.approx(loss(exact).value.item(), abs=3e-6)


@every
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_extremes_are_finite(loss: Loss, size: float) -> None:
    """Logits of ±1e4, so probabilities of 0 and 1 and deviations of 0; targets of 0 and 1 too."""
    rows = made(12, 5, torch.float32)
    certain = torch.eye(5)[torch.arange(12) % 5]
    for sign in (1, -1):
        logits = size * torch.where(torch.arange(9) % 2 == 0, 1.0, -1.0) * rows.logits.sign() * sign
        part, gradient = value_and_gradient(loss, replace(rows, logits=logits, target=certain))
        assert math.isfinite(part.value.item())
        assert bool(gradient.isfinite().all())


AT_THE_TARGET = [
    name for name in LOSSES if name in ("level_kl", "emd", "distil_levels", "distil_expectation", "l1")
]


@pytest.mark.parametrize("name", AT_THE_TARGET)
def test_zero_at_the_target(name: str) -> None:
    rows = made(8)
    logits = rows.logits.clone()
    logits[:, IDS] = rows.target.log() + 2
    there = replace(rows, logits=logits, teacher=rows.target.log())
    there = replace(there, mean=score(there))
    assert LOSSES[name](there).value.item() == pytest.approx(0, abs=1e-9)
    assert LOSSES[name](replace(there, logits=rows.logits)).value.item() > 1e-3


@every
def test_a_step_down_the_gradient_lowers_it(loss: Loss) -> None:
    rows = made(12, 7)
    part, gradient = value_and_gradient(loss, rows)
    assert gradient.any()
    after = loss(replace(rows, logits=rows.logits - 1e-3 * gradient / gradient.norm())).value
    assert after.item() < part.value.item()
