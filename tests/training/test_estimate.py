"""Parameters and memory: against published sizes, and against what a real training step holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.models import mplug_owl2
from mllmqa.models.quantize import skeleton
from mllmqa.training import adapt, estimate, stages
from mllmqa.training.estimate import PACKED, Blocks, Counts, Load, count, memory, per_batch
from mllmqa.training.opening import open_model
from mllmqa.training.outline import outline
from mllmqa.training.parts import PartCount
from mllmqa.training.stage import Stage
from tests import tiny_models
from tests.training.runs_made import stage_of

G = 10**9


def published() -> Any:
    """The skeleton of every published mPLUG-Owl2 scorer (`facts/scoring.md` §1)."""
    mplug_owl2.register()
    from transformers import AutoConfig

    tower = {"hidden_size": 1024, "num_attention_heads": 16, "layer_norm_eps": 1e-6}
    vision = {**tower, "intermediate_size": 4096, "num_hidden_layers": 24, "image_size": 448, "patch_size": 14}
    reader = {**tower, "intermediate_size": 2816, "num_hidden_layers": 6, "num_learnable_queries": 64}
    reader |= {"encoder_hidden_size": 1024, "grid_size": 32}
    config = AutoConfig.for_model(
        "mplug_owl2", hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=32, vocab_size=32000,
        visual_config={"visual_model": vision, "visual_abstractor": reader},
    )  # fmt: skip
    return skeleton(config)


def of(counts: Counts) -> dict[str, tuple[int, int]]:
    return {row.part: (row.parameters, row.trainable) for row in counts.parts}


def test_q_align_trains_all_8_197_859_328_parameters() -> None:
    counts = count(published(), stages.read("q-align"))
    assert counts.parameters == counts.trained == 8_197_859_328
    assert of(counts)["vision"] == (303_966_208,) * 2 and of(counts)["projector"] == (81_473_536,) * 2
    assert counts.quantised == 0 and counts.vocabulary == 32000


def test_q_aligns_lora_trains_148_6_million() -> None:
    """`facts/scoring.md` §2.5: 67.1 M of LoRA on q_proj and v_proj.multiway.1, and the abstractor."""
    counts = count(published(), stages.read("qlora-24gb"))
    assert of(counts)["lora"] == (67_108_864, 67_108_864)
    assert counts.trained == 67_108_864 + 81_473_536
    # Only linear layers of the language model are packed, neither embeddings nor output layer.
    assert counts.quantised == 7_550_275_584 - 32 * 4 * 4096 - 4096


def test_qlora_fits_its_gpu() -> None:
    stage = stages.read("qlora-24gb")
    counts = count(published(), stage)
    for language in (120, stage.max_tokens):  # one picture and a question; the longest that is let in
        assert memory(stage, counts, per_batch(stage, language, 1025, 12)).total < 22 * G


def test_a_part_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="'motion' is in `train`, and the model has no such part"):
        count(published(), stages.read("vqa2-1b"))


# ---------------------------------------------------------------------- against the formula, by hand

T, FROZEN = 1000, 9000
MADE = Counts(
    (PartCount("language", T, T), PartCount("vision", FROZEN, 0)), 0, (Blocks("language", 4, 8, 100, 240),), 32
)
NOTHING = Load(0)


def bytes_of(processes: int, **fields: Any) -> tuple[int, int, int, int]:
    made = memory(stage_of(train={"language": None}, **fields), MADE, NOTHING, processes)
    return made.weights, made.gradients, made.optimizer, made.host


def test_data_parallel_keeps_everything_whole() -> None:
    # The language model is trained in full without DeepSpeed: all of it is loaded in float32 (opening_dtype).
    assert bytes_of(1) == (4 * FROZEN + 4 * T + 2 * T, 4 * T, 8 * T, 0)
    assert bytes_of(8) == bytes_of(1)
    assert bytes_of(1, precision="fp32") == (4 * FROZEN + 4 * T, 4 * T, 8 * T, 0)


def test_zero_2_divides_gradients_and_states() -> None:
    assert bytes_of(4, deepspeed="zero2") == (2 * (FROZEN + T), 2 * T // 4, 12 * T // 4, 0)
    assert bytes_of(4, deepspeed="zero2", precision="fp32") == (4 * (FROZEN + T), 4 * T // 4, 8 * T // 4, 0)


def test_zero_3_divides_the_weights_too_and_gathers_two_layers() -> None:
    assert bytes_of(4, deepspeed="zero3") == (2 * (FROZEN + T) // 4 + 2 * 2 * 240, 2 * T // 4, 12 * T // 4, 0)


def test_offloading_moves_weights_and_states_to_main_memory() -> None:
    shard, states = 2 * (FROZEN + T) // 4, 12 * T // 4
    assert bytes_of(4, deepspeed="zero3-offload") == (2 * 2 * 240, 2 * T // 4, 0, shard + states)


def test_sixteen_bytes_per_trained_parameter_as_in_the_paper() -> None:
    """ZeRO, section 3.1: 2 + 2 + 12 bytes with Adam in mixed precision."""
    everything = Counts((PartCount("language", T, T),), 0, (), 32)
    made = memory(stage_of(train={"language": None}, deepspeed="zero2"), everything, NOTHING, 1)
    assert made.total == 16 * T


def test_adam_in_8_bits() -> None:
    eight = {"optimizer": {"rate": 1e-4, "name": "adamw-8bit"}}
    assert bytes_of(1, **eight)[2] == round((2 + 1 / 32) * T)


def test_activations() -> None:
    whole, kept = (
        stage_of(gradient_checkpointing=False, train={"language": None}),
        stage_of(train={"language": None}),
    )
    load = Load(language=10, vision=7, answers=3)
    logits = 8 * 3 * 32
    assert memory(kept, MADE, load).activations == 2 * 10 * (4 * 8 + 100) + logits
    assert memory(whole, MADE, load).activations == 2 * 10 * 4 * 100 + logits
    precise = stage_of(train={"language": None}, precision="fp32")
    assert memory(precise, MADE, load).activations == 4 * 10 * (4 * 8 + 100) + logits


def test_a_frozen_tower_keeps_nothing() -> None:
    blocks = (Blocks("vision", 2, 8, 50, 10), Blocks("language", 4, 8, 100, 240))
    parts = (PartCount("vision", 10, 0), PartCount("language", 10, 10))
    frozen, moving = Counts(parts, 0, blocks, 32), Counts((PartCount("vision", 10, 10), parts[1]), 0, blocks, 32)
    stage, load = stage_of(train={"language": None}), Load(language=10, vision=7)
    more = memory(stage, moving, load).activations - memory(stage, frozen, load).activations
    assert more == 2 * 7 * (2 * 8 + 50)


def test_pairs_show_two_samples() -> None:
    assert per_batch(stage_of(batch=3, pairs=True), 10, 20, 1) == Load(60, 120, 6)
    assert per_batch(stage_of(batch=3), 10, 20, 1) == Load(30, 60, 3)


def test_zero_stages_are_read_from_the_files() -> None:
    assert [estimate.zero_stage(name) for name in (None, "zero2", "zero3", "zero3-offload")] == [0, 2, 3, 3]
    assert [estimate.is_offloaded(name) for name in (None, "zero3", "zero3-offload")] == [False, False, True]
    with pytest.raises(UnknownNameError, match="no DeepSpeed file 'zero9'"):
        estimate.zero_stage("zero9")


# ---------------------------------------------------------------------- against a real model and a real step


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llava", tmp_path_factory.mktemp("llava"), width=64)


def stored(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def inputs(model: Any, tokens: int) -> dict[str, Any]:
    """A picture of nine tokens, and text."""
    ids = torch.randint(30, 60, (1, tokens), generator=torch.Generator().manual_seed(0))
    ids[0, :9] = model.config.image_token_index
    pixels = torch.rand((1, 3, 24, 24), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "pixel_values": pixels, "labels": ids.clone().masked_fill(ids < 30, -100)}


@pytest.mark.parametrize(
    "fields",
    [
        {"train": {"projector": None}, "lora": {"rank": 4}, "precision": "bf16"},
        {"train": {"language": None, "head": None}, "precision": "bf16"},
        {"train": {"vision": None, "projector": None}, "precision": "fp32"},
        {"train": {"vision": None}, "lora": {"rank": 3, "targets": ["q_proj"], "dora": True}, "precision": "fp32"},
    ],
)
def test_weights_gradients_and_states_of_a_real_step(fields: dict[str, Any], llava: Path) -> None:
    stage = stage_of(model=str(llava), gradient_checkpointing=False, **fields)
    counts = count(outline(stage).model, stage)
    guess = memory(stage, counts, NOTHING)
    model = adapt.prepare(open_model(stage).model, stage)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    copies = 2 * counts.trained if stage.precision == "bf16" else 0
    assert counts.trained == sum(parameter.numel() for parameter in trained)
    assert guess.weights - copies == stored(model.parameters())
    optimizer = torch.optim.AdamW(adapt.parameter_groups(model, stage))
    with torch.autocast("cpu", torch.bfloat16, enabled=stage.precision == "bf16"):
        model(**inputs(model, 20)).loss.backward()
    for parameter in trained:  # the last layer of the tower is not used by LLaVA
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    assert guess.gradients == stored(parameter.grad for parameter in trained)
    optimizer.step()
    moments = [state[key] for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    assert guess.optimizer == stored(moments)


@pytest.mark.parametrize("scheme", ["4bit", "8bit"])
def test_packed_weights_of_a_real_quantised_model(scheme: str, llava: Path) -> None:
    bnb = pytest.importorskip("bitsandbytes")
    stage = stage_of(model=str(llava), quantize=scheme, lora={"rank": 4}, train={})
    counts = count(outline(stage).model, stage)
    model = open_model(stage).model
    kinds = (bnb.nn.Linear4bit, bnb.nn.Linear8bitLt)
    packed = [module for module in model.modules() if isinstance(module, kinds)]
    assert counts.quantised == sum(module.in_features * module.out_features for module in packed)
    real = stored(module.weight.data for module in packed)
    assert real == counts.quantised * (0.5 if scheme == "4bit" else 1)
    scales = [module.weight.quant_state for module in packed if scheme == "4bit"]
    real += sum(stored([scale.absmax, scale.state2.absmax]) for scale in scales)
    assert counts.quantised * PACKED[scheme] == pytest.approx(real, rel=0.01)


def kept_bytes(model: Any, tokens: int) -> int:
    """Bytes of what the backward pass waits for, each tensor once, weights apart."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = model(**inputs(model, tokens)).loss
    loss.backward()
    return sum(kept.values())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_what_one_more_layer_of_a_real_model_keeps(checkpointing: bool, llava: Path) -> None:
    """Per token; what stands around the layers (embeddings, last norm, logits) drops out of the difference."""
    stage = stage_of(
        model=str(llava), train={"language": None}, precision="fp32", gradient_checkpointing=checkpointing
    )
    (block,) = (one for one in count(outline(stage).model, stage).blocks if one.part == "language")
    model = adapt.prepare(open_model(stage).model, stage).train()
    model.config.use_cache = model.config.text_config.use_cache = False
    tokens, language = 200, model.model.language_model
    both = kept_bytes(model, tokens)
    language.layers, language.config.num_hidden_layers = language.layers[:1], 1
    real = (both - kept_bytes(model, tokens)) / tokens
    guess = 4 * (block.width if checkpointing else block.inner)
    assert real == pytest.approx(guess, rel=0.05 if checkpointing else 0.4)


def test_stacks_of_layers_are_found_in_every_family(tmp_path: Path) -> None:
    for family in tiny_models.FAMILIES:
        stage: Stage = stage_of(model=str(tiny_models.build(family, tmp_path / family)), train={"language": None})
        found = {one.part: one for one in count(outline(stage).model, stage).blocks}
        assert found["language"].width == 32 and found["language"].count in (2, 4), family
        assert found["vision"].count == 2 and found["vision"].inner > 4 * found["vision"].width, family
