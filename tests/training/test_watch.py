"""A run stops at a loss that is not finite or runs away, and says which batch it was."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mllmqa.errors import TrainingError
from mllmqa.training.watch import IN_A_ROW, WINDOW, Watch


def batch(name: str = "s1") -> dict[str, Any]:
    return {"ids": [name], "inputs": {"input_ids": torch.arange(3)[None]}, "labels": torch.zeros(1, 3)}


def calm(watch: Watch, steps: int = WINDOW) -> None:
    noise = np.random.default_rng(0)
    for step in range(steps):
        watch.look(step, {"total": float(3 + noise.normal(0, 0.5))}, batch())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_at_once(bad: float, tmp_path: Path) -> None:
    numbers = {"answer": 1.0, "plcc": bad, "total": bad}
    with pytest.raises(TrainingError, match=r"step 7: the loss is .* \(plcc\)"):
        Watch(tmp_path).look(7, numbers, batch("culprit"))
    about = json.loads((tmp_path / "bad_batch.json").read_text())
    assert (about["step"], about["samples"]) == (7, ["culprit"])
    saved = torch.load(tmp_path / "bad_batch.pt", weights_only=True)
    assert saved["input_ids"].tolist() == [[0, 1, 2]]
    assert "labels" in saved


def test_a_loss_that_runs_away_stops_and_one_outlier_does_not(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    calm(watch)
    watch.look(100, {"total": 500.0}, batch())
    calm(watch, 5)
    for step in range(IN_A_ROW - 1):
        watch.look(200 + step, {"total": 400.0}, batch())
    with pytest.raises(TrainingError, match="runs away: 400, usual 3"):
        watch.look(300, {"total": 400.0}, batch("last"))
    assert json.loads((tmp_path / "bad_batch.json").read_text())["samples"] == ["last"]


def test_losses_below_zero_and_a_wild_start_are_no_flight(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    for step in range(WINDOW - 1):
        watch.look(step, {"total": 1000.0 - step}, batch())
    calm(watch)
    for step in range(3 * WINDOW):
        watch.look(step, {"total": -1e-4}, batch())
    assert not list(tmp_path.iterdir())
