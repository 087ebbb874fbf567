"""Every way of training on tiny random models, 2 processes: trains, is killed, resumes to the same losses, scores.

    python -m benchmarks.training_runs SAMPLES.jsonl --out DIR [--only llava-lora,mplug_owl2-zero3]

Needs the extras train, quantize, mplug and deepspeed. For each way: a run to the end; a second one that is killed
by SIGKILL once it has logged a step behind its first checkpoint, and continued; the losses of both, step by step;
the score of a grey picture by both models. One line of JSON each on stdout, progress on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mllmqa.training import stages

ROOT = Path(__file__).resolve().parents[1]
COMMON = (
    "optimizer.rate=3e-3", "optimizer.warmup=0", "batch=2", "epochs=1", "save_every=4", "log_every=1",
    "max_tokens=8192", "report_to=[]", "losses.distance=0.3", "losses.fidelity=0.3", "losses.answer=1.0",
)  # fmt: skip
FULL = ("train={language: null, projector: null, head: null}", "lora=null")
LORA = ("train={projector: null}", "lora={rank: 4, alpha: 8}")
WAYS: dict[str, tuple[str, ...]] = {
    "full": (*FULL, "precision=fp32"),
    "lora": (*LORA, "precision=fp32"),
    "qlora": ("train={}", "lora={rank: 4, alpha: 8}", "quantize=4bit", "precision=bf16"),
    "zero2": (*FULL, "precision=fp32", "deepspeed=zero2"),
    "zero3": (*FULL, "precision=fp32", "deepspeed=zero3"),
}
FAMILIES = ("llava", "mplug_owl2")


def main() -> None:
    """Run all ways, or those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    names = [f"{family}-{way}" for family in FAMILIES for way in WAYS]
    for name in [n for n in names if not args.only or n in args.only.split(",")]:
        family, _, way = name.partition("-")
        print(json.dumps(one(name, family, way, args.samples.resolve(), args.out.resolve())), flush=True)


def one(name: str, family: str, way: str, samples: Path, out: Path) -> dict[str, Any]:
    """Return what one way did."""
    model = tiny(family, out / "models" / family)
    fields = stages.read(str(ROOT / "benchmarks" / "training_runs.yaml"), [
        *COMMON, *WAYS[way], f"model={model}", f"data={samples}",
    ])  # fmt: skip
    place = out / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    stage = place / "stage.yaml"
    stage.write_text(stages.to_yaml(fields), encoding="utf-8")
    began = time.monotonic()
    whole = run(stage, place / "whole", place / "whole.log")
    killed = run(stage, place / "killed", place / "killed.log", kill_after=6)
    again = run(stage, place / "killed", place / "again.log", resume=True)
    first, second = losses(place / "whole"), losses(place / "killed")
    same = [abs(first[k] - second[k]) for k in first if k in second]
    return {
        "way": name, "exit": [whole, killed, again], "steps": len(first), "first_loss": first.get(1),
        "last_loss": first.get(max(first, default=0)), "resumed_steps": len(second),
        "max_difference_of_losses": max(same, default=None),
        "scores": [score(place / run_ / "model") for run_ in ("whole", "killed")],
        "wall_s": round(time.monotonic() - began),
    }  # fmt: skip


def tiny(family: str, folder: Path) -> Path:
    """Build a tiny random model once."""
    if not (folder / "config.json").is_file():
        sys.path.insert(0, str(ROOT / "tests"))
        if family == "mplug_owl2":
            from models.mplug_owl2 import original  # type: ignore[import-not-found]

            original.write(folder, original.config(hidden_size=64, intermediate_size=128))
        else:
            import tiny_models  # type: ignore[import-not-found]

            tiny_models.build(family, folder, width=64)
    return folder


def run(stage: Path, out: Path, log: Path, *, resume: bool = False, kill_after: int | None = None) -> int:
    """Run the recipe with two processes; kill all of it after a logged step. Return the exit code."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += [str(ROOT / "train" / "finetune.py"), "--stage", str(stage), "--out", str(out), "--cpu"]
    command += ["--resume"] if resume else []
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=environment, stdout=file, stderr=file, start_new_session=True, cwd=log.parent
        )
        while process.poll() is None:
            if kill_after is not None and max(losses(out), default=0) >= kill_after:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.05)
    print(f"{out}: exit code {process.returncode}", file=sys.stderr)
    return process.returncode


def losses(out: Path) -> dict[int, float]:
    """Return step → loss of a run's log."""
    log = out / "log.jsonl"
    if not log.is_file():
        return {}
    whole = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    records = [json.loads(line) for line in whole]
    return {record["step"]: record["loss"] for record in records if "loss" in record}


def score(model: Path) -> float | None:
    """Score a picture with a model, as a user would."""
    picture = model.parent / "grey.png"
    if not picture.is_file():
        import numpy as np
        from PIL import Image

        Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[:, None, None], (1, 64, 3))).save(picture)
    command = [sys.executable, "-m", "mllmqa", "score", "--model", str(model), "--device", "cpu", "--json"]
    done = subprocess.run([*command, str(picture)], capture_output=True, text=True, check=False, cwd=model.parent,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    if done.returncode:
        print(done.stderr[-300:], file=sys.stderr)
        return None
    return float(json.loads(done.stdout.splitlines()[0])["value"])


if __name__ == "__main__":
    main()
