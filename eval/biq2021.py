"""Score the 2,000 official BIQ2021 test photos with `mllmqa score` and correlate with their MOS.

    python eval/biq2021.py ~/data/BIQ2021 --model nano --out runs/biq2021-nano.jsonl

The folder is a checkout of the public repository nisarahmedrana/BIQ2021. The figure is printed for all
test photos and without those that have a near-duplicate among the train photos (64-bit perceptual hash).
Killed and started again with the same command, it continues.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from mllmqa.data import duplicates, registry
from mllmqa.errors import MllmqaError, error_line
from mllmqa.evaluation.stats import agreement
from mllmqa.records import read_jsonl

THRESHOLDS = (6, 8, 10)
"""Hamming distances of 64-bit hashes up to which two photos count as near-duplicates; all are even."""


def score(paths: list[str], model: str, out: Path) -> None:
    """Run `mllmqa score` on the paths; exit code 1 (some unscored) is kept and counted, others stop us."""
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mllmqa", "score", "--from-file", "-", "--model", model]
    command += ["--jsonl", str(out), "--resume"]
    done = subprocess.run(command, input="\n".join(paths), text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)


def main() -> None:
    """Run the recipe; see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="checkout of nisarahmedrana/BIQ2021")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path, default=Path("runs/biq2021.jsonl"), help="run log (JSONL)")
    args = parser.parse_args()

    test = registry.read(args.root, "biq2021", part="test").rows
    train = registry.read(args.root, "biq2021", part="train").rows
    score([str(row.path) for row in test], args.model, args.out)

    results = list(read_jsonl(args.out))
    every = {str(row.path): row.score for row in test}
    print(f"all test photos                               {agreement(results, every)}")
    hashes = [duplicates.hash_files(row.path for row in rows) for rows in (test, train)]
    for bits in THRESHOLDS:
        twins = duplicates.near_duplicates(*hashes, threshold=bits)
        alone = {str(row.path): row.score for row, twin in zip(test, twins, strict=True) if not twin}
        print(f"without near-duplicates of train (<= {bits:2} bits)   {agreement(results, alone)}")


if __name__ == "__main__":
    try:
        main()
    except MllmqaError as error:
        sys.exit(f"biq2021: {error_line(error)}")
