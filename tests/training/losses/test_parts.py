"""Weighing parts, and the helpers for masks and shapes."""

from __future__ import annotations

import math

import pytest
import torch

from mllmqa.errors import DataError, UsageError
from mllmqa.training.losses.parts import Part, check, cleared, combine, known, mean_of, root, rows_that_count, wide


def part(value: float, count: int) -> Part:
    return Part(torch.tensor(value, requires_grad=True), torch.tensor(count))


def test_combine_by_hand() -> None:
    """2 · 3 + 0.5 · 4 = 8; the part of weight 0 is reported only, even as NaN."""
    parts = {"kl": part(4.0, 7), "off": part(math.nan, 1), "plcc": part(3.0, 5)}
    combined = combine(parts, {"plcc": 2.0, "kl": 0.5, "off": 0.0})
    assert combined.total.item() == 8
    assert [term.name for term in combined.terms] == ["plcc", "kl", "off"]  # the order of the weights
    assert [term.weight for term in combined.terms] == [2.0, 0.5, 0.0]
    assert not any(term.value.requires_grad for term in combined.terms)
    assert torch.autograd.grad(combined.total, [parts["plcc"].value, parts["kl"].value]) == (2.0, 0.5)
    numbers = combined.numbers()
    assert math.isnan(numbers.pop("off"))
    assert numbers == {"total": 8, "plcc": 3, "n_plcc": 5, "kl": 4, "n_kl": 7, "n_off": 1}
    assert list(numbers)[:2] == ["total", "plcc"]


def test_combine_with_weights_of_zero_only() -> None:
    assert combine({"a": part(3.0, 1)}, {"a": 0.0}).total.item() == 0


def test_combine_errors() -> None:
    with pytest.raises(UsageError, match=r"\['a'\] and the weights \['a', 'b'\] do not go together"):
        combine({"a": part(1.0, 1)}, {"a": 1.0, "b": 1.0})
    with pytest.raises(UsageError, match="one weight for each loss"):
        combine({"a": part(1.0, 1), "b": part(1.0, 1)}, {"a": 1.0})
    with pytest.raises(UsageError, match="at least one"):
        combine({}, {})
    with pytest.raises(UsageError, match="loss 'a': weight nan; expected a finite number"):
        combine({"a": part(1.0, 1)}, {"a": math.nan})


def test_known() -> None:
    mean, levels = torch.tensor([1.0, math.nan, 3.0]), torch.tensor([[0.5, 0.5], [0.5, 0.5], [math.inf, 0.0]])
    assert known(mean).tolist() == [True, False, True]
    assert known(mean, levels).tolist() == [True, False, False]


def test_shapes_and_masks() -> None:
    x = torch.zeros(2, 3)
    check("x", x, 2, None)
    for shape in ((2,), (3, None), (2, 3, 1)):
        with pytest.raises(DataError, match=r"loss input 'x': shape \(2, 3\); expected \("):
            check("x", x, *shape)
    with pytest.raises(DataError, match=r"expected \(any, 4\)"):
        check("x", x, None, 4)
    assert rows_that_count(None, x).tolist() == [True, True]
    with pytest.raises(DataError, match=r"'mask': shape \(3,\); expected \(2\)"):
        rows_that_count(torch.ones(3, dtype=torch.bool), x)
    with pytest.raises(DataError, match=r"'mask': dtype torch.float32; expected torch.bool"):
        rows_that_count(torch.ones(2), x)


def test_wide() -> None:
    wanted = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.int64: torch.float32}
    wanted |= {torch.float32: torch.float32, torch.float64: torch.float64}
    assert {dtype: wide(torch.ones(1, dtype=dtype)).dtype for dtype in wanted} == wanted


def test_what_is_cleared_reaches_nothing() -> None:
    x = torch.tensor([[2.0, 3.0], [math.nan, math.inf]], requires_grad=True)
    clear = cleared(x, torch.tensor([True, False]), 0.5)
    assert clear.tolist() == [[2, 3], [0.5, 0.5]]
    clear.log().sum().backward()
    assert x.grad is not None
    assert x.grad[1].tolist() == [0, 0]


def test_mean_of() -> None:
    values = torch.tensor([1.0, 5.0, 9.0])
    found = mean_of(values, torch.tensor([True, False, True]))
    assert (found.value.item(), found.count.item()) == (5, 2)
    assert mean_of(values, torch.zeros(3, dtype=torch.bool)).value.item() == 0


def test_root_has_no_gradient_at_zero() -> None:
    x = torch.tensor([0.0, 8.0], requires_grad=True)
    y = root(x, 3)
    assert y.tolist() == pytest.approx([0, 2])
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([0, 1 / 12])  # x^(-2/3) / 3
