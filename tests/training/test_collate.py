"""A batch: its losses are those of the model itself, a row is the same in any batch, lost rows are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mllmqa.errors import InferenceError
from mllmqa.models.hf import takes_clips
from mllmqa.prompts import level_scale
from mllmqa.training.collate import Collator, companion
from mllmqa.training.conversation import Writer
from mllmqa.training.losses import IGNORED
from mllmqa.training.mixture import Mixture, SampleSet
from mllmqa.training.objective import Objective
from mllmqa.training.rows import Lost, Row, Rows
from mllmqa.training.shown import Look
from mllmqa.training.stage import Answer, Losses, Mix
from tests.training.training_made import FAMILIES, kinds_of_samples, opened, write_set

Item = list[Row | Lost]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("collate")
    write_set(root / "kinds", kinds_of_samples())
    return root


def parts(family: str, places: Path) -> tuple[Writer, Look, Rows]:
    """Writer, look and the five samples in the order of the file."""
    found = opened(family, places / family)
    writer = Writer(found.processor, found.preset, None, False, level_scale().words)
    look = Look.of(found.preset, takes_clips(found.model, found.processor), frames="uniform:4")
    mixture = Mixture([SampleSet(Mix(samples=str(places / "kinds" / "samples.jsonl")))], seed=0)
    return writer, look, Rows(mixture, writer, look, 5)


def items(family: str, places: Path) -> list[Item]:
    rows = parts(family, places)[2]
    found = [rows[i] for i in range(5)]
    order = ["A", "turns", "pair", "clip", "text"]
    return sorted(found, key=lambda item: order.index(item[0].id))


def collator(family: str, places: Path, **more: Any) -> Collator:
    writer, _, _ = parts(family, places)
    how = {"max_tokens": 100_000, **more}
    return Collator(opened(family, places / family).processor, writer, ["clips", "set", "talk"], **how)


def answer_loss(family: str, places: Path, batch: dict[str, Any]) -> torch.Tensor:
    objective = Objective(Losses(answer=Answer()), None, level_scale().values)
    with torch.inference_mode():
        seen = objective.look(opened(family, places / family).model, batch["inputs"], batch["targets"])
        return objective.parts(seen, batch["targets"])["answer"].value


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_loss_is_the_models_own(family: str, places: Path) -> None:
    """A picture, two turns, a pair, a clip and a text without media in one batch."""
    batch = collator(family, places)(items(family, places))
    assert batch["ids"] == ["A", "turns", "pair", "clip", "text"]
    with torch.inference_mode():
        own = opened(family, places / family).model(**batch["inputs"], labels=batch["labels"], use_cache=False).loss
    assert float(answer_loss(family, places, batch)) == pytest.approx(float(own), abs=2e-5)
    assert batch["targets"].level.tolist()[0] >= 0
    assert batch["targets"].level.tolist()[1:] == [-1] * 4
    assert torch.equal((batch["labels"] != IGNORED).sum(1), (batch["targets"].tokens != IGNORED).sum(1))


@pytest.mark.parametrize("family", ["llava", "qwen3_vl", "mplug_owl2", "internvl"])
def test_a_row_is_the_same_in_any_batch(family: str, places: Path) -> None:
    whole = items(family, places)
    make = collator(family, places)
    alone = [answer_loss(family, places, make([item])) for item in whole]
    batch = make(whole)
    counts = (batch["targets"].tokens != IGNORED).sum(1)
    mean = sum(loss * n for loss, n in zip(alone, counts, strict=True)) / counts.sum()
    assert float(answer_loss(family, places, batch)) == pytest.approx(float(mean), abs=2e-5)


@pytest.mark.parametrize("family", ["llava", "mplug_owl2", "qwen2_5_vl"])
def test_the_level_is_read_where_scoring_reads_it(family: str, places: Path) -> None:
    """Logits of the level words in training are those of the same prompt in scoring."""
    batch = collator(family, places)(items(family, places))
    model = opened(family, places / family).model
    writer, _, _ = parts(family, places)
    writer.write(kinds_of_samples()[0], {"A": ("image",)})
    objective = Objective(Losses(answer=Answer()), writer.level_ids, level_scale().values)
    with torch.inference_mode():
        seen = objective.look(model, batch["inputs"], batch["targets"])
        n = int(batch["inputs"]["attention_mask"][0].sum())
        cut = items(family, places)[0][0]
        assert isinstance(cut, Row)
        until = n - (cut.written.level or 0)
        one = collator(family, places)([[cut]])["inputs"]
        per_token = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")
        short = {k: v[:, :until] if k in per_token else v for k, v in one.items()}
        last = model(**short, use_cache=False).logits[0, -1]
    assert torch.allclose(seen.words[0], last[list(writer.level_ids or ())].float(), atol=2e-5)


def test_lost_and_long_rows_are_told_and_the_batch_goes_on(places: Path) -> None:
    whole = items("llava", places)
    gone = Lost("gone", "set", "media-not-found", "gone.png: no such file")
    lengths = collator("llava", places)(whole)["inputs"]["attention_mask"].sum(1)
    limit = int(lengths[0])  # of the sample with a level
    batch = collator("llava", places, max_tokens=limit)([[gone], *whole])
    kept = [name for name, n in zip(("A", "turns", "pair", "clip", "text"), lengths, strict=True) if n <= limit]
    assert batch["ids"] == kept
    assert 0 < len(kept) < 5
    assert (batch["lost"][0].id, batch["lost"][0].reason) == ("gone", "media-not-found")
    assert {one.reason for one in batch["lost"][1:]} == {"too-long"}
    assert len(batch["lost"]) == 6 - len(kept)
    assert batch["slots"].tolist().count(-1) == 6 - len(kept)
    with pytest.raises(InferenceError, match=r"no sample of a batch can be used; the first: gone\.png"):
        collator("llava", places)([[gone]])


def test_a_pair_counts_only_if_both_are_there(places: Path) -> None:
    a, b = items("llava", places)[0][0], items("llava", places)[2][0]
    gone = Lost("gone", "set", "data", "why")
    batch = collator("llava", places)([[a, b], [a, gone], [b, a]])
    assert batch["targets"].pairs.tolist() == [[0, 1], [3, 4]]
    assert batch["slots"].tolist() == [0, 2, 3]


@pytest.mark.parametrize("family", ["llava", "qwen3_vl"])
def test_companions_keep_processes_in_step_and_teach_nothing(family: str, places: Path) -> None:
    writer, look, _ = parts(family, places)
    kinds = ("image", "video") if look.native else ("image",)
    make = collator(family, places, companions=[companion(kind, writer, look) for kind in kinds])
    text = items(family, places)[4]
    batch = make([text])
    assert batch["extra"] == len(kinds)
    assert batch["ids"] == ["text"]
    assert (batch["labels"][1:] == IGNORED).all()
    keys = {"pixel_values", "pixel_values_videos"} if look.native else {"pixel_values"}
    assert keys <= batch["inputs"].keys()
    plain = collator(family, places)([text])
    losses = [float(answer_loss(family, places, one)) for one in (batch, plain)]
    assert losses[0] == pytest.approx(losses[1], abs=2e-5)
    assert make([items(family, places)[0]])["extra"] == len(kinds) - 1


def test_clips_of_unequal_length_cannot_share_a_batch_everywhere(places: Path) -> None:
    row = items("llava_onevision", places)[3][0]
    assert isinstance(row, Row)
    clip = row.shown[0]
    assert clip.clip is not None
    short = type(clip)(clip.images[:2], type(clip.clip)(clip.clip.timestamps_s[:2], clip.clip.duration_s))
    other = type(row)(**{**row.__dict__, "id": "short", "shown": (short,)})
    batch = collator("llava_onevision", places)([[other], [row], [row]])
    assert batch["ids"] == ["clip", "clip"]  # what most of the batch has
    assert batch["slots"].tolist() == [-1, 0, 1]
    ((lost,), message) = batch["lost"], batch["lost"][0].message
    assert (lost.id, lost.reason) == ("short", "uneven")
    assert "most of its batch have (4, 3, 24, 24)" in message
    assert "uniform:8" in message
    alone = collator("llava_onevision", places)([[other]])
    assert (alone["ids"], alone["lost"]) == (["short"], [])


def test_targets_keep_their_precision_when_moved(places: Path) -> None:
    targets = collator("llava", places)(items("llava", places))["targets"].to("cpu", non_blocking=True)
    assert targets.mean.dtype == torch.float64
    assert targets.mean[0] == 4.2
    assert targets.std[0] == pytest.approx(0.5)
    assert targets.mean[1:].isnan().all()
    assert targets.soft[0].tolist() == [0.1, 0.6, 0.2, 0.1, 0.0]
    assert targets.sets.tolist() == [1, 1, 1, 0, 2]
