"""Checkpoints come back to the last bit; the Trainer's own way loses all of a LLaVA."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mllmqa.errors import ModelLoadError
from mllmqa.models.presets import presets
from mllmqa.models.torchvision_shim import has_torchvision
from mllmqa.training.adapt import prepare
from mllmqa.training.checkpoints import load_checkpoint, load_full_checkpoint
from mllmqa.training.opening import open_model
from mllmqa.training.saving import write_weights
from tests import tiny_models, tiny_stages
from tests.tiny_stages import stage

has_torchvision()
peft = pytest.importorskip("peft")

FULL = {"vision": None, "projector": None, "language": None, "embeddings": None}
FAMILIES = [family for family in tiny_stages.FAMILIES if family != "vqa2_motion"]
LOST_BY_THE_TRAINER = {"llava", "llava_next", "llava_onevision", "internvl", "qwen2_5_vl", "nano"}


def prepared(family: str, folder: Path, **fields: Any) -> tuple[Any, Any]:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip("needs torchvision")
    what = stage(tiny_stages.checkpoint(family, folder / "base"), **fields)
    opened = open_model(what)
    return prepare(opened.model, what), opened


def spoil(model: Any) -> None:
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and not name.endswith("pos_embed"):
                value.add_(0.25)


def spoil_trained(model: Any) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.25)


def same(model: Any, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_model_comes_back(family: str, tmp_path: Path) -> None:
    model, opened = prepared(family, tmp_path, train=FULL)
    before = tiny_stages.tensors(model)
    write_weights(model, opened, tmp_path / "checkpoint-1")
    spoil(model)
    assert not same(model, before)
    load_checkpoint(model, tmp_path / "checkpoint-1")
    assert same(model, before)
    assert {p.requires_grad for n, p in model.named_parameters() if "lm_head" not in n} == {True}


def test_vqa2_comes_back(tmp_path: Path) -> None:
    if not has_torchvision():
        pytest.skip("needs torchvision")
    model = tiny_stages.motion_model(tmp_path / "base")
    before = tiny_stages.tensors(model)
    model.save_pretrained(tmp_path / "checkpoint-1")
    spoil(model)
    load_full_checkpoint(model, tmp_path / "checkpoint-1")
    assert same(model, before)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_trainers_own_way(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where this fails, transformers reads its own checkpoints again, and the guard may go."""
    from transformers import Trainer, TrainingArguments

    model, opened = prepared(family, tmp_path, train=FULL)
    before = tiny_stages.tensors(model)
    write_weights(model, opened, tmp_path / "checkpoint-1")
    spoil(model)
    spoilt = tiny_stages.tensors(model)
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True)
    trainer = Trainer(model=model, args=arguments)
    with caplog.at_level(logging.ERROR):
        trainer._load_from_checkpoint(str(tmp_path / "checkpoint-1"))
    after = model.state_dict()
    lost = [name for name in before if not torch.equal(after[name], before[name])]
    if family not in LOST_BY_THE_TRAINER:
        assert not lost
    elif family != "qwen2_5_vl":
        assert all(torch.equal(after[name], spoilt[name]) for name in lost)
    assert (len(lost) > 0) == (family in LOST_BY_THE_TRAINER), f"{len(lost)} of {len(before)}"


@pytest.mark.parametrize("family", ["llava", "llava_next", "mplug_owl2", "nano", "qwen3_vl"])
def test_an_adapter_comes_back_with_what_is_trained_beside(family: str, tmp_path: Path) -> None:
    train = {"vision": None, "projector": None, "embeddings": None}
    model, opened = prepared(family, tmp_path, train=train, lora={"rank": 4, "dora": True})
    spoil_trained(model)  # so that nothing is as it began
    before = tiny_stages.tensors(model)
    (tmp_path / "checkpoint-1").mkdir()
    write_weights(model, opened, tmp_path / "checkpoint-1")
    spoil_trained(model)
    for name, value in model.named_buffers():
        if name.endswith("running_mean") and "heads.standard" not in name:  # without weights, it never learns
            value.add_(0.25)
    assert not same(model, before)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    load_checkpoint(model, tmp_path / "checkpoint-1")
    assert same(model, before)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == trained


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_float32_of_trained_parameters_comes_back_under_bf16(precision: str, tmp_path: Path) -> None:
    for fields in ({"train": {"projector": None}}, {"train": {"projector": None}, "lora": {"rank": 2}}):
        folder = tmp_path / str(len(fields))
        model, opened = prepared("mplug_owl2", folder, precision=precision, **fields)
        spoil_trained(model)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.mul_(1 + 2**-20)  # below what bfloat16 resolves
        before = tiny_stages.tensors(model)
        (folder / "checkpoint-1").mkdir()
        write_weights(model, opened, folder / "checkpoint-1")
        spoil_trained(model)
        load_checkpoint(model, folder / "checkpoint-1")
        assert same(model, before)


def test_a_quantised_models_adapter_comes_back(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    what = stage(
        tiny_stages.checkpoint("llava", tmp_path / "base", width=64),
        quantize="4bit",
        lora={},
        train={"vision": None},
    )
    opened = open_model(what)
    model = prepare(opened.model, what)
    spoil_trained(model)
    before = tiny_stages.tensors(model)
    (tmp_path / "checkpoint-1").mkdir()
    write_weights(model, opened, tmp_path / "checkpoint-1")
    spoil_trained(model)
    load_checkpoint(model, tmp_path / "checkpoint-1")
    assert same(model, before)


@pytest.mark.parametrize("change", ["drop", "add", "shape", "cut", "gone"])
@pytest.mark.parametrize("kind", ["whole", "adapter"])
def test_an_incomplete_checkpoint_is_refused_in_one_line(change: str, kind: str, tmp_path: Path) -> None:
    fields = {"train": FULL} if kind == "whole" else {"train": {"projector": None}, "lora": {"rank": 2}}
    model, opened = prepared("llava", tmp_path, **fields)
    folder = tmp_path / "checkpoint-1"
    folder.mkdir()
    write_weights(model, opened, folder)
    file = folder / ("model.safetensors" if kind == "whole" else "adapter_model.safetensors")
    weights = load_file(file)
    name = next(key for key in sorted(weights) if "multi_modal_projector" in key)
    if change == "drop":
        weights.pop(name)
    elif change == "add":
        weights[name.replace("linear_1", "linear_7")] = weights[name].clone()
    elif change == "shape":
        weights[name] = torch.zeros(3, 3)
    save_file(weights, file, metadata={"format": "pt"})
    if change == "cut":
        file.write_bytes(file.read_bytes()[:500])
    if change == "gone":
        file.unlink()
    with pytest.raises(ModelLoadError) as caught:
        load_checkpoint(model, folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_another_familys_checkpoint_is_refused(tmp_path: Path) -> None:
    model, _ = prepared("llava", tmp_path, train=FULL)
    other, opened = prepared("mplug_owl2", tmp_path / "other", train=FULL)
    write_weights(other, opened, tmp_path / "checkpoint-1")
    with pytest.raises(ModelLoadError):
        load_checkpoint(model, tmp_path / "checkpoint-1")
    assert opened.preset.name in presets()
