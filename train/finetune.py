"""Train one stage. `mllmqa train STAGE` starts this file, in one process or several. Read from top to bottom.

    mllmqa train deqa-lora data=data/deqa/samples.jsonl model=MODEL --out runs/deqa
    python train/finetune.py --stage stage.yaml --out runs/deqa          # the same, by hand
    torchrun --nproc_per_node 2 train/finetune.py --stage stage.yaml --out runs/deqa --cpu

A killed run goes on with the same command and `--resume`, as if nothing had happened. What comes out is in
`OUT/model`: `mllmqa score --model OUT/model photo.jpg`.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from mllmqa import resources
from mllmqa.errors import MllmqaError, UsageError
from mllmqa.training import processes, stages
from mllmqa.training.agent import follow_agent
from mllmqa.training.trainer import StageTrainer, arguments_of, latest_checkpoint  # before transformers

from transformers import set_seed  # isort: skip
from mllmqa.training import adapt, assemble, card, memory, opening, templates  # isort: skip


def train(stage_file: Path, out: Path, *, resume: bool, cpu: bool, workers: int) -> None:
    """Run the stage to its end and save what it made."""
    stage = stages.read(str(stage_file))

    # 1. Where it runs. Arguments come before the model: under ZeRO-3 it is loaded in parts.
    folder = resources.folder("train") / "deepspeed"
    sharded = folder / f"{stage.deepspeed}.json" if stage.deepspeed else None
    arguments = arguments_of(stage, out, cpu=cpu, workers=workers, deepspeed=sharded)
    processes.ready(cpu=cpu, deepspeed=sharded is not None)
    set_seed(stage.seed)  # adapters begin at random

    # 2. The model: loaded, frozen, adapters and gradients put where the stage wants them.
    opened = opening.open_model(stage, device=str(arguments.device))
    model = adapt.prepare(opened.model, stage)
    if stage.remember_vision:
        memory.remember(model, out / "vision")
    if cpu and stage.precision == "bf16":
        adapt.attend_eagerly(model)

    # 3. Data and losses.
    template = templates.load_template(stage.template) if stage.template else None
    parts = assemble.assemble(
        stage, opened.model, opened.processor, opened.preset, processes=arguments.world_size, template=template
    )  # fmt: skip

    # 4. The steps.
    trainer = StageTrainer(model, arguments, parts, opened)
    checkpoint = processes.agreed(latest_checkpoint, out) if resume else None
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    metrics = trainer.evaluate() if parts.evaluate else {}

    # 5. What ships: weights or adapter, processor, preset, card.
    trainer.finish(out / "model")
    if arguments.should_save:
        card.write(out / "model", stage, opened.info, assemble.describe_data(stage), metrics)
        (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Parse the command line; one line for what the user can mend."""
    follow_agent()  # if `mllmqa train` is killed, this ends, too
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", type=Path, required=True, help="a resolved stage (YAML)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true", help="go on from the last complete checkpoint")
    parser.add_argument("--cpu", action="store_true", help="use no GPU")
    parser.add_argument("--workers", type=int, default=1, help="processes that load data")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        train(args.stage, args.out, resume=args.resume, cpu=args.cpu, workers=args.workers)
    except MllmqaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
