"""Freeze, unfreeze and adapt a model as a stage says, and give each parameter its learning rate."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from mllmqa.errors import MissingExtraError, UsageError
from mllmqa.models.torchvision_shim import ensure_torchvision
from mllmqa.training.parts import LORA, base_name, is_lora, part_of
from mllmqa.training.stage import PARTS, Lora, Part, Stage


def prepare(model: Any, stage: Stage) -> Any:
    """Make a model trainable as the stage says: everything is frozen but its parts and adapters.

    Adapters are PEFT's; what is trained in full beside them stays where it is in the base (no copies, tied weights
    stay tied). Trained parameters become float32 under any precision, because AdamW's steps are smaller than
    bfloat16 resolves: run the model under autocast. DeepSpeed keeps float32 copies itself and is left to it.
    Frozen batch norms keep their statistics whatever ``train()`` says. Checkpointing is not reentrant, so neither
    the embeddings nor the frozen tower need gradients for it.

    Args:
        model: From :func:`mllmqa.training.opening.open_model`; changed in place.
        stage: What to do.

    Returns:
        ``model``, or the PEFT model around it.

    Raises:
        UsageError: The model has no such part or target, or continues an adapter of another shape.
        MissingExtraError: peft is not installed.
    """
    _check_parts(model, stage)
    if stage.quantize is not None:
        model = _peft().prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model.requires_grad_(False)
    if stage.lora is not None:
        model = _with_lora(model, stage.lora, stage)
    for name, parameter in model.named_parameters():
        if is_lora(name) or part_of(name) in stage.train:
            parameter.requires_grad_(True)
    if stage.deepspeed is None:
        _to_float32(model)
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not any(p.requires_grad for p in module.parameters()):
            module.register_forward_pre_hook(_evaluating)
    if stage.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    return model


def attend_eagerly(model: Any) -> None:
    """Let attention be plain matrix products: on CPUs the fused one is slower in bfloat16 (docs/log.md)."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    base.set_attn_implementation("eager")


def parameter_groups(model: nn.Module, stage: Stage) -> list[dict[str, Any]]:
    """Return the groups for the optimiser: one per part, or the adapters, with and without weight decay.

    Only matrices and kernels decay (the weights of linear and convolutional layers); norms, biases, embeddings and
    learned tokens do not.

    Args:
        model: From :func:`prepare`.
        stage: Whose rates they get.

    Returns:
        Dicts with ``params``, ``lr``, ``weight_decay`` and ``name`` (``vision``, ``vision.no_decay``, …, ``lora``).

    Raises:
        UsageError: A parameter is trained that the stage does not name.
    """
    kernels = _kernels(model)
    found: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part, rate = (LORA, stage.lora.rate) if stage.lora and is_lora(name) else _rate(name, stage)
        decays = id(parameter) in kernels
        group = found.setdefault(
            part if decays else f"{part}.no_decay",
            {
                "params": [],
                "lr": rate or stage.optimizer.rate,
                "weight_decay": stage.optimizer.weight_decay if decays else 0.0,
                "name": part if decays else f"{part}.no_decay",
            },
        )
        group["params"].append(parameter)
    order = [name for part in (*PARTS, LORA) for name in (part, f"{part}.no_decay")]
    groups = [found[name] for name in order if name in found]
    _check_complete(model, groups)
    return groups


def _rate(name: str, stage: Stage) -> tuple[Part, float | None]:
    part = part_of(name)
    if part not in stage.train:
        raise UsageError(f"{base_name(name)} is trained", expected=f"nothing but {', '.join(stage.train) or LORA}")
    return part, stage.train[part]


def _check_complete(model: nn.Module, groups: list[dict[str, Any]]) -> None:
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    if len(grouped) != len(trained) or set(grouped) != trained:
        raise UsageError(f"{len(trained)} parameters are trained, {len(grouped)} are in the optimiser's groups")


def _kernels(model: nn.Module) -> set[int]:
    """Return the ids of the weights that only linear and convolutional layers own; tied embeddings are none."""
    kernels: set[int] = set()
    others: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            is_kernel = isinstance(module, nn.Linear | _ConvNd) and name == "weight"
            (kernels if is_kernel else others).add(id(parameter))
    return kernels - others


# ---------------------------------------------------------------------- parts trained in full


def _check_parts(model: nn.Module, stage: Stage) -> None:
    there = {part_of(name) for name, _ in model.named_parameters()}
    for part in stage.train:
        if part not in there:
            tied = part == "head" and "embeddings" in there
            raise UsageError(
                f"{part!r} is in `train`, and the model has no such part",
                where=stage.name,
                expected=", ".join(known for known in PARTS if known in there),
                hint="its output layer shares the weights of its embeddings: name those" if tied else None,
            )


