"""transformers' Trainer with our batches, losses and learning rates, and checkpoints that are complete."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from mllmqa.errors import TrainingError
from mllmqa.evaluation.stats import plcc, srcc
from mllmqa.models.torchvision_shim import ensure_torchvision
from mllmqa.training.adapt import parameter_groups
from mllmqa.training.assemble import Parts
from mllmqa.training.checkpoints import load_checkpoint
from mllmqa.training.journal import Journal
from mllmqa.training.losses import Part
from mllmqa.training.opening import Opened
from mllmqa.training.rows import Lost
from mllmqa.training.saving import save_trained, write_weights
from mllmqa.training.stage import Stage
from mllmqa.training.watch import Watch
from mllmqa.whole_file import write_whole

ensure_torchvision()  # before any model class of transformers is imported

from transformers import PrinterCallback, Trainer, TrainingArguments  # noqa: E402
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR  # noqa: E402

MARKER = "complete.json"
"""Written last into a checkpoint: names and sizes of its files."""
MAX_LOST = 0.05
"""Share of the samples that may be lost before a run stops."""
LEAST_SEEN = 100
"""Samples seen before that share is looked at."""


class StageTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed here
    """Runs one stage.

    Args:
        model: Prepared by :func:`mllmqa.training.adapt.prepare`.
        arguments: Of :func:`arguments_of`.
        parts: Data, losses, stage.
        opened: What the stage began with.
    """

    def __init__(self, model: Any, arguments: TrainingArguments, parts: Parts, opened: Opened) -> None:
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=parts.rows,
            eval_dataset=dict(parts.evaluate) or None,
            data_collator=parts.collator,
            processing_class=opened.processor,
            compute_metrics=lambda seen: agreement(seen.predictions, parts.sources),
        )
        if parts.stage.deepspeed is not None and not self.is_deepspeed_enabled:
            raise TrainingError(
                "accelerate has left DeepSpeed out", where=parts.stage.name, expected=parts.stage.deepspeed,
                hint="unset ACCELERATE_USE_CPU and start it by `mllmqa train`",
            )  # fmt: skip
        self.remove_callback(PrinterCallback)
        self.add_callback(Journal(Path(arguments.output_dir)))
        self.parts, self.opened = parts, opened
        self.model_accepts_loss_kwargs = True  # the answer loss is divided by the tokens of the whole step
        self._out = Path(arguments.output_dir)
        self._watch = Watch(self._out)
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, float] = defaultdict(float)
        self._seen = self._lost = 0

    # ------------------------------------------------------------------ order, optimiser, loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """In their order: item i of the mixture is what step i shows."""
        return SequentialSampler(train_dataset or self.train_dataset)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW over the stage's groups, each with its own learning rate."""
        made: torch.optim.Optimizer | None = getattr(self, "optimizer", None)
        if made is None:
            how = self.parts.stage.optimizer
            groups = parameter_groups(self.model if model is None else model, self.parts.stage)
            shared: dict[str, Any] = {"lr": how.rate, "betas": how.betas, "eps": how.epsilon}
            if how.name == "adamw-8bit":
                import bitsandbytes as bnb

                made = bnb.optim.AdamW8bit(groups, **shared)
            else:
                made = torch.optim.AdamW(groups, **shared)
        self.optimizer = made
        return made

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        """What the answer loss of a whole step is divided by, over all its batches and processes."""
        found = sum(self.parts.objective.items(batch["targets"]) for batch in batch_samples)
        items = torch.tensor(found, device=device)
        return self.accelerator.gather(items).sum() if self.args.world_size > 1 else items

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Tensor | None = None
    ) -> Any:
        """The stage's losses; in training also looked at and kept for the log."""
        objective, targets = self.parts.objective, inputs["targets"]
        seen = objective.look(model, inputs["inputs"], targets)
        parts = objective.parts(seen, targets)
        combined = objective.combined(parts)
        if not model.training or num_items_in_batch is None:
            return (combined.total, seen) if return_outputs else combined.total
        self._keep(parts, inputs)
        self._watch.look(self.state.global_step + 1, combined.numbers(), inputs)
        return objective.step_loss(
            parts, num_items_in_batch, self.accelerator.num_processes, self.current_gradient_accumulation_steps
        )

    def _keep(self, parts: Mapping[str, Part], batch: Mapping[str, Any]) -> None:
        for name, part in parts.items():
            count = float(part.count)
            self._sums[name] += float(part.value.detach()) * count
            self._counts[name] += count
        self._seen += len(batch["ids"]) + len(batch["lost"])
        self._report_lost(batch["lost"])

    def _report_lost(self, lost: list[Lost]) -> None:
        """Write down what could not be used; too much of it stops the run."""
        self._lost += len(lost)
        place = self._out / f"lost-{self.args.process_index}.jsonl"
        if lost:
            self._out.mkdir(parents=True, exist_ok=True)
            with place.open("a", encoding="utf-8") as file:
                for one in lost:
                    file.write(json.dumps({"step": self.state.global_step + 1, **asdict(one)}) + "\n")
        if self._seen >= min(LEAST_SEEN, len(self.parts.rows)) and self._lost > MAX_LOST * self._seen:
            raise TrainingError(
                f"{self._lost} of {self._seen} samples could not be used", where=place,
                expected=f"at most {MAX_LOST:.0%}", hint="see what is wrong with `mllmqa data check --open`",
            )  # fmt: skip

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of each loss since the last log, over what counted."""
        if "loss" in logs:
            logs |= {name: self._sums[name] / n for name, n in self._counts.items() if n}
            logs |= {"lost": self._lost} if self._lost else {}
            self._sums.clear()
            self._counts.clear()
        super().log(logs, start_time)

    # ------------------------------------------------------------------ evaluation

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Score the items of a batch: (I, 3) score, opinion, source; NaN where an item was lost or has no level."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, seen = self.compute_loss(model, inputs, return_outputs=True)
        if prediction_loss_only:
            return loss.detach(), None, None
        targets, slots = inputs["targets"], inputs["slots"]
        score = torch.where(seen.has_level, seen.mean, torch.nan)
        rows = torch.stack([score, targets.mean, targets.sets.double()], dim=1)
        found = torch.where((slots >= 0)[:, None], rows[slots.clamp(min=0)], torch.nan)
        return loss.detach(), found, found

    # ------------------------------------------------------------------ checkpoints

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """T1 of the facts: the stock method matches no key of LLaVA-type models and keeps the first weights."""
        load_checkpoint(self.model if model is None else model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        """T2 of the facts: likewise. DeepSpeed's own loading is not affected."""
        best = self.state.best_model_checkpoint
        if self.is_deepspeed_enabled or best is None:
            super()._load_best_model()
        else:
            load_checkpoint(self.model, Path(best))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Save what :func:`mllmqa.load` loads: whole model or adapter, processor, preset."""
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            write_weights(self.model, self.opened, folder, state=state_dict)

    def finish(self, folder: Path) -> None:
        """Write the end of the stage; every process calls it, the first one writes."""
        sharded = self.is_deepspeed_enabled
        state = self.accelerator.get_state_dict(self.deepspeed) if sharded else None
        if self.args.should_save:
            save_trained(self.model, self.opened, folder, state=state)
        self.accelerator.wait_for_everyone()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save, and mark as complete when all processes have written theirs."""
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        folder = self._out / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save and folder.is_dir():
            files = {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
            write_whole(folder / MARKER, json.dumps(files, indent=1, sort_keys=True) + "\n")


def agreement(predictions: np.ndarray, sources: tuple[str, ...]) -> dict[str, float]:
    """Correlate scores with opinions inside each source.

    Args:
        predictions: (N, 3) score, opinion, id of the source; NaN score: not scored; all NaN: lost.
        sources: Names by id.

    Returns:
        ``SOURCE_srcc``, ``_plcc``, ``_n``, ``_n_unscored``; without ``SOURCE_`` where there is one only.
    """
    score, opinion, of = predictions.T
    found: dict[str, float] = {"n_lost": float(np.isnan(of).sum())}
    present = sorted({int(k) for k in of[np.isfinite(of)]})
    for k in present:
        asked = (of == k) & np.isfinite(opinion)
        rated = asked & np.isfinite(score)
        prefix = "" if len(present) == 1 else f"{sources[k]}_"
        found[f"{prefix}srcc"] = srcc(score[rated], opinion[rated])
        found[f"{prefix}plcc"] = plcc(score[rated], opinion[rated])
        found[f"{prefix}n"] = float(rated.sum())
        found[f"{prefix}n_unscored"] = float((asked & ~rated).sum())
    return found


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the last complete checkpoint, and remove what a kill left of later ones."""
    found = sorted(
        (p for p in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if p.name.rpartition("-")[2].isdigit()),
        key=lambda p: int(p.name.rpartition("-")[2]),
        reverse=True,
    )
    for place in found:
        if is_complete(place):
            return place
        shutil.rmtree(place)
    return None


def is_complete(checkpoint: Path) -> bool:
    """Whether all files that its marker names are there in full size."""
    marker = checkpoint / MARKER
    if not marker.is_file():
        return False
    files: dict[str, int] = json.loads(marker.read_text(encoding="utf-8"))
    return all(
        (checkpoint / name).is_file() and (checkpoint / name).stat().st_size == n for name, n in files.items()
    )


def arguments_of(stage: Stage, out: Path, *, cpu: bool, workers: int, deepspeed: Path | None) -> TrainingArguments:
    """Translate a stage for transformers."""
    how = stage.optimizer
    choose = stage.compare_on is not None
    steps = "steps" if stage.evaluate_every else "no"
    return TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=stage.batch,
        per_device_eval_batch_size=stage.batch,
        gradient_accumulation_steps=stage.accumulate,
        num_train_epochs=1,
        learning_rate=how.rate,
        lr_scheduler_type="constant_with_warmup" if how.schedule == "constant" else how.schedule,
        warmup_steps=how.warmup if how.warmup < 1 else 0,
        max_grad_norm=how.clip,
        bf16=stage.precision == "bf16",
        use_cpu=cpu,
        ddp_backend="gloo" if cpu and int(os.environ.get("WORLD_SIZE", "1")) > 1 else None,
        ddp_find_unused_parameters=True,
        dataloader_num_workers=workers,
        dataloader_drop_last=False,
        remove_unused_columns=False,
        label_names=["labels"],
        eval_strategy=steps,
        eval_steps=stage.evaluate_every,
        save_strategy="steps",
        save_steps=stage.save_every,
        save_total_limit=stage.keep,
        load_best_model_at_end=choose,
        metric_for_best_model=f"eval_{stage.compare_on}_srcc" if choose else None,
        greater_is_better=True if choose else None,
        logging_steps=stage.log_every,
        logging_nan_inf_filter=False,
        logging_first_step=True,
        disable_tqdm=True,
        report_to=list(stage.report_to) or "none",
        use_cache=True,  # else it is turned off in the configuration, and saved so
        seed=stage.seed,
        data_seed=stage.seed,
        deepspeed=None if deepspeed is None else str(deepspeed),
    )
