"""The loop: same end whether it was interrupted or not; checkpoints are whole files."""

import contextlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mllmqa.training.loop import Plan, fit, is_done, load_state, rate, save_atomically, weighted


class Killed(Exception):
    """Stands for a kill."""


def batches(start: int) -> Iterator[torch.Tensor]:
    for step in range(start, 10_000):
        yield torch.randn(8, 4, generator=torch.Generator().manual_seed(step))


def run(folder: Path, kill_at: int | None = None) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def some(start: int) -> Iterator[torch.Tensor]:
        for step, batch in enumerate(batches(start), start=start):
            if step == kill_at:
                raise Killed
            yield batch

    plan = Plan("stage", folder, steps=30, warmup=5, save_every=10)
    fit(plan, model, optimizer, some, lambda x: {"loss": (model(x)[:, 0] - x.sum(1)).square().mean()})
    return model.state_dict()


def test_an_interrupted_run_ends_where_an_uninterrupted_one_ends(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "cut", kill_at=17)
    assert int(load_state(tmp_path / "cut" / "stage.pt")["step"]) == 10
    resumed = run(tmp_path / "cut")
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_is_done_only_at_the_end(tmp_path: Path) -> None:
    plan = Plan("stage", tmp_path, steps=30)
    assert not is_done(plan)
    save_atomically({"step": 10}, plan.checkpoint)
    assert not is_done(plan)
    plan.checkpoint.unlink()
    run(tmp_path)
    assert is_done(plan)
    assert not list(tmp_path.glob("*.tmp"))


def test_rate_warms_up_and_ends_near_zero() -> None:
    rates = [rate(step, 100, 10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)


def test_weighted_needs_every_weight() -> None:
    assert weighted({"a": torch.tensor(2.0)}, {"a": 3.0, "b": 1.0})["a"] == 6
    with pytest.raises(KeyError):
        weighted({"c": torch.tensor(2.0)}, {"a": 3.0})


def trained(folder: Path, steps: int = 6, **how: object) -> tuple[nn.Linear, list[dict[str, float]]]:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plan = Plan("s", folder, steps=steps, warmup=2, **how)  # type: ignore[arg-type]
    fit(plan, model, optimizer, batches, lambda x: {"a": model(x).square().mean(), "b": model(x).abs().mean()})
    return model, [json.loads(line) for line in (folder / "s.jsonl").read_text().splitlines()]


def test_one_step_by_hand(tmp_path: Path) -> None:
    """SGD at rate(0) = 1/2 of its peak, the sum of the losses, gradients clipped to their norm."""
    for clip in (1e9, 0.01):
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        (first,) = [batch for batch, _ in zip(batches(0), range(1), strict=False)]
        loss = model(first).square().mean() + model(first).abs().mean()
        weight, bias = torch.autograd.grad(loss, [model.weight, model.bias])
        norm = float(torch.cat([weight.flatten(), bias]).norm())
        scale = min(1.0, clip / norm)
        expected = model.weight.detach() - 0.1 * 0.5 * scale * weight
        got, _ = trained(tmp_path / str(clip), steps=1, clip=clip)
        assert torch.allclose(got.weight.detach(), expected, atol=1e-6)


def test_the_log_holds_means_of_twenty_steps_and_the_last(tmp_path: Path) -> None:
    _, lines = trained(tmp_path, steps=45)
    assert [line["step"] for line in lines] == [20, 40, 45]
    assert all({"step", "a", "b", "wall_s", "cpu_s"} == set(line) for line in lines)
    assert lines[-1]["a"] < lines[0]["a"]


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    model, _ = trained(tmp_path)
    state = load_state(tmp_path / "s.pt")
    assert (int(state["step"]), "optimizer" in state) == (6, False)
    again, lines = trained(tmp_path)
    assert torch.equal(again.weight, model.weight)
    assert len(lines) == 1


@given(steps=st.integers(1, 500), warmup=st.integers(0, 100))
def test_rates_lie_in_0_to_1_rise_once_and_fall_to_the_end(steps: int, warmup: int) -> None:
    warmup = min(warmup, steps)
    rates = [rate(step, steps, warmup) for step in range(steps)]
    assert all(0 < value <= 1 for value in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)


def test_checkpoints_with_code_in_them_are_refused(tmp_path: Path) -> None:
    torch.save({"model": Path("anything"), "step": 1}, tmp_path / "s.pt")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        load_state(tmp_path / "s.pt")


def test_batches_that_end_too_early_do_not_finish_the_stage(tmp_path: Path) -> None:
    model = nn.Linear(4, 1)
    plan = Plan("s", tmp_path, steps=30)
    few = [torch.zeros(2, 4)] * 3
    with contextlib.suppress(Exception):
        fit(
            plan,
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            lambda start: few,
            lambda x: {"a": model(x).mean()},
        )
    assert not is_done(plan)
