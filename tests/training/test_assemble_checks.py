"""Before a run: losses that find nothing are refused; and whatever one sample does, the run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mllmqa.data.sample import Sample
from mllmqa.errors import DataError, MllmqaError, UsageError
from mllmqa.training import shown as shown_module
from mllmqa.training.assemble import Parts, assemble
from mllmqa.training.losses import IGNORED
from mllmqa.training.rows import Lost, Row
from mllmqa.training.shown import Shown
from tests.data.samples_made import said
from tests.training.training_made import kinds_of_samples, level_sample, opened, ratings, stage_of, write_set

PLAIN = {"answer": 1.0}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checks")
    write_set(root / "rated", ratings(5, source="rated"))
    write_set(root / "sure", ratings(4, source="sure", std=None))
    write_set(root / "kinds", kinds_of_samples())
    return root


def made(places: Path, folder: str = "kinds", family: str = "llava", **fields: Any) -> Parts:
    data = [{"samples": str(places / folder / "samples.jsonl"), **fields.pop("mix", {})}]
    found = opened(family, places / family)
    stage = stage_of(**{"data": data, "losses": PLAIN, **fields})
    return assemble(stage, found.model, found.processor, found.preset)


@pytest.mark.parametrize(
    ("losses", "folder", "why"),
    [
        (
            {"levels": 1.0},
            "sure",
            "the loss levels needs; expected an answer that tells a level, and probabilities",
        ),
        ({"emd": 1.0}, "sure", "the loss emd needs"),
        ({"fidelity": {"target": "continuous"}}, "sure", "the loss fidelity needs; .* with its deviation"),
        (
            {"answer": 1.0, "plcc": 0.1},
            "kinds",
            "the loss plcc needs; expected an answer that tells a level, and a mean",
        ),
    ],
)
def test_a_loss_that_no_sample_feeds_is_refused(losses: Any, folder: str, why: str, places: Path) -> None:
    mix = {"tasks": ["talk", "rate"]} if folder == "kinds" else {}
    with pytest.raises(DataError, match=f"test: no sample has what {why}.*leave the loss out"):
        made(places, folder, losses=losses, mix=mix)


def test_losses_that_are_fed_by_some_samples_are_fine(places: Path) -> None:
    losses = {"answer": 1.0, "levels": 1.0, "emd": 1.0, "fidelity": {"target": "continuous"}, "plcc": 1.0}
    assert made(places, losses=losses).objective is not None
    assert made(places, "sure", losses={"fidelity": 1.0, "ranking": 1.0, "distance": 1.0}).objective is not None


def test_an_evaluation_sees_each_sample_once_and_needs_opinions(places: Path) -> None:
    held = {"samples": str(places / "rated" / "samples.jsonl"), "name": "held", "weight": 3.0}
    rows = made(places, evaluate=[held]).evaluate["held"]
    assert sorted(rows[i][0].id for i in range(len(rows))) == [f"rated{i}" for i in range(5)]
    talk = {"samples": str(places / "kinds" / "samples.jsonl"), "tasks": ["talk"]}
    with pytest.raises(DataError, match=r"kinds/samples\.jsonl: no sample can be correlated; expected an answer"):
        made(places, evaluate=[talk])


def test_one_bad_level_sample_does_not_stop_the_search(places: Path, tmp_path: Path) -> None:
    odd = (said("user", "@A", "Rate it."), said("assistant", "It is what it is."))
    bad = level_sample("bad", 3.0).model_copy(update={"messages": odd})
    write_set(tmp_path / "mixed", [bad, level_sample("fine", 3.0)])
    parts = made(tmp_path, "mixed", losses={"answer": 1.0, "distance": 1.0})
    found = [parts.rows[i][0] for i in range(2)]
    assert {(one.id, isinstance(one, Lost)) for one in found} == {("bad", True), ("fine", False)}
    write_set(tmp_path / "none", [bad])
    with pytest.raises(DataError, match="sample bad: says 'fair' 0 times"):
        made(tmp_path, "none")


def test_views_that_a_video_input_cannot_take_are_refused_at_the_start(places: Path) -> None:
    with pytest.raises(UsageError, match="view tiles:2x2 cuts frames into parts"):
        made(places, family="qwen3_vl", view="tiles:2x2")
    assert made(places, "rated", "qwen3_vl", view="tiles:2x2").rows  # pictures it can
    assert made(places, family="llava", view="tiles:2x2").rows


# ---------------------------------------------------------------- one sample and the run


@pytest.mark.parametrize(("mix", "keys"), [({}, True), ({"tasks": ["talk"]}, False)])
def test_a_batch_that_is_lost_teaches_nothing(mix: Any, keys: bool, places: Path) -> None:
    parts = made(places, mix=mix)
    gone = Lost("gone", "set", "not-found", "gone.png: no such file")
    batch = parts.collator([[gone], [gone]])
    assert (batch["ids"], batch["lost"], batch["extra"], batch["slots"].tolist()) == ([], [gone, gone], 1, [-1, -1])
    assert ("pixel_values" in batch["inputs"]) == keys  # a text where the data are texts only
    assert (batch["labels"] == IGNORED).all()
    model = opened("llava", places / "llava").model
    seen = parts.objective.look(model, batch["inputs"], batch["targets"])
    found = parts.objective.parts(seen, batch["targets"])
    loss = parts.objective.step_loss(found, torch.tensor(parts.objective.items(batch["targets"])), 1, 1)
    assert loss.detach().item() == 0
    gradients = torch.autograd.grad(loss, [model.get_output_embeddings().weight])
    assert not gradients[0].any()


def test_a_picture_that_the_processor_refuses_is_one_lost_row(places: Path) -> None:
    """Qwen's processors raise on pictures that are far longer than wide."""
    parts = made(places, "rated", "qwen3_vl")
    fine, other = parts.rows[0][0], parts.rows[1][0]
    assert isinstance(other, Row)
    thin = replace(other, id="thin", shown=(Shown((np.zeros((16, 3400, 3), np.uint8),)),))
    batch = parts.collator([[fine], [thin]])
    assert batch["ids"] == [fine.id]
    (lost,) = batch["lost"]
    assert (lost.id, lost.reason) == ("thin", "inference")
    assert "sample thin: the model's processor refuses it (ValueError: " in lost.message


