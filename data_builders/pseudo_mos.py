"""Fit a pseudo opinion score on distorted versions of pristine photos, as KADIS-700k and DeepFL-IQA do.

    python data_builders/pseudo_mos.py ~/data/KADIS-700k/ref_imgs --out pseudo-mos.json

Every photo is shrunk to one short side, distorted by some of the 35 functions at random severities, and measured by
nine full-reference metrics; the distributions of the metrics are the fit (see mllmqa/data/fullref/pseudo_mos.py).
Rows are kept beside the result, so the command can be killed and started again.
Needs `pip install "mllmqa[fullref,data]"`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mllmqa.data import distortions
from mllmqa.data.fullref import METRICS, PseudoMos
from mllmqa.data.fullref.reference import Plan, measured, plan
from mllmqa.errors import MllmqaError, error_line

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")


def row(one: Plan, folder: Path, short_px: int, seed: int) -> dict[str, Any]:
    """Make one row; runs in a process of its own."""
    import torch

    torch.set_num_threads(1)
    with Image.open(folder / one.picture) as image:
        pixels = distortions.to_short_side(np.asarray(image.convert("RGB")), short_px)
    return measured(pixels, one, distortions.apply, seed=seed)


def whole_rows(kept: Path) -> list[dict[str, Any]]:
    """Read the rows of a former run; a last line that was cut off is taken out of the file."""
    text = kept.read_text(encoding="utf-8") if kept.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        kept.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def rows(args: argparse.Namespace, kept: Path) -> Iterator[dict[str, Any]]:
    """Yield all rows, those that a former run left first; new ones are appended to the file."""
    names = sorted(p.name for p in args.photos.iterdir() if p.suffix.lower() in ENDINGS)
    wanted = list(plan(names, distortions.NAMES, per_picture=args.per_photo, seed=args.seed))
    found = {Plan(r["picture"], r["name"], r["severity"]): r for r in whole_rows(kept)}
    yield from (found[one] for one in wanted if one in found)
    left = [one for one in wanted if one not in found]
    job = partial(row, folder=args.photos, short_px=args.short_side, seed=args.seed)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.workers, mp_context=context) as pool, kept.open("a", encoding="utf-8") as file:
        for made in pool.map(job, left, chunksize=4):
            file.write(json.dumps(made) + "\n")
            file.flush()
            yield made


def main() -> None:
    """Run the recipe; see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of pristine photos")
    parser.add_argument("--out", type=Path, default=Path("pseudo-mos.json"))
    parser.add_argument("--per-photo", type=int, default=12, help="distorted versions of each photo")
    parser.add_argument("--short-side", type=int, default=256, help="pixels; ms_ssim needs 161")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", help="what the photos are, for the file; by default the folder's name")
    args = parser.parse_args()

    kept = args.out.with_suffix(f".{args.short_side}px-seed{args.seed}.rows.jsonl")
    made = list(rows(args, kept))
    photos = len({one["picture"] for one in made})
    source = f"{args.source or args.photos.name}: {photos} photos, short side {args.short_side} px, "
    source += f"{args.per_photo} of {len(distortions.NAMES)} distortions each, severity 1..5, seed {args.seed}"
    fitted = PseudoMos.fit([one["values"] for one in made], source=source)
    fitted.save(args.out)
    sys.stdout.write(f"{len(made)} distorted photos fitted into {args.out}\nseverity: mean pseudo-MOS\n")
    for severity in range(1, 6):
        scores = fitted.transform(one["values"] for one in made if one["severity"] == severity)
        sys.stdout.write(f"{severity}: {scores.mean():.3f} (n={len(scores)})\n")
    for name in METRICS:
        pairs = np.array([[fitted.ranks(one["values"])[name], fitted.score(one["values"])] for one in made])
        sys.stdout.write(f"{name}: correlation with the score {np.corrcoef(pairs.T)[0, 1]:.3f}\n")


if __name__ == "__main__":
    try:
        main()
    except MllmqaError as error:
        sys.exit(error_line(error))
