"""The 35 distortions on photos: equal bytes for any workers and order, monotone loss, speed, aligned severities.

    python benchmarks/distortions.py ../shared/media/pristine
    python benchmarks/distortions.py ../shared/media/pristine --sheet docs/samples/distortions.jpg

Takes the first ten photos by name. Prints the tables of docs/distortions.md; the second form writes the contact
sheet of one photo instead. Times are processor seconds of one thread, the best of three.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mllmqa.data import distortions
from mllmqa.data.distortions import Distorted, Job, Pixels
from mllmqa.data.distortions.aligned import ms_ssim_loss
from mllmqa.errors import DataError

SEVERITIES = (1, 2, 3, 4, 5)
SHEET_PHOTO = "p0639.jpg"  # CC0 (Pexels 105518)


def read(path: Path) -> Pixels:
    """A photo as RGB."""
    return np.array(Image.open(path).convert("RGB"))


def mean_square(one: Pixels, other: Pixels) -> float:
    """Mean square error in grey levels²: PSNR falls where it grows."""
    return float(np.square(one.astype(np.float64) - other).mean())


def digests(jobs: list[Job], workers: int) -> dict[str, str]:
    """SHA-256 of the pixels of every job."""
    made = distortions.apply_all(jobs, seed=0, workers=workers, short_px=384)
    found = {}
    for one in made:
        if one.distorted is None:
            raise SystemExit(f"{one.id}: {one.reason}")
        found[one.id] = hashlib.sha256(one.distorted.pixels.tobytes()).hexdigest()
    return found


def compare_workers(paths: list[Path]) -> None:
    """All 35 × 5 on all photos, by one, two and three processes, forwards and shuffled."""
    jobs = [
        Job(f"{path.stem}/{name}/{severity}", path, [(name, severity)])
        for path, name, severity in itertools.product(paths, distortions.NAMES, SEVERITIES)
    ]
    first = digests(jobs, 1)
    shuffled = [jobs[i] for i in np.random.default_rng(0).permutation(len(jobs))]
    same = [digests(shuffled, workers) == first for workers in (2, 3)]
    again = digests(jobs, 1) == first
    print(f"{len(first)} pictures, {len(set(first.values()))} different: ", end="")
    print(f"again {again}, 2 workers shuffled {same[0]}, 3 workers shuffled {same[1]}", flush=True)


def losses(photo: Pixels, name: str, loss: Callable[[Pixels, Pixels], float], seed: int) -> list[float]:
    """The loss at severities 1..5, the same draws at each."""
    made = (distortions.apply(photo, name, s, np.random.default_rng(seed)).pixels for s in SEVERITIES)
    return [loss(photo, pixels) for pixels in made]


def rising(values: list[float]) -> bool:
    """Each value above the one before."""
    return all(low < high for low, high in itertools.pairwise(values))


def best_time(photo: Pixels, name: str) -> float:
    """Processor seconds of the slowest severity, the best of three runs."""
    slowest = 0.0
    for severity in SEVERITIES:
        runs = []
        for _ in range(3):
            start = time.process_time()
            distortions.apply(photo, name, severity, np.random.default_rng(0))
            runs.append(time.process_time() - start)
        slowest = max(slowest, min(runs))
    return slowest


def tables(photos: list[Pixels]) -> None:
    """Per function: PSNR, share of photos with monotone MSE and MS-SSIM loss, speed."""
    small = np.array(Image.fromarray(photos[0]).resize((512, 384), Image.Resampling.BICUBIC))
    print("| function | PSNR dB at 1 → 5 | MSE rises | 1 − MS-SSIM at 1 → 5 | rises | ms | images/s |")
    print("|---|---|---|---|---|---|---|")
    medians = []
    for name in distortions.NAMES:
        errors = [losses(photo, name, mean_square, seed) for seed, photo in enumerate(photos)]
        dissimilar = [losses(photo, name, ms_ssim_loss, seed) for seed, photo in enumerate(photos)]
        psnr = np.median(10 * np.log10(255**2 / np.maximum(errors, 1e-9)), axis=0)
        middle = np.median(dissimilar, axis=0)
        medians.append(middle)
        seconds = best_time(small, name)
        shares = [f"{sum(map(rising, found))}/{len(photos)}" for found in (errors, dissimilar)]
        print(
            f"| `{name}` | {psnr[0]:.1f} → {psnr[-1]:.1f} | {shares[0]} | {middle[0]:.3f} → {middle[-1]:.3f} "
            f"| {shares[1]} | {1000 * seconds:.0f} | {1 / seconds:.0f} |",
            flush=True,
        )
    print("median 1 − MS-SSIM of the 35 by severity:", np.round(np.median(medians, axis=0), 3).tolist())


def aligned(photos: list[Pixels]) -> None:
    """How often the target is met, and how near."""
    print("| severity | target | met | 1 − MS-SSIM, 5th and 95th percentile | same of the table |")
    print("|---|---|---|---|---|")
    missed: dict[str, int] = {}
    for severity in (1, 3, 5):
        reached, plain = [], []
        for seed, photo in enumerate(photos):
            for name in distortions.NAMES:
                plain.append(ms_ssim_loss(photo, apply(photo, name, severity, seed).pixels))
                try:
                    made = distortions.align(photo, name, severity, np.random.default_rng(seed))
                    reached.append(made.parameters["loss"])
                except DataError:
                    missed[name] = missed.get(name, 0) + 1
        spread = " … ".join(f"{v:.3f}" for v in np.percentile(reached, (5, 95)))
        before = " … ".join(f"{v:.3f}" for v in np.percentile(plain, (5, 95)))
        target = distortions.TARGETS[severity - 1]
        print(f"| {severity} | {target} | {len(reached)}/{len(plain)} | {spread} | {before} |", flush=True)
    print(f"not met, of {3 * len(photos)}:", missed)


def apply(photo: Pixels, name: str, severity: int, seed: int) -> Distorted:
    """The table's severity with fresh draws."""
    return distortions.apply(photo, name, severity, np.random.default_rng(seed))