def _to_float32(model: nn.Module) -> None:
    """Give trained parameters, and the statistics beside them, float32."""
    for module in model.modules():
        trained = [p for p in module.parameters(recurse=False) if p.requires_grad]
        for tensor in [*trained, *(module.buffers(recurse=False) if trained else ())]:
            if tensor.is_floating_point():
                tensor.data = tensor.data.float()


def _evaluating(module: nn.Module, _: object) -> None:
    """Before its forward pass: a frozen batch norm normalises by its stored statistics and leaves them alone."""
    module.eval()


# ---------------------------------------------------------------------- adapters


def _peft() -> Any:
    ensure_torchvision()  # peft imports model classes of transformers
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("peft", extra="train", purpose="LoRA") from error
    return peft


def _with_lora(model: Any, lora: Lora, stage: Stage) -> Any:
    """Put LoRA layers on the targets, or check that those which are there are the ones that the stage wants."""
    peft = _peft()
    wanted = lora_targets(model, lora)
    both = sorted({part_of(f"{name}.weight") for name in wanted} & set(stage.train))
    if both:
        raise UsageError(f"{', '.join(both)}: under `train`, and a target of `lora`", where=stage.name)
    if isinstance(model, peft.PeftModel):
        _check_continued(model, lora, wanted, stage.name)
        return model
    config = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_pattern(wanted, _linears(model)),
        use_dora=lora.dora,
        use_rslora=lora.rank_stabilised,
    )
    return peft.get_peft_model(model, config)


def lora_targets(model: Any, lora: Lora) -> list[str]:
    """Return the full names of the linear layers that get an adapter, as they are called in the base model.

    Raises:
        UsageError: The expression is none, or a target names no linear layer.
    """
    linears = _linears(model)
    language = [name for name in linears if part_of(f"{name}.weight") == "language"]
    if lora.targets == "language":
        return language
    if isinstance(lora.targets, str):
        try:
            expression = re.compile(lora.targets)
        except re.error as error:
            raise UsageError(f"lora.targets={lora.targets!r}: {error}", expected="a regular expression") from error
        chosen = [name for name in linears if expression.fullmatch(name)]
        unused = [] if chosen else [lora.targets]
    else:
        chosen = [name for name in language if any(_ends(name, target) for target in lora.targets)]
        unused = [target for target in lora.targets if not any(_ends(name, target) for name in language)]
    if unused:
        known = dict.fromkeys(re.sub(r"^.*?\.\d+\.", "", name) for name in language)
        raise UsageError(f"no linear layer is meant by lora.targets {unused[0]!r}", expected=", ".join(known))
    return chosen


def _linears(model: Any) -> list[str]:
    """Name the linear layers of the base, quantised or not, in order."""
    named = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear))
    return [base_name(name) for name, _ in named if not is_lora(name)]


def _ends(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")


def _pattern(wanted: list[str], among: Iterable[str]) -> str:
    """Return a short regular expression that fits exactly these names among all."""
    stems: dict[str, dict[str, None]] = {}
    for name in wanted:
        head, index, tail = re.fullmatch(r"(?:(.*?)\.(\d+)\.)?(.+)", name).groups()  # type: ignore[union-attr]
        stem = "" if index is None else rf"{re.escape(head)}\.\d+\."
        stems.setdefault(stem, {})[re.escape(tail)] = None
    short = "|".join(f"{stem}({'|'.join(tails)})" for stem, tails in stems.items())
    if {name for name in among if re.fullmatch(short, name)} == set(wanted):
        return short
    return "|".join(map(re.escape, wanted))


def _check_continued(model: Any, lora: Lora, wanted: list[str], where: str) -> None:
    """Refuse to continue an adapter under another description: what is saved would not be what is there."""
    (config,) = model.peft_config.values()
    adapted = {base_name(name) for name, _ in model.named_modules() if name.endswith(".lora_A")}
    adapted = {name.removesuffix(".lora_A") for name in adapted}
    differences = [
        f"{what} {there} there, {here} here"
        for what, there, here in (
            ("rank", config.r, lora.rank),
            ("alpha", config.lora_alpha, lora.alpha),
            ("dora", config.use_dora, lora.dora),
            ("rank_stabilised", config.use_rslora, lora.rank_stabilised),
            ("targets", f"{len(adapted)} layers", f"{len(wanted)} layers" if adapted != set(wanted) else None),
        )
        if there != here and here is not None
    ]
    if differences or config.rank_pattern or config.alpha_pattern:
        raise UsageError(
            f"the adapter that it continues is another: {'; '.join(differences) or 'ranks differ by layer'}",
            where=where,
            expected="the same `lora`",
            hint="or merge it first by `mllmqa convert` and start from that folder",
        )
