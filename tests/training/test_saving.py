"""What a stage writes loads at once and answers as the model in memory: whole models, adapters, merged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mllmqa import loading
from mllmqa.errors import UsageError
from mllmqa.models.load import load_backend
from mllmqa.models.quantize import Quantization
from mllmqa.models.resolve import resolve
from mllmqa.models.torchvision_shim import has_torchvision
from mllmqa.training.adapt import prepare
from mllmqa.training.opening import Opened, open_model
from mllmqa.training.saving import adapter_tensors, save_trained, trained_in_full
from tests import tiny_models, tiny_stages
from tests.conftest import photo_pixels
from tests.tiny_stages import stage

has_torchvision()
peft = pytest.importorskip("peft")

FULL = {"vision": None, "projector": None, "language": None, "embeddings": None}
MERGED = 5e-6
"""Adapters are merged when they are loaded: float noise of one sum per weight."""


def trained(name: str, **fields: Any) -> tuple[Any, Opened, np.ndarray]:
    """Return a trained model, how it began, and its answers; it is checked that they moved."""
    what = stage(name, **fields)
    opened = open_model(what)
    before = tiny_stages.logits(opened.backend())
    model = prepare(opened.model, what)
    tiny_stages.train(model, opened, what)
    after = tiny_stages.logits(opened.backend(model))
    assert np.abs(after - before).max() > 1e-2
    return model, opened, after


def answers(folder: Path, **options: Any) -> np.ndarray:
    return tiny_stages.logits(load_backend(resolve(str(folder)), device="cpu", **options))


@pytest.mark.parametrize("family", ["llava", "llava_next", "mplug_owl2", "nano", "qwen3_vl"])
def test_a_whole_model_answers_as_in_memory(family: str, folders: dict[str, str], tmp_path: Path) -> None:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip("needs torchvision")
    name = folders.get(family) or tiny_stages.checkpoint(family, tmp_path / family)
    model, opened, expected = trained(name, train=FULL)
    save_trained(model, opened, tmp_path / "out")
    exact = 0 if family != "nano" else 1e-5  # its last digit moves; why was not looked into (docs/log.md)
    np.testing.assert_allclose(answers(tmp_path / "out"), expected, rtol=exact)
    assert resolve(str(tmp_path / "out")).preset.name == opened.preset.name
    assert not (tmp_path / "out.part").exists()
    assert not list((tmp_path / "out").glob("*.bin"))


@pytest.mark.parametrize("family", ["llava", "llava_next", "mplug_owl2", "nano", "qwen3_vl"])
@pytest.mark.parametrize(
    "fields",
    [
        {"lora": {"rank": 4}},
        {"lora": {"rank": 4}, "train": {"vision": None, "projector": None, "embeddings": None}},
        {"lora": {"rank": 4, "dora": True, "rank_stabilised": True}},
    ],
)
def test_an_adapter_answers_as_in_memory(
    family: str, fields: dict[str, Any], folders: dict[str, str], tmp_path: Path
) -> None:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip("needs torchvision")
    name = folders.get(family) or tiny_stages.checkpoint(family, tmp_path / family)
    model, opened, expected = trained(name, **fields)
    save_trained(model, opened, tmp_path / "out")
    backend = load_backend(resolve(str(tmp_path / "out")), device="cpu")
    np.testing.assert_allclose(tiny_stages.logits(backend), expected, atol=MERGED)
    assert backend.preset.name == opened.preset.name
    assert not any("lora" in module for module, _ in backend.model.named_modules())


def test_an_adapters_folder_is_peft_as_anyone_reads_it(folders: dict[str, str], tmp_path: Path) -> None:
    model, opened, expected = trained(folders["llava_next"], train={"projector": None}, lora={"rank": 4})
    save_trained(model, opened, tmp_path / "out")
    stored = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {name for name in stored if ".lora_" not in name} == {
        "base_model.model.model.image_newline",  # of no module of its own: modules_to_save cannot name it
        *(f"base_model.model.model.multi_modal_projector.linear_{i}.{w}" for i in "12" for w in ("weight", "bias")),
    }
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(Path(folders["llava_next"]).resolve())
    assert config["inference_mode"]
    base = load_backend(resolve(folders["llava_next"]), device="cpu")
    base.model = peft.PeftModel.from_pretrained(base.model, tmp_path / "out").get_base_model()
    np.testing.assert_array_equal(tiny_stages.logits(base), expected)
    assert model.peft_config["default"].inference_mode is False, "the model in training stays as it was"


def test_statistics_of_trained_batch_norms_are_saved_and_tied_weights_once(
    folders: dict[str, str], tmp_path: Path
) -> None:
    model, opened, _ = trained(folders["nano"], train={"vision": None, "embeddings": None}, lora={"rank": 2})
    full = trained_in_full(model)
    assert any(name.endswith("running_mean") for name in full)
    assert "model.language_model.embed_tokens.weight" in full
    assert "lm_head.weight" not in full
    assert len(full) == len(set(full))
    assert not any("stem.fixed" in name for name in full), "constants are not stored"
    save_trained(model, opened, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "nano"


@pytest.mark.parametrize(("scheme", "drift"), [("4bit", 1.0), ("8bit", 0.5)])
def test_a_quantised_base_is_named_and_merged_in_full_precision(
    scheme: str, drift: float, folders: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    fields = {"quantize": scheme, "lora": {"rank": 4}}
    model, opened, expected = trained(folders["wide"], train={"projector": None}, **fields)
    save_trained(model, opened, tmp_path / "out", merged=tmp_path / "merged")
    again = open_model(stage(str(tmp_path / "out"), **fields))
    np.testing.assert_array_equal(tiny_stages.logits(again.backend()), expected)
    scored = answers(tmp_path / "out", quantization=Quantization.of(scheme))
    np.testing.assert_allclose(scored, expected, atol=0.05)  # bitsandbytes' kernel for some CPUs is bfloat16
    whole = load_file(tmp_path / "merged" / "model.safetensors")
    assert {value.dtype for value in whole.values()} == {torch.float32}
    np.testing.assert_allclose(answers(tmp_path / "merged"), answers(tmp_path / "out"), atol=MERGED)
    assert 0 < np.abs(answers(tmp_path / "merged") - expected).max() < drift, "what rounding the base had changed"


def test_bf16_keeps_float32_of_what_was_trained(folders: dict[str, str], tmp_path: Path) -> None:
    model, opened, expected = trained(
        folders["mplug_owl2"], precision="bf16", train={"projector": None}, lora={"rank": 4}
    )
    save_trained(model, opened, tmp_path / "out")
    stored = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float32}
    again = answers(tmp_path / "out", dtype="bfloat16")
    assert np.abs(again - expected).max() < 0.1, "merged and computed in bfloat16 throughout"


def test_the_stored_type_of_a_whole_model_can_be_chosen(folders: dict[str, str], tmp_path: Path) -> None:
    model, opened, _ = trained(folders["nano"], train=FULL)
    save_trained(model, opened, tmp_path / "out", dtype="bfloat16")
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16, torch.int64}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    assert model.dtype == torch.float32
    rounded = load_backend(resolve(str(tmp_path / "out")), device="cpu", dtype="stored")
    assert rounded.info.dtype == "bfloat16"


def test_gathered_tensors_take_the_place_of_those_in_memory(folders: dict[str, str], tmp_path: Path) -> None:
    model, opened, _ = trained(folders["llava"], train={"projector": None}, lora={"rank": 2})
    gathered = {name: torch.full_like(value, 0.5) for name, value in model.state_dict().items()}
    tensors = adapter_tensors(model, state=gathered)
    assert tensors.keys() == adapter_tensors(model).keys()
    assert all((value == 0.5).all() for value in tensors.values())
    whole, opened, _ = trained(folders["llava"], train={"projector": None})
    gathered = {name: torch.full_like(value, 0.5) for name, value in whole.state_dict().items()}
    save_trained(whole, opened, tmp_path / "out", state=gathered)
    assert all((value == 0.5).all() for value in load_file(tmp_path / "out" / "model.safetensors").values())


def test_saving_again_replaces_and_leaves_strangers_alone(folders: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    model, opened, _ = trained(folders["nano"], train=FULL)
    save_trained(model, opened, out)
    (out / "checkpoint-2").mkdir()
    (out / "README.md").write_text("a card")
    adapted, opened, expected = trained(folders["nano"], lora={"rank": 2})
    save_trained(adapted, opened, out)
    assert not list(out.glob("model*.safetensors"))
    assert (out / "README.md").read_text() == "a card"
    assert (out / "checkpoint-2").is_dir()
    np.testing.assert_allclose(answers(out), expected, atol=MERGED)


def test_it_scores_by_its_folder_alone(folders: dict[str, str], tmp_path: Path) -> None:
    model, opened, _ = trained(folders["mplug_owl2"], lora={"rank": 2})
    save_trained(model, opened, tmp_path / "run" / "out")
    score = loading.load(str(tmp_path / "run" / "out"), device="cpu").score(photo_pixels(56, 56))
    assert 1 <= score.value <= 5
    assert score.provenance.preset == opened.preset.name


def test_only_adapters_are_merged(folders: dict[str, str], tmp_path: Path) -> None:
    what = stage(folders["llava"], train={"projector": None})
    opened = open_model(what)
    with pytest.raises(UsageError, match="nothing is to be merged"):
        save_trained(prepare(opened.model, what), opened, tmp_path / "out", merged=tmp_path / "merged")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_line(folders: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    opened = open_model(stage(folders["llava"], train={"projector": None}))
    with pytest.raises(UsageError, match="cannot be written"):
        save_trained(opened.model, opened, tmp_path / "file" / "out")
