"""Every family in training: level logits as in scoring, labels, rows of mixed batches; the original's own step."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_labels import Labels, Level
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.hf import takes_clips
from mllmqa.prompts import Prompt, word_scale
from mllmqa.training.collate import Collator
from mllmqa.training.conversation import Writer
from mllmqa.training.losses import IGNORED
from mllmqa.training.mixture import Mixture, SampleSet
from mllmqa.training.objective import Objective
from mllmqa.training.opening import Opened, open_model
from mllmqa.training.rows import Row, Rows
from mllmqa.training.shown import Look
from mllmqa.training.stage import Losses, Mix
from tests.data.samples_made import mos, said
from tests.models.test_every_family import ORIGINALS, checkpoint
from tests.training.training_made import FAMILIES, kinds_of_samples, opened, stage_of, write_set

ALL = (*FAMILIES, *ORIGINALS, "vqa2_motion")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("families")


@cache
def model_of(family: str, places: Path) -> Opened:
    if family in FAMILIES:
        return opened(family, places / family)
    return open_model(stage_of(model=str(checkpoint(family, places)), precision="fp32"))


def samples_of(words: tuple[str, ...]) -> list[Sample]:
    """The five kinds, with a level of these words."""
    level, *others = kinds_of_samples()
    said_it = (level.messages[0], said("assistant", f"The quality of the image is {words[3]}."))
    label = Level(media="A", word=words[3], scale=words)
    labels = Labels(mos=(mos(2.0),), levels=(label,))
    return [level.model_copy(update={"messages": said_it, "labels": labels}), *others]


@cache
def made(family: str, places: Path) -> tuple[dict[str, Row], Collator, Writer]:
    """Rows by name, what makes batches of them, what wrote them."""
    found = model_of(family, places)
    words = word_scale(found.preset.words).words
    writer = Writer(found.processor, found.preset, None, False, words)
    look = Look.of(found.preset, takes_clips(found.model, found.processor), frames="uniform:4")
    path = places / "data" / words[0] / "samples.jsonl"
    if not path.exists():
        write_set(path.parent, samples_of(words))
    rows = Rows(Mixture([SampleSet(Mix(samples=str(path)))], seed=0), writer, look, 5)
    by_name = {item[0].id: item[0] for item in (rows[i] for i in range(5)) if isinstance(item[0], Row)}
    return by_name, Collator(found.processor, writer, ["clips", "set", "talk"], max_tokens=10**6), writer


def level_logits(family: str, places: Path, names: list[str]) -> dict[str, torch.Tensor]:
    """Logits of the level words (K,) by row, in one batch of these rows; and of all rows their answers' losses."""
    rows, collate, writer = made(family, places)
    batch = collate([[rows[name]] for name in names])
    assert batch["ids"] == names
    objective = Objective(Losses.model_validate({"answer": 1.0}), writer.level_ids, (5.0, 4.0, 3.0, 2.0, 1.0))
    with torch.inference_mode():
        seen = objective.look(model_of(family, places).model, batch["inputs"], batch["targets"])
    tokens = batch["targets"].tokens[:, 1:]
    log_p = seen.logits[:, :-1].float().log_softmax(2).gather(2, tokens.clamp(min=0)[..., None])[..., 0]
    each = {name: log_p[k][tokens[k] != IGNORED] for k, name in enumerate(names)}
    return each | {"level": seen.words[names.index("A")]} if "A" in names else each


@pytest.mark.parametrize("family", ALL)
def test_the_level_column_is_what_the_scorer_reads(family: str, places: Path) -> None:
    rows, _, writer = made(family, places)
    prompt = Prompt("test@1", "", "Rate the quality of this image.", "The quality of the image is")
    images = tuple(image for one in rows["A"].shown for image in one.images)
    (read,) = model_of(family, places).backend().level_logits([Request(prompt, images)], writer.words)
    assert isinstance(read, LevelLogits)
    names = ["A", "clip"] if family == "vqa2_motion" else ["clip", "A", "text"]
    trained = level_logits(family, places, names)["level"]
    np.testing.assert_allclose(trained.numpy(), read.logits, atol=3e-5)


@pytest.mark.parametrize("family", ALL)
def test_every_row_says_the_same_in_any_batch(family: str, places: Path) -> None:
    """A picture, a clip, two turns and a text alone, and beside one another."""
    names = ["turns", "clip", "A"] if family == "vqa2_motion" else ["text", "clip", "pair", "A", "turns"]
    whole = level_logits(family, places, names)
    for name in names:
        alone = level_logits(family, places, [name])
        torch.testing.assert_close(alone[name], whole[name], atol=5e-5, rtol=0)


