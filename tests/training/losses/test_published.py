"""The losses give the numbers of the published code: DeQA-Score's, and where ../shared lies, those of others."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mllmqa.training import losses
from mllmqa.training.losses import Opinions, Pairs

Numbers = dict[str, Tensor]
SCORES = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0], dtype=torch.float64)
EXACT = {"abs": 1e-12, "rel": 0}


def positions(deqa: Numbers, labels: str = "kl_labels") -> Tensor:
    return losses.level_positions(deqa[labels], [deqa["kl_level_prefix"].tolist()], deqa["kl_level_ids"])


def test_level_positions(deqa: Numbers) -> None:
    assert positions(deqa).tolist() == deqa["kl_idx_level_label"].tolist()
    assert (positions(deqa) - 1).tolist() == deqa["kl_idx_level_logit"].tolist()


def test_kl_and_its_gradient(deqa: Numbers) -> None:
    logits = deqa["kl_logits"].clone().requires_grad_()
    part = losses.level_kl_open(
        losses.logits_at(logits, positions(deqa)), deqa["kl_level_probs"], deqa["kl_level_ids"]
    )
    part.value.backward()
    assert part.value.item() == pytest.approx(float(deqa["kl_loss"]), **EXACT)
    assert int(part.count) == 6
    assert logits.grad is not None
    assert float((logits.grad - deqa["kl_grad_logits"]).abs().max()) < 1e-12


def test_cross_entropy_with_and_without_the_level(deqa: Numbers) -> None:
    logits, labels = deqa["kl_logits"], deqa["kl_labels"]
    level = torch.zeros_like(labels, dtype=torch.bool)
    level[torch.arange(6), positions(deqa)] = True
    without = losses.answer_cross_entropy(logits, labels, leave_out=level)
    assert losses.answer_cross_entropy(logits, labels).value.item() == pytest.approx(
        float(deqa["ce_including_level"]), **EXACT
    )
    assert without.value.item() == pytest.approx(float(deqa["ce_excluding_level"]), **EXACT)
    kl = losses.level_kl_open(
        losses.logits_at(logits, positions(deqa)), deqa["kl_level_probs"], deqa["kl_level_ids"]
    )
    total = losses.combine({"answer": without, "level": kl}, {"answer": 1.0, "level": 1.0}).total
    assert total.item() == pytest.approx(float(deqa["ce_plus_kl"]), **EXACT)


def test_finite_where_the_original_is_nan(deqa: Numbers) -> None:
    """Two words, a gap of 200: log p = (0, −200), target (½, ½): KL = log ½ + ½ · 200 = 100 − log 2."""
    assert math.isnan(float(deqa["hazard_float32_kl_with_logit_gap_200"]))
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    assert not math.isfinite(torch.log(logits.softmax(1))[0, 1].item())  # the original's way
    for part in (
        losses.level_kl_open(logits, torch.tensor([[0.5, 0.5]]), torch.tensor([0, 1])),
        losses.level_kl(logits, torch.tensor([[0.5, 0.5]])),
    ):
        assert part.value.item() == pytest.approx(100 - math.log(2))
        (gradient,) = torch.autograd.grad(part.value, logits)
        assert gradient.tolist() == [[0.5, -0.5]]


def pairs_of(deqa: Numbers, kind: Any, tie: float) -> Pairs:
    """A of pair i is row i, B is row 32 + i."""
    both = {key: torch.cat([deqa[f"rank_{key}_A"], deqa[f"rank_{key}_B"]]) for key in ("gt", "gstd")}
    rows = torch.arange(32)
    opinions = Opinions(both["gt"], torch.zeros(64, dtype=torch.int64), both["gstd"])
    return losses.pairs_within(opinions, kind, tie=tie, chosen=(rows, rows + 32))


@pytest.mark.parametrize("name", ["fixstd", "predstd", "predstd_detached"])
def test_fidelity(deqa: Numbers, name: str) -> None:
    score, std = (torch.cat([deqa[f"rank_{k}_A"], deqa[f"rank_{k}_B"]]).requires_grad_() for k in ("pred", "pstd"))
    used = {"fixstd": None, "predstd": std, "predstd_detached": std.detach()}[name]
    pairs = pairs_of(deqa, "continuous", 0.5)
    part = losses.preference_loss(score, pairs, std=used)
    assert part.value.item() == pytest.approx(float(deqa[f"rank_{name}_loss"]), **EXACT)
    g_score, g_std = torch.autograd.grad(part.value, [score, std], allow_unused=True)
    assert float((g_score[:32] - deqa[f"rank_{name}_grad_pred_A"]).abs().max()) < 1e-12
    wanted = deqa[f"rank_{name}_grad_pstd_A"]
    assert float(((torch.zeros(64) if g_std is None else g_std)[:32] - wanted).abs().max()) < 1e-12
    for i in range(32):  # pair by pair
        one = replace(
            pairs, **{k: getattr(pairs, k)[i : i + 1] for k in ("first", "second", "target", "gap", "mask")}
        )
        value = losses.preference_loss(score, one, std=used).value
        assert value.item() == pytest.approx(float(deqa[f"rank_{name}_per_pair"][i]), **EXACT)


@pytest.mark.parametrize(("name", "form"), [("fidelity", "fidelity"), ("bce", "cross-entropy")])
def test_binary(deqa: Numbers, name: str, form: Any) -> None:
    score = torch.cat([deqa["rank_pred_A"], deqa["rank_pred_B"]]).requires_grad_()
    part = losses.preference_loss(score, pairs_of(deqa, "binary", 0.0), form=form, epsilon=0)
    assert part.value.item() == pytest.approx(float(deqa[f"rank_binary_{name}_loss"]), **EXACT)
    (gradient,) = torch.autograd.grad(part.value, score)
    assert float((gradient[:32] - deqa[f"rank_binary_{name}_grad_pred_A"]).abs().max()) < 1e-12


@pytest.mark.parametrize("space", ["closed", "open"])
def test_predicted_moments(deqa: Numbers, space: str) -> None:
    ids = deqa["kl_level_ids"]
    place = positions(deqa, "score_labels")
    logits = losses.logits_at(deqa["score_logits"], place, inserted=int(deqa["score_num_vision_tokens"]))
    p = logits[:, ids].softmax(1) if space == "closed" else logits.softmax(1)[:, ids]
    mean, std = losses.moments(p, SCORES)
    assert float((mean - deqa[f"score_{space}_mean"]).abs().max()) < 1e-12
    assert float((std - deqa[f"score_{space}_std"]).abs().max()) < 1e-12
    value = losses.outside_mass(logits, ids).value
    assert value.item() == pytest.approx(float(deqa[f"score_{space}_in_level_loss"]), **EXACT)


# ---------------------------------------------------------------- others' numbers, not copied into the repository


@pytest.fixture
def classic(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "fixtures/classic/losses/losses.json").read_text())
    return found


def rank(p: Tensor, t: Tensor, **options: Any) -> float:
    everything = Opinions(t, torch.zeros(len(t), dtype=torch.int64))
    return losses.ranking_loss(p, losses.pairs_within(everything, "binary"), **options).value.item()


def liqe(p: Tensor, t: Tensor, std: float | None) -> float:
    each = None if std is None else torch.full_like(t, std / math.sqrt(2))  # a difference of deviation `std`
    opinions = Opinions(t, torch.zeros(len(t), dtype=torch.int64), each)
    pairs = losses.pairs_within(opinions, "binary" if std is None else "continuous")
    return losses.preference_loss(p, pairs, noise=1.0).value.item()


def distance(p: Tensor, t: Tensor) -> float:
    return losses.l1(p, t).value.item()


PUBLISHED: dict[str, Callable[[Tensor, Tensor], float]] = {
    "fastvqa_plcc_loss": lambda p, t: losses.plcc(p, t, form="fit").value.item(),
    "pyiqa_plcc_loss": lambda p, t: losses.plcc(p, t).value.item(),
    "fastvqa_rank_loss": lambda p, t: rank(p, t, scaled=True),
    "pyiqa_rank_loss": lambda p, t: (
        rank(p, t, scaled=True) * (len(p) - 1) / len(p)
    ),  # it divides by n², not n (n−1)
    "pyiqa_norm_in_norm_p1_q2": lambda p, t: losses.norm_in_norm(p, t).value.item(),
    "simplevqa_L1Rank_default": lambda p, t: distance(p, t) + rank(p, t, limit=1.0),
    "simplevqa_L1Rank_margin_thr100": lambda p, t: distance(p, t) + rank(p, t, margin=None, limit=100.0),
    "simplevqa_L1Rank_nomargin_thr100": lambda p, t: distance(p, t) + rank(p, t, limit=100.0),
    "liqe_fidelity_binary_loss_m3": lambda p, t: liqe(p, t, None),
    "liqe_fidelity_gauss_loss_m2_std0.5": lambda p, t: liqe(p, t, 0.5),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_scores_and_pairs_of_other_projects(classic: dict[str, Any], name: str) -> None:
    for row in classic["rank_plcc"]:
        p, t = (torch.tensor(row[key], dtype=torch.float64) for key in ("pred", "mos"))
        assert PUBLISHED[name](p, t) == pytest.approx(row[name], abs=1e-7), row["set"]


def test_emd_of_pyiqa(classic: dict[str, Any]) -> None:
    for row in classic["emd"]:
        p, t = (torch.tensor(row[key], dtype=torch.float64) for key in ("pred", "target"))
        assert losses.emd(p, t, r=row["r"]).value.item() == pytest.approx(row["emd_mean"], abs=1e-7)
        for i, wanted in enumerate(row["emd_per_item"]):
            assert losses.emd(p[i : i + 1], t[i : i + 1], r=row["r"]).value.item() == pytest.approx(
                wanted, abs=1e-7
            )


def test_fidelity_table(classic: dict[str, Any]) -> None:
    for row in classic["fidelity"]:
        p = torch.tensor([row["p"]], dtype=torch.float64)
        value = losses.fidelity(torch.special.ndtri(p), torch.tensor([row["g"]], dtype=torch.float64))
        assert value.item() == pytest.approx(row["loss"], abs=1e-12), row
