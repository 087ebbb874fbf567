"""The losses of a stage: by hand, as DeQA-Score weighs them, and over the batches of one step."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mllmqa.training.collate import Targets
from mllmqa.training.losses import IGNORED
from mllmqa.training.objective import Objective
from mllmqa.training.stage import Losses

SCORES = (5.0, 4.0, 3.0, 2.0, 1.0)
IDS = (3, 4, 5, 6, 7)
VOCABULARY = 12
NAN = math.nan


def targets(rows: int = 4, **more: Any) -> Targets:
    """Three learnt tokens each; the second is a level word in the first three rows."""
    tokens = torch.full((rows, 4), IGNORED)
    tokens[:, 1:] = torch.tensor([2, 4, 1])
    fields: dict[str, Any] = {
        "places": torch.arange(4).repeat(rows, 1),
        "tokens": tokens,
        "level": torch.tensor([1, 1, 1, -1][:rows]),
        "soft": torch.tensor([[0.1, 0.6, 0.2, 0.1, 0.0], [0.0, 0.1, 0.2, 0.3, 0.4], [NAN] * 5, [NAN] * 5][:rows]),
        "mean": torch.tensor([3.7, 2.0, 4.4, NAN][:rows], dtype=torch.float64),
        "std": torch.tensor([0.5, 0.6, NAN, NAN][:rows], dtype=torch.float64),
        "teacher": torch.full((rows, 5), NAN, dtype=torch.float64),
        "sets": torch.zeros(rows, dtype=torch.int64),
        "pairs": torch.zeros(0, 2, dtype=torch.int64),
    }
    return Targets(**{**fields, **more})


def logits(rows: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 4, VOCABULARY, generator=generator, requires_grad=True)


def model(values: Tensor) -> Any:
    return lambda **_: SimpleNamespace(logits=values)


def parts(wanted: Losses, values: Tensor, given: Targets) -> dict[str, float]:
    objective = Objective(wanted, IDS, SCORES)
    seen = objective.look(model(values), {}, given)
    return objective.combined(objective.parts(seen, given)).numbers()


def by_hand(values: Tensor, row: int) -> tuple[Tensor, Tensor]:
    """Closed-set probabilities at the level word, and their mean."""
    p = values.detach()[row, 1, list(IDS)].double().softmax(0)
    return p, (p * torch.tensor(SCORES, dtype=torch.float64)).sum()


def test_answer_is_the_mean_over_learnt_tokens() -> None:
    values, given = logits(), targets()
    found = parts(Losses.model_validate({"answer": 2.0}), values, given)
    each = F.cross_entropy(values.detach()[:, :3].flatten(0, 1), given.tokens[:, 1:].flatten())
    assert found["answer"] == pytest.approx(float(each), rel=1e-6)
    assert found["total"] == pytest.approx(2 * float(each), rel=1e-6)
    assert found["n_answer"] == 12


def test_the_level_word_is_left_out_only_where_a_distribution_takes_its_place() -> None:
    values, given = logits(), targets()
    wanted = Losses.model_validate({"answer": {"leave_out_level": True}})
    found = parts(wanted, values, given)
    each = F.cross_entropy(
        values.detach()[:, :3].flatten(0, 1), given.tokens[:, 1:].flatten(), reduction="none"
    ).view(4, 3)
    kept = torch.ones(4, 3, dtype=torch.bool)
    kept[:2, 1] = False
    assert found["answer"] == pytest.approx(float(each[kept].mean()), rel=1e-6)
    assert found["n_answer"] == 10 == Objective(wanted, IDS, SCORES).items(given)


def test_levels_over_the_vocabulary_and_over_the_words() -> None:
    values, given = logits(), targets()
    soft = given.soft[:2]
    opened = values.detach()[:2, 1].log_softmax(-1)[:, list(IDS)]
    closed = values.detach()[:2, 1, list(IDS)].log_softmax(-1)
    for over, log_p in (("vocabulary", opened), ("words", closed)):
        found = parts(Losses.model_validate({"levels": {"over": over}}), values, given)
        kl = (torch.xlogy(soft, soft) - soft * log_p).sum(1).mean()
        assert found["levels"] == pytest.approx(float(kl), rel=1e-5)
        assert found["n_levels"] == 2


def test_fidelity_is_thurstones_between_rows_of_one_source() -> None:
    values, given = logits(), targets()
    found = parts(Losses.model_validate({"fidelity": {"std": "unit", "target": "continuous"}}), values, given)
    (_, a), (_, b) = by_hand(values, 0), by_hand(values, 1)
    p = torch.special.ndtr((a - b) / math.sqrt(2))
    g = torch.special.ndtr(torch.tensor((3.7 - 2.0) / math.sqrt(0.5**2 + 0.6**2 + 1e-8)))
    wanted = 1 - (p * g + 1e-8).sqrt() - ((1 - p) * (1 - g) + 1e-8).sqrt()
    assert found["fidelity"] == pytest.approx(float(wanted), rel=1e-5)
    assert found["n_fidelity"] == 1  # the third row states no deviation
    either = parts(Losses.model_validate({"fidelity": {"target": "either"}}), values, given)
    assert either["n_fidelity"] == 3
    apart = targets(sets=torch.tensor([0, 1, 2, 3]))
    assert parts(Losses.model_validate({"fidelity": 1.0}), values, apart)["n_fidelity"] == 0


def test_pairs_that_were_drawn_are_the_pairs() -> None:
    values, given = logits(), targets(pairs=torch.tensor([[1, 0]]))
    assert parts(Losses.model_validate({"fidelity": {"target": "either"}}), values, given)["n_fidelity"] == 1


def test_distances_compare_the_expected_level_with_the_opinion() -> None:
    values, given = logits(), targets()
    errors = [float(by_hand(values, k)[1] - given.mean[k]) for k in range(3)]
    found = parts(Losses.model_validate({"distance": {"form": "l1"}, "ranking": 1.0, "plcc": 1.0}), values, given)
    assert found["distance"] == pytest.approx(sum(abs(e) for e in errors) / 3, rel=1e-6)
    squared = parts(Losses.model_validate({"distance": {"form": "l2"}}), values, given)
    assert squared["distance"] == pytest.approx(sum(e * e for e in errors) / 3, rel=1e-6)
    assert 0 <= found["plcc"] <= 1
    assert found["n_plcc"] == 3


def test_a_student_that_says_what_its_teacher_says_loses_nothing() -> None:
    values = logits()
    same = values[:, 1, list(IDS)].detach().double().softmax(1)
    teacher = torch.where(torch.tensor([True, True, False, False])[:, None], same, NAN)
    found = parts(Losses.model_validate({"distil": 1.0, "emd": 0.5}), values, targets(teacher=teacher))
    assert found["distil"] == pytest.approx(0, abs=1e-6)
    assert found["n_distil"] == 2
    assert found["emd"] > 0


def test_batches_of_one_step_give_the_gradient_of_one_batch() -> None:
    """The answer loss is a mean over the tokens of the step, however they are spread over batches and processes."""
    wanted = Losses.model_validate({"answer": {"leave_out_level": True}})
    objective, values, given = Objective(wanted, IDS, SCORES), logits(), targets()
    seen = objective.look(model(values), {}, given)
    (whole,) = torch.autograd.grad(objective.parts(seen, given)["answer"].value, values)
    halves = [[0], [1, 2, 3]]
    cut = [Targets(**{k: v[rows] if len(v) == 4 else v for k, v in vars(given).items()}) for rows in halves]
    items = torch.tensor(sum(objective.items(one) for one in cut))
    total = torch.zeros(())
    for rows, one in zip(halves, cut, strict=True):
        made = objective.parts(objective.look(model(values[rows]), {}, one), one)
        total = total + objective.step_loss(made, items, processes=1, batches=2)
    (summed,) = torch.autograd.grad(total, values)
    assert torch.allclose(summed, whole, atol=1e-7)


def test_rows_without_anything_leave_zeros_that_hang_on_the_graph() -> None:
    values, given = logits(), targets(level=torch.full((4,), -1), mean=torch.full((4,), NAN, dtype=torch.float64))
    wanted = Losses.model_validate({"levels": 1.0, "fidelity": 1.0, "plcc": 1.0, "distance": 1.0})
    objective = Objective(wanted, None, SCORES)
    combined = objective.combined(objective.parts(objective.look(model(values), {}, given), given))
    combined.total.backward()
    assert float(combined.total.detach()) == 0
    assert values.grad is not None
    assert not values.grad.any()


def test_deqas_own_step_is_reproduced() -> None:
    """You et al., CVPR 2025: 1.0 fidelity + 0.05 [(CE_A + KL_A) + (CE_B + KL_B)], on the joined batch."""
    values, given = logits(4), targets(soft=targets().soft[[0, 1, 0, 1]], level=torch.tensor([1] * 4),
                                       mean=targets().mean[[0, 1, 1, 0]], std=targets().std[[0, 1, 1, 0]],
                                       pairs=torch.tensor([[0, 2], [1, 3]]))  # fmt: skip
    stage = {
        "fidelity": {"std": "unit", "target": "continuous"},
        "answer": {"weight": 0.1, "leave_out_level": True},
    }
    found = parts(Losses.model_validate({**stage, "levels": 0.1}), values, given)
    halves = 0.0
    for rows in ([0, 1], [2, 3]):
        cut = Targets(**{k: v[rows] if len(v) == 4 else v for k, v in vars(given).items()})
        one = parts(Losses.model_validate({"answer": {"leave_out_level": True}, "levels": 1.0}), values[rows], cut)
        halves += one["answer"] + one["levels"]
    assert found["total"] == pytest.approx(found["fidelity"] + 0.05 * halves, rel=1e-6)
