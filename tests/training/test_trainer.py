"""A run of the recipe: it learns, resumes to the same losses, saves what scores, tells what it lost."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mllmqa
from mllmqa.schema import Score
from mllmqa.training import stages
from mllmqa.training.journal import FILE, Journal
from mllmqa.training.trainer import MARKER, agreement, is_complete, latest_checkpoint
from tests.training.training_made import ratings, stage_of, tiny, write_set

RECIPE = Path(__file__).parents[2] / "train" / "finetune.py"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    tiny("llava", root / "llava")
    write_set(root / "set", ratings(12, source="set"))
    return root


def stage(places: Path, **fields: Any) -> Path:
    """A stage of six steps as a file."""
    data = {"samples": str(places / "set" / "samples.jsonl"), "name": "set"}
    given = {
        "model": str(places / "llava"), "data": [data], "precision": "fp32", "report_to": [], "save_every": 2,
        "log_every": 1, "optimizer": {"rate": 3e-3, "warmup": 0.0}, "evaluate": [{**data, "name": "held"}],
        "train": {"language": None, "projector": None}, "losses": {"answer": 1.0, "fidelity": 0.3, "distance": 0.2},
    }  # fmt: skip
    path = places / "stage.yaml"
    path.write_text(stages.to_yaml(stage_of(**{**given, **fields})), encoding="utf-8")
    return path


def run(stage_file: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(RECIPE),
        "--stage",
        str(stage_file),
        "--out",
        str(out),
        "--cpu",
        "--workers",
        "0",
    ]
    return subprocess.run([*command, *more], capture_output=True, text=True, timeout=200, check=False)


def losses(out: Path) -> dict[int, float]:
    records = [json.loads(line) for line in (out / FILE).read_text().splitlines()]
    return {record["step"]: record["loss"] for record in records if "loss" in record}


@pytest.mark.parametrize("how", ["full", "lora"])
def test_a_run_learns_resumes_to_the_same_losses_and_scores(places: Path, tmp_path: Path, how: str) -> None:
    lora = {"train": {"projector": None}, "lora": {"rank": 4, "alpha": 8, "dropout": 0.1}}
    made = stage(places, **(lora if how == "lora" else {}))
    whole = run(made, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout == ""
    first = losses(tmp_path / "whole")
    assert sorted(first) == [1, 2, 3, 4, 5, 6]
    assert first[6] < first[1]

    broken = tmp_path / "broken"
    assert run(made, broken).returncode == 0
    (broken / "checkpoint-6" / MARKER).unlink()  # as if it had been killed while it wrote the last checkpoint
    again = run(made, broken, "--resume")
    assert again.returncode == 0, again.stderr
    assert "continues at step 4 of 6" in again.stderr
    assert losses(broken) == first  # dropout included

    picture = places / "set" / "set3.png"
    scores = [
        mllmqa.load(str(tmp_path / name / "model"), device="cpu").score(picture) for name in ("whole", "broken")
    ]
    assert isinstance(scores[0], Score)
    assert isinstance(scores[1], Score)
    assert scores[0].value == scores[1].value
    metrics = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    assert (metrics["eval_held_n"], metrics["eval_held_n_unscored"]) == (12, 0)
    card = (tmp_path / "whole" / "model" / "README.md").read_text()
    assert "## Trained on" in card
    assert stages.read(str(tmp_path / "whole" / "model" / "stage.yaml")).name == "test"


def test_what_is_lost_is_written_down_and_too_much_of_it_stops(places: Path, tmp_path: Path) -> None:
    samples = write_set(tmp_path / "set", ratings(12, source="set"))
    (tmp_path / "set" / "set3.png").unlink()
    data = [{"samples": str(samples), "name": "set"}]
    done = run(stage(places, data=data, evaluate=[]), tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "samples could not be used" in done.stderr.splitlines()[-1]
    (lost,) = [json.loads(line) for line in (tmp_path / "out" / "lost-0.jsonl").read_text().splitlines()]
    assert (lost["id"], lost["reason"]) == ("set3", "not-found")


def test_bad_settings_are_one_line(places: Path, tmp_path: Path) -> None:
    done = run(stage(places, model=str(tmp_path / "nothing")), tmp_path / "out")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: no model ")


def test_agreement_counts_what_was_not_scored() -> None:
    nan = math.nan
    rows = np.array(
        [[1, 1, 0], [2, 2, 0], [3, 3, 0], [nan, 4, 0], [4, 1, 1], [3, 2, 1], [2, 3, 1], [nan, nan, nan]]
    )
    found = agreement(rows, ("x", "y"))
    assert found["x_srcc"] == pytest.approx(1)
    assert found["y_srcc"] == pytest.approx(-1)
    assert (found["x_n"], found["x_n_unscored"], found["y_n"], found["n_lost"]) == (3, 1, 3, 1)
    assert agreement(rows[:4], ("x", "y"))["srcc"] == pytest.approx(1)


def test_only_complete_checkpoints_are_resumed(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    for step in (4, 10, 9):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_text("12345")
        (folder / MARKER).write_text(json.dumps({"weights": 5}))
    (tmp_path / "checkpoint-10" / "weights").write_text("12")  # torn
    assert not is_complete(tmp_path / "checkpoint-10")
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-9"
    assert not (tmp_path / "checkpoint-10").exists()


def test_a_journal_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    class State:
        global_step, max_steps, is_world_process_zero = 2, 4, True

    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 3)]
    (tmp_path / FILE).write_text("\n".join(lines) + '\n{"step": 4, "lo')
    journal = Journal(tmp_path)
    journal.on_train_begin(None, State(), None)
    State.global_step = 3
    journal.on_log(None, State(), None, {"loss": 0.5, "epoch": 1.0})
    journal.on_log(None, State(), None, {"epoch": 1.0})
    records = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert records == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 1.0}, {"step": 3, "loss": 0.5}]
