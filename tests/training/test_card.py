"""The card of a trained model: what people read, what machines read, what trains it again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mllmqa.models.base import ModelInfo
from mllmqa.training import card, stages
from mllmqa.training.assemble import describe_data
from tests.training.training_made import kinds_of_samples, ratings, stage_of, write_set

BASE = ModelInfo("base", "abc123", "w" * 64, None, "float32", "cpu", quantization="4bit")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("card") / "kinds", kinds_of_samples())


def written(folder: Path, data: Path, metrics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    stage = stage_of(data=[{"samples": str(data), "weight": 0.5}], paper="https://arxiv.org/abs/1", title="A test")
    card.write(folder, stage, BASE, describe_data(stage), metrics)
    assert stages.read(str(folder / "stage.yaml")) == stage
    record = json.loads((folder / "training.json").read_text())
    assert record["stage_sha256"] == stages.digest(stage)
    return (folder / "README.md").read_text(), record


def test_people_and_machines_read_the_same(data: Path, tmp_path: Path) -> None:
    metrics = {"eval_held_srcc": 0.81234, "eval_held_n": 20.0, "eval_held_n_unscored": 1.0, "eval_n_lost": 2.0}
    text, record = written(tmp_path, data, {**metrics, "eval_held_loss": 1.0, "eval_runtime": 3.0})
    assert text.startswith("---\nlibrary_name: mllmqa\n")
    for line in ("# A test", "Paper: https://arxiv.org/abs/1.", "- model: `base`", "- quantization: `4bit`"):
        assert line in text.splitlines()
    for line in ("- held_srcc: 0.8123", "- held_n: 20", "- held_n_unscored: 1", "- n_lost: 2"):
        assert line in text.splitlines()
    assert "runtime" not in text
    assert "settings_sha256" not in text  # not known
    assert record["base"]["revision"] == "abc123"
    assert record["metrics"]["eval_held_loss"] == 1.0
    assert record["versions"]["torch"]
    (one,) = record["data"]
    assert (one["n"], one["weight"], one["tasks"]["level"]) == (5, 0.5, 1)
    assert (
        f"| 5 | 0.5 | level 1, rate 1, talk 1, yes_no 1, yes_no+how 1 | clips, set, talk | `{one['sha256'][:16]}` |"
        in text
    )


def test_what_is_not_defined_is_no_number(data: Path, tmp_path: Path) -> None:
    """A correlation of equal scores is NaN, which is no JSON."""
    text, record = written(
        tmp_path, data, {"eval_held_srcc": math.nan, "eval_held_plcc": math.inf, "eval_held_n": 2.0}
    )
    assert "- held_srcc: not defined" in text
    assert (record["metrics"]["eval_held_srcc"], record["metrics"]["eval_held_plcc"]) == (None, None)
    assert "NaN" not in (tmp_path / "training.json").read_text()


def test_without_an_evaluation_it_says_so(data: Path, tmp_path: Path) -> None:
    text, record = written(tmp_path, data, {})
    assert "Not evaluated: the stage names no `evaluate`." in text
    assert record["metrics"] == {}


def test_thousands_of_sources_and_odd_names_do_not_break_the_table(tmp_path: Path) -> None:
    samples = [s for k in range(10) for s in ratings(1, source=f"photo{k}")]
    path = write_set(tmp_path / "a|b", samples)
    text, record = written(tmp_path, path, {})
    assert ", photo7, 2 more |" in text
    assert len(record["data"][0]["sources"]) == 10
    (row,) = (line for line in text.splitlines() if "photo7" in line)
    assert "a\\|b" in row
    assert row.replace("\\|", "").count("|") == 7
