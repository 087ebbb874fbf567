"""Answer cross entropy against hand arithmetic and transformers; level positions and their errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mllmqa.errors import DataError
from mllmqa.training import losses
from mllmqa.training.losses import IGNORED

LOG2, LOG3, LOG4 = math.log(2), math.log(3), math.log(4)


def hand() -> tuple[Tensor, Tensor]:
    """Two words. Row 0 answers at positions 1 and 2, row 1 at 2 only; the logits before them are (0, 0), (0, log 3)
    and (0, log 3)."""
    logits = torch.full((2, 3, 2), 50.0)
    logits[0, 0], logits[0, 1], logits[1, 1] = (torch.tensor(x) for x in ((0.0, 0.0), (0.0, LOG3), (0.0, LOG3)))
    return logits, torch.tensor([[IGNORED, 0, 1], [0, IGNORED, 0]])


def test_answer_by_hand() -> None:
    """p of the labels is 1/2, 3/4, 1/4: losses log 2, log 4 − log 3, log 4. Position 0 has no logit."""
    logits, labels = hand()
    tokens = losses.answer_cross_entropy(logits, labels)
    assert tokens.value.item() == pytest.approx((LOG2 + LOG4 - LOG3 + LOG4) / 3)
    assert tokens.count.item() == 3
    samples = losses.answer_cross_entropy(logits, labels, per="sample")
    assert samples.value.item() == pytest.approx(((LOG2 + LOG4 - LOG3) / 2 + LOG4) / 2)
    assert samples.count.item() == 2
    spared = losses.answer_cross_entropy(logits, labels, leave_out=labels == 1)
    assert spared.value.item() == pytest.approx((LOG2 + LOG4) / 2)
    assert losses.answer_cross_entropy(logits, labels, items=30).value.item() == pytest.approx(
        (LOG2 + LOG4 - LOG3 + LOG4) / 30
    )


@pytest.mark.parametrize("per", ["token", "sample"])
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 3, 4), (2, 0, 4), (2, 1, 4)])
def test_answer_without_labels_is_an_exact_zero(per: Any, shape: tuple[int, int, int]) -> None:
    logits = torch.full(shape, math.nan, requires_grad=True)
    part = losses.answer_cross_entropy(logits, torch.full(shape[:2], IGNORED), per=per)
    part.value.backward()
    assert (part.value.item(), part.count.item()) == (0, 0)
    assert logits.grad is not None
    assert not logits.grad.any()


def test_answer_at_the_extremes_and_in_half_precision() -> None:
    logits = torch.tensor([[[1e4, -1e4], [0.0, 0.0]], [[-1e4, 1e4], [0.0, 0.0]]], requires_grad=True)
    part = losses.answer_cross_entropy(logits, torch.tensor([[IGNORED, 0], [IGNORED, 0]]))
    assert part.value.item() == 1e4  # (0 + 2e4) / 2
    part.value.backward()
    assert logits.grad is not None
    assert logits.grad[1, 0].tolist() == [-0.5, 0.5]
    rough = logits.detach().bfloat16()
    assert (
        losses.answer_cross_entropy(rough, torch.tensor([[IGNORED, 0], [IGNORED, 0]])).value.dtype == torch.float32
    )


def made(seed: int, rows: int = 6, length: int = 7, words: int = 11) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, length, words, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, words, (rows, length), generator=generator)
    return logits, labels.masked_fill(torch.rand(rows, length, generator=generator) < 0.5, IGNORED)


@pytest.mark.parametrize("per", ["token", "sample"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_answer_in_micro_batches_is_that_of_the_batch(per: Any, seed: int) -> None:
    """The accumulated sums, divided by the items of the whole step, are the loss of one batch; order is nothing."""
    logits, labels = made(seed)
    whole = losses.answer_cross_entropy(logits, labels, per=per)
    pieces = [
        losses.answer_cross_entropy(logits[i : i + 2], labels[i : i + 2], per=per, items=whole.count).value
        for i in (4, 0, 2)
    ]
    assert sum(pieces).item() == pytest.approx(whole.value.item(), abs=1e-12)
    assert losses.answer_cross_entropy(logits.flip(0), labels.flip(0), per=per).value.item() == pytest.approx(
        whole.value.item(), abs=1e-12
    )


def test_answer_is_the_loss_of_transformers() -> None:
    from mllmqa.models.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=11, **sizes))
    ids = torch.randint(0, 11, (6, 7))
    labels = made(3)[1]
    labels[:, 0] = IGNORED  # transformers counts the first label as an item although nothing predicts it

    def gradients(loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, list(model.parameters())))

    out = model(input_ids=ids, labels=labels)
    part = losses.answer_cross_entropy(out.logits, labels)
    assert part.value.item() == pytest.approx(out.loss.item(), abs=1e-6)
    theirs = gradients(out.loss)
    items = (labels != IGNORED).sum()
    summed = [torch.zeros_like(p) for p in model.parameters()]
    for i in (0, 2, 4):  # three micro-batches
        logits, piece = model(input_ids=ids[i : i + 2]).logits, labels[i : i + 2]
        ours = losses.answer_cross_entropy(logits, piece, items=items).value
        piece_out = model(input_ids=ids[i : i + 2], labels=piece, num_items_in_batch=items)
        assert ours.item() == pytest.approx(piece_out.loss.item(), abs=1e-6)
        summed = [a + b for a, b in zip(summed, gradients(ours), strict=True)]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(summed, theirs, strict=True))


def test_answer_gradient() -> None:
    logits, labels = made(1, rows=3, length=4, words=5)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: losses.answer_cross_entropy(x, labels, per="sample").value, (logits,))


def test_answer_errors() -> None:
    logits, labels = hand()
    with pytest.raises(DataError, match=r"'labels': shape \(2, 2\); expected \(2, 3\)"):
        losses.answer_cross_entropy(logits, labels[:, 1:])
    with pytest.raises(DataError, match="'logits'"):
        losses.answer_cross_entropy(logits[0], labels)
    with pytest.raises(DataError, match="label ids from 0 to 7; expected 0 to 1, or -100 for none"):
        losses.answer_cross_entropy(logits, labels.masked_fill(labels == 1, 7))
    with pytest.raises(DataError, match="'leave_out'"):
        losses.answer_cross_entropy(logits, labels, leave_out=labels[:, 1:] == 1)


# ---------------------------------------------------------------- where the level stands

LABELS = torch.tensor([[-100, 7, 8, 40, 2], [7, 9, 7, 8, 41], [-100, 5, 6, 42, -100], [3, 3, 3, 3, 3]])
STARTS = [[7, 8], [5, 6]]  # "of the image is", "of the video is"
LEVELS = [40, 41, 42]


def test_level_positions_with_several_starts_and_rows_without() -> None:
    mask = torch.tensor([True, True, True, False])
    found = losses.level_positions(LABELS, STARTS, LEVELS, mask=mask)
    assert found.tolist() == [3, 4, 3, -1]
    assert losses.level_positions(LABELS[:0], STARTS, LEVELS).tolist() == []
    no_rows = torch.zeros(4, dtype=torch.bool)
    assert losses.level_positions(LABELS, STARTS, LEVELS, mask=no_rows).tolist() == [-1] * 4
    assert losses.level_positions(LABELS[:, :0], STARTS, LEVELS, mask=no_rows).tolist() == [-1] * 4


def test_the_first_hit_counts() -> None:
    assert losses.level_positions(torch.tensor([[7, 8, 40, 7, 8, 41]]), STARTS, LEVELS).tolist() == [2]


def test_level_position_errors() -> None:
    with pytest.raises(DataError, match=r"row 3: the labels have no answer start.*mask rows that carry no level"):
        losses.level_positions(LABELS, STARTS, LEVELS)
    with pytest.raises(DataError, match="row 0: the labels have no answer start"):
        losses.level_positions(torch.tensor([[1, 7, 8]]), STARTS, LEVELS)  # nothing after it
    with pytest.raises(DataError, match="row 0: the labels have no answer start"):
        losses.level_positions(torch.tensor([[8]]), STARTS, LEVELS)  # shorter than a start
    with pytest.raises(DataError, match="row 0, position 2: the label after the answer start is 13"):
        losses.level_positions(torch.tensor([[7, 8, 13]]), STARTS, LEVELS)
    with pytest.raises(DataError, match="an answer start without tokens"):
        losses.level_positions(LABELS, [[]], LEVELS)
    with pytest.raises(DataError, match="'labels'"):
        losses.level_positions(LABELS[0], STARTS, LEVELS)
    with pytest.raises(DataError, match="'mask'"):
        losses.level_positions(LABELS, STARTS, LEVELS, mask=torch.ones(3, dtype=torch.bool))


def test_logits_at() -> None:
    logits = torch.arange(4 * 5.0).reshape(4, 5, 1)
    assert losses.logits_at(logits, torch.tensor([3, 4, 1, -1]))[:3, 0].tolist() == [2, 8, 10]
    assert losses.logits_at(logits, torch.tensor([1, 2, 3, -1]), inserted=2)[:3, 0].tolist() == [2, 8, 14]
    with pytest.raises(DataError, match="row 1: position 0 with 0 inserted has no logit before it"):
        losses.logits_at(logits, torch.tensor([1, 0, 1, 1]))
    with pytest.raises(DataError, match=r"row 0: position 5 with 1 inserted.*from 0 to 4"):
        losses.logits_at(logits, torch.tensor([5, 1, 1, 1]), inserted=1)
