"""config.json as the authors publish it: real fields, leftovers, nulls; and the true size, key by key."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from mllmqa.errors import ModelLoadError
from mllmqa.models.mplug_owl2.configuration import MplugOwl2Config
from mllmqa.models.mplug_owl2.modeling import MplugOwl2ForConditionalGeneration
from tests.models.mplug_owl2.conftest import Case
from tests.models.mplug_owl2.original import config, shapes

TRUE_SIZE = config(
    **{"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    **{"num_key_value_heads": 32, "vocab_size": 32000, "max_position_embeddings": 4096},
    **{"visual__hidden_size": 1024, "visual__intermediate_size": 4096, "visual__num_hidden_layers": 24},
    **{"visual__num_attention_heads": 16, "visual__image_size": 448},
    **{"reader__hidden_size": 1024, "reader__encoder_hidden_size": 1024, "reader__intermediate_size": 2816},
    **{"reader__num_hidden_layers": 6, "reader__num_attention_heads": 16, "reader__num_learnable_queries": 64},
    reader__grid_size=None,
)
DEQA = {
    **dict.fromkeys(("softkl_loss", "continuous_rating_loss", "binary_rating_loss", "closeset_rating_loss"), True),
    **dict.fromkeys(("weight_desp", "weight_next_token", "weight_rank", "weight_in_level", "weight_softkl"), 1.0),
    **{"use_fix_std": True, "detach_pred_std": False, "level_prefix": [450, 11029], "level_ids": [15129, 1781]},
}
LEFTOVERS = {
    **{"image_aspect_ratio": "pad", "image_grid_pinpoints": None, "tune_visual_abstractor": True},
    **{"freeze_vision_model": False, "visual_abstractor_lr": None, "pretraining_tp": 1, "torch_dtype": "float16"},
    **{"_name_or_path": "/home/someone/llama", "transformers_version": "4.36.1"},
    "auto_map": {"AutoConfig": "configuration_mplug_owl2.MPLUGOwl2Config", "AutoModelForCausalLM": "evil.Model"},
}


def _read(folder: Path, fields: dict[str, Any]) -> MplugOwl2Config:
    (folder / "config.json").write_text(json.dumps(fields))
    return MplugOwl2Config.from_pretrained(folder)


def test_every_key_and_shape_of_the_published_checkpoints() -> None:
    """All 8.2 B parameters on the meta device, against a list written from the published description."""
    with torch.device("meta"):
        model = MplugOwl2ForConditionalGeneration(MplugOwl2Config(**TRUE_SIZE))
    listed = shapes(TRUE_SIZE)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == listed
    assert len(listed) == 862
    assert sum(name.endswith("pos_embed") for name in listed) == 12
    counts = {name: math.prod(shape) for name, shape in listed.items() if not name.endswith("pos_embed")}
    assert sum(counts.values()) == model.num_parameters() == 8_197_859_328

    def under(prefix: str) -> int:
        return sum(count for name, count in counts.items() if name.startswith(prefix))

    assert under("model.layers.") == 7_550_271_488
    assert under("model.embed_tokens.") + under("lm_head.") == 262_144_000
    assert under("model.vision_model.") == 303_966_208
    assert under("model.visual_abstractor.") == 81_473_536
    assert sum(n for name, n in counts.items() if "multiway.1" in name) == 1_074_003_968


def test_true_size_in_tokens() -> None:
    read = MplugOwl2Config(**TRUE_SIZE)
    assert (read.input_side, read.tokens_per_image, read.abstractor.grid, read.vision.tokens) == (448, 65, 32, 1025)


def test_fields_that_decide_are_read_and_never_assumed(images: Case, videos: Case) -> None:
    read = images.model.config
    assert (read.rms_norm_eps, read.rope_parameters["rope_theta"], read.max_position_embeddings) == (1e-5, 1e4, 512)
    read = videos.model.config
    assert (read.rms_norm_eps, read.rope_parameters["rope_theta"]) == (1e-6, 5e4)
    assert (read.vision.layer_norm_eps, read.abstractor.layer_norm_eps) == (1e-6, 1e-6)


@pytest.mark.parametrize("extra", [{}, DEQA], ids=["q-align", "deqa"])
def test_leftovers_of_training_are_kept_and_do_nothing(extra: dict[str, Any], tmp_path: Path) -> None:
    fields = config() | LEFTOVERS | extra
    for part in fields["visual_config"].values():
        part |= {"torch_dtype": None, "id2label": {"0": "LABEL_0"}, "bad_words_ids": None, "use_cls_token": True}
    read = _read(tmp_path, fields)
    assert (read.model_type, read.tokens_per_image, read.image_aspect_ratio) == ("mplug_owl2", 6, "pad")
    read.save_pretrained(tmp_path)
    again = json.loads((tmp_path / "config.json").read_text())
    assert again["visual_config"] == fields["visual_config"]
    for name in extra:
        assert again[name] == extra[name]


@pytest.mark.parametrize(
    "nulls",
    [
        {"num_key_value_heads": None, "rope_scaling": None, "image_grid_pinpoints": None},
        {"reader__grid_size": None, "visual__image_size": 32 * 14},
        {"reader__layer_norm_eps": None, "visual__layer_norm_eps": None, "reader__encoder_hidden_size": None},
    ],
    ids=str,
)
def test_null_fields_mean_the_default(nulls: dict[str, Any], tmp_path: Path) -> None:
    read = _read(tmp_path, config(**nulls))
    assert read.num_key_value_heads == 4
    assert read.abstractor.grid**2 + 1 == read.vision.tokens
    assert (read.vision.layer_norm_eps, read.abstractor.layer_norm_eps) == (1e-6, 1e-6)


def test_linear_scaling_of_positions_is_read(tmp_path: Path) -> None:
    read = _read(tmp_path, config(rope_scaling={"type": "linear", "factor": 2.0}))
    assert (read.rope_parameters["rope_type"], read.rope_parameters["factor"]) == ("linear", 2.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reader__hidden_size": 64}, "visual_abstractor is 64 wide and reads 32; expected both 32"),
        ({"reader__encoder_hidden_size": 16}, "visual_abstractor is 32 wide and reads 16; expected both 32"),
        ({"reader__grid_size": 4}, "grid_size is 4; expected 3"),
        ({"reader__grid_size": None}, "grid_size is 32; expected 3"),
        ({"visual__image_size": None}, "visual_config.visual_model: .*image_size"),
        ({"reader__num_learnable_queries": None}, "visual_config.visual_abstractor: .*num_learnable_queries"),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelLoadError, match=message) as caught:
        _ = MplugOwl2Config(**config(**changes)).abstractor
    assert str(caught.value).startswith("config.json: ")


@pytest.mark.parametrize("visual", [None, {}, {"visual_model": None}], ids=str)
def test_without_a_vision_part(visual: Any) -> None:
    with pytest.raises(ModelLoadError, match=r"visual_config\.visual_model is missing"):
        _ = MplugOwl2Config(**(config() | {"visual_config": visual})).vision
