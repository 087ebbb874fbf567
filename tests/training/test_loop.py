"""The loop: same end whether it was interrupted or not; checkpoints are whole files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
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
