"""Every parameter of every family is in exactly one part; what nobody knows is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mllmqa.errors import ModelLoadError
from mllmqa.models.torchvision_shim import has_torchvision
from mllmqa.training.parts import PartCount, base_name, count_parts, is_lora, part_of, parts_of
from mllmqa.training.stage import PARTS
from tests import tiny_models, tiny_stages

COMMON = {"vision", "projector", "language", "embeddings"}
MODULES = {
    "llava": {"vision": "model.vision_tower", "projector": "model.multi_modal_projector"},
    "qwen2_5_vl": {"vision": "model.visual", "projector": "model.visual.merger"},
    "mplug_owl2": {"vision": "model.vision_model", "projector": "model.visual_abstractor"},
}


def skeleton(family: str, folder: Path) -> Any:
    """Return the model of a family, with whatever weights."""
    if family == "vqa2_motion":
        return tiny_stages.motion_model(folder / "m")
    from mllmqa.models.load import load_backend
    from mllmqa.models.resolve import resolve

    return load_backend(resolve(tiny_stages.checkpoint(family, folder / "m")), device="cpu").model


@pytest.mark.parametrize("family", tiny_stages.FAMILIES)
def test_every_parameter_is_in_one_part(family: str, tmp_path: Path) -> None:
    if family in tiny_models.NEEDS_TORCHVISION | {"vqa2_motion"} and not has_torchvision():
        pytest.skip("needs torchvision")
    model = skeleton(family, tmp_path)
    parts = parts_of(model)
    assert parts.keys() == dict(model.named_parameters()).keys()
    expected = COMMON | (set() if family == "nano" else {"head"})
    expected |= {"motion", "motion_projector"} if family == "vqa2_motion" else set()
    assert set(parts.values()) == expected
    for name, part in parts.items():
        seeing = any(word in name for word in ("vision", "visual", "projector", "newline", "slowfast"))
        assert seeing == (part in ("vision", "projector", "motion", "motion_projector")), (name, part)
        assert (part == "language") == (("layers." in name or name.endswith("model.norm.weight")) and not seeing)
    counts = count_parts(model)
    assert [row.part for row in counts] == [part for part in PARTS if part in expected]
    assert sum(row.parameters for row in counts) == sum(p.numel() for p in model.parameters())
    assert all(row.trainable == row.parameters for row in counts), "nothing is frozen yet"


@pytest.mark.parametrize("family", MODULES)
def test_the_parts_are_the_modules_that_see(family: str, tmp_path: Path) -> None:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip("needs torchvision")
    model = skeleton(family, tmp_path)
    sizes = {row.part: row.parameters for row in count_parts(model)}
    vision, projector = (
        sum(p.numel() for p in model.get_submodule(MODULES[family][part]).parameters())
        for part in ("vision", "projector")
    )
    inside = projector if MODULES[family]["projector"].startswith(MODULES[family]["vision"] + ".") else 0
    assert (sizes["vision"], sizes["projector"]) == (vision - inside, projector)
    assert sizes["embeddings"] == model.get_input_embeddings().weight.numel()


def test_an_output_layer_that_shares_the_embeddings_is_no_part_of_its_own(tmp_path: Path) -> None:
    model = skeleton("nano", tmp_path)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert "head" not in parts_of(model).values()


@pytest.mark.parametrize(
    "name", ["model.audio_tower.conv.weight", "vision_tower.norm.weight", "model.language_model.extra.weight", ""]
)
def test_what_no_family_has_is_refused(name: str) -> None:
    with pytest.raises(ModelLoadError, match=r"no part of a model is known.*training/parts\.py") as caught:
        part_of(name)
    assert "\n" not in str(caught.value)


def test_an_unknown_module_of_a_model_is_refused() -> None:
    model = nn.ModuleDict({"lm_head": nn.Linear(2, 2), "bonus": nn.Linear(2, 2)})
    with pytest.raises(ModelLoadError, match=r"bonus\.weight"):
        parts_of(model)


@pytest.mark.parametrize(
    ("name", "plain", "lora"),
    [
        ("base_model.model.lm_head.weight", "lm_head.weight", False),
        (
            "base_model.model.model.layers.0.self_attn.v_proj.multiway.1.lora_A.default.weight",
            "model.layers.0.self_attn.v_proj.multiway.1.weight",
            True,
        ),
        (
            "base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector.default.weight",
            "model.layers.0.mlp.up_proj.weight",
            True,
        ),
        (
            "base_model.model.model.layers.0.mlp.up_proj.base_layer.weight",
            "model.layers.0.mlp.up_proj.weight",
            False,
        ),
        (
            "base_model.model.model.multi_modal_projector.modules_to_save.default.linear_1.bias",
            "model.multi_modal_projector.linear_1.bias",
            False,
        ),
        ("model.norm.weight", "model.norm.weight", False),
    ],
)
def test_names_under_peft(name: str, plain: str, lora: bool) -> None:
    assert (base_name(name), is_lora(name)) == (plain, lora)
    assert part_of(name) == part_of(plain)


def test_a_peft_model_has_the_parts_of_its_base_and_adapters_beside(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = skeleton("llava", tmp_path)
    before = count_parts(model)
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["multi_modal_projector"])
    adapted = peft.get_peft_model(model, config)
    assert set(parts_of(adapted).values()) == COMMON | {"head"}
    *parts, lora = count_parts(adapted)
    assert [row.part for row in parts] == [row.part for row in before]
    assert lora.part == "lora"
    assert (
        lora.parameters == lora.trainable == sum(p.numel() for n, p in adapted.named_parameters() if ".lora_" in n)
    )
    projector = next(row for row in parts if row.part == "projector")
    assert projector.parameters == 2 * projector.trainable, "PEFT keeps the original beside its copy"


def test_packed_weights_count_what_they_stand_for() -> None:
    weight = nn.Parameter(torch.zeros(8, 1, dtype=torch.uint8), requires_grad=False)
    weight.quant_state = type("State", (), {"shape": (4, 4)})()  # type: ignore[attr-defined]
    model = nn.ModuleDict({"lm_head": nn.Module()})
    model["lm_head"].register_parameter("weight", weight)
    assert count_parts(model) == [PartCount("head", 16, 0)]