def contact_sheet(photo: Pixels, out: Path, cell: tuple[int, int] = (150, 100)) -> None:
    """All 35 at severities 1, 3, 5: a centre crop of each, one pixel to a pixel, in three columns."""
    names, shown, label = distortions.NAMES, (1, 3, 5), 14
    photo = distortions.to_short_side(photo, 160)
    top, left = ((have - want) // 2 for have, want in zip(photo.shape[:2], cell[::-1], strict=True))
    crop = photo[top : top + cell[1], left : left + cell[0]]
    groups, rows = 3, 12
    width, height = len(shown) * cell[0] + 6, cell[1] + label
    sheet = Image.new("RGB", (groups * width, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, name in enumerate(("undistorted", *names)):
        left, top = index // rows * width, index % rows * height
        draw.text((left + 2, top + 1), name + ("" if index == 0 else "  1  3  5"), fill="black")
        for place, severity in enumerate(shown):
            pixels = apply(crop, name, severity, 1).pixels if index else crop
            sheet.paste(Image.fromarray(pixels), (left + place * cell[0], top + label))
    sheet.save(out, quality=52, optimize=True)
    print(f"{out}: {sheet.width}×{sheet.height}, {out.stat().st_size} bytes")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--part", nargs="+", default=["bytes", "tables", "aligned"])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.sheet:
        contact_sheet(read(options.photos / SHEET_PHOTO), options.sheet)
        return
    paths = sorted(options.photos.glob("*.jpg"))[: options.count]
    print("photos:", " ".join(path.stem for path in paths))
    if "bytes" in options.part:
        compare_workers(paths)
    if "tables" in options.part:
        tables([distortions.to_short_side(read(path), 384) for path in paths])
    if "aligned" in options.part:
        aligned([distortions.to_short_side(read(path), 224) for path in paths])


if __name__ == "__main__":
    main()
