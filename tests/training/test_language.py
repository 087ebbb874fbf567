"""The language stage: batches are what the plan says, and its losses are those of the whole model by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mllmqa import prompts
from mllmqa.models.nano import build
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.vision import NanoVisionModel
from mllmqa.training import losses
from mllmqa.training.features import Features
from mllmqa.training.language import LanguageBatch, LanguageBatches, LanguagePlan, language_losses, level_ids

WORDS = [level.word for level in sorted(prompts.level_scale().levels, key=lambda level: level.value)]
SCORES = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
TEXTS = [("How good is it?", "It is"), ("Rate the quality of this picture.", "The quality of the image is")]
PHOTOS, GRID, GLOBAL, WIDTH, SIDE = 6, 2, 2, 16, 64
TOKENS = GRID**2 + GLOBAL
DECODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
DECODER |= {"intermediate_size": 32, "max_position_embeddings": 256}
PLAN = LanguagePlan(
    texts=TEXTS, text_shares=[0.5, 0.5], words=WORDS, scores=SCORES, rows=4, tile_shares=[0.5, 0.3, 0.2],
    distorted_share=0.25, teacher_share=0.4, opinion_sigma=0.6, seed=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def tower() -> NanoVisionModel:
    torch.manual_seed(0)
    config = NanoVisionConfig(
        hidden_size=WIDTH, stage_channels=[8, 8, 8, 8], stage_depths=[0, 1, 1, 1], learned_channels=4,
        global_tokens=GLOBAL, patch_grid=GRID, image_size=SIDE,
    )  # fmt: skip
    return NanoVisionModel(config).eval()


@pytest.fixture(scope="module")
def built(tower: NanoVisionModel) -> tuple[Any, Any]:
    tokenizer = build.build_tokenizer([f"{q} {a}" for q, a in TEXTS] * 20, WORDS, 400)
    torch.manual_seed(1)
    model = build.build_model(tower, tokenizer, DECODER).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():  # answers must depend on the picture: larger weights
            if "vision_tower" not in name and weight.ndim > 1:
                weight.mul_(8)
    return model, build.build_processor(tokenizer, tower.config)


def features(seed: int, photos: int = PHOTOS) -> Features:
    rng = np.random.default_rng(seed)
    teacher = rng.dirichlet(np.ones(5), photos).astype(np.float32)
    return Features(rng.normal(size=(photos, TOKENS, WIDTH)).astype(np.float16), teacher)


VIEWS = {"full": features(0), "crop": features(1), "distorted": features(2, 3)}
LEVELS = np.linspace(1.2, 4.8, PHOTOS).astype(np.float32)


def batches(built: tuple[Any, Any], **changes: Any) -> LanguageBatches:
    return LanguageBatches(replace(PLAN, **changes), built[1], VIEWS, LEVELS)


def drawn(batch: LanguageBatch, name: str) -> list[list[int]]:
    """Which photos of a view the tiles of each row are; -1 for another view."""
    known = VIEWS[name].tokens.astype(np.float32)
    found = []
    for row in batch.tokens.numpy():
        equal = [np.flatnonzero((known == tile).all(axis=(1, 2))) for tile in row]
        found.append([int(places[0]) if len(places) else -1 for places in equal])
    return found


# ------------------------------------------------------------------ batches


def test_a_batch_depends_on_its_index_and_seed_alone(built: tuple[Any, Any]) -> None:
    data = batches(built)
    forwards = [data(i) for i in range(6)]
    backwards = [batches(built)(i) for i in reversed(range(6))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        for field in ("ids", "tokens", "target"):
            assert torch.equal(getattr(one, field), getattr(other, field))
    other_seed = [batches(built, seed=6)(i) for i in range(6)]
    assert any(a.tokens.shape != b.tokens.shape or not torch.equal(a.tokens, b.tokens) for a, b in zip(
        forwards, other_seed, strict=True))  # fmt: skip


def test_ids_are_the_prompt_the_word_and_the_end(built: tuple[Any, Any]) -> None:
    data, tokenizer = batches(built), built[1].tokenizer
    image = tokenizer.convert_tokens_to_ids("<image>")
    for index in range(12):
        batch = data(index)
        tiles = batch.tokens.shape[1]
        assert batch.tokens.shape == (4, tiles, TOKENS, WIDTH)
        assert ((batch.ids == image).sum(1) == tiles * TOKENS).all()
        assert (batch.ids[:, 0] == tokenizer.bos_token_id).all()
        assert (batch.ids[:, -1] == tokenizer.eos_token_id).all()
        assert set(batch.ids[:, -3].tolist()) <= set(data.words.tolist())
        text = tokenizer.decode(batch.ids[0]).replace("<image>", "")
        question, answer = TEXTS[0] if TEXTS[0][0] in text else TEXTS[1]
        word = WORDS[data.words.tolist().index(int(batch.ids[0, -3]))]
        assert text == f"<s>USER: \n{question} ASSISTANT: {answer} {word}.</s>"
        said = tokenizer.decode(batch.ids[0, -batch.answer_length :])
        assert said == f" {answer} {word}.</s>"


def test_the_prompt_is_the_one_that_the_processor_makes_of_pixels(built: tuple[Any, Any]) -> None:
    """Training and scoring must see the same ids, or the model is trained for a prompt that never comes."""
    data = batches(built, tile_shares=[0, 1.0], texts=TEXTS[:1], text_shares=[1.0])
    batch = data(0)
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": TEXTS[0][0]}]
    chat = built[1].apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    tile = np.zeros((SIDE, SIDE, 3), np.uint8)
    seen = built[1](text=chat, images=[tile, tile], return_tensors="pt")["input_ids"][0]
    assert batch.ids[0, : -batch.answer_length].tolist() == seen.tolist()


def test_words_follow_the_target(built: tuple[Any, Any]) -> None:
    """The mean of the drawn words is the mean of the targets, over many rows."""
    data = batches(built, rows=64, tile_shares=[1.0])
    asked, said = [], []
    for index in range(40):
        batch = data(index)
        asked.append(float((batch.target @ SCORES).mean()))
        values = [data.words.tolist().index(int(i)) + 1 for i in batch.ids[:, -3]]
        said.append(float(np.mean(values)))
    assert np.mean(said) == pytest.approx(np.mean(asked), abs=0.1)
    assert np.mean(np.abs(np.array(said) - asked)) > 1e-3  # drawn, not rounded


def test_targets_mix_people_and_teacher_by_the_stated_share(built: tuple[Any, Any]) -> None:
    alone = {"tile_shares": [1.0], "distorted_share": 0.0}
    human = batches(built, teacher_share=0.0, **alone)
    mixed = batches(built, teacher_share=0.4, **alone)
    taught = batches(built, teacher_share=1.0, **alone)
    for index in range(5):
        people, both, teacher = human(index).target, mixed(index).target, taught(index).target
        assert torch.allclose(both, 0.4 * teacher + 0.6 * people, atol=1e-6)
        assert torch.allclose(both.sum(1), torch.ones(4), atol=1e-5)
        photos = [max(pair) for pair in zip(*[[row[0] for row in drawn(human(index), v)] for v in ("full", "crop")],
                                            strict=True)]  # fmt: skip
        expected = losses.soft_levels(torch.from_numpy(LEVELS[photos]), 0.6, SCORES)
        assert torch.allclose(people, expected, atol=1e-6)


def test_distorted_batches_ask_the_teacher_alone(built: tuple[Any, Any]) -> None:
    data = batches(built, distorted_share=1.0, tile_shares=[0.5, 0.5])
    for index in range(6):
        batch = data(index)
        photos = drawn(batch, "distorted")
        assert min(min(row) for row in photos) >= 0
        assert all(len(set(row)) == 1 for row in photos)  # the tiles of a row are of one photo
        expected = VIEWS["distorted"].teacher[[row[0] for row in photos]]
        assert np.allclose(batch.target.numpy(), expected, atol=1e-6)


def test_shares_are_those_of_the_plan(built: tuple[Any, Any]) -> None:
    data = batches(built)
    found = [data(i) for i in range(300)]
    tiles = Counter(batch.tokens.shape[1] for batch in found)
    assert {n: tiles[n] / 300 for n in (1, 2, 3)} == pytest.approx({1: 0.5, 2: 0.3, 3: 0.2}, abs=0.09)
    distorted = [max(max(row) for row in drawn(batch, "distorted")) >= 0 for batch in found]
    assert np.mean(distorted) == pytest.approx(0.25, abs=0.08)
    texts = Counter(batch.answer_length for batch in found)
    assert len(texts) == 2
    assert max(texts.values()) / 300 == pytest.approx(0.5, abs=0.1)


# ------------------------------------------------------------------ losses


def logits_of_answer(model: Any, batch: LanguageBatch) -> torch.Tensor:
    """Row by row, without `logits_to_keep`: the slow way to the same numbers."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    rows = []
    for ids, tokens in zip(batch.ids, batch.tokens, strict=True):
        seen = BaseModelOutputWithPooling(pooler_output=list(model.model.multi_modal_projector(tokens)))
        logits = model(input_ids=ids[None], mm_encoder_outputs={"image": seen}).logits[0]
        rows.append(logits[-batch.answer_length - 1 : -1])
    return torch.stack(rows)


