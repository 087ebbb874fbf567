"""The embedded model: what ships loads through stock classes, answers in words, and never depends on its batch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from mllmqa import prompts
from mllmqa.errors import MllmqaError, ModelLoadError
from mllmqa.levels import distribution
from mllmqa.models import nano
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.load import load_backend
from mllmqa.models.nano import build
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.vision import NanoVisionModel, dct_filters
from mllmqa.models.presets import resolve
from tests.conftest import photo_pixels

WORDS = prompts.level_scale().words
PROMPT = prompts.render(prompts.load("score/quality"), medium="image")


@pytest.fixture(scope="module")
def backend() -> Any:
    return load_backend(resolve("nano"), device="cpu")


@pytest.fixture(scope="module")
def tower(backend: Any) -> NanoVisionModel:
    return backend.model.model.vision_tower


def tile(seed: int = 0) -> np.ndarray:
    return photo_pixels(512, 512, seed)


def answers(backend: Any, *tiles: tuple[np.ndarray, ...]) -> list[LevelLogits]:
    found = backend.level_logits([Request(PROMPT, images) for images in tiles], WORDS)
    assert not any(isinstance(one, MllmqaError) for one in found), found
    return found


def value(backend: Any, *images: np.ndarray) -> float:
    one = answers(backend, images)[0]
    return distribution(one.logits, one.log_z, prompts.level_scale()).value


# ------------------------------------------------------------------ what ships


def test_the_shipped_folder_is_small_and_safe() -> None:
    files = [path for path in nano.weights_folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 25_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".jinja", ".md"}
    assert (nano.weights_folder() / "README.md").is_file()


def test_missing_weights_are_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ModelLoadError, match="weights are missing"):
        nano.weights_folder()


def test_stock_classes_load_every_weight_as_float32() -> None:
    from transformers import (
        AutoModelForImageTextToText,
        AutoProcessor,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    nano.register()
    nano.register()  # any number of times
    model, loading = AutoModelForImageTextToText.from_pretrained(nano.weights_folder(), output_loading_info=True)
    assert type(model) is LlavaForConditionalGeneration
    assert type(model.model.vision_tower) is NanoVisionModel
    assert model.dtype == torch.float32
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert torch.equal(model.model.vision_tower.stem.dct, dct_filters())  # not stored, rebuilt
    assert type(AutoProcessor.from_pretrained(nano.weights_folder(), backend="pil")) is LlavaProcessor


def test_saving_again_gives_the_same_answers(backend: Any, tmp_path: Path) -> None:
    build.save(backend.model, backend.processor, tmp_path)
    again = load_backend(resolve(str(tmp_path)), device="cpu")
    first, second = answers(backend, (tile(),))[0], answers(again, (tile(),))[0]
    assert np.array_equal(first.logits, second.logits)
    assert again.info.weights_sha256 == backend.info.weights_sha256
    assert again.preset.name == "nano"


# ------------------------------------------------------------------ tokenizer and prompt


def test_level_words_are_single_tokens(backend: Any) -> None:
    tokenizer = backend.processor.tokenizer
    ids = [tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in WORDS]
    assert all(len(one) == 1 for one in ids)
    assert len({one[0] for one in ids}) == len(WORDS)
    backend.check_words(PROMPT, WORDS)


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_survives_the_tokenizer(backend: Any, text: str) -> None:
    tokenizer = backend.processor.tokenizer
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_token is None


def test_the_chat_template(backend: Any) -> None:
    user = {"role": "user", "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Why?"}]}
    chat = backend.processor.apply_chat_template
    assert chat([user], add_generation_prompt=True) == "USER: <image><image>\nWhy? ASSISTANT:"
    told = {"role": "assistant", "content": "It is blurred."}
    assert chat([user, told]) == "USER: <image><image>\nWhy? ASSISTANT: It is blurred.</s>"
    listed = {"role": "assistant", "content": [{"type": "text", "text": "It is blurred."}]}
    assert chat([user, listed]) == chat([user, told])


def test_pixels_are_not_resized_or_cropped(backend: Any) -> None:
    pixels = tile()
    got = backend.processor(text="<image>", images=[pixels], return_tensors="pt")["pixel_values"]
    assert got.shape == (1, 3, 512, 512)
    expected = torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1
    assert float((got[0] - expected).abs().max()) < 1e-6


# ------------------------------------------------------------------ the tower


def test_dct_filters_are_an_orthonormal_basis() -> None:
    flat = dct_filters().reshape(64, 64).double()
    assert torch.allclose(flat @ flat.T, torch.eye(64, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(flat[0], torch.full((64,), 1 / 8, dtype=torch.float64))


@pytest.mark.parametrize("size", [(512, 512), (511, 513), (97, 33), (8, 8), (7, 300), (1, 1)])
def test_any_size_gives_the_same_tokens_shape(tower: NanoVisionModel, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        out = tower(torch.zeros(2, 3, *size))
    assert out.last_hidden_state.shape == (2, 18, 256)
    assert out.pooler_output.shape == (2, 512)
    assert len(out.hidden_states) == 1
    assert bool(out.last_hidden_state.isfinite().all())


def test_a_row_of_the_tower_does_not_depend_on_its_batch(tower: NanoVisionModel) -> None:
    pixels = torch.from_numpy(np.stack([tile(seed) for seed in range(3)])).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        together = tower(pixels).last_hidden_state
        alone = torch.cat([tower(one[None]).last_hidden_state for one in pixels])
    assert float((together - alone).abs().max()) < 1e-4
    assert float((together[0] - together[1]).abs().max()) > 1e-2  # the check can fail


def test_gradients_reach_every_weight() -> None:
    config = NanoVisionConfig(stage_channels=[8, 8, 8, 8], stage_depths=[1, 1, 1, 1], hidden_size=16)
    model = NanoVisionModel(config)
    model(torch.randn(2, 3, 64, 64)).last_hidden_state.square().sum().backward()
    assert not [name for name, weight in model.named_parameters() if weight.grad is None]


# ------------------------------------------------------------------ answers


def test_a_prompt_alone_equals_itself_in_a_batch_padded_on_either_side(backend: Any) -> None:
    """One tile beside three: the shorter prompt is padded, and neither answer may move."""
    processor, model = backend.processor, backend.model
    one, three = (tile(0),), (tile(1), tile(2), tile(3))
    texts = [backend.text(Request(PROMPT, images)) for images in (one, three)]
    alone = [answers(backend, images)[0] for images in (one, three)]
    ids = backend.level_ids(texts[0], WORDS)
    for side in ("left", "right"):
        encoded = processor(
            text=texts, images=[list(one), list(three)], padding=True, padding_side=side, return_tensors="pt"
        )
        assert int(encoded["attention_mask"].sum(1).min()) < encoded["attention_mask"].shape[1]
        with torch.inference_mode():
            logits = model(**encoded).logits
        steps = torch.arange(logits.shape[1])
        last = (steps * encoded["attention_mask"]).argmax(1)
        for row in range(2):
            assert np.allclose(logits[row, last[row], ids].numpy(), alone[row].logits, atol=1e-4)


def test_a_batch_of_the_back_end_equals_its_rows(backend: Any) -> None:
    tiles = [(tile(seed),) for seed in range(3)]
    together = answers(backend, *tiles)
    for images, one in zip(tiles, together, strict=True):
        alone = answers(backend, images)[0]
        assert np.allclose(alone.logits, one.logits, atol=1e-4)
        assert alone.log_z == pytest.approx(one.log_z, abs=1e-4)


@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_the_level_words_hold_almost_all_probability(backend: Any, tiles: int) -> None:
    one = answers(backend, tuple(tile(seed) for seed in range(tiles)))[0]
    assert distribution(one.logits, one.log_z, prompts.level_scale()).coverage > 0.95


def test_it_says_the_whole_sentence(backend: Any) -> None:
    text = backend.generate([Request(PROMPT, (tile(),))], max_new_tokens=8)[0]
    assert re.fullmatch(rf" ?({'|'.join(WORDS)})\.", text), text
    opening = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT.question}]}
    chat = backend.processor.apply_chat_template([opening], add_generation_prompt=True)
    encoded = backend.processor(text=chat, images=[tile()], return_tensors="pt")
    with torch.inference_mode():
        out = backend.model.generate(**encoded, max_new_tokens=16, do_sample=False)
    said = backend.processor.tokenizer.decode(out[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
    assert re.fullmatch(rf" ?{PROMPT.answer} ({'|'.join(WORDS)})\.", said), said


def test_heavy_damage_costs_quality_on_a_real_photo(backend: Any, shared: Path) -> None:
    drops = []
    for path in sorted((shared / "media" / "pristine").glob("*.jpg"))[::30]:
        with Image.open(path) as image:
            clean = image.convert("RGB").crop((0, 0, 512, 512))
        rng = np.random.default_rng(0)
        pixels = np.asarray(clean)
        noisy = np.clip(pixels + rng.normal(0, 40, pixels.shape), 0, 255).astype(np.uint8)
        blurred = np.asarray(clean.filter(ImageFilter.GaussianBlur(5)))
        drops += [value(backend, pixels) - value(backend, bad) for bad in (noisy, blurred)]
    assert np.mean(drops) > 0.3
    assert np.mean(np.array(drops) > 0) >= 0.9
