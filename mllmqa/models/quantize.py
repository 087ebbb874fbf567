"""8-bit and 4-bit weights by bitsandbytes, for the language model only unless asked.

8-bit is LLM.int8() (Dettmers et al., NeurIPS 2022), 4-bit is NF4 with double quantisation (QLoRA, Dettmers
et al., NeurIPS 2023). Quality is seen by the vision tower, so the tower, its projector and the output layer
keep full precision. Which modules those are is computed from the model, by full name: short names in a
skip list silently stop matching in transformers 5.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

from mllmqa.errors import MissingExtraError, ModelLoadError, UnknownNameError

if TYPE_CHECKING:
    from torch import nn

Scheme = Literal["8bit", "4bit"]
_BLOCK_K, _BLOCK_N = 64, 32  # of bitsandbytes 0.50's 4-bit kernel for CPUs with AVX-512-BF16
SCHEMES: tuple[str, ...] = get_args(Scheme)


@dataclass(frozen=True)
class Quantization:
    """What is quantised, and how.

    Attributes:
        scheme: ``8bit`` or ``4bit``.
        vision: Quantise the vision tower and its projector, too. The output layer never is.
    """

    scheme: Scheme
    vision: bool = False

    @classmethod
    def of(cls, name: str, *, vision: bool = False) -> Quantization:
        """Return the quantisation called ``name``.

        Raises:
            UnknownNameError: Not one of :data:`SCHEMES`.
        """
        if name == "8bit":
            return cls("8bit", vision)
        if name == "4bit":
            return cls("4bit", vision)
        raise UnknownNameError(f"no quantisation {name!r}", expected=" | ".join(SCHEMES))


def require() -> None:
    """Check that the packages are here.

    Raises:
        MissingExtraError: bitsandbytes or accelerate is not installed.
    """
    for package in ("bitsandbytes", "accelerate"):
        if find_spec(package) is None:
            raise MissingExtraError(package, extra="quantize", purpose="--quantize")
    # It says on every call that activations become float16, and on every start that it misses "kernels".
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def skip_list(model: nn.Module, *, vision: bool) -> list[str]:
    """Return the full names of the modules that keep full precision.

    Everything beside the language model: what hangs off the path from the root to it (tower, projector,
    output layer). With ``vision`` only the output layer.

    Args:
        model: The model, or its skeleton on the meta device.
        vision: Whether tower and projector shall be quantised.

    Raises:
        ModelLoadError: The model does not say which part is its language model.
    """
    modules = {id(module): name for name, module in model.named_modules()}
    output = modules.get(id(model.get_output_embeddings()))  # type: ignore[operator]
    decoder = modules.get(id(model.get_decoder()))  # type: ignore[operator]
    if not output or not decoder:
        raise ModelLoadError(
            f"{type(model).__name__} does not name its language model and output layer, so what to keep in "
            "full precision is unknown",
            hint="leave out --quantize",
        )
    if vision:
        return [output]
    if stated := getattr(model, "vision_parts", None):  # mPLUG-Owl2 has them inside its language model
        return sorted({*stated, output})
    beside, parent, path = [], model, ""
    for step in decoder.split("."):
        beside += [f"{path}{name}" for name, _ in parent.named_children() if name != step]
        parent, path = parent.get_submodule(step), f"{path}{step}."
    if not set(beside) - {output}:
        raise ModelLoadError(
            f"{type(model).__name__} has no part beside its language model {decoder!r}", hint="leave out --quantize"
        )
    return sorted({*beside, output})


def skeleton(config: Any) -> nn.Module:
    """Build the model of a configuration without weights, to learn its module names."""
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        model: nn.Module = AutoModelForImageTextToText.from_config(config)
    return model


def bnb_config(wanted: Quantization, skip: list[str], dtype: Any) -> Any:
    """Return transformers' configuration for bitsandbytes; 4-bit weights compute in ``dtype``."""
    from transformers import BitsAndBytesConfig

    if wanted.scheme == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=skip,
    )


