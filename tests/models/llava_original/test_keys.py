"""The key map: every key has one place, and whatever does not fit is named. True 7-B sizes on the meta device."""

from __future__ import annotations

from typing import Any

import pytest

from mllmqa.errors import ModelLoadError
from mllmqa.models.llava_original import keys
from mllmqa.models.llava_original.config import Vocabulary, convert, family_of
from mllmqa.models.llava_original.vision import KNOWN
from mllmqa.models.torchvision_shim import ensure_torchvision

WANTED = {"model.language_model.norm.weight": (8,), "lm_head.weight": (64, 8)}
FOUND = {"model.norm.weight": (8,), "lm_head.weight": (60, 8)}


def plan(found: dict[str, Any], wanted: dict[str, Any] = WANTED, **options: Any) -> dict[str, str]:
    return keys.plan(found, wanted, **{"tower_layers": 2, "where": "folder", **options})


def test_a_plan_maps_all_keys_and_lets_a_vocabulary_be_smaller() -> None:
    assert plan(FOUND) == {
        "model.language_model.norm.weight": "model.norm.weight",
        "lm_head.weight": "lm_head.weight",
    }


@pytest.mark.parametrize(
    "key",
    [
        "model.layers.3.self_attn.rotary_emb.inv_freq",
        f"{keys.TOWER}embeddings.position_ids",
        f"{keys.TOWER}head.probe",
        f"{keys.TOWER}head.mlp.fc1.weight",
        f"{keys.TOWER}encoder.layers.2.mlp.fc1.bias",
        f"{keys.TOWER}encoder.layers.26.mlp.fc1.bias",
    ],
)
def test_keys_that_are_known_and_not_read(key: str) -> None:
    assert plan({**FOUND, key: (3, 3)}) == plan(FOUND)


@pytest.mark.parametrize(
    "key",
    [
        "model.visual_abstractor.x",
        "lm_head.bias",
        "model.mm_projector.4.weight",
        f"{keys.TOWER}encoder.layers.1.mlp.fc1.bias",
        "model.layers.0.self_attn.rotary_emb.cos_cached",
        "model.image_newline",
        "norm.weight",
    ],
)
def test_an_unexpected_key_is_named(key: str) -> None:
    with pytest.raises(ModelLoadError, match=rf"folder: unexpected key '{key}'".replace(".", r"\.")):
        plan({**FOUND, key: (3,)})


def test_missing_keys_are_named_as_the_original_names_them() -> None:
    with pytest.raises(ModelLoadError, match=r"1 missing keys: 'model\.norm\.weight'"):
        plan({"lm_head.weight": (64, 8)})
    with pytest.raises(ModelLoadError, match=r"2 missing keys"):
        plan({})


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ("model.norm.weight", (7,)),
        ("lm_head.weight", (60, 9)),
        ("lm_head.weight", (65, 8)),
        ("lm_head.weight", (64,)),
    ],
)
def test_a_wrong_shape_is_named(key: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelLoadError, match=rf"'{key}' has the shape .*expected \["):
        plan({**FOUND, key: shape})


def test_a_tied_output_layer_is_neither_needed_nor_read() -> None:
    wanted = {**WANTED, "model.language_model.embed_tokens.weight": (64, 8)}
    found = {"model.norm.weight": (8,), "model.embed_tokens.weight": (64, 8)}
    assert "lm_head.weight" not in plan(found, wanted, tied=True)
    assert "lm_head.weight" not in plan({**found, "lm_head.weight": (64, 8)}, wanted, tied=True)
    with pytest.raises(ModelLoadError, match=r"lm_head\.weight"):
        plan(found, wanted)


def test_names_go_there_and_back() -> None:
    for target in ("model.vision_tower.post_layernorm.bias", "model.image_newline", "lm_head.weight"):
        assert keys.target_of(keys.original_of(target)) == target
    assert keys.target_of("model.slowfast.x") is None
    assert keys.original_of("slowfast.x") == "slowfast.x"


# ---------------------------------------------------------------------------------- true sizes

