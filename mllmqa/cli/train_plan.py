"""What ``mllmqa train --dry-run`` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mllmqa.errors import MllmqaError

if TYPE_CHECKING:
    from mllmqa.training.estimate import Counts, Load, Memory
    from mllmqa.training.outline import Outline
    from mllmqa.training.plan import SetPlan, Steps, Tokens
    from mllmqa.training.stage import Stage

Row = tuple[str, str]


def show_plan(stage: Stage, processes: int) -> bool:
    """Print what a run will do; what cannot be told is said with its reason.

    Returns:
        Whether all of it could be told.
    """
    from mllmqa.training import estimate, outline, plan

    unknown: list[str] = []

    def told(name: str, make: Callable[[], Iterator[Row]]) -> None:
        try:
            _print(make())
        except MllmqaError as error:
            unknown.append(name)
            _print(iter([(name, f"not known: {error}")]))

    _print(_stage_rows(stage))
    found: list[Outline] = []
    counts: list[Counts] = []
    measured: list[Tokens] = []

    def parameters() -> Iterator[Row]:
        made = outline.outline(stage)
        found.append(made)
        counts.append(estimate.count(outline.outline(stage).model, stage))
        yield from _part_rows(stage, counts[0])

    def length() -> Iterator[Row]:
        yield from _step_rows(stage, plan.steps(stage, processes), processes)

    def tokens() -> Iterator[Row]:
        measured.append(plan.tokens(stage, found[0], processes))
        yield from _token_rows(stage, measured[0])

    told("parameters", parameters)
    told("samples", length)
    if found and "samples" not in unknown:
        told("tokens", tokens)
    if counts:
        load = measured[0].load(_rows(stage)) if measured else _most(stage)
        _print(_memory_rows(estimate.memory(stage, counts[0], load, processes), exact=bool(measured)))
    return not unknown


def _rows(stage: Stage) -> int:
    return stage.batch * (2 if stage.pairs else 1)


def _most(stage: Stage) -> Load:
    """Without data: every sample as long as is allowed."""
    from mllmqa.training.estimate import per_batch

    return per_batch(stage, stage.max_tokens, stage.max_tokens, stage.max_tokens // 8)


def _print(rows: Iterator[Row]) -> None:
    for name, text in rows:
        print(f"{name:<12} {text}".rstrip())


def _stage_rows(stage: Stage) -> Iterator[Row]:
    from mllmqa.training.stages import digest

    yield "stage", f"{stage.name} ({digest(stage)}): {stage.title}"
    yield "model", f"{stage.model or 'none: give model=…'}{f', asked as {stage.preset}' if stage.preset else ''}"
    if stage.lora is not None:
        targets = stage.lora.targets if isinstance(stage.lora.targets, str) else ", ".join(stage.lora.targets)
        yield "LoRA", f"rank {stage.lora.rank}, alpha {stage.lora.alpha:g}, on {targets}"
    yield "losses", ", ".join(f"{name} × {weight:g}" for name, weight in stage.losses.weights().items())
    how = stage.optimizer
    yield "optimiser", f"{how.name}, {how.rate:g}, {how.schedule}, warm-up {how.warmup:.0%}, clip {how.clip:g}"
    kinds = (
        stage.precision,
        stage.quantize,
        stage.deepspeed,
        "checkpointing" if stage.gradient_checkpointing else None,
    )
    yield "numbers", ", ".join(kind for kind in kinds if kind)


def _part_rows(stage: Stage, counts: Counts) -> Iterator[Row]:
    rates = {part: rate or stage.optimizer.rate for part, rate in stage.train.items()}
    lora = stage.lora.rate or stage.optimizer.rate if stage.lora else None
    for row in counts.parts:
        rate = lora if row.part == "lora" else rates.get(row.part)
        moves = f"trained {row.trainable:,} at {rate:g}" if row.trainable and rate else "frozen"
        yield row.part.replace("motion_projector", "motion proj."), f"{row.parameters:>15,}  {moves}"
    share = counts.trained / counts.parameters
    yield "parameters", f"{counts.parameters:>15,}  trained {counts.trained:,} ({share:.2%})"


def _step_rows(stage: Stage, steps: Steps, processes: int) -> Iterator[Row]:
    for kind, sets in (("set", steps.sets), ("evaluation", steps.evaluate)):
        for one in sets:
            yield kind, _set_text(one)
    unit = "pairs" if stage.pairs else "samples"
    yield "epoch", f"{steps.epoch:,} {unit}, {stage.epochs:g} of them"
    parts = f"batch {stage.batch} × accumulate {stage.accumulate} × processes {processes}"
    yield "steps", f"{steps.steps:,} of {steps.per_step:,} {unit} ({parts})"
    if stage.global_batch not in (None, steps.per_step):
        yield "", f"published with {stage.global_batch} {unit} in a step: {_advice(stage, processes)}"


def _advice(stage: Stage, processes: int) -> str:
    wanted, each = stage.global_batch or 0, stage.batch * processes
    if wanted % each == 0:
        return f"accumulate={wanted // each}"
    return f"choose batch and accumulate so that their product is {wanted / processes:g}"


def _set_text(one: SetPlan) -> str:
    tasks = ", ".join(f"{task or 'no task'} {n:,}" for task, n in one.tasks.items())
    weight = "" if one.weight == 1 else f" × {one.weight:g}"
    return f"{one.name}: {one.n:,} samples{weight} ({tasks}), {one.samples}"


def _token_rows(stage: Stage, tokens: Tokens) -> Iterator[Row]:
    text = f"{tokens.mean:.0f} per sample, at most {tokens.longest:,}, {tokens.answers:.1f} of them learnt"
    lost = f"; {tokens.lost} samples cannot be used" if tokens.lost else ""
    yield "tokens", f"{text} (of {tokens.samples} samples{lost}); limit {stage.max_tokens:,}"


def _memory_rows(memory: Memory, *, exact: bool) -> Iterator[Row]:
    parts = {
        "weights": memory.weights, "gradients": memory.gradients, "optimiser": memory.optimizer,
        "activations": memory.activations,
    }  # fmt: skip
    text = ", ".join(f"{name} {size / 1e9:.3g}" for name, size in parts.items())
    how = "the longest samples seen" if exact else "samples of max_tokens"
    host = f", and {memory.host / 1e9:.3g} GB of main memory" if memory.host else ""
    yield "memory", f"about {memory.total / 1e9:.3g} GB per process with {how} ({text}){host}"
