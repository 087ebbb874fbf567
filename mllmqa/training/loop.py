"""A small resumable training loop: batch i depends on i alone, so a killed run continues where it stopped."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mllmqa.errors import DataError, TrainingError

log = logging.getLogger(__name__)

Losses = dict[str, Tensor]
PROCESSES = 1024
"""More than there ever are."""


@dataclass(frozen=True)
class Plan:
    """What one stage does.

    Attributes:
        name: stage name; files are `<name>.pt` (last state) and `<name>.jsonl` (log) in `folder`.
        folder: where checkpoints go.
        steps: total optimiser steps.
        warmup: steps of linear warm-up before the cosine decay to zero.
        save_every: steps between checkpoints.
        clip: largest gradient norm.
        bf16: compute in bfloat16 where autocast says so; weights and optimiser stay in float32.
        average: decay of the moving average of the weights that the last checkpoint holds; 0: the last weights.
    """

    name: str
    folder: Path
    steps: int
    warmup: int = 50
    save_every: int = 200
    clip: float = 5.0
    bf16: bool = False
    average: float = 0.0

    @property
    def checkpoint(self) -> Path:
        """File of the last saved state."""
        return self.folder / f"{self.name}.pt"


def weighted(losses: Losses, weights: Mapping[str, float]) -> Losses:
    """Each loss times its weight; KeyError when one has no weight."""
    return {name: weights[name] * value for name, value in losses.items()}


def rate(step: int, steps: int, warmup: int) -> float:
    """Learning-rate factor in 0..1: linear warm-up, then half a cosine (Loshchilov & Hutter, ICLR 2017)."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that a reader sees the old or the new file, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def load_state(path: Path) -> dict[str, Any]:
    """Read a checkpoint; tensors and plain values only (no pickled code)."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def absent_parts(folder: Path, parts: int, process: int, of: int) -> Iterator[tuple[int, Path]]:
    """Yield number and file of the parts of a table that one of `of` processes makes and that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(process, parts, of):
        path = folder / f"{part:05d}.pt"
        if not path.exists():
            yield part, path


def is_done(plan: Plan) -> bool:
    """Whether the stage has run to its end."""
    return plan.checkpoint.exists() and int(load_state(plan.checkpoint)["step"]) >= plan.steps


def fit(
    plan: Plan,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[int], Iterable[Any]],
    losses: Callable[[Any], Losses],
) -> None:
    """Run the stage from its last checkpoint to its end.

    In a process group every process has its own batches; gradients are averaged, the first process saves.

    Args:
        plan: names, lengths and intervals.
        model: what is trained; its whole state dict is in the checkpoint.
        optimizer: over the trained parameters, with its peak learning rates.
        batches: gives the batches of steps start, start + 1, …
        losses: batch → named, already weighted losses; their sum is minimised.
    """
    start, averaged = _resumed(plan, model, optimizer)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: rate(i + start, plan.steps, plan.warmup))
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * rate(start, plan.steps, plan.warmup)
    meter = _Meter(plan) if rank() == 0 else None
    done = start
    for step, batch in zip(range(start, plan.steps), batches(start), strict=False):
        parts = _step(plan, model, optimizer, lambda: losses(batch), step)  # noqa: B023  # called at once
        schedule.step()
        _follow(averaged, model, plan.average, step + 1)
        if meter:
            meter.add(step + 1, parts)
        done = step + 1
        if done % plan.save_every == 0 and done < plan.steps and rank() == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": done}
            save_atomically({**state, "averaged": averaged}, plan.checkpoint)
    if done < plan.steps:
        raise DataError(f"stage {plan.name}: the batches ended after step {done}", expected=f"{plan.steps} steps")
    if averaged:
        model.load_state_dict(averaged)
    if rank() == 0:
        save_atomically({"model": model.state_dict(), "step": plan.steps}, plan.checkpoint)
    wait()


def _step(
    plan: Plan, model: nn.Module, optimizer: torch.optim.Optimizer, losses: Callable[[], Losses], step: int
) -> Losses:
    """Change the weights once; what is drawn on the way (dropout) is a function of process and step, too."""
    torch.manual_seed(PROCESSES * step + rank())
    with torch.autocast(next(model.parameters()).device.type, dtype=torch.bfloat16, enabled=plan.bf16):
        parts = losses()
    total = torch.stack([part.float() for part in parts.values()]).sum()
    if not torch.isfinite(total):
        raise TrainingError(f"the loss is {float(total)}", where=f"stage {plan.name}, step {step + 1}")
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    _average_gradients(model)
    nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
    optimizer.step()
    return parts


def _resumed(plan: Plan, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, dict[str, Tensor]]:
    """Load the last checkpoint, if any; return its step and the averaged weights (empty: none are kept)."""
    if not plan.checkpoint.exists():
        return 0, {k: v.detach().clone() for k, v in model.state_dict().items()} if plan.average else {}
    state = load_state(plan.checkpoint)
    model.load_state_dict(state["model"])
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    start = int(state["step"])
    log.info("%s: continues at step %d of %d", plan.name, start, plan.steps)
    device = next(model.parameters()).device
    return start, {name: value.to(device) for name, value in state.get("averaged", {}).items()}


def _follow(averaged: dict[str, Tensor], model: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the weights, faster at the start (Polyak & Juditsky, 1992; as in EMA practice)."""
    if not averaged:
        return
    keep = min(decay, (1 + step) / (10 + step))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            averaged[name].lerp_(value, 1 - keep)
        else:
            averaged[name].copy_(value)


def rank() -> int:
    """Number of this process; 0 without a process group."""
    grouped = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if grouped else 0


def wait() -> None:
    """Let all processes come to this point; nothing without a process group."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def _average_gradients(model: nn.Module) -> None:
    """Mean of the gradients over the processes, in one message."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    found = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in found])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for gradient, part in zip(found, flat.split([g.numel() for g in found]), strict=True):  # type: ignore[no-untyped-call]
        gradient.copy_(part.view_as(gradient))


class _Meter:
    """Logs the mean of each loss every 20 steps, to the log and as a JSON line."""

    def __init__(self, plan: Plan, every: int = 20) -> None:
        self.plan, self.every, self.sums, self.count = plan, every, dict[str, float](), 0
        self.began = time.monotonic()
        self.cpu = time.process_time()

    def add(self, step: int, parts: Losses) -> None:
        """Take the losses of a step; every so many steps, and at the last, write their means."""
        for name, value in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        self.count += 1
        if step % self.every and step != self.plan.steps:
            return
        means = {name: round(value / self.count, 4) for name, value in self.sums.items()}
        times = {"wall_s": time.monotonic() - self.began, "cpu_s": time.process_time() - self.cpu}
        record = {"step": step, **means, **{k: round(v, 1) for k, v in times.items()}}
        log.info("%s %s", self.plan.name, json.dumps(record))
        self.plan.folder.mkdir(parents=True, exist_ok=True)
        with (self.plan.folder / f"{self.plan.name}.jsonl").open("a") as handle:
            handle.write(json.dumps(record) + "\n")
        self.sums, self.count = {}, 0
