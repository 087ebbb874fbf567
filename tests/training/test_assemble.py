"""From a stage to data and losses: lengths in whole steps, level tokens, teachers, companions, the card's data."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from mllmqa.errors import DataError
from mllmqa.training.assemble import Parts, assemble, describe_data, items_of, read_teacher
from mllmqa.training.card import text
from tests.conftest import Run
from tests.data.samples_made import WORDS
from tests.training.training_made import kinds_of_samples, opened, ratings, stage_of, write_set


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("assemble")
    write_set(root / "a", ratings(6, source="a"))
    write_set(root / "kinds", kinds_of_samples())
    return root


def made(places: Path, family: str = "llava", processes: int = 1, **fields: Any) -> Parts:
    given = {"data": [{"samples": str(places / "a" / "samples.jsonl")}], **fields}
    found = opened(family, places / family)
    return assemble(stage_of(**given), found.model, found.processor, found.preset, processes=processes)


def test_items_fill_whole_steps() -> None:
    stage = stage_of(batch=2, accumulate=3, epochs=1.5)
    assert items_of(stage, epoch=20, processes=1) == 30
    assert items_of(stage, epoch=21, processes=1) == 36
    assert items_of(stage, epoch=21, processes=2) == 36
    assert items_of(stage, epoch=1, processes=4) == 24


def test_a_stage_becomes_data_and_losses(places: Path) -> None:
    held = [{"samples": str(places / "a" / "samples.jsonl"), "name": "held"}]
    parts = made(places, evaluate=held, batch=4)
    assert len(parts.rows) == 8
    assert parts.sources == ("a", "held")
    assert len(parts.evaluate["held"]) == 6
    batch = parts.collator([parts.rows[i] for i in range(4)])
    assert (batch["targets"].level >= 0).all()
    assert batch["extra"] == 0


@pytest.mark.parametrize(("family", "kinds"), [("llava", 1), ("qwen3_vl", 2)])
def test_processes_of_a_run_stay_in_step(places: Path, family: str, kinds: int) -> None:
    data = [{"samples": str(places / "kinds" / "samples.jsonl"), "tasks": ["talk", "yes_no", "rate"]}]
    parts = made(places, family, processes=2, data=data)
    items = [parts.rows[i] for i in range(len(parts.rows))]
    text_only = next(item for item in items if item[0].id == "text")
    assert parts.collator([text_only])["extra"] == kinds
    assert made(places, family, processes=1, data=data).collator([text_only])["extra"] == 0


def test_what_is_missing_is_named(places: Path) -> None:
    with pytest.raises(DataError, match=r"the stage names no data.*data=FILE"):
        made(places, data=[])
    twice = [{"samples": str(places / "a" / "samples.jsonl")}] * 2
    with pytest.raises(DataError, match="two sets of `evaluate` are called 'a'"):
        made(places, evaluate=twice)


def test_a_teachers_results_are_those_of_score(places: Path, run: Run, tmp_path: Path) -> None:
    picture, out = places / "a" / "a0.png", tmp_path / "scores.jsonl"
    assert run("score", "--device", "cpu", "--jsonl", out, picture).code == 0
    found = read_teacher(out, WORDS)
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    assert list(found) == [digest]
    assert sum(found[digest]) == pytest.approx(1)
    with pytest.raises(DataError, match="was scored with excellent, good"):
        read_teacher(out, ("high", "low"))
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text("")
    with pytest.raises(DataError, match="holds no scored record"):
        read_teacher(nothing, WORDS)


def test_the_card_tells_model_data_and_figures(places: Path) -> None:
    stage = stage_of(data=[{"samples": str(places / "kinds" / "samples.jsonl"), "weight": 2}], paper="P, 2026")
    (data,) = describe_data(stage)
    assert data["sha256"] == hashlib.sha256((places / "kinds" / "samples.jsonl").read_bytes()).hexdigest()
    assert (data["n"], data["weight"], data["tasks"]["level"]) == (5, 2, 1)
    record = {
        "mllmqa_version": "1.2", "base": {"model": "base", "revision": None}, "data": [data],
        "metrics": {"eval_held_srcc": 0.51234, "eval_held_n": 7.0, "eval_held_n_unscored": 1.0,
                    "eval_held_loss": 3.0},
    }  # fmt: skip
    shown = text(stage, record)
    assert "- model: `base`" in shown
    assert "revision" not in shown
    assert "- held_srcc: 0.5123" in shown
    assert "- held_n: 7" in shown
    assert "- held_n_unscored: 1" in shown
    assert "held_loss" not in shown
    assert "level 1" in shown
    assert "Paper: P, 2026." in shown
    assert "Not evaluated" in text(stage, {**record, "metrics": {}})
