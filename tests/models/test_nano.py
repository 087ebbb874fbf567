"""The embedded model: what ships loads through stock classes, answers in words, and never depends on its batch."""

from __future__ import annotations

import json
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
from mllmqa.data.distortions import CATEGORIES
from mllmqa.data.video_distortions import IN_TIME
from mllmqa.errors import MllmqaError, ModelLoadError
from mllmqa.levels import distribution
from mllmqa.models import nano
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.load import load_backend
from mllmqa.models.nano import build
from mllmqa.models.nano.blocks import (
    fixed_filters,
    mean_maps,
)
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.vision import NanoVisionModel, rows_by_size
from mllmqa.models.resolve import resolve
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
    tower = model.model.vision_tower
    assert torch.equal(tower.stem.fixed, fixed_filters(16))  # not stored, rebuilt
    assert mean_maps(tower.stem.chroma) == [0, 64, 80]
    assert (tower.config.category_tokens, tower.config.time_categories) == (len(CATEGORIES), len(IN_TIME))
    assert float(tower.categories.heads.standard.running_var.median()) not in (0, 1)  # those of training
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


def test_pictures_stand_where_the_message_has_them(backend: Any) -> None:
    parts = [("text", "Image A:"), ("image", ""), ("text", "Image B:"), ("image", ""), ("text", "Which is better?")]
    content = [{"type": kind, **({"text": text} if kind == "text" else {})} for kind, text in parts]
    said = backend.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    assert said == "USER: Image A: <image>\nImage B: <image>\nWhich is better? ASSISTANT:"


def test_pixels_are_not_resized_or_cropped_and_nan_fills_the_rest(backend: Any) -> None:
    pictures = [photo_pixels(70, 50, 1), photo_pixels(30, 60, 2)]
    encoded = backend.processor(text="<image><image>", images=[pictures], return_tensors="pt")
    got = encoded["pixel_values"]
    assert got.shape == (2, 3, 60, 70)
    assert got.dtype == torch.float32
    assert got.is_contiguous(memory_format=torch.channels_last), "as the tower's convolutions take them"
    for row, pixels in zip(got, pictures, strict=True):
        height, width = pixels.shape[:2]
        expected = torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1
        assert float((row[:, :height, :width] - expected).abs().max()) < 1e-6
        assert int(row.isnan().logical_not().sum()) == 3 * height * width
    vision = backend.model.config.vision_config
    of_one = vision.patch_grid**2 + vision.global_tokens + vision.category_tokens
    assert vision.category_tokens == len(CATEGORIES)
    assert int((encoded["input_ids"] == backend.model.config.image_token_id).sum()) == 2 * of_one


def test_grey_and_palette_pictures_are_rgb(backend: Any) -> None:
    grey = Image.fromarray(photo_pixels(20, 16)).convert("L")
    got = backend.processor(text="<image>", images=[grey], return_tensors="pt")["pixel_values"]
    assert got.shape == (1, 3, 16, 20)
    assert torch.equal(got[0, 0], got[0, 2])


# ------------------------------------------------------------------ the tower


