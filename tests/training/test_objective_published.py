"""The losses of a stage give the numbers of DeQA-Score's published code (You et al., CVPR 2025)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mllmqa.training.collate import Targets
from mllmqa.training.losses import IGNORED, level_positions
from mllmqa.training.objective import Objective, Seen
from mllmqa.training.stage import Losses

FILE = Path(__file__).parents[1] / "fixtures" / "deqa" / "losses.npz"
SCORES = (5.0, 4.0, 3.0, 2.0, 1.0)
CLOSE = {"abs": 1e-6, "rel": 0}


@pytest.fixture(scope="module")
def deqa() -> dict[str, Tensor]:
    with np.load(FILE) as arrays:
        return {name: torch.as_tensor(arrays[name]) for name in arrays.files}


def objective(deqa: dict[str, Tensor], losses: dict[str, Any], **more: Any) -> Objective:
    return Objective(Losses.model_validate(losses), deqa["kl_level_ids"].tolist(), SCORES, **more)


def targets_of(labels: Tensor, deqa: dict[str, Tensor], **more: Any) -> Targets:
    """Targets as the collator makes them of labels, and the place of the level word in each row."""
    rows, level = len(labels), level_positions(labels, [deqa["kl_level_prefix"].tolist()], deqa["kl_level_ids"])
    learnt = [(row != IGNORED).nonzero()[:, 0] for row in labels]
    places = torch.zeros(rows, 1 + max(map(len, learnt)), dtype=torch.int64)
    tokens = torch.full_like(places, IGNORED)
    column = torch.full((rows,), -1)
    for k, at in enumerate(learnt):
        places[k, : len(at)], tokens[k, 1 : 1 + len(at)] = at - 1, labels[k, at]
        column[k] = (at == level[k]).nonzero()[0, 0]
    nan = torch.full((rows,), math.nan, dtype=torch.float64)
    fields: dict[str, Any] = {"soft": deqa["kl_level_probs"], "teacher": nan[:, None].expand(-1, 5)}
    fields |= {"mean": nan, "std": nan, "sets": torch.zeros(rows, dtype=torch.int64)}
    fields |= {"pairs": torch.zeros(0, 2, dtype=torch.int64), **more}
    return Targets(places=places, tokens=tokens, level=column, **fields)


def model(logits: Tensor, inserted: int = 0) -> Any:
    """Answers with stored logits, at the places that are asked for."""

    def answer(*, logits_to_keep: Tensor, use_cache: bool) -> Any:
        assert not use_cache
        rows = torch.arange(len(logits))[:, None]
        return SimpleNamespace(logits=logits[rows, logits_to_keep + inserted])

    return answer


def test_cross_entropy_without_the_level_and_kl_over_the_vocabulary(deqa: dict[str, Tensor]) -> None:
    """What the published code adds up for one half of the pairs."""
    made = objective(deqa, {"answer": {"weight": 1.0, "leave_out_level": True}, "levels": 1.0})
    logits = deqa["kl_logits"].clone().requires_grad_()
    targets = targets_of(deqa["kl_labels"], deqa)
    parts = made.parts(made.look(model(logits), {}, targets), targets)
    assert parts["answer"].value.item() == pytest.approx(float(deqa["ce_excluding_level"]), **CLOSE)
    assert parts["levels"].value.item() == pytest.approx(float(deqa["kl_loss"]), **CLOSE)
    assert made.combined(parts).total.item() == pytest.approx(float(deqa["ce_plus_kl"]), **CLOSE)
    (gradient,) = torch.autograd.grad(parts["levels"].value, logits)
    assert float((gradient - deqa["kl_grad_logits"]).abs().max()) < 1e-6


def test_plain_cross_entropy(deqa: dict[str, Tensor]) -> None:
    for losses, soft in (({"answer": 1.0}, True), ({"answer": {"leave_out_level": True}}, False)):
        made = objective(deqa, losses)
        targets = targets_of(deqa["kl_labels"], deqa)
        if not soft:  # where there is no distribution the word is learnt
            targets = replace(targets, soft=torch.full_like(targets.soft, math.nan))
        seen = made.look(model(deqa["kl_logits"]), {}, targets)
        value = made.parts(seen, targets)["answer"].value.item()
        assert value == pytest.approx(float(deqa["ce_including_level"]), **CLOSE)


def test_predicted_mean_and_deviation(deqa: dict[str, Tensor]) -> None:
    """Nine vision tokens stand in front of what the labels count."""
    targets = targets_of(deqa["score_labels"], deqa)
    made = objective(deqa, {"answer": 1.0})
    seen = made.look(model(deqa["score_logits"], int(deqa["score_num_vision_tokens"])), {}, targets)
    assert float((seen.mean - deqa["score_closed_mean"]).abs().max()) < 1e-6
    assert float((seen.std - deqa["score_closed_std"]).abs().max()) < 1e-6


def pairs(deqa: dict[str, Tensor]) -> tuple[Seen, Targets, Tensor, Tensor]:
    """A of pair i is row i, B is row 32 + i."""
    score, std = (torch.cat([deqa[f"rank_{k}_A"], deqa[f"rank_{k}_B"]]).requires_grad_() for k in ("pred", "pstd"))
    has = torch.ones(64, dtype=torch.bool)
    words = torch.zeros(64, 5)
    seen = Seen(torch.zeros(64, 2, 8), has, torch.zeros(64, 8), words, score, std)
    labels = deqa["kl_labels"][:1].expand(64, -1)
    given = {key: torch.cat([deqa[f"rank_{key}_A"], deqa[f"rank_{key}_B"]]) for key in ("gt", "gstd")}
    rows = torch.arange(32)
    targets = targets_of(
        labels, deqa, mean=given["gt"], std=given["gstd"], pairs=torch.stack([rows, rows + 32], dim=1)
    )
    return seen, targets, score, std


@pytest.mark.parametrize(
    ("name", "std"),
    [("fixstd", "unit"), ("predstd", "predicted"), ("predstd_detached", "predicted-detached")],
)
def test_fidelity_of_drawn_pairs(deqa: dict[str, Tensor], name: str, std: str) -> None:
    made = objective(deqa, {"fidelity": {"std": std, "target": "continuous"}}, drawn=True)
    seen, targets, score, deviation = pairs(deqa)
    part = made.parts(seen, targets)["fidelity"]
    assert int(part.count) == 32
    assert part.value.item() == pytest.approx(float(deqa[f"rank_{name}_loss"]), **CLOSE)
    found = torch.autograd.grad(part.value, [score, deviation], allow_unused=True)
    for gradient, key in zip(found, ("pred", "pstd"), strict=True):
        wanted = deqa[f"rank_{name}_grad_{key}_A"]
        assert float(((torch.zeros(64) if gradient is None else gradient)[:32] - wanted).abs().max()) < 1e-6


@pytest.mark.parametrize(("name", "form"), [("fidelity", "fidelity"), ("bce", "cross-entropy")])
def test_binary_preferences(deqa: dict[str, Tensor], name: str, form: str) -> None:
    """Ties aside, whose target is 0 in the published code whatever the order of the pair, and 1/2 here."""
    made = objective(deqa, {"fidelity": {"target": "binary", "form": form}}, drawn=True)
    seen, targets, score, _ = pairs(deqa)
    decided = deqa["rank_gt_A"] != deqa["rank_gt_B"]
    assert int(decided.sum()) == 30
    part = made.parts(seen, replace(targets, pairs=targets.pairs[decided]))["fidelity"]
    (gradient,) = torch.autograd.grad(part.value * 30 / 32, score)
    wanted = deqa[f"rank_binary_{name}_grad_pred_A"][decided]
    assert float((gradient[:32][decided] - wanted).abs().max()) < 1e-6


def test_the_published_total(deqa: dict[str, Tensor]) -> None:
    """1.0 · fidelity + 0.05 · [(CE_A + KL_A) + (CE_B + KL_B)]: here CE and KL are means over both, so 0.1."""
    losses = {
        "fidelity": {"weight": 1.0, "std": "unit", "target": "continuous"},
        "answer": {"weight": 0.1, "leave_out_level": True},
        "levels": {"weight": 0.1, "over": "vocabulary"},
    }
    made = objective(deqa, losses, drawn=True)
    halves = [deqa["kl_logits"], deqa["kl_logits"].flip(0) * 0.5]
    labels = [deqa["kl_labels"], deqa["kl_labels"].flip(0)]
    mean, std = (torch.cat([deqa[f"rank_{k}_A"][:6], deqa[f"rank_{k}_B"][:6]]) for k in ("gt", "gstd"))
    rows = torch.arange(6)
    soft = torch.cat([deqa["kl_level_probs"], deqa["kl_level_probs"].flip(0)])
    targets = targets_of(
        torch.cat(labels), deqa, soft=soft, mean=mean, std=std, pairs=torch.stack([rows, rows + 6], dim=1)
    )
    seen = made.look(model(torch.cat(halves)), {}, targets)
    total = made.combined(made.parts(seen, targets)).total.item()
    expected = 0.0
    half = objective(deqa, {"answer": {"leave_out_level": True}, "levels": 1.0})
    for k in range(2):
        chosen = slice(6 * k, 6 * k + 6)
        one = targets_of(labels[k], deqa, soft=soft[chosen])
        parts = half.parts(half.look(model(halves[k]), {}, one), one)
        expected += 0.05 * half.combined(parts).total.item()
    z = (seen.mean[:6] - seen.mean[6:]) / math.sqrt(2)
    p = torch.special.ndtr(z)
    g = torch.special.ndtr((mean[:6] - mean[6:]) / (std[:6] ** 2 + std[6:] ** 2 + 1e-8).sqrt())
    expected += float((1 - (p * g + 1e-8).sqrt() - ((1 - p) * (1 - g) + 1e-8).sqrt()).mean())
    assert total == pytest.approx(expected, abs=1e-6)
