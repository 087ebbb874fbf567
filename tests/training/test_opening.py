"""Where a stage starts: models, presets, adapters merged or continued; what an adapter calls its base."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mllmqa.errors import ModelLoadError, UsageError
from mllmqa.models.load import load_backend
from mllmqa.models.presets import presets
from mllmqa.models.resolve import resolve
from mllmqa.models.torchvision_shim import has_torchvision
from mllmqa.training.adapt import prepare
from mllmqa.training.opening import open_model, opening_dtype
from mllmqa.training.saving import save_trained
from tests import tiny_stages
from tests.tiny_stages import stage

has_torchvision()
peft = pytest.importorskip("peft")

LORA = {"rank": 4, "targets": ["q_proj", "v_proj"]}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_stages.checkpoint("llava", tmp_path_factory.mktemp("bases") / "llava")


@pytest.fixture(scope="module")
def trained(base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """An adapter with a projector beside it, and what its model in memory answered."""
    what = stage(base, train={"projector": None}, lora=LORA)
    opened = open_model(what)
    model = prepare(opened.model, what)
    tiny_stages.train(model, opened, what)
    folder = tmp_path_factory.mktemp("runs") / "one"
    save_trained(model, opened, folder)
    return str(folder), tiny_stages.logits(opened.backend(model))


@pytest.mark.parametrize("family", ["llava", "mplug_owl2", "nano"])
def test_it_is_the_model_that_scores(family: str, tmp_path: Path) -> None:
    name = tiny_stages.checkpoint(family, tmp_path / "m")
    opened = open_model(stage(name, train={"vision": None}))
    scorer = load_backend(resolve(name), device="cpu")
    np.testing.assert_array_equal(tiny_stages.logits(opened.backend()), tiny_stages.logits(scorer))
    assert (opened.preset, opened.info, opened.carried) == (scorer.preset, scorer.info, frozenset())
    assert not opened.model.training


def test_the_stage_chooses_preset_and_precision(tmp_path: Path) -> None:
    name = tiny_stages.checkpoint("mplug_owl2", tmp_path / "m")
    opened = open_model(stage(name, train={"vision": None}, preset="deqa-mix3", precision="bf16"))
    assert (opened.preset.name, opened.model.dtype, opened.info.dtype) == ("deqa-mix3", torch.bfloat16, "bfloat16")
    with pytest.raises(ModelLoadError, match="of the family mplug_owl2"):
        open_model(stage(name, train={"vision": None}, preset="llava-1.5"))


@pytest.mark.parametrize(
    ("fields", "dtype"),
    [
        ({"train": {"language": None}}, "float32"),
        ({"train": {"language": None}, "deepspeed": "zero3"}, "bfloat16"),
        ({"train": {"projector": None}}, "bfloat16"),
        ({"lora": {}}, "bfloat16"),
        ({"lora": {}, "precision": "fp32"}, "float32"),
    ],
)
def test_weights_that_adamw_changes_are_not_rounded_first(fields: dict[str, Any], dtype: str) -> None:
    assert opening_dtype(stage("nano", **{"precision": "bf16", **fields})) == dtype


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(UsageError, match=r"tiny: names no model to start from; expected model=NAME"):
        open_model(stage(None, train={"vision": None}))
    with pytest.raises(UsageError, match="behind an endpoint"):
        open_model(stage("api:gpt", train={"vision": None}))


def test_full_training_starts_from_an_adapter_merged_into_its_base(trained: tuple[str, np.ndarray]) -> None:
    folder, expected = trained
    opened = open_model(stage(folder, train={"language": None}))
    np.testing.assert_allclose(tiny_stages.logits(opened.backend()), expected, atol=2e-6)
    assert type(opened.model).__name__ == "LlavaForConditionalGeneration"
    assert opened.info.adapter_sha256 is not None


def test_lora_continues_an_adapter_and_keeps_what_lies_beside(
    trained: tuple[str, np.ndarray], base: str, tmp_path: Path
) -> None:
    folder, expected = trained
    what = stage(folder, lora=LORA)  # the projector is not trained any more
    opened = open_model(what)
    np.testing.assert_array_equal(tiny_stages.logits(opened.backend()), expected)
    assert {name.rsplit(".", 2)[0] for name in opened.carried} == {"model.multi_modal_projector"}
    model = prepare(opened.model, what)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        name for name, _ in model.named_parameters() if ".lora_" in name
    }
    tiny_stages.train(model, opened, what)
    save_trained(model, opened, tmp_path / "two")
    again = load_backend(resolve(str(tmp_path / "two")), device="cpu")
    answer = tiny_stages.logits(again)
    np.testing.assert_allclose(answer, tiny_stages.logits(opened.backend(model)), atol=2e-6)
    assert np.abs(answer - expected).max() > 1e-2
    assert Path(resolve(str(tmp_path / "two")).location) == Path(base).resolve()


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({**LORA, "rank": 8}, "rank 4 there, 8 here"),
        ({**LORA, "alpha": 1}, "alpha 32.* there, 1.* here"),
        ({"rank": 4}, "targets 4 layers there, 14 layers here"),
        ({**LORA, "dora": True}, "dora False there, True here"),
    ],
)
def test_another_adapter_than_it_continues_is_refused(
    lora: dict[str, Any], message: str, trained: tuple[str, np.ndarray]
) -> None:
    what = stage(trained[0], lora=lora)
    with pytest.raises(UsageError, match=rf"is another: {message}.*mllmqa convert"):
        prepare(open_model(what).model, what)


def test_the_originals_adapters_are_continued_with_their_trainables(tmp_path: Path) -> None:
    name = tiny_stages.checkpoint("mplug_owl2", tmp_path / "base")
    model = load_backend(resolve(name), device="cpu").model
    config = peft.LoraConfig(
        r=4,
        lora_alpha=32,
        target_modules=r".*layers\.\d+\.self_attn\.(q_proj|v_proj\.multiway\.1)",
        init_lora_weights=False,
    )
    adapted = peft.get_peft_model(model, config)
    adapted.save_pretrained(tmp_path / "published")
    beside = {n: p + 0.1 for n, p in adapted.named_parameters() if "visual_abstractor" in n}
    torch.save(beside, tmp_path / "published" / "non_lora_trainables.bin")
    expected = tiny_stages.logits(load_backend(resolve(str(tmp_path / "published")), device="cpu"))
    what = stage(str(tmp_path / "published"), lora={"rank": 4, "targets": ["q_proj", "v_proj.multiway.1"]})
    opened = open_model(what)
    assert len(opened.carried) == len(beside)
    trained = prepare(opened.model, what)
    np.testing.assert_allclose(tiny_stages.logits(opened.backend(trained)), expected, atol=2e-5)
    save_trained(trained, opened, tmp_path / "mine")
    mine = load_backend(resolve(str(tmp_path / "mine")), device="cpu")
    np.testing.assert_allclose(tiny_stages.logits(mine), expected, atol=2e-5)
    assert not (tmp_path / "mine" / "non_lora_trainables.bin").exists()


def test_how_an_adapter_names_its_base(base: str, tmp_path: Path) -> None:
    nano = open_model(stage("nano", lora={}))
    assert nano.base_named_from(tmp_path) == ("nano", None)
    local = replace(nano, source=resolve(base))
    assert local.base_named_from(Path(base).parent / "run") == ("../llava", None)
    assert local.base_named_from(tmp_path / "elsewhere" / "run") == (str(Path(base).resolve()), None)
    hub = replace(nano, source=resolve("one-align"), info=replace(nano.info, revision="abc"))
    assert hub.base_named_from(tmp_path) == (presets()["one-align"].weights, "abc")


def test_a_base_on_the_hub_is_read_at_the_revision_that_the_adapter_names(tmp_path: Path) -> None:
    fields = {"base_model_name_or_path": "llava-hf/llava-1.5-7b-hf", "revision": "abc", "peft_type": "LORA"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields))
    assert resolve(str(tmp_path)).revision == "abc"
    assert resolve(str(tmp_path), "def").revision == "def"
    assert resolve(str(tmp_path), base="llava-hf/llava-1.5-13b-hf").revision is None