def quantized_modules(model: nn.Module) -> list[str]:
    """Return the names of the modules that bitsandbytes has quantised."""
    import bitsandbytes as bnb

    kinds = (bnb.nn.Linear8bitLt, bnb.nn.Linear4bit)
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]


def check(model: nn.Module, *, vision: bool, where: str) -> None:
    """Check by walking the loaded model that what was wished was done.

    Args:
        model: The loaded model.
        vision: The wish; what to leave alone is computed afresh, not read from the configuration.
        where: Name of the model for the message.

    Raises:
        ModelLoadError: Nothing was quantised, or a part that should have been left alone, or a part that
            should have been quantised was not.
    """
    done = quantized_modules(model)
    if not done:
        raise ModelLoadError("nothing in it was quantised", where=where, hint="leave out --quantize")
    skip = skip_list(model, vision=vision)
    wrong = [name for name in done if any(name == s or name.startswith(f"{s}.") for s in skip)]
    if wrong:
        raise ModelLoadError(
            f"{len(wrong)} modules were quantised against the wish: {', '.join(wrong[:3])}",
            where=where,
            expected=f"full precision in {', '.join(skip)}",
        )
    odd = _odd_shapes(model)
    if odd:
        raise ModelLoadError(
            f"{len(odd)} layers have shapes that bitsandbytes' 4-bit kernel for this CPU cannot take: {odd[0]}",
            where=where,
            expected=f"input widths in steps of {_BLOCK_K}, output widths in steps of {_BLOCK_N}",
            hint="use --quantize 8bit",
        )
    beside = skip_list(model, vision=False)
    in_vision = any(name.startswith(f"{s}.") for name in done for s in beside)
    if vision and not in_vision:
        raise ModelLoadError("no module of its vision tower was quantised", where=where)


def _packed_for_cpu(model: nn.Module) -> list[tuple[str, Any]]:
    """Return the 4-bit layers that bitsandbytes will run by its AVX-512 kernel, which computes in bfloat16."""
    import bitsandbytes as bnb

    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, bnb.nn.Linear4bit)
        and module.weight.device.type == "cpu"
        and getattr(module, "support_avx512bf16_for_cpu", False)
    ]


def keep_gradients(model: nn.Module) -> None:
    """Keep bitsandbytes from its 4-bit kernel for CPUs, which has no gradient; before the first forward pass.

    A 4-bit layer in evaluation mode packs its weights for that kernel and stays with it in training mode: whatever
    is trained below it would silently get no gradient.
    """
    for _, layer in _packed_for_cpu(model):
        layer.support_avx512bf16_for_cpu = False


def _odd_shapes(model: nn.Module) -> list[str]:
    """Name the layers whose shapes that kernel cannot take (it fails in the forward pass)."""
    return [
        f"{name} {layer.out_features}×{layer.in_features}"
        for name, layer in _packed_for_cpu(model)
        if layer.in_features % _BLOCK_K or layer.out_features % _BLOCK_N
    ]


def describe(model: nn.Module) -> str | None:
    """Return what a loaded model's quantisation is, for provenance; None for full precision.

    Read from the model itself, so that a checkpoint saved in quantised form is told, too.
    """
    config = getattr(model.config, "quantization_config", None)
    if config is None:
        return None
    method = getattr(config, "quant_method", "unknown")
    if getattr(config, "load_in_4bit", False):
        double = " double-quant" if config.bnb_4bit_use_double_quant else ""
        compute = str(config.bnb_4bit_compute_dtype).removeprefix("torch.")
        compute = "bfloat16" if _packed_for_cpu(model) else compute
        how = f"bitsandbytes {config.bnb_4bit_quant_type}{double} compute {compute}"
    elif getattr(config, "load_in_8bit", False):
        how = f"bitsandbytes llm.int8 threshold {config.llm_int8_threshold:g}"
    else:
        return str(getattr(method, "value", method))
    done, beside = quantized_modules(model), skip_list(model, vision=False)
    seen = any(name.startswith(f"{s}.") for name in done for s in beside)
    kept = "quantized" if seen else str(model.dtype).removeprefix("torch.")
    return f"{how}, vision {kept}"
