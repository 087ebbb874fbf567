"""What a stage needs: parameters per part, and GPU memory, without loading a weight.

The model's skeleton is built on torch's meta device, frozen and adapted as the stage says, and counted. Memory per
GPU follows the accounting of ZeRO (Rajbhandari et al., SC 2020): weights, gradients and the states of Adam, each
whole or divided by the number of processes, and the activations that gradient checkpointing (Chen et al., 2016)
leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from mllmqa.models.quantize import skip_list
from mllmqa.training.adapt import prepare
from mllmqa.training.opening import opening_dtype
from mllmqa.training.parts import PartCount, count_parts, part_of
from mllmqa.training.stage import Part, Stage

ADAM_STATES = 8
"""Bytes of AdamW's two moments per trained number; in 8 bits :data:`ADAM8_STATES`."""
ADAM8_STATES = 2.0 + 8 / 256
"""Two bytes and, per block of 256, two float32 scales (Dettmers et al., ICLR 2022)."""
PACKED = {"4bit": 0.5 + (1 + 4 / 256) / 64, "8bit": 1.0}
"""Bytes per quantised weight. NF4 has one 8-bit scale per 64 weights, and one float32 per 256 scales (QLoRA)."""


@dataclass(frozen=True)
class Blocks:
    """A stack of equal layers.

    Attributes:
        part: ``vision``, ``language`` …
        count: Layers.
        width: Numbers per token between two layers.
        inner: Numbers per token that one layer keeps for its backward pass: what goes into and comes out of each
            of its linear layers.
        parameters: Of one layer.
    """

    part: Part
    count: int
    width: int
    inner: int
    parameters: int


@dataclass(frozen=True)
class Counts:
    """What a model and a stage are made of.

    Attributes:
        parts: Parameters per part, and of adapters.
        quantised: Weights that are quantised; 0 without quantisation.
        blocks: Stacks of layers.
        vocabulary: Output words.
    """

    parts: tuple[PartCount, ...]
    quantised: int
    blocks: tuple[Blocks, ...]
    vocabulary: int

    @property
    def parameters(self) -> int:
        """All of them, adapters included."""
        return sum(part.parameters for part in self.parts)

    @property
    def trained(self) -> int:
        """Those that a gradient changes."""
        return sum(part.trainable for part in self.parts)


@dataclass(frozen=True)
class Load:
    """Tokens of one batch on one GPU.

    Attributes:
        language: Through the language model, padding included.
        vision: Patches through the vision tower.
        answers: Whose logits are computed.
    """

    language: int
    vision: int = 0
    answers: int = 0


