"""Samples for full-reference runs: references × distortions with a pseudo-MOS, for `mllmqa bench prompts`.

    python -m benchmarks.reference_set PHOTOS OUT [--references 10] [--distortions 15] [--short-px 384] [--seed 0]

Of each photo one version per distortion: every category once, then further functions; severities run through 1..5.
The opinion is a pseudo-MOS of full-reference metrics (`mllmqa.data.fullref.PseudoMos`), not of people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.answers import read
from mllmqa.data import distortions
from mllmqa.data.distortions import to_short_side
from mllmqa.data.fullref import PseudoMos, measure
from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_labels import Distortion, Labels, Mos


def names(count: int) -> list[str]:
    """Return `count` distortions: the first function of every category, then the second ones, and so on."""
    by_turn = [
        (turn, place, name)
        for place, category in enumerate(distortions.CATEGORIES)
        for turn, name in enumerate(distortions.names_of(category))
    ]
    return [name for _, _, name in sorted(by_turn)][:count]


def versions(photo: np.ndarray, key: str, count: int, seed: int, out: Path) -> Iterator[Sample]:
    """Write a photo and its versions; yield a sample of each version."""
    scale = PseudoMos.default()
    Image.fromarray(photo).save(out / f"{key}.png")
    for k, name in enumerate(names(count)):
        severity = 1 + (k + seed) % 5
        made = distortions.apply(photo, name, severity, np.random.default_rng([seed, k])).pixels
        file = f"{key}_{name}_{severity}.png"
        Image.fromarray(made).save(out / file)
        opinion = scale.score(measure(photo, made, scale.names))
        media = (
            Medium(key="R", role="reference", kind="image", path=f"{key}.png"),
            Medium(key="A", role="distorted", kind="image", path=file),
        )
        found = Distortion(media="A", category=distortions.category_of(name), name=name, severity=float(severity))
        mos = Mos(media="A", value=opinion, low=1, high=5, direction="higher-better")
        yield Sample(id=file.removesuffix(".png"), media=media, labels=Labels(mos=(mos,), distortions=(found,)))


def main() -> None:
    """Write pictures and samples.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--references", type=int, default=10)
    parser.add_argument("--distortions", type=int, default=15)
    parser.add_argument("--short-px", type=int, default=384)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    samples: list[Sample] = []
    for number, path in enumerate(sorted(args.photos.glob("*.jpg"))[: args.references]):
        photo = to_short_side(read(path), args.short_px)
        samples += versions(photo, f"r{number:02d}", args.distortions, args.seed + number, args.out)
    write_samples(samples, args.out / "samples.jsonl")
    print(f"{args.out / 'samples.jsonl'}: {len(samples)} pictures")


if __name__ == "__main__":
    main()