@pytest.mark.parametrize("family", ALL)
def test_labels_are_the_answers_with_the_end_of_their_turn(family: str, places: Path) -> None:
    rows, collate, writer = made(family, places)
    batch = collate([[rows["A"]], [rows["clip"]], [rows["turns"]]])
    decode = model_of(family, places).processor.tokenizer.decode
    said_by_row = [decode([t for t in row.tolist() if t != IGNORED]).strip() for row in batch["labels"]]
    assert said_by_row[0] == f"The quality of the image is {writer.words[3]}.{writer._end}"
    assert said_by_row[1] == f"Yes, it flickers.{writer._end}"
    first, last = said_by_row[2].removesuffix(writer._end).split("blurred.")
    assert first == "No, it is "
    assert last.replace(writer._end, "").strip() == "Severely."


def test_vqa2_shows_its_motion_branch_every_frame(places: Path) -> None:
    """Key frames and all frames come from its processor; texts alone and pairs are what it cannot take."""
    rows, collate, _ = made("vqa2_motion", places)
    batch = collate([[rows["clip"]], [rows["A"]], [rows["pair"]], [rows["text"]]])
    assert batch["inputs"]["frame_counts"].tolist() == [[2, 4], [1, 4]]  # 2 of 4 frames are a second apart
    assert len(batch["inputs"]["pixel_values_motion"]) == 8
    assert [(one.id, one.reason) for one in batch["lost"]] == [("pair", "inference"), ("text", "inference")]


# ---------------------------------------------------------------- one step of the original mPLUG-Owl2


def step_batch() -> tuple[Any, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Model, batch, arrays and meta of the fixture; its texts go through our writer's and collator's way."""
    from tests.models.mplug_owl2.conftest import case, load

    found = case("train_labels_padded")
    rows = []
    for number, text in enumerate(found.meta["formatted_texts"]):
        answer = text[text.index("ASSISTANT:") + len("ASSISTANT:") :].removesuffix("</s>").strip()
        question = text[text.index("<|image|>") + len("<|image|>") : text.index(" ASSISTANT:")].strip()
        image = Medium(key="A", kind="image", path=f"{number}.png")
        messages = (said("user", "@A", question), said("assistant", answer))
        rows.append(Sample(id=str(number), media=(image,), messages=messages))
    return load(found.folder), {"samples": rows, "processor": found.processor}, found.arrays, found.meta


def test_one_step_is_the_originals() -> None:
    """Loss, labels and gradient norms of the published training code, from messages to gradients."""
    from mllmqa.models.presets import preset_named
    from mllmqa.training.shown import Shown
    from mllmqa.training.templates import load_template

    model, given, arrays, meta = step_batch()
    processor, words = given["processor"], word_scale("levels").words
    writer = Writer(processor, preset_named("one-align"), load_template("vicuna-v1"), True, words)
    grey = np.zeros((56, 56, 3), np.uint8)
    written = [writer.write(sample, {"A": ("image",)}) for sample in given["samples"]]
    assert [one.text for one in written] == meta["formatted_texts"]
    items = [[Row(str(k), "set", "", one, (Shown((grey,)),))] for k, one in enumerate(written)]
    batch = Collator(processor, writer, ["set"], max_tokens=2048)(items)
    np.testing.assert_array_equal(batch["labels"].numpy(), arrays["expanded_labels"])
    batch["inputs"]["pixel_values"] = torch.from_numpy(arrays["pixel_values"]).flatten(0, 1)
    objective = Objective(Losses.model_validate({"answer": 1.0}), None, (5.0, 4.0, 3.0, 2.0, 1.0))
    model.train()
    parts = objective.parts(objective.look(model, batch["inputs"], batch["targets"]), batch["targets"])
    loss = objective.step_loss(parts, torch.tensor(objective.items(batch["targets"])), processes=1, batches=1)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(float(arrays["loss"]), abs=5e-6)
    norms = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}
    assert norms.keys() == meta["grad_norms"].keys()
    for name, norm in norms.items():
        assert norm == pytest.approx(meta["grad_norms"][name], rel=2e-5, abs=1e-6), name


# ---------------------------------------------------------------- workers


def test_workers_and_copies_give_the_same_items(places: Path) -> None:
    rows, collate, writer = made("llava", places)
    path = places / "data" / "excellent" / "samples.jsonl"
    look = Look.of(model_of("llava", places).preset, False, view="random-crop:32", frames="uniform:2")
    mixture = Mixture([SampleSet(Mix(samples=str(path), weight=2.0))], seed=4)
    items = Rows(mixture, writer, look, 10)
    loaded = [list(DataLoader(items, batch_size=2, collate_fn=collate, num_workers=n)) for n in (0, 2)]
    copied = pickle.loads(pickle.dumps(items))  # noqa: S301 - our own; what `spawn` does
    loaded.append([collate([copied[2 * i], copied[2 * i + 1]]) for i in range(5)])
    for other in loaded[1:]:
        for a, b in zip(loaded[0], other, strict=True):
            assert a["ids"] == b["ids"]
            assert all(torch.equal(a["inputs"][key], b["inputs"][key]) for key in a["inputs"])
            assert torch.equal(a["labels"], b["labels"])
    assert len({name for batch in loaded[0] for name in batch["ids"]}) == len(rows)
