"""Original checkpoints give the logits of the model that they were written from, loaded and converted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mllmqa.convert import convert
from mllmqa.errors import ModelLoadError, UsageError
from mllmqa.models.llava_original import is_original, load_original
from mllmqa.models.torchvision_shim import ensure_torchvision
from tests.conftest import photo_pixels
from tests.models.llava_original.made import KINDS, Made, make, original_tensors, write

QUESTION = "How would you rate the quality of this image?"


def inputs(processor: Any, count: int = 1) -> Any:
    """Return the inputs of a prompt about ``count`` pictures."""
    content = [*({"type": "image"} for _ in range(count)), {"type": "text", "text": QUESTION}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    images = [photo_pixels(90, 60, seed=i) for i in range(count)]
    return processor(text=[text], images=[images], return_tensors="pt", input_data_format="channels_last")


def logits(model: Any, encoded: Any, rows: int) -> torch.Tensor:
    with torch.inference_mode():
        return model(**encoded).logits[..., :rows]  # type: ignore[no-any-return]


def largest_difference(made: Made, model: Any, processor: Any) -> float:
    encoded = inputs(processor)
    expected, found = (logits(m, encoded, made.rows) for m in (made.source, model))
    moved = dict(encoded, pixel_values=torch.zeros_like(encoded["pixel_values"]))
    assert (logits(model, moved, made.rows) - found).abs().max() > 0.01  # the pictures count
    return float((expected - found).abs().max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tower", ["inside", "outside"])
def test_logits_are_those_of_the_source(kind: str, tower: Any, tmp_path: Path) -> None:
    made = make(kind, tmp_path / "m", tower=tower)
    model, processor = load_original(made.folder, torch.float32)
    assert not model.training
    assert model.config.image_token_id == made.image_id
    assert largest_difference(made, model, processor) <= 1e-5


@pytest.mark.parametrize("form", ["safetensors", "bin", "old bin"])
def test_sharded_checkpoints(form: str, tmp_path: Path) -> None:
    made = make("llava", tmp_path / "m")
    write(made.folder, original_tensors(made.source, made.rows), form=form, shards=3)
    model, processor = load_original(made.folder, torch.float32)
    assert largest_difference(made, model, processor) <= 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_converted_folder_is_loaded_by_transformers_alone(kind: str, tmp_path: Path) -> None:
    made = make(kind, tmp_path / "m")
    folder = convert(str(made.folder), tmp_path / "converted").folder
    ensure_torchvision()
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor

    model, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())
    processor = AutoProcessor.from_pretrained(folder)
    processor.image_processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    direct, own = load_original(made.folder, torch.float32)
    encoded, again = inputs(own), inputs(processor)
    assert set(encoded) == set(again)
    assert all(torch.equal(encoded[name], again[name]) for name in encoded)
    assert torch.equal(logits(direct, encoded, made.rows), logits(model.eval(), again, made.rows))
    assert not is_original(json.loads((folder / "config.json").read_text()))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_conversion_keeps_the_dtype_and_needs_an_empty_place(tmp_path: Path) -> None:
    made = make("llava", tmp_path / "m")
    half = {name: value.half() for name, value in original_tensors(made.source, made.rows).items()}
    write(made.folder, half)
    folder = convert(str(made.folder), tmp_path / "deep" / "er").folder
    from safetensors.torch import load_file

    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float16}
    with pytest.raises(UsageError, match="exists already"):
        convert(str(made.folder), folder)


def test_a_grown_vocabulary_changes_no_logit_and_is_never_written(tmp_path: Path) -> None:
    made = make("llava", tmp_path / "m")
    model, processor = load_original(made.folder, torch.float32)
    encoded = inputs(processor)
    with torch.inference_mode():
        found = model(**encoded).logits
    assert found.shape[-1] == 320 and made.rows == 300
    torch.testing.assert_close(found[..., 300:], found[..., :300].mean(-1, keepdim=True).expand(-1, -1, 20))
    with torch.no_grad():
        model.lm_head.weight[300:] += 100 * model.lm_head.weight[300:].sign()
    written = model.generate(**encoded, max_new_tokens=5, do_sample=False)
    assert int(written[0, encoded["input_ids"].shape[1] :].max()) < 300


def test_several_pictures_and_batches(tmp_path: Path) -> None:
    made = make("llava_next", tmp_path / "m")
    model, processor = load_original(made.folder, torch.float32)
    encoded = inputs(processor, 2)
    assert torch.equal(logits(model, encoded, made.rows), logits(made.source, encoded, made.rows))


def test_other_dtypes(tmp_path: Path) -> None:
    made = make("llava_onevision", tmp_path / "m")
    model, _ = load_original(made.folder, torch.bfloat16)
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}


def test_tied_output_layers(tmp_path: Path) -> None:
    made = make("llava_onevision", tmp_path / "m", tie_word_embeddings=True)
    tensors = original_tensors(made.source, made.rows)
    del tensors["lm_head.weight"]
    write(made.folder, tensors)
    model, _ = load_original(made.folder, torch.float32)
    assert model.lm_head.weight is model.get_input_embeddings().weight


# ---------------------------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("model.layers.1.mlp.up_proj.weight", None, r"1 missing keys: 'model\.layers\.1\.mlp\.up_proj\.weight'"),
        ("model.mm_projector.2.bias", None, r"missing keys: 'model\.mm_projector\.2\.bias'"),
        ("model.extra.weight", (2, 2), r"unexpected key 'model\.extra\.weight'"),
        ("model.image_newline", (32,), r"unexpected key 'model\.image_newline'"),
        ("model.norm.weight", (31,), r"'model\.norm\.weight' has the shape \[31\]; expected \[32\]"),
        ("lm_head.weight", (400, 32), r"'lm_head\.weight' has the shape \[400, 32\]"),
    ],
)
def test_keys_and_shapes_are_named(key: str, change: Any, message: str, tmp_path: Path) -> None:
    made = make("llava", tmp_path / "m")
    tensors = original_tensors(made.source, made.rows)
    if change is None:
        del tensors[key]
    else:
        tensors[key] = torch.zeros(change)
    write(made.folder, tensors)
    with pytest.raises(ModelLoadError, match=message):
        load_original(made.folder, torch.float32)


def test_an_incomplete_tower_is_named(tmp_path: Path) -> None:
    made = make("llava", tmp_path / "m")
    tensors = original_tensors(made.source, made.rows)
    tower = [key for key in tensors if "vision_tower" in key]
    del tensors[tower[3]]
    write(made.folder, tensors)
    with pytest.raises(ModelLoadError, match=r"1 missing keys: 'model\.vision_tower\.vision_tower\.vision_model"):
        load_original(made.folder, torch.float32)


def test_the_tower_can_be_named_by_hand(tmp_path: Path) -> None:
    made = make("llava", tmp_path / "m", tower="outside", mm_vision_tower="someone/lost-tower")
    with pytest.raises(ModelLoadError, match="someone/lost-tower"):
        load_original(made.folder, torch.float32)
    model, processor = load_original(made.folder, torch.float32, vision_tower=tmp_path / "tower")
    assert largest_difference(made, model, processor) <= 1e-5


def test_folders_that_are_no_original(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"config\.json"):
        load_original(tmp_path, torch.float32)
    (tmp_path / "config.json").write_text('{"model_type": "llava", "vision_config": {}}')
    with pytest.raises(ModelLoadError, match="not of the original LLaVA layout"):
        load_original(tmp_path, torch.float32)
    made = make("llava", tmp_path / "m")
    (made.folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelLoadError, match="LoRA"):
        load_original(made.folder, torch.float32)


def test_sizes_that_do_not_fit_together_are_an_error_of_the_model(tmp_path: Path) -> None:
    made = make("llava", tmp_path / "m", num_attention_heads="many")
    with pytest.raises(ModelLoadError, match="settings cannot be used"):
        load_original(made.folder, torch.float32)


def test_a_motion_branch_is_sent_to_its_own_loader(tmp_path: Path) -> None:
    made = make("llava_onevision", tmp_path / "m")
    tensors = original_tensors(made.source, made.rows)
    tensors["model.slowfast_projector.0.weight"] = torch.zeros(2, 2)
    write(made.folder, tensors)
    with pytest.raises(ModelLoadError, match="vqa2_motion"):
        load_original(made.folder, torch.float32)


# ---------------------------------------------------------------------------------- the layer that is read


@pytest.mark.parametrize(("kind", "layers"), [("llava", 2), ("llava_onevision", 2)])
def test_features_come_from_the_layer_that_the_original_reads(kind: str, layers: int, tmp_path: Path) -> None:
    # CLIP: the last but one of three, without class token. SigLIP: the last of those left, before the last norm.
    model, processor = load_original(make(kind, tmp_path / "m").folder, torch.float32)
    encoded, tower = inputs(processor), model.model.vision_tower
    pixels = encoded["pixel_values"]
    with torch.inference_mode():
        state = tower.embeddings(pixels.flatten(0, -4))
        state = state if kind == "llava_onevision" else tower.pre_layrnorm(state)
        for layer in tower.encoder.layers[:layers]:
            out = layer(state, attention_mask=None)
            state = out if isinstance(out, torch.Tensor) else out[0]
        state = state if kind == "llava_onevision" else state[:, 1:]
        expected = model.model.multi_modal_projector(state)
        if kind == "llava":
            found = model.model.get_image_features(pixels, return_dict=True).pooler_output[0]
            torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=0)
        else:
            sizes = encoded["image_sizes"]
            found = model.model.get_image_features(pixels, sizes, return_dict=True).pooler_output[0]
            torch.testing.assert_close(found[:9], expected[0], atol=1e-5, rtol=0)
