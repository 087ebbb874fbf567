"""The whole way of nano in small, in a minute or two on photos made on the spot. Read from top to bottom.

    python train/smoke.py --out /tmp/nano-smoke

Build samples → train the tower in two stages → train the decoder → score test photos → compare with opinions, a
constant and a sharpness score. What it makes is no good for photos: it shows that every step works with the
next. The steps are those of train/README.md; a killed run starts anew.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mllmqa.data import registry
from mllmqa.evaluation.stats import srcc
from mllmqa.training.samples import make_smoke_set

log = logging.getLogger("smoke")
HERE = Path(__file__).parent
TABLE = ("--columns", "path=path,score=level,split=part", "--direction", "mos", "--range", "1:5")


def run(*command: str | Path) -> None:
    """Run one step in a process of its own, as a user would."""
    log.info("%s", " ".join(map(str, command)))
    subprocess.run([sys.executable, *map(str, command)], check=True, stdout=sys.stderr)


def sharpness(path: Path) -> float:
    """Log variance of the Laplacian of luma: what a quality model has to beat."""
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return float(np.log(cv2.Laplacian(grey, cv2.CV_64F).var() + 1e-9))


def agreement(test: list[registry.Levelled], found: list[dict[str, Any]]) -> dict[str, float]:
    """How near scores are to opinions; a constant has an error, but no correlation."""
    levels = [row.level for row in test]
    return {
        "n": len(test),
        "n_unscored": sum(one["status"] != "scored" for one in found),
        "srcc": srcc([one["value"] for one in found], levels),
        "srcc_sharpness": srcc([sharpness(row.path) for row in test], levels),
        "error": float(np.mean([abs(one["value"] - level) for one, level in zip(found, levels, strict=True)])),
        "error_constant": float(np.abs(np.array(levels) - np.mean(levels)).mean()),
    }


def main() -> None:
    """All steps, in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    shutil.rmtree(out, ignore_errors=True)

    # 1. Photos with opinions, and undistorted ones.
    rated = make_smoke_set(out / "rated", seed=2, photos=48, side=192)
    pristine = out / "pristine"
    pristine.mkdir()
    for photo in sorted((rated / "Images").glob("a*.jpg"))[::4]:  # every fourth is undamaged
        shutil.copy(photo, pristine)

    # 2. Samples of distortions, pairs and clips.
    build = ("-m", "mllmqa", "build")
    asked = ("--src", f"photos={pristine}", "--n", "160", "short_px=96", "judged=0")
    run(*build, "nano", *asked, "--out", out / "nano")

    # 3. The tower: distortions, then opinions.
    samples = out / "nano" / "samples.jsonl"
    tower = ("--data", rated, "--pristine", pristine, "--samples", samples, "--out", out / "tower")
    run(HERE / "nano.py", "--smoke", *tower)

    # 4. The decoder, on the same rows of opinions and on the samples.
    fit = f"rated={out / 'tower' / 'fit.csv'}"
    run(*build, "deqa", "--src", fit, *TABLE, "--out", out / "opinions", "assumed_std=0.6")
    data = ",".join(str(out / name / "samples.jsonl") for name in ("opinions", "nano"))
    small = ("precision=fp32", "batch=16", "epochs=6", "optimizer.rate=3e-3", "frames=uniform:2", "log_every=5")
    base = f"model={out / 'tower' / 'base'}"
    run("-m", "mllmqa", "train", "nano-words", base, f"data={data}", *small, "--cpu", "--out", out / "words")

    # 5. As it would ship, and scores of photos that no step has seen.
    run(HERE / "nano_ship.py", out / "words" / "model", out / "weights")
    test = registry.read(rated, "biq2021", part="test").levelled()
    results = out / "scores.jsonl"
    run("-m", "mllmqa", "score", *(row.path for row in test), "--model", out / "weights", "--jsonl", results)

    # 6. Agreement with opinions, beside a sharpness score and a constant.
    figures = agreement(test, [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()])
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
