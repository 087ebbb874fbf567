"""A small real set of samples of every kind that training meets, and tiny models to train on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_labels import Labels, Level
from mllmqa.models import nano
from mllmqa.training.opening import Opened, open_model
from mllmqa.training.stage import Stage
from tests import tiny_models
from tests.conftest import photo_pixels
from tests.data.samples_made import WORDS, mos, said
from tests.models.mplug_owl2 import original
from tests.test_scoring import write_clip

SOFT = (0.1, 0.6, 0.2, 0.1, 0.0)
FAMILIES = (*tiny_models.FAMILIES, "mplug_owl2", "nano")


def level_sample(name: str, value: float, *, std: float | None = None, source: str = "set", **more: Any) -> Sample:
    """A rated picture ``NAME.png`` with its level, and a soft label where there is a deviation."""
    word = WORDS[4 - min(4, int(value - 1 + 0.5))]
    level = Level(media="A", word=word, scale=WORDS, probabilities=SOFT if std else None)
    messages = (
        said("user", "@A", "Rate the quality of this image."),
        said("assistant", f"The quality of the image is {word}."),
    )
    fields = {"id": name, "media": (Medium(key="A", kind="image", path=f"{name}.png"),), "messages": messages}
    labels = Labels(mos=(mos(value, std=std),), levels=(level,))
    return Sample(**{**fields, "labels": labels, "task": "level", "source": source, **more})


def kinds_of_samples() -> list[Sample]:
    """One of each: level, two turns, two pictures, a clip, no picture at all."""
    a, b = (Medium(key=key, kind="image", path=f"{key}.png") for key in "AB")
    clip = Medium(key="C", kind="video", path="clip.mp4")
    turns = (
        said("user", "@A", "Is it sharp?"),
        said("assistant", "No, it is blurred."),
        said("user", "How badly?"),
        said("assistant", "Severely."),
    )
    pair = (said("user", "@A", "@B", "Which is better?"), said("assistant", "The second one."))
    seen = (said("user", "@C", "Does it flicker?"), said("assistant", "Yes, it flickers."))
    text = (said("user", "What is blur?"), said("assistant", "A loss of detail."))
    return [
        level_sample("A", 4.2, std=0.5),
        Sample(id="turns", media=(a,), messages=turns, task="yes_no+how", source="set"),
        Sample(id="pair", media=(a, b), messages=pair, task="rate", source="set"),
        Sample(id="clip", media=(clip,), messages=seen, task="yes_no", source="clips"),
        Sample(id="text", media=(a,), messages=text, task="talk", source="talk"),
    ]


def write_set(folder: Path, samples: Sequence[Sample]) -> Path:
    """Write samples with all media that they name; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(sorted({m.path for s in samples for m in s.media if m.path})):
        place = folder / path
        if place.suffix == ".mp4":
            write_clip(place, [photo_pixels(64, 48, seed=i) for i in range(10)])
        elif not place.exists():
            Image.fromarray(photo_pixels(64 + 4 * number, 48, seed=number)).save(place)
    write_samples(iter(samples), folder / "samples.jsonl")
    return folder / "samples.jsonl"


def ratings(count: int, *, source: str = "set", std: float | None = 0.5) -> list[Sample]:
    """Rated pictures p0, p1 …, from bad to excellent."""
    values = np.linspace(1.1, 4.9, count)
    return [level_sample(f"{source}{i}", round(float(v), 2), std=std, source=source) for i, v in enumerate(values)]


def tiny(family: str, folder: Path) -> Path:
    """A tiny random checkpoint of a family, or the embedded model."""
    if family == "nano":
        return nano.weights_folder()
    if not (folder / "config.json").is_file():
        if family == "mplug_owl2":
            return original.write(folder, original.config())
        tiny_models.build(family, folder)
    return folder


@cache
def opened(family: str, folder: Path) -> Opened:
    """A tiny checkpoint with its processor and preset."""
    names = {"mplug_owl2": "one-align", "nano": "nano"}
    stage = stage_of(model=str(tiny(family, folder)), preset=names.get(family), precision="fp32")
    return open_model(stage)


def stage_of(**fields: Any) -> Stage:
    """A stage that trains the projector, with these fields."""
    base: dict[str, Any] = {"name": "test", "title": "a test", "train": {"projector": None}, "batch": 2}
    base |= {"optimizer": {"rate": 1e-3}}
    return Stage.model_validate({**base, "max_tokens": 100_000, "frames": "uniform:4", **fields})