TRUE = {
    "llava-1.5-7b": {
        **{"model_type": "llava", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32},
        **{"num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32000, "image_aspect_ratio": "pad"},
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    },
    "llava-1.6-mistral-7b": {
        **{"model_type": "llava_mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32},
        **{
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 32000,
            "image_aspect_ratio": "anyres",
        },
        **{"mm_patch_merge_type": "spatial_unpad", "mm_vision_tower": "openai/clip-vit-large-patch14-336"},
        "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
    },
    "llava-onevision-7b": {
        **{"model_type": "llava_qwen", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28},
        **{"num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064},
        **{"image_aspect_ratio": "anyres_max_9", "mm_patch_merge_type": "spatial_unpad"},
        **{"image_grid_pinpoints": "(1x1),...,(6x6)", "mm_vision_tower": "google/siglip-so400m-patch14-384"},
    },
}
PARAMETERS = {"llava-1.5-7b": 7.06e9, "llava-1.6-mistral-7b": 7.57e9, "llava-onevision-7b": 8.03e9}


def linear(name: str, out: int, into: int, bias: bool) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into)} | ({f"{name}.bias": (out,)} if bias else {})


def original_shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return all keys and shapes that a published checkpoint of this configuration holds."""
    wide, inner, qwen = config["hidden_size"], config["intermediate_size"], config["model_type"] == "llava_qwen"
    narrow = wide // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], wide)}
    shapes |= {"lm_head.weight": (config["vocab_size"], wide), "model.norm.weight": (wide,)}
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        for name, out in (("q", wide), ("k", narrow), ("v", narrow)):
            shapes |= linear(f"{layer}.self_attn.{name}_proj", out, wide, qwen)
        shapes |= linear(f"{layer}.self_attn.o_proj", wide, wide, False)
        for name in ("gate_proj", "up_proj"):
            shapes |= linear(f"{layer}.mlp.{name}", inner, wide, False)
        shapes |= linear(f"{layer}.mlp.down_proj", wide, inner, False)
        shapes |= {f"{layer}.{norm}.weight": (wide,) for norm in ("input_layernorm", "post_attention_layernorm")}
    side, mlp, layers, image = (1152, 4304, 26, 384) if qwen else (1024, 4096, 24, 336)
    tower, patches = "model.vision_tower.vision_tower.vision_model", (image // 14) ** 2
    shapes[f"{tower}.embeddings.patch_embedding.weight"] = (side, 3, 14, 14)
    shapes[f"{tower}.embeddings.position_embedding.weight"] = (patches + (not qwen), side)
    norms = ["post_layernorm"] if qwen else ["post_layernorm", "pre_layrnorm"]
    shapes |= {f"{tower}.embeddings.patch_embedding.bias": (side,)} if qwen else {}
    shapes |= {} if qwen else {f"{tower}.embeddings.class_embedding": (side,)}
    for i in range(layers):
        layer = f"{tower}.encoder.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= linear(f"{layer}.self_attn.{name}", side, side, True)
        shapes |= linear(f"{layer}.mlp.fc1", mlp, side, True) | linear(f"{layer}.mlp.fc2", side, mlp, True)
        norms += [f"encoder.layers.{i}.layer_norm1", f"encoder.layers.{i}.layer_norm2"]
    shapes |= {f"{tower}.{norm}.{kind}": (side,) for norm in norms for kind in ("weight", "bias")}
    shapes |= linear("model.mm_projector.0", wide, side, True) | linear("model.mm_projector.2", wide, wide, True)
    return shapes | ({"model.image_newline": (wide,)} if "anyres" in config["image_aspect_ratio"] else {})


@pytest.mark.parametrize("name", TRUE)
def test_every_key_of_a_true_size_checkpoint_has_its_place(name: str) -> None:
    ensure_torchvision()
    import torch
    from transformers import AutoModelForImageTextToText

    original = {"mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2, **TRUE[name]}
    tower = KNOWN[original["mm_vision_tower"]]
    image = 151646 if family_of(original, tower) == "llava_onevision" else 32000
    rows = 152064 if image > 32000 else 32064
    config = convert(original, tower, Vocabulary(image, image + 1, rows))
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    shapes = original_shapes(original)
    layers = config.vision_config.num_hidden_layers
    chosen = keys.plan(shapes, wanted, tower_layers=layers, where=name)
    assert set(chosen) == set(wanted) and set(chosen.values()) == set(shapes)
    count = sum(value.numel() for value in model.state_dict().values())
    assert count == pytest.approx(PARAMETERS[name], rel=0.01)