@pytest.mark.parametrize("index", range(4))
def test_losses_by_hand(built: tuple[Any, Any], index: int) -> None:
    model, batch = built[0], batches(built)(index)
    words = level_ids(built[1].tokenizer, WORDS)
    with torch.inference_mode():
        got = language_losses(model, batch, words, SCORES)
        logits = logits_of_answer(model, batch)
    n = batch.answer_length
    log_p = torch.log_softmax(logits.double(), dim=2)
    at_word = log_p[:, n - 3, words]
    assert float(got["levels"]) == pytest.approx(float(-(batch.target * at_word).sum(1).mean()), rel=1e-4)
    closed = at_word.softmax(1)
    score, wanted = (closed * SCORES).sum(1), batch.target @ SCORES
    assert float(got["distance"]) == pytest.approx(float(F.smooth_l1_loss(score, wanted, beta=0.5)), rel=1e-3)
    assert float(got["plcc"]) == pytest.approx(1 - np.corrcoef(score, wanted)[0, 1], abs=1e-3)
    others = [i for i in range(n) if i != n - 3]
    spoken = [log_p[r, i, int(batch.ids[r, i - n])] for r in range(len(batch.ids)) for i in others]
    assert float(got["sentence"]) == pytest.approx(-float(np.mean(spoken)), rel=1e-4)
    closed_entropy = -(batch.target * at_word.log_softmax(1)).sum(1)
    coverage = losses.coverage(logits[:, n - 3], words).log()
    assert float(got["levels"]) == pytest.approx(float((closed_entropy - coverage).mean()), rel=1e-3)


