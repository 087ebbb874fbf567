"""From original to transformers configurations: what is read, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mllmqa.errors import ModelLoadError
from mllmqa.models.llava_original.config import (
    Vocabulary,
    convert,
    family_of,
    is_original,
    pinpoints,
    rows_needed,
)
from mllmqa.models.llava_original.vision import KNOWN, tower_config, tower_weights
from mllmqa.models.torchvision_shim import ensure_torchvision

CLIP = KNOWN["openai/clip-vit-large-patch14-336"]
SIGLIP = KNOWN["google/siglip-so400m-patch14-384"]
BASE = {
    **{"model_type": "llava", "mm_vision_tower": "openai/clip-vit-large-patch14-336", "vocab_size": 32000},
    **{"mm_projector_type": "mlp2x_gelu", "image_aspect_ratio": "pad", "hidden_size": 64, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "rms_norm_eps": 1e-5},
}
NEXT = {**BASE, "image_aspect_ratio": "anyres", "mm_patch_merge_type": "spatial_unpad"}
QWEN = {**NEXT, "model_type": "llava_qwen", "image_aspect_ratio": "anyres_max_9", "vocab_size": 152064}


def test_originals_are_told_from_transformers_own() -> None:
    assert all(is_original(config) for config in (BASE, NEXT, QWEN))
    assert not is_original({"model_type": "llava", "vision_config": {}, "mm_vision_tower": "x"})
    assert not is_original({"model_type": "llava_onevision", "vision_config": {}})
    assert not is_original({"model_type": "mplug_owl2", "mm_vision_tower": "x"})
    assert not is_original({})


@pytest.mark.parametrize(
    ("config", "tower", "family"),
    [
        (BASE, CLIP, "llava"),
        ({**BASE, "image_aspect_ratio": None}, CLIP, "llava"),
        ({**BASE, "image_aspect_ratio": "square", "model_type": "llava_mistral"}, CLIP, "llava"),
        ({**NEXT, "model_type": "llava_mistral"}, CLIP, "llava_next"),
        (QWEN, SIGLIP, "llava_onevision"),
        ({**QWEN, "image_aspect_ratio": "anyres"}, SIGLIP, "llava_onevision"),
    ],
)
def test_families(config: dict[str, Any], tower: dict[str, Any], family: str) -> None:
    assert family_of(config, tower) == family


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "llava_mpt"}, "model_type 'llava_mpt'"),
        ({"mm_projector_type": "linear"}, "mm_projector_type 'linear'"),
        ({"mm_projector_type": None}, "mm_projector_type"),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end True"),
        ({"mm_resampler_type": "perceiver"}, "mm_resampler_type 'perceiver'"),
        ({"mm_vision_select_feature": "slicefour_patch"}, "mm_vision_select_feature"),
        ({"image_aspect_ratio": "highres"}, "image_aspect_ratio"),
        ({"mm_patch_merge_type": "spatial"}, "pad with spatial"),
        ({"image_aspect_ratio": "anyres"}, "anyres with flat"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelLoadError, match=named):
        family_of({**BASE, **change}, CLIP)


@pytest.mark.parametrize(
    "change",
    [
        {"mm_newline_position": "grid"},
        {"mm_spatial_pool_mode": "average"},
        {"add_faster_video": True},
        {"image_aspect_ratio": "pad"},
        {"mm_patch_merge_type": "flat"},
    ],
)
def test_what_onevision_does_not_do(change: dict[str, Any]) -> None:
    with pytest.raises(ModelLoadError, match=next(iter(change))):
        family_of({**QWEN, **change}, SIGLIP)


def test_towers_must_fit() -> None:
    with pytest.raises(ModelLoadError, match="vision tower of llava_qwen"):
        family_of(QWEN, CLIP)
    with pytest.raises(ModelLoadError, match="vision tower of llava "):
        family_of(BASE, SIGLIP)


def test_sizes_are_turned_round_and_keep_their_order() -> None:
    assert pinpoints({"image_grid_pinpoints": [[72, 24], [24, 48]]}, 24) == [[24, 72], [48, 24]]
    assert pinpoints({"image_grid_pinpoints": "[(72, 24), (24, 48)]"}, 24) == [[24, 72], [48, 24]]
    ranged = pinpoints({"image_grid_pinpoints": "(1x1),...,(2x3)"}, 10)
    assert ranged == [[10, 10], [20, 10], [30, 10], [10, 20], [20, 20], [30, 20]]


@pytest.mark.parametrize("value", [None, [], "x", "(ax1)", [[24]], [[24, 25]], [[0, 24]], 5, "nonsense("])
def test_malformed_sizes(value: object) -> None:
    with pytest.raises(ModelLoadError, match="image_grid_pinpoints"):
        pinpoints({"image_grid_pinpoints": value}, 24)


def test_rows() -> None:
    assert rows_needed({"vocab_size": 300}, 299) == 300
    assert rows_needed({"vocab_size": 300}, 300) == 320
    assert rows_needed({"vocab_size": 320}, 320) == 384


def test_fields_of_a_converted_configuration() -> None:
    ensure_torchvision()
    original = {**BASE, "rope_theta": 50000.0, "max_position_embeddings": 2048, "mm_vision_select_layer": -2}
    config = convert(original, CLIP, Vocabulary(32000, None, 32064))
    text = config.text_config
    assert (text.model_type, text.vocab_size, text.rms_norm_eps) == ("llama", 32064, 1e-5)
    assert (text.rope_parameters["rope_theta"], text.max_position_embeddings) == (50000.0, 2048)
    assert (config.image_token_id, config.vision_feature_layer, config.image_seq_length) == (32000, -2, 576)
    assert config.vision_feature_select_strategy == "default"
    whole = convert({**original, "mm_vision_select_feature": "cls_patch"}, CLIP, Vocabulary(32000, None, 32064))
    assert whole.vision_feature_select_strategy == "full"


def test_onevision_runs_all_layers_but_siglips_last() -> None:
    ensure_torchvision()
    original = {**QWEN, "image_grid_pinpoints": "(1x1),...,(6x6)", "mm_vision_select_layer": -2}
    config = convert(original, SIGLIP, Vocabulary(151646, 151647, 152064))
    assert (config.vision_config.num_hidden_layers, config.vision_feature_layer) == (26, -1)
    assert (config.vision_feature_select_strategy, config.vision_aspect_ratio) == ("full", "anyres_max_9")
    assert (config.video_token_id, len(config.image_grid_pinpoints)) == (151647, 36)
    assert not config.vision_config.vision_use_head
    unlimited = convert({**original, "image_aspect_ratio": "anyres"}, SIGLIP, Vocabulary(151646, 151647, 152064))
    assert int(unlimited.vision_aspect_ratio.removeprefix("anyres_max_")) >= 10**6


def test_towers_by_name_and_by_folder(tmp_path: Path) -> None:
    assert tower_config("openai/clip-vit-large-patch14-336", None) == CLIP
    assert tower_config("/their/disk/clip-vit-large-patch14-336", None) == CLIP
    with pytest.raises(ModelLoadError, match="'eva_clip' is not known"):
        tower_config("eva_clip", None)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip_vision_model", "hidden_size": 8}))
    assert tower_config("anything", tmp_path)["hidden_size"] == 8
    assert tower_config(str(tmp_path), None)["hidden_size"] == 8
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ModelLoadError, match="model_type is 'vit'"):
        tower_config("anything", tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelLoadError, match="malformed"):
        tower_config("anything", tmp_path)


def test_a_tower_that_is_nowhere_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelLoadError, match=r"openai/clip-vit-large-patch14-336.*hf download.*vision_tower"):
        tower_weights("openai/clip-vit-large-patch14-336", None)
