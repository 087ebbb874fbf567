"""Rated pictures for tests: with files, and without where nothing opens them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_labels import Labels, Mos
from mllmqa.evaluation.prompting.items import Item, Items


def without_files(n: int, references: int = 0, exemplars: int = 4, seed: int = 0) -> Items:
    """n pictures that exist in name only, spread over the references."""
    opinions = np.random.default_rng(seed).permutation(np.linspace(0.02, 0.98, n))
    rated = tuple(
        Item(f"p{i}", Path(f"p{i}.png"), float(x), 0.1, Path(f"r{i % references}.png") if references else None)
        for i, x in enumerate(opinions)
    )
    held = tuple(
        Item(f"e{k}", Path(f"e{k}.png"), (k + 0.5) / exemplars, None, Path("re.png") if references else None)
        for k in range(exemplars)
    )
    return Items(rated, held, references > 0)


def samples(folder: Path, n: int, references: int = 0, seed: int = 0) -> Path:
    """Write n small pictures (n per reference) and their sample file; opinions are spread evenly, 1..5."""
    rng = np.random.default_rng(seed)
    opinions = np.linspace(1.05, 4.95, max(1, references) * n)
    if not references:
        opinions = rng.permutation(opinions)
    made = []
    for r in range(max(1, references)):
        pristine = (Medium(key="ref", role="reference", kind="image", path=f"r{r}.png"),) if references else ()
        if references:
            _picture(folder / f"r{r}.png", rng)
        for i in range(n):
            name = f"{r}_{i}" if references else f"p{i}"
            _picture(folder / f"{name}.png", rng)
            medium = Medium(
                key="A", role="distorted" if references else "stimulus", kind="image", path=f"{name}.png"
            )
            value = float(opinions[i * references + r if references else i])
            mos = Mos(media="A", value=value, std=0.6, low=1, high=5, direction="higher-better")
            made.append(Sample(id=name, media=(*pristine, medium), labels=Labels(mos=(mos,))))
    path = folder / "samples.jsonl"
    write_samples(made, path)
    return path


def _picture(path: Path, rng: np.random.Generator) -> None:
    Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path)