def test_a_surprise_of_a_decoder_is_one_lost_row(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = made(places, "rated")

    def broken(*_: Any) -> Any:
        raise ValueError("odd bytes")

    monkeypatch.setattr(shown_module, "show", broken)
    (lost,) = parts.rows[0]
    assert isinstance(lost, Lost)
    assert lost.reason == "media"
    assert "cannot be read (ValueError: odd bytes)" in lost.message


def test_a_mistake_in_the_stage_still_stops(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = made(places, "rated")

    def refuse(*_: Any) -> Any:
        raise UsageError("no such view")

    monkeypatch.setattr(shown_module, "show", refuse)
    with pytest.raises(MllmqaError, match="no such view"):
        parts.rows[0]


def test_pairs_that_were_drawn_and_lost_are_not_replaced_by_others(places: Path) -> None:
    parts = made(places, "rated", pairs=True, losses={"fidelity": 1.0})
    items = [[item[0], Lost("gone", "rated", "not-found", "gone")] for item in (parts.rows[0], parts.rows[1])]
    batch = parts.collator(items)
    model = opened("llava", places / "llava").model
    with torch.inference_mode():
        seen = parts.objective.look(model, batch["inputs"], batch["targets"])
        assert int(parts.objective.parts(seen, batch["targets"])["fidelity"].count) == 0
        whole = parts.collator([parts.rows[0], parts.rows[1]])
        seen = parts.objective.look(model, whole["inputs"], whole["targets"])
        assert int(parts.objective.parts(seen, whole["targets"])["fidelity"].count) == 2


def test_halves_of_a_step_have_the_gradient_of_the_whole(places: Path) -> None:
    """Answers of unequal length: the mean is over all tokens of the step, however they are spread."""
    samples: list[Sample] = kinds_of_samples()
    parts = made(places)
    model = opened("llava", places / "llava").model
    by_id = {item[0].id: item for item in (parts.rows[i] for i in range(len(samples)))}
    whole = [by_id[name] for name in ("A", "turns", "pair", "text")]

    def gradient(batches: list[Any]) -> torch.Tensor:
        made_of = [parts.collator(one) for one in batches]
        items = torch.tensor(sum(parts.objective.items(batch["targets"]) for batch in made_of))
        total = torch.zeros(())
        for batch in made_of:
            seen = parts.objective.look(model, batch["inputs"], batch["targets"])
            found = parts.objective.parts(seen, batch["targets"])
            total = total + parts.objective.step_loss(found, items, 1, len(batches))
        (result,) = torch.autograd.grad(total, [model.get_output_embeddings().weight])
        return result

    torch.testing.assert_close(gradient([whole[:1], whole[1:]]), gradient([whole]), atol=1e-6, rtol=1e-4)
