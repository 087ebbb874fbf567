"""What runs are made of, in small: files of samples with pictures, stages, tiny models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mllmqa.data.sample import Medium, Message, Part, Sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_labels import Labels, Level, Mos
from mllmqa.training.stage import Stage

WORDS = ("excellent", "good", "fair", "poor", "bad")


def level_sample(folder: Path, number: int, source: str) -> Sample:
    """A rated picture and the question for its level; the picture is written."""
    word = WORDS[number % 5]
    path = folder / f"{source}-{number}.png"
    chance = np.random.default_rng(number)
    Image.fromarray(chance.integers(0, 255, (24, 24, 3)).astype(np.uint8)).save(path)
    messages = (
        Message(role="user", content=(Part(media="A"), Part(text="How would you rate the quality of this image?"))),
        Message(role="assistant", content=(Part(text=f"The quality of the image is {word}."),)),
    )
    mos = Mos(media="A", value=5.0 - number % 5, low=1.0, high=5.0, direction="higher-better", std=0.5)
    level = Level(media="A", word=word, scale=WORDS)
    return Sample(
        id=f"{source}-{number}", media=(Medium(key="A", kind="image", path=path.name),), messages=messages,
        labels=Labels(mos=(mos,), levels=(level,)), task="level", source=source,
    )  # fmt: skip


def text_sample(number: int, task: str) -> Sample:
    """A question about a picture that nobody has opened."""
    messages = (
        Message(role="user", content=(Part(media="A"), Part(text="What is wrong?"))),
        Message(role="assistant", content=(Part(text="Blur."),)),
    )
    medium = Medium(key="A", kind="image", path=f"missing-{number}.png")
    return Sample(id=f"{task}-{number}", media=(medium,), messages=messages, task=task, source="made")


def level_file(folder: Path, n: int, source: str = "made") -> Path:
    """A file of rated pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "samples.jsonl"
    write_samples([level_sample(folder, k, source) for k in range(n)], path)
    return path


def sample_file(path: Path, samples: Sequence[Sample]) -> Path:
    """A file of these samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_samples(samples, path)
    return path


def stage_of(**fields: Any) -> Stage:
    """A stage that trains the output layer, with what is given in place of its fields."""
    least = {"name": "s", "title": "t", "optimizer": {"rate": 1e-4}, "batch": 2, "train": {"head": None}}
    return Stage.model_validate({**least, **fields})
