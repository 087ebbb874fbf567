"""A synthetic observer: a back end whose opinion of a picture is known, with noise and a liking for one place.

A picture's quality is its mean brightness, on 1 (black) … 5 (white). It answers what it is asked: level words, the
letters of two pictures that are named A and B, or comparison words about the second of two.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mllmqa import prompts
from mllmqa.errors import InferenceError, LevelTokenError, MllmqaError
from mllmqa.models.base import ImageHWC, LevelLogits, ModelInfo, Request
from mllmqa.models.presets import ComparisonPreset, Preset, VideoPreset, presets
from mllmqa.prompts import Prompt
from mllmqa.scoring import Scorer

COVERAGE = 0.8


@dataclass
class Observer:
    """See :class:`mllmqa.models.base.Backend`.

    Attributes:
        noise: Standard deviation of its opinion on one pair, fixed by the two pictures.
        bias: Added to the logit of what is shown first.
        spread: Of its level words, and of the difference at which it prefers with Φ-like steepness.
        refuses: Brightness (0..255) of pictures that it has no answer about.
    """

    noise: float = 0.0
    bias: float = 0.0
    spread: float = 0.7
    refuses: tuple[int, ...] = ()
    native_video: bool = False
    words: tuple[str, ...] = ()
    asked: list[Request] = field(default_factory=list)
    info: ModelInfo = field(default=ModelInfo("observer", None, "0" * 64, None, "float64", "cpu"))

    def check_words(self, prompt: Prompt, words: Sequence[str]) -> None:
        if len(set(words)) != len(words):
            raise LevelTokenError("the same word twice")

    def level_logits(self, requests: Sequence[Request], words: Sequence[str]) -> list[LevelLogits | MllmqaError]:
        self.asked += requests
        return [self._one(request, tuple(words)) for request in requests]

    def generate(self, requests: Sequence[Request], max_new_tokens: int = 128) -> list[str]:
        raise NotImplementedError

    def _one(self, request: Request, words: tuple[str, ...]) -> LevelLogits | MllmqaError:
        if any(round(float(image.mean())) in self.refuses for image in request.images):
            return InferenceError("no opinion about this one")
        level, letters, five = (prompts.word_scale(name) for name in ("levels", "letters", "comparison"))
        if words == level.words:
            value = np.mean([quality(image) for image in request.images])
            return _answer([-((v - value) ** 2) / (2 * self.spread**2) for v in level.values])
        first, second = self._sides(request)
        lead = quality(first) - quality(second) + self._noise(first, second)
        logit = 2 * lead / self.spread + self.bias
        if words == letters.words:
            return _answer([logit / 2, -logit / 2])
        if words == five.words:  # about the second
            return _answer([-logit * (value - 0.5) for value in five.values])
        raise NotImplementedError(words)

    def _sides(self, request: Request) -> tuple[ImageHWC, ImageHWC]:
        """The pictures called A and B, or the first and the second; frames of one side as their mean."""
        if not request.labels:
            first, second = request.images
            return first, second
        parts: dict[str, list[ImageHWC]] = {}
        name = ""
        for label, image in zip(request.labels, request.images, strict=True):
            name = label or name
            parts.setdefault(name.split()[-1].strip(":"), []).append(image)
        return tuple(np.stack(parts[key]).mean(axis=0) for key in "AB")  # type: ignore[return-value]

    def _noise(self, first: ImageHWC, second: ImageHWC) -> float:
        """The same for a pair whatever its order, with the sign of the order."""
        one, two = (round(float(image.mean()), 3) for image in (first, second))
        if one == two:
            return 0.0
        key = hashlib.sha256(f"{min(one, two)} {max(one, two)}".encode()).digest()
        drawn = float(np.random.default_rng(int.from_bytes(key[:8], "big")).normal(0, 1)) * self.noise
        return drawn if one > two else -drawn


def quality(image: ImageHWC) -> float:
    """The quality of a picture, 1..5."""
    return 1 + 4 * float(np.mean(image)) / 255


def grey(level: int, width: int = 32, height: int = 32) -> ImageHWC:
    """A picture of known quality: uint8 (height, width, 3)."""
    return np.full((height, width, 3), level, np.uint8)


def comparing(observer: Observer, **asked: object) -> Scorer:
    """A scorer that asks the observer about pairs."""
    return _scorer(observer, comparison=ComparisonPreset(**asked))  # type: ignore[arg-type]


def scoring(observer: Observer) -> Scorer:
    """A scorer that can ask it about single pictures only."""
    return _scorer(observer)


def _scorer(observer: Observer, **changes: object) -> Scorer:
    video = VideoPreset(mode="per-frame", frames="uniform:8")
    preset: Preset = presets()["generic"].model_copy(update={"view": "native", "video": video, **changes})
    return Scorer(observer, preset)


def _answer(logits: Sequence[float]) -> LevelLogits:
    row = np.asarray(logits, np.float64)
    mass = float(np.logaddexp.reduce(row))
    return LevelLogits(row.astype(np.float32), mass - math.log(COVERAGE))