def test_cached_features_give_what_pixels_give(built: tuple[Any, Any], tower: NanoVisionModel) -> None:
    """The language model must see the same through the cache as through `pixel_values`."""
    model = built[0]
    pixels = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.inference_mode():
        tokens = tower(pixels).last_hidden_state
        batch = batches(built, tile_shares=[1.0])(0)
        cached = logits_of_answer(model, replace(batch, tokens=tokens[:, None]))
        whole = model(input_ids=batch.ids, pixel_values=pixels).logits[:, -batch.answer_length - 1 : -1]
        assert torch.allclose(cached, whole, atol=1e-4)
        other = model(input_ids=batch.ids, pixel_values=-pixels).logits[:, -batch.answer_length - 1 : -1]
        assert float((other - whole).abs().max()) > 1e-2  # the check can fail


def test_gradients_reach_projector_and_decoder_but_no_frozen_tower(built: tuple[Any, Any]) -> None:
    model = built[0]
    model.model.vision_tower.requires_grad_(False)
    words = level_ids(built[1].tokenizer, WORDS)
    model.zero_grad()
    torch.stack(list(language_losses(model, batches(built)(0), words, SCORES).values())).sum().backward()
    missing = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert missing == []
    assert all(p.grad is None for p in model.model.vision_tower.parameters())
    assert float(model.model.multi_modal_projector.linear_1.weight.grad.abs().max()) > 0
    model.model.vision_tower.requires_grad_(True)
    model.zero_grad()


def test_the_losses_can_be_learnt(built: tuple[Any, Any]) -> None:
    """Some steps on one batch: the words of the answer become likely, and their level as well."""
    model, words, batch = built[0], level_ids(built[1].tokenizer, WORDS), batches(built, rows=6)(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.Adam([p for n, p in model.named_parameters() if "vision" not in n], lr=5e-3)
    history = []
    for _ in range(25):
        parts = language_losses(model, batch, words, SCORES)
        history.append({name: float(value.detach()) for name, value in parts.items()})
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        optimizer.step()
    model.load_state_dict(before)
    assert history[-1]["levels"] < 0.7 * history[0]["levels"]
    assert history[-1]["sentence"] < 0.5 * history[0]["sentence"]


def test_level_ids_are_the_words_in_order(built: tuple[Any, Any]) -> None:
    tokenizer = built[1].tokenizer
    assert [tokenizer.decode([int(i)]) for i in level_ids(tokenizer, WORDS)] == [f" {word}" for word in WORDS]
    assert WORDS[0] == "bad"
