"""Do whole prompt benchmarks of a known observer find what it is like? Every estimate, over many simulated runs.

    python -m benchmarks.observer --runs 100 --seed 0 --out part0.jsonl
    python -m benchmarks.observer --merge part0.jsonl part1.jsonl

Each run goes the way of ``mllmqa bench prompts`` with the model ``fake`` (tests/evaluation/prompting/simulated.py):
plan, requests, answers in words, log, reading, report. Runs are numbered from ``--seed``, and each is a line of the
output at once: parts can be made in any order, and a run that is there is not made again. Then, or with
``--merge``, a table: the mean of the estimates beside the truth, and the share of runs (for scores: of runs ×
pictures) whose 95 % interval holds it. ``benchmarks/coverage.py`` is the same for the statistics alone.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tests.evaluation.prompting.simulated import Estimate, Known, pictures, simulate


def make(known: Known, seeds: Iterable[int], out: Path) -> None:
    """Append one line per run to a file."""
    done = {seed for seed, _ in read([out])} if out.exists() else set()
    with tempfile.TemporaryDirectory() as made, out.open("a", encoding="utf-8") as file:
        folder = Path(made)
        items = pictures(folder, known)
        for seed in seeds:
            if seed not in done:
                found = [list(asdict(one).values()) for one in simulate(items, known, seed, folder)]
                file.write(json.dumps({"run": seed, "known": asdict(known), "estimates": found}) + "\n")
                file.flush()


def read(paths: Iterable[Path]) -> list[tuple[int, list[Estimate]]]:
    """Return the runs of several files; each once."""
    found: dict[int, list[Estimate]] = {}
    observers = set()
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            observers.add(json.dumps(one["known"]))
            found[one["run"]] = [Estimate(*values) for values in one["estimates"]]
    if len(observers) > 1:
        sys.exit(f"the runs are of {len(observers)} observers: they do not go together")
    return sorted(found.items())


def rows(runs: list[tuple[int, list[Estimate]]]) -> list[tuple[str, ...]]:
    """Return one row for each figure: name, truth, mean estimate ± its error, share, its error, width, runs."""
    by_name: dict[str, list[list[Estimate]]] = defaultdict(list)
    for _, estimates in runs:
        mine: dict[str, list[Estimate]] = defaultdict(list)
        for one in estimates:
            mine[one.name].append(one)
        for name, own in mine.items():
            by_name[name].append(own)
    return [_row(name, found) for name, found in by_name.items()]


def _row(name: str, found: list[list[Estimate]]) -> tuple[str, ...]:
    """Figures of one run belong together: the error of the share is that of the mean over runs."""
    several = any(len(own) > 1 for own in found)
    middle = float(np.mean([one.value for own in found for one in own]))
    truth = [middle if one.truth is None else one.truth for own in found for one in own]
    ends = [[(one.low, one.high, middle if one.truth is None else one.truth) for one in own] for own in found]
    shares = [float(np.mean([low <= true <= high for low, high, true in own])) for own in ends]
    width = float(np.mean([high - low for own in ends for low, high, _ in own]))
    known = "" if several or "test of" in name else f"{np.mean(truth):.3f}"
    if found[0][0].truth is None:
        known = "(mean)"
    value = "" if several else f"{middle:.3f} ± {_error([own[0].value for own in found]):.3f}"
    if math.isnan(width):
        return name, known, value, "", "", "", str(len(found))
    return name, known, value, f"{np.mean(shares):.3f}", f"{_error(shares):.3f}", f"{width:.3f}", str(len(found))


def _error(values: list[float]) -> float:
    """Return half the 95 % interval of a mean."""
    return 1.96 * float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def main() -> None:
    """Make runs, or merge them, and print a table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="number of the first run")
    parser.add_argument("--out", type=Path, default=Path("observer.jsonl"))
    parser.add_argument("--merge", type=Path, nargs="+")
    args = parser.parse_args()
    begun = time.process_time()
    if not args.merge:
        make(Known(), range(args.seed, args.seed + args.runs), args.out)
    print("| figure | truth | mean estimate | interval holds truth | ± | mean width | runs |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows(read(args.merge or [args.out])):
        print("| " + " | ".join(row) + " |")
    print(f"\n{time.process_time() - begun:.0f} CPU-seconds")


if __name__ == "__main__":
    main()
