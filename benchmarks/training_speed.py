"""Speed of a stage against a plain loop over the same model, batches and losses, in turn in one run.

    python -m benchmarks.training_speed SAMPLES.jsonl [--model nano] [--steps 30] [--rounds 3] [key=value …]

The plain loop is what one would write by hand: a DataLoader with the same collator and worker, forward,
backward, clipping, AdamW, schedule; no log, no guards, no checkpoints. One line of JSON: medians of the seconds
per step, their ratio (1: as fast, above: faster than by hand).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from mllmqa.training import adapt, assemble, opening, processes, stages
from mllmqa.training.stage import Stage
from mllmqa.training.trainer import StageTrainer, arguments_of

from transformers import TrainerCallback, get_scheduler  # isort: skip

WARM = 3
"""Steps of each run that are not timed: the worker starts, memory is allocated."""


class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called behind the optimiser's step."""
        self.ends.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Between the ends of steps, the first few left out."""
        return [after - before for before, after in zip(self.ends[WARM:], self.ends[WARM + 1 :], strict=False)]


def by_trainer(stage: Stage, out: Path) -> list[float]:
    """Seconds per step of the Trainer."""
    arguments = arguments_of(stage, out, cpu=True, workers=1, deepspeed=None)
    opened = opening.open_model(stage)
    model = adapt.prepare(opened.model, stage)
    parts = assemble.assemble(stage, opened.model, opened.processor, opened.preset)
    trainer, clock = StageTrainer(model, arguments, parts, opened), Clock()
    trainer.add_callback(clock)
    trainer.train()
    return clock.seconds()


def by_hand(stage: Stage) -> list[float]:
    """Seconds per step of a plain loop."""
    opened = opening.open_model(stage)
    model = adapt.prepare(opened.model, stage)
    parts = assemble.assemble(stage, opened.model, opened.processor, opened.preset)
    how = stage.optimizer
    optimizer = torch.optim.AdamW(
        adapt.parameter_groups(model, stage), lr=how.rate, betas=how.betas, eps=how.epsilon
    )
    loader = torch.utils.data.DataLoader(parts.rows, stage.batch, collate_fn=parts.collator, num_workers=1)
    schedule = get_scheduler(how.schedule, optimizer, 0, len(loader))
    trained = [p for p in model.parameters() if p.requires_grad]
    clock = Clock()
    model.train()
    for batch in loader:
        items = torch.tensor(parts.objective.items(batch["targets"]))
        with torch.autocast("cpu", torch.bfloat16, enabled=stage.precision == "bf16"):
            seen = parts.objective.look(model, batch["inputs"], batch["targets"])
            losses = parts.objective.parts(seen, batch["targets"])
            loss = parts.objective.step_loss(losses, items, 1, 1)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, how.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        clock.on_step_end()
    return clock.seconds()


def main() -> None:
    """Both in turn, so many rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("settings", nargs="*")
    args = parser.parse_intermixed_args()
    fields = [
        f"model={args.model}",
        f"data={args.samples.resolve()}",
        "batch=8",
        "save_every=100000",
        "report_to=[]",
    ]
    stage = stages.read("nano-words", [*fields, *args.settings])
    lines = sum(1 for _ in args.samples.open("rb"))
    stage = stage.model_copy(update={"epochs": args.steps * stage.batch / lines})
    processes.ready(cpu=True, deepspeed=False)
    found: dict[str, list[float]] = {"trainer": [], "by_hand": []}
    for number in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            found["trainer"] += by_trainer(stage, Path(folder) / str(number))
        found["by_hand"] += by_hand(stage)
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    print(json.dumps({
        "steps": {name: len(seconds) for name, seconds in found.items()},
        "median_s": {name: round(value, 4) for name, value in middle.items()},
        "speed_against_plain_loop": round(middle["by_hand"] / middle["trainer"], 3),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
