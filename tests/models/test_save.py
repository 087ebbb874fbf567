"""Whole models as they are written: only what can be loaded again, in the wanted type, without remote code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mllmqa.errors import UsageError
from mllmqa.models.load import load_backend
from mllmqa.models.presets import presets
from mllmqa.models.resolve import resolve
from mllmqa.models.save import check_known, save_whole


@pytest.fixture(scope="module")
def nano() -> Any:
    return load_backend(resolve("nano"), device="cpu")


@pytest.mark.parametrize("dtype", [None, "bfloat16", "float16"])
def test_tensors_in_the_wanted_type_and_tied_ones_once(dtype: str | None, nano: Any, tmp_path: Path) -> None:
    save_whole(nano.model, nano.processor, nano.preset, tmp_path, dtype=dtype)
    stored = load_file(tmp_path / "model.safetensors")
    assert not any("lm_head" in name for name in stored)
    wanted = torch.float32 if dtype is None else getattr(torch, dtype)
    assert {v.dtype for v in stored.values() if v.is_floating_point()} == {wanted}
    again = load_backend(resolve(str(tmp_path)), device="cpu", dtype="stored")
    assert again.model.lm_head.weight is again.model.get_input_embeddings().weight
    assert again.model.dtype == wanted
    assert again.preset.name == "nano"
    config = json.loads((tmp_path / "config.json").read_text())
    assert {config["dtype"], config["text_config"]["dtype"]} == {str(wanted).removeprefix("torch.")}


def test_given_tensors_take_the_place_of_those_in_memory(nano: Any, tmp_path: Path) -> None:
    state = {name: torch.zeros_like(value) for name, value in nano.model.state_dict().items()}
    state.pop("lm_head.weight")
    save_whole(nano.model, nano.processor, nano.preset, tmp_path, state=state)
    assert all(not value.any() for value in load_file(tmp_path / "model.safetensors").values())
    assert nano.model.lm_head.weight.any()


def test_the_authors_code_is_not_named_any_more(nano: Any, tmp_path: Path) -> None:
    nano.model.config.auto_map = {"AutoModel": "theirs.Model"}
    save_whole(nano.model, nano.processor, nano.preset, tmp_path)
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())


def test_the_generic_preset_leaves_no_marker(nano: Any, tmp_path: Path) -> None:
    save_whole(nano.model, nano.processor, presets()["generic"], tmp_path)
    assert not (tmp_path / "mllmqa.json").exists()


def test_a_class_that_nobody_could_load_is_refused() -> None:
    from transformers import PreTrainedConfig

    class Model:
        config = PreTrainedConfig(model_type="unheard_of")

    Model.config.model_type = "unheard_of"
    with pytest.raises(UsageError, match="its class Model is not known"):
        check_known(Model())
