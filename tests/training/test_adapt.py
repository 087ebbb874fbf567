"""Freezing, adapters and learning rates: only what the stage names moves, at the rate that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mllmqa.errors import UsageError
from mllmqa.models.base import LevelLogits
from mllmqa.models.torchvision_shim import has_torchvision
from mllmqa.training.adapt import attend_eagerly, lora_targets, parameter_groups, prepare
from mllmqa.training.opening import Opened, open_model
from mllmqa.training.parts import base_name, count_parts, is_lora, part_of
from mllmqa.training.stage import Lora
from tests import tiny_models, tiny_stages
from tests.tiny_stages import stage

has_torchvision()
peft = pytest.importorskip("peft")

FULL = {"vision": 2e-6, "projector": None, "language": 1e-5}


def prepared(name: str, **fields: Any) -> tuple[Any, Opened, Any]:
    what = stage(name, **fields)
    opened = open_model(what)
    return prepare(opened.model, what), opened, what


@pytest.mark.parametrize("family", ["llava", "mplug_owl2", "nano"])
def test_full_training_moves_the_named_parts_only(family: str, folders: dict[str, str]) -> None:
    model, opened, _ = prepared(folders[family], train=FULL)
    assert {row.part for row in count_parts(model) if row.trainable} == set(FULL)
    assert all(row.trainable in (0, row.parameters) for row in count_parts(model))
    before = tiny_stages.tensors(model)
    losses = tiny_stages.train(model, opened, stage(folders[family], train=dict.fromkeys(FULL, 1e-2)), steps=3)
    assert losses[-1] < losses[0]
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {part_of(name) for name in moved} == set(FULL)
    assert not isinstance(model, peft.PeftModel)


def test_rates_are_those_of_the_stage_and_norms_do_not_decay(folders: dict[str, str]) -> None:
    model, _, what = prepared(
        folders["llava"],
        train={**FULL, "embeddings": None, "head": 3e-6},
        optimizer={"rate": 2e-5, "weight_decay": 0.1},
    )
    groups = {group["name"]: group for group in parameter_groups(model, what)}
    assert {name: group["lr"] for name, group in groups.items()} == {
        **{"vision": 2e-6, "vision.no_decay": 2e-6, "projector": 2e-5, "projector.no_decay": 2e-5},
        **{"language": 1e-5, "language.no_decay": 1e-5, "embeddings.no_decay": 2e-5, "head": 3e-6},
    }
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for name, group in groups.items():
        assert group["weight_decay"] == (0.0 if name.endswith("no_decay") else 0.1)
        for parameter in group["params"]:
            called = names[id(parameter)]
            plain = any(word in called for word in ("norm", "bias", "embed_tokens", "position", "class_embedding"))
            assert plain == name.endswith("no_decay"), called
    kernels = next(p for n, p in model.named_parameters() if n.endswith("patch_embedding.weight"))
    assert any(kernels is p for p in groups["vision"]["params"]), "the kernels of a convolution decay"
    optimizer = torch.optim.AdamW(list(groups.values()))
    assert [group["lr"] for group in optimizer.param_groups] == [group["lr"] for group in groups.values()]


def test_each_trained_parameter_is_in_one_group(folders: dict[str, str]) -> None:
    model, _, what = prepared(folders["nano"], train={"embeddings": 1e-3, "vision": None}, lora={"rate": 5e-4})
    groups = parameter_groups(model, what)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in model.parameters() if p.requires_grad}
    assert [group["name"] for group in groups] == ["vision", "vision.no_decay", "embeddings.no_decay", "lora"]
    assert groups[-1]["lr"] == 5e-4
    next(p for n, p in model.named_parameters() if "projector" in n).requires_grad_(True)
    with pytest.raises(UsageError, match=r"model\.multi_modal_projector\S+ is trained; expected nothing but"):
        parameter_groups(model, what)


def test_a_part_that_the_model_lacks_is_refused(folders: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"'motion' is in `train`.*expected vision, projector, language"):
        prepared(folders["llava"], train={"motion": None})
    with pytest.raises(UsageError, match="shares the weights of its embeddings"):
        prepared(folders["nano"], train={"head": None})


# ---------------------------------------------------------------------------------- adapters


def adapted(model: Any) -> set[str]:
    return {base_name(name) for name, _ in model.named_parameters() if is_lora(name)}


@pytest.mark.parametrize("family", ["llava", "mplug_owl2", "nano"])
def test_the_word_language_is_every_linear_layer_of_its_blocks(family: str, folders: dict[str, str]) -> None:
    model, opened, what = prepared(folders[family], lora={"rank": 2})
    base = model.get_base_model()
    linears = {
        f"{base_name(name)}.weight"
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear) and name.endswith("base_layer")
    }
    assert adapted(model) == linears
    assert {part_of(name) for name in linears} == {"language"}
    matrices = {
        n for n, p in base.named_parameters() if p.dim() == 2 and part_of(n) == "language" and not is_lora(n)
    }
    assert {base_name(name) for name in matrices} == linears, "and no other matrix of it is left out"
    assert {row.part for row in count_parts(model) if row.trainable} == {"lora"}
    before = tiny_stages.tensors(model)
    losses = tiny_stages.train(model, opened, what, steps=3)
    assert losses[-1] < losses[0]
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(is_lora(name) for name in moved)


def test_the_targets_of_q_align_are_named_by_their_last_parts(folders: dict[str, str]) -> None:
    model, _, what = prepared(
        folders["mplug_owl2"],
        train={"vision": None, "projector": 1e-4},
        lora={"rank": 8, "alpha": 16, "targets": ["q_proj", "v_proj.multiway.1"], "rate": 2e-4},
        optimizer={"rate": 2e-5},
    )
    layers = [
        f"model.layers.{i}.self_attn.{name}.weight" for i in (0, 1) for name in ("q_proj", "v_proj.multiway.1")
    ]
    assert adapted(model) == set(layers)
    assert {g["name"]: g["lr"] for g in parameter_groups(model, what)} == {
        **{"vision": 2e-5, "vision.no_decay": 2e-5, "projector": 1e-4, "projector.no_decay": 1e-4},
        "lora": 2e-4,
    }
    config = model.peft_config["default"]
    assert (config.r, config.lora_alpha, config.modules_to_save) == (8, 16, None)
    assert config.target_modules == r"model\.layers\.\d+\.(self_attn\.q_proj|self_attn\.v_proj\.multiway\.1)"


def test_targets_by_expression_may_reach_the_tower(folders: dict[str, str]) -> None:
    model, _, _ = prepared(folders["llava"], lora={"targets": r".*vision_tower.*\.(q_proj|v_proj)|lm_head"})
    assert {part_of(name) for name in adapted(model)} == {"vision", "head"}
    assert len(adapted(model)) == 2 * 2 + 1


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["q_proj", "w_proj"], r"'w_proj'; expected self_attn\.q_proj, .*mlp\.down_proj"),
        (["proj"], "'proj'"),
        (r".*\.qproj", r"no linear layer is meant by lora\.targets"),
    ],
)
def test_targets_that_mean_nothing_are_refused(targets: Any, message: str, folders: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=message):
        prepared(folders["llava"], lora={"targets": targets})


def test_a_target_in_a_part_that_is_trained_in_full_is_refused(folders: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="vision: under `train`, and a target of `lora`"):
        prepared(folders["llava"], train={"vision": None}, lora={"targets": r".*vision_tower.*\.q_proj"})


def test_irregular_targets_are_written_out() -> None:
    model = nn.ModuleDict(
        {
            "model": nn.ModuleDict(
                {"layers": nn.ModuleList([nn.ModuleDict({"a": nn.Linear(1, 1)}) for _ in range(3)])}
            )
        }
    )
    chosen = lora_targets(model, Lora(targets=r"model\.layers\.[02]\.a"))
    assert chosen == ["model.layers.0.a", "model.layers.2.a"]
    from mllmqa.training.adapt import _pattern

    assert _pattern(chosen, ["model.layers.0.a", "model.layers.1.a", "model.layers.2.a"]).count("|") == 1


def test_dora_and_rank_stabilisation_reach_peft(folders: dict[str, str]) -> None:
    model, _, _ = prepared(folders["llava"], lora={"dora": True, "rank_stabilised": True, "dropout": 0.1})
    config = model.peft_config["default"]
    assert (config.use_dora, config.use_rslora, config.lora_dropout) == (True, True, 0.1)


# ---------------------------------------------------------------------------------- precision, norms, memory


@pytest.mark.parametrize("deepspeed", [None, "zero3"])
def test_trained_parameters_are_float32_unless_deepspeed_keeps_copies(
    deepspeed: str | None, folders: dict[str, str]
) -> None:
    model, _, _ = prepared(folders["llava"], precision="bf16", train={"projector": None}, deepspeed=deepspeed)
    dtypes = {part_of(name): parameter.dtype for name, parameter in model.named_parameters()}
    assert dtypes.pop("projector") == (torch.float32 if deepspeed is None else torch.bfloat16)
    assert set(dtypes.values()) == {torch.bfloat16}


@pytest.mark.parametrize("family", ["llava", "mplug_owl2"])
def test_bf16_trains(family: str, folders: dict[str, str]) -> None:
    model, opened, what = prepared(folders[family], precision="bf16", train={"projector": None}, lora={"rank": 4})
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    losses = tiny_stages.train(model, opened, what, steps=4)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_norms_keep_their_statistics(frozen: bool, folders: dict[str, str]) -> None:
    fields: dict[str, Any] = {"train": {"projector": None} if frozen else {"vision": None}}
    model, opened, what = prepared(folders["nano"], **fields)
    before = {name: value for name, value in tiny_stages.tensors(model).items() if "running" in name}
    tiny_stages.train(model, opened, what)
    assert before
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items()) == frozen


@pytest.mark.parametrize("family", ["llava", "llava_next", "mplug_owl2", "nano", "qwen3_vl"])
@pytest.mark.parametrize("fields", [{"lora": {"rank": 4}}, {"train": {"vision": None, "projector": None}}])
def test_checkpointing_changes_no_gradient(
    family: str, fields: dict[str, Any], folders: dict[str, str], tmp_path: Path
) -> None:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip("needs torchvision")
    name = folders.get(family) or tiny_stages.checkpoint(family, tmp_path / family)
    gradients = []
    for on in (False, True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, opened, _ = prepared(name, gradient_checkpointing=on, **fields)
        assert on == any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
        tiny_stages.loss(model.train(), opened).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    plain, recomputed = gradients
    assert plain.keys() == recomputed.keys()
    assert any(gradient.abs().max() > 0 for gradient in plain.values())
    for key, gradient in plain.items():
        torch.testing.assert_close(recomputed[key], gradient, rtol=1e-4, atol=1e-7)


def test_four_bits_train_adapters_and_full_parts_beside(folders: dict[str, str]) -> None:
    pytest.importorskip("bitsandbytes")
    model, opened, what = prepared(
        folders["wide"], quantize="4bit", train={"vision": None, "projector": None}, lora={"rank": 4}
    )
    counts = {row.part: (row.parameters, row.trainable) for row in count_parts(model)}
    whole = {row.part: row.parameters for row in count_parts(open_model(stage(folders["wide"], train=FULL)).model)}
    assert {part: size for part, (size, _) in counts.items() if part != "lora"} == whole
    assert {part for part, (_, trained) in counts.items() if trained} == {"vision", "projector", "lora"}
    packed = {part_of(n) for n, p in model.named_parameters() if p.dtype == torch.uint8}
    assert packed == {"language"}
    losses = tiny_stages.train(model, opened, what, steps=3)
    assert losses[-1] < losses[0]


def test_an_evaluation_in_between_leaves_the_gradients_of_four_bits(folders: dict[str, str]) -> None:
    """bitsandbytes' kernel for this CPU, if it has one, knows no gradient, and evaluation would switch to it."""
    pytest.importorskip("bitsandbytes")
    gradients = []
    for evaluated in (False, True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, opened, _ = prepared(
                folders["wide"], quantize="4bit", train={"projector": None}, lora={"rank": 4}
            )
        if evaluated:
            tiny_stages.logits(opened.backend(model))
        tiny_stages.loss(model.train(), opened).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    before, after = gradients
    assert before.keys() == after.keys()
    for name, gradient in before.items():
        assert gradient is not None, name
        torch.testing.assert_close(after[name], gradient)
    assert max(g.abs().max() for n, g in before.items() if "projector" in n) > 0


@pytest.mark.parametrize("family", ["llava", "mplug_owl2", "nano"])
@pytest.mark.parametrize("adapters", [False, True])
def test_eager_attention_says_the_same_and_is_not_saved(
    family: str, adapters: bool, folders: dict[str, str], tmp_path: Path
) -> None:
    how: dict[str, Any] = {"lora": Lora(rank=2, alpha=4.0)} if adapters else {"train": FULL}
    model, opened, _ = prepared(folders[family], **how)
    answers = []
    for eager in (False, True):
        if eager:
            attend_eagerly(model)
            assert opened.model.config.get_text_config()._attn_implementation == "eager"
        (one,) = opened.backend(model).level_logits([tiny_stages.request()], ["good", "bad"])
        assert isinstance(one, LevelLogits)
        answers.append(torch.as_tensor(one.logits))
    assert torch.allclose(answers[0], answers[1], atol=1e-4)
    opened.model.config.save_pretrained(tmp_path)
    assert "eager" not in (tmp_path / "config.json").read_text()