@dataclass(frozen=True)
class Memory:
    """Bytes per GPU. What CUDA, NCCL and fragments of the allocator take comes on top: about 1 to 2 GB.

    Attributes:
        weights: Of the model, with what ZeRO-3 gathers for two layers at once.
        gradients: Of what is trained.
        optimizer: Moments, and float32 copies of the weights where DeepSpeed keeps them.
        activations: Kept for the backward pass, and of the one layer that is computed anew.
        host: Bytes per process in main memory instead, where they are offloaded.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    host: int = 0

    @property
    def total(self) -> int:
        """Bytes per GPU."""
        return self.weights + self.gradients + self.optimizer + self.activations


def count(model: nn.Module, stage: Stage) -> Counts:
    """Count a model as a stage trains it.

    Args:
        model: Its skeleton on the meta device (:func:`mllmqa.training.outline.outline`), or the model; it is
            frozen and adapted in place.
        stage: What is trained.

    Raises:
        UsageError: The model lacks a part or target that the stage names.
    """
    blocks = tuple(_blocks(model))
    quantised = sum(w.numel() for w in _quantised(model)) if stage.quantize else 0
    vocabulary = int(model.get_output_embeddings().weight.shape[0])  # type: ignore[operator]
    whole = stage.model_copy(update={"quantize": None, "gradient_checkpointing": False})
    return Counts(tuple(count_parts(prepare(model, whole))), quantised, blocks, vocabulary)


def memory(stage: Stage, counts: Counts, load: Load, processes: int = 1) -> Memory:
    """Estimate the memory of one GPU.

    With Ψ parameters, of them T trained, N processes, bytes per number w of weights (2 in bf16, 4 in fp32):

    ====================  =====================  ==========  ==========================
    .                     weights                gradients   optimiser
    ====================  =====================  ==========  ==========================
    data parallel         w (Ψ − T) + 4 T + c    4 T         8 T
    ZeRO-2                w Ψ                    w T / N     m T / N
    ZeRO-3                w Ψ / N + 2 layers     w T / N     m T / N
    ====================  =====================  ==========  ==========================

    m is 12 in bf16 (float32 copy and two moments), 8 in fp32; c = 2 T are the bf16 copies that autocast makes of
    float32 weights; 8-bit AdamW has 2 instead of 8. Quantised weights count as :data:`PACKED`, and what is not
    quantised beside them is float32. ``zero3-offload`` moves optimiser states and the shards of the weights to main
    memory.

    Activations, with t tokens, L layers of width h, and e numbers per token inside a layer (:class:`Blocks`):
    w t (L h + e) with gradient checkpointing, w t L e without, for the language model, and for the tower where it
    is trained; 8 bytes per logit. Attention is taken to be fused (no t² term). Projectors, towers of convolutions,
    and what adapters add inside a layer are not counted.

    Args:
        stage: Precision, quantisation, optimiser, ZeRO stage.
        counts: From :func:`count`.
        load: Tokens of one batch (``stage.batch`` samples).
        processes: GPUs.
    """
    width = 4 if stage.precision == "fp32" else 2
    frozen, trained = _frozen_bytes(stage, counts), counts.trained
    states = ADAM8_STATES if stage.optimizer.name == "adamw-8bit" else ADAM_STATES
    activations = _activations(stage, counts, load, width)
    zero = zero_stage(stage.deepspeed)
    if zero == 0:
        copies = 2 * trained if stage.precision == "bf16" else 0
        weights = int(frozen) + 4 * trained + copies
        return Memory(weights, 4 * trained, round(states * trained), activations)
    masters = 4 * trained if width == 2 else 0
    optimizer = round((masters + states * trained) / processes)
    gradients = width * trained // processes
    weights = round(frozen) + width * trained
    if zero < 3:
        return Memory(weights, gradients if zero == 2 else width * trained, optimizer, activations)
    shard = round(weights / processes)
    gathered = 2 * width * max((one.parameters for one in counts.blocks), default=0)
    if is_offloaded(stage.deepspeed):
        return Memory(gathered, gradients, 0, activations, host=shard + optimizer)
    return Memory(shard + gathered, gradients, optimizer, activations)


def zero_stage(deepspeed: str | None) -> int:
    """Return the ZeRO stage of a file of ``train/deepspeed/``; 0 for plain data parallel.

    Raises:
        UnknownNameError: There is no such file.
    """
    return 0 if deepspeed is None else int(_zero(deepspeed)["stage"])


def is_offloaded(deepspeed: str | None) -> bool:
    """Tell whether optimiser states and weights lie in main memory."""
    return deepspeed is not None and _zero(deepspeed).get("offload_param", {}).get("device") == "cpu"


def _zero(deepspeed: str) -> Mapping[str, Any]:
    from mllmqa.training.launch import deepspeed_settings

    found: Mapping[str, Any] = deepspeed_settings(deepspeed)["zero_optimization"]
    return found


def _frozen_bytes(stage: Stage, counts: Counts) -> float:
    """Bytes of all weights that are not trained."""
    frozen = counts.parameters - counts.trained
    if stage.quantize is not None:
        return counts.quantised * PACKED[stage.quantize] + 4.0 * (frozen - counts.quantised)
    return float(frozen * (4 if opening_dtype(stage) == "float32" else 2))


def _activations(stage: Stage, counts: Counts, load: Load, width: int) -> int:
    """Bytes that wait for the backward pass."""
    total = 8 * load.answers * counts.vocabulary
    trained = {row.part for row in counts.parts if row.trainable}
    for one in counts.blocks:
        tokens = load.language if one.part == "language" else load.vision
        if one.part != "language" and one.part not in trained:
            continue
        kept = one.count * one.width + one.inner if stage.gradient_checkpointing else one.count * one.inner
        total += width * tokens * kept
    return total


def _blocks(model: nn.Module) -> Iterator[Blocks]:
    """The outermost stacks whose layers hold linear layers."""
    outermost: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.ModuleList) or len(module) == 0 or name.startswith(tuple(outermost)):
            continue
        linears = [inner for inner in module[0].modules() if isinstance(inner, nn.Linear)]
        if not linears:
            continue
        outermost.append(f"{name}.")
        first = next(iter(dict(module.named_parameters(prefix=name))))
        inner = sum(linear.in_features + linear.out_features for linear in linears)
        size = sum(parameter.numel() for parameter in module[0].parameters())
        sides = Counter(side for linear in linears for side in (linear.in_features, linear.out_features))
        yield Blocks(part_of(first), len(module), sides.most_common(1)[0][0], inner, size)


def _quantised(model: nn.Module) -> Iterator[Tensor]:
    """The weights that quantisation packs: of linear layers of the language model."""
    kept = tuple(f"{name}." for name in skip_list(model, vision=False))
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not f"{name}.".startswith(kept):
            yield module.weight


def per_batch(stage: Stage, language: int, vision: int, answers: int) -> Load:
    """Return the tokens of a batch from those of a sample; pairs show two samples each."""
    samples = stage.batch * (2 if stage.pairs else 1)
    return Load(language * samples, vision * samples, answers * samples)