@pytest.mark.parametrize("size", [(512, 512), (511, 513), (97, 33), (8, 8), (7, 300), (1, 1)])
def test_any_size_gives_the_same_tokens_shape(tower: NanoVisionModel, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        out = tower(torch.zeros(2, 3, *size))
    assert out.last_hidden_state.shape == (2, 30, 256)
    assert out.pooler_output.shape == (2, 512)
    assert len(out.hidden_states) == 1
    assert bool(out.last_hidden_state.isfinite().all())


def test_a_row_of_the_tower_does_not_depend_on_its_batch(tower: NanoVisionModel) -> None:
    pixels = torch.from_numpy(np.stack([tile(seed) for seed in range(3)])).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        together = tower(pixels).last_hidden_state
        alone = torch.cat([tower(one[None]).last_hidden_state for one in pixels])
        found = tower.found(pixels)
        for one, values in zip(pixels, zip(*found, strict=True), strict=True):
            assert all(
                torch.allclose(x[0], y, atol=1e-4) for x, y in zip(tower.found(one[None]), values, strict=True)
            )
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
    tiles = [(tile(seed),) for seed in range(3)] + [(photo_pixels(200, 140, 3),), (photo_pixels(90, 300, 4),)]
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


# ------------------------------------------------------------------ the tower, again: any size, by hand


@pytest.mark.parametrize("size", [(8, 8), (64, 64), (97, 33), (160, 288), (5, 40)])
def test_a_row_does_not_depend_on_its_batch_at_any_size(tower: NanoVisionModel, size: tuple[int, int]) -> None:
    pixels = torch.rand(5, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        together = tower(pixels)
        for rows in ([0], [4], [1, 3], [3, 2, 1, 0]):
            part = tower(pixels[rows])
            assert float((part.last_hidden_state - together.last_hidden_state[rows]).abs().max()) < 1e-4
            assert torch.equal(part.pooler_output, part.last_hidden_state[:, :2].flatten(1))
    assert float((together.last_hidden_state[0] - together.last_hidden_state[1]).abs().max()) > 1e-3


def test_pictures_of_unequal_sizes_share_a_batch(tower: NanoVisionModel) -> None:
    """Each gives the tokens that it gives alone; what fills its place up is not looked at."""
    chance = torch.Generator().manual_seed(4)
    pictures = [torch.rand(3, *size, generator=chance) * 2 - 1 for size in ((64, 96), (40, 120), (64, 96), (9, 33))]
    filled = torch.full((4, 3, 64, 120), torch.nan)
    for place, picture in zip(filled, pictures, strict=True):
        place[:, : picture.shape[1], : picture.shape[2]] = picture
    assert rows_by_size(filled) == {(64, 96): [0, 2], (40, 120): [1], (9, 33): [3]}
    with torch.inference_mode():
        together = tower(filled)
        for row, picture in enumerate(pictures):
            alone = tower(picture[None])
            assert float((alone.last_hidden_state[0] - together.last_hidden_state[row]).abs().max()) < 1e-4
            assert float((alone.pooler_output[0] - together.pooler_output[row]).abs().max()) < 1e-4


def test_the_layout_in_memory_changes_nothing(tower: NanoVisionModel) -> None:
    pixels = torch.rand(2, 3, 72, 56, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.inference_mode():
        plain = tower(pixels).last_hidden_state
        last = tower(pixels.contiguous(memory_format=torch.channels_last)).last_hidden_state
    assert torch.allclose(plain, last, atol=1e-4)


def test_weights_lie_channels_last_after_a_load_too(backend: Any) -> None:
    """Loading builds on the meta device and would lose the layout; the products are the same, only slower."""
    kernels = [m.weight for m in backend.model.base_model.vision_tower.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels and all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)


def test_small_pictures_are_padded_by_their_own_edge(tower: NanoVisionModel) -> None:
    small = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(3))
    padded = small[:, :, [0, 1, 2, 3, 4, 4, 4, 4]][:, :, :, [0, 1, 2, 3, 4, 5, 5, 5]]
    with torch.inference_mode():
        assert torch.equal(tower(small).last_hidden_state, tower(padded).last_hidden_state)


# ------------------------------------------------------------------ building


def test_a_vocabulary_that_is_too_small_names_the_word() -> None:
    with pytest.raises(ModelLoadError, match=r"'excellent' is not one token in a vocabulary of 262"):
        build.build_tokenizer(["some text"], ["excellent"], 262)


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=30), size=st.sampled_from([300, 400]))
def test_any_built_tokenizer_is_lossless_and_keeps_its_special_tokens(text: str, size: int) -> None:
    tokenizer = build.build_tokenizer(["the quality of the image is good"] * 5, [" good".strip()], size)
    plain = text.replace("<", "(")  # special tokens in a text are another matter
    assert tokenizer.decode(tokenizer(plain, add_special_tokens=False)["input_ids"]) == plain
    assert tokenizer(plain)["input_ids"][0] == tokenizer.bos_token_id
    assert len(tokenizer) <= size
    assert [tokenizer.convert_tokens_to_ids(t) for t in ("<pad>", "<s>", "</s>", "<image>")] == [0, 1, 2, 3]


def test_saving_halves_the_weights_and_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    from safetensors import safe_open

    tokenizer = build.build_tokenizer(["text"], WORDS, 400)
    config = NanoVisionConfig(hidden_size=8, stage_channels=[8, 8, 8, 8], stage_depths=[0, 1, 1, 1], image_size=64)
    decoder = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = build.build_model(NanoVisionModel(config), tokenizer, decoder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    build.save(model, build.build_processor(tokenizer, config), tmp_path)
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name]), name
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
    assert not [name for name in stored if "lm_head" in name]  # tied: stored once
    settings_of = json.loads((tmp_path / "config.json").read_text())
    assert {settings_of["dtype"], settings_of["text_config"]["dtype"], settings_of["vision_config"]["dtype"]} == {
        "float32"
    }
    assert settings_of["image_seq_length"] == 4**2 + 2
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644
    assert resolve(str(tmp_path)).preset.name == "nano"


def test_category_tokens_tell_presence_and_severity_and_change_nothing_else() -> None:
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "stage_channels": [8] * 4, "stage_depths": [0, 1, 1, 1], "learned_channels": 4}
    plain = NanoVisionModel(NanoVisionConfig(**shape)).eval()
    tower = NanoVisionModel(NanoVisionConfig(**shape, category_tokens=3)).eval()
    tower.load_state_dict(plain.state_dict(), strict=False)
    pixels = torch.rand(2, 3, 40, 48) * 2 - 1
    with torch.no_grad():
        before, after = plain(pixels), tower(pixels)
        n = before.last_hidden_state.shape[1]
        assert after.last_hidden_state.shape == (2, n + 3, 8)
        assert torch.allclose(after.last_hidden_state[:, :n], before.last_hidden_state, atol=1e-5)
        assert torch.allclose(after.pooler_output, before.pooler_output, atol=1e-5)
        of = tower.categories
        for bias, severity, wanted in (
            (-40.0, 2.0, of.names),
            (40.0, 0.3, of.names + of.present + of.grades[0]),  # there is no severity below slight
            (40.0, 3.0, of.names + of.present + of.grades[2]),
            (40.0, 3.25, of.names + of.present + 0.75 * of.grades[2] + 0.25 * of.grades[3]),
            (0.0, 7.0, of.names + 0.5 * (of.present + of.grades[4])),
        ):
            for head, value in ((of.heads.presence, bias), (of.heads.severity, severity)):
                head.weight.zero_()
                head.bias.fill_(value)
            assert torch.allclose(tower(pixels).last_hidden_state[:, n:], wanted.expand(2, -1, -1), atol=1e-5)
    assert min(float(codes.detach().std()) for codes in (of.names, of.present, of.grades)) > 0.5  # drawn, not zero
