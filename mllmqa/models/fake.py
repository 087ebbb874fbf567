"""A synthetic observer as a model: ``fake:noise=0.5,bias=0.3,refuse=0.1``; for demos, tests and power analysis.

It sees no pictures: it knows the quality of each (from a table, else from a hash of the pixels, which has nothing
to do with how they look), adds noise and a liking for the first place, and answers in words as a model would. All
that a benchmark estimates of it is known beforehand. Thurstone's case V holds for it exactly: with percepts of
standard deviation ``noise``, the first of two pictures is preferred with probability
Φ((z₁ − z₂ + bias) / (√2 · noise)).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from mllmqa.data.streams import stream
from mllmqa.errors import ApiRefusedError, MllmqaError, UsageError
from mllmqa.models.api.backend import ChatAnswer
from mllmqa.models.base import ImageHWC, LevelLogits, ModelInfo, Request, Spoken, Turn
from mllmqa.prompts import Prompt

if TYPE_CHECKING:
    from mllmqa.answer_schema import AnswerSchema

NAME = "fake"
SPREAD = 4.0
"""Of the latent qualities: a quality of 0..1 is a latent of −2..2."""
_WIDTH = 0.15  # of the levels, on 0..1
_MODE = re.compile(r"nine/(single|double|multiple|two-afc)(?:-(nr|fr))?@")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_PICTURE_TOKENS = 85


@dataclass(frozen=True)
class Observer:
    """What it is like.

    Attributes:
        noise: Standard deviation of a percept, in latent units (qualities span 4).
        bias: Added to the percept of the first of several pictures; later places get linearly less.
        tie: Differences of percepts up to this are called the same.
        refuse: Share of questions that it declines.
        garble: Share that it answers without a score.
        beyond: Share of scores off the scale.
        cut: Share of answers that are cut off before the score.
        foreign: Share of answers in another language.
        round: Scores are multiples of this.
        seed: Of all chance.
    """

    noise: float = 0.5
    bias: float = 0.0
    tie: float = 0.0
    refuse: float = 0.0
    garble: float = 0.0
    beyond: float = 0.0
    cut: float = 0.0
    foreign: float = 0.0
    round: float = 1.0
    seed: int = 0

    @classmethod
    def parse(cls, name: str) -> Observer:
        """Read ``fake`` or ``fake:KEY=VALUE,...``.

        Raises:
            UsageError: An unknown key, or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        given: dict[str, float] = {}
        for part in filter(None, name.removeprefix(NAME).removeprefix(":").split(",")):
            key, _, text = part.partition("=")
            try:
                given[key.strip()] = float(text)
            except ValueError as error:
                raise UsageError(f"{part!r} in {name!r}", expected="KEY=NUMBER") from error
            if key.strip() not in known:
                raise UsageError(f"a fake observer has no {key!r}", where=name, expected=" | ".join(known))
        made = cls(**{**given, "seed": int(given.get("seed", 0))})  # type: ignore[arg-type]
        shares = (made.refuse, made.garble, made.beyond, made.cut, made.foreign)
        if min(*shares, made.noise, made.tie) < 0 or sum(shares) > 1 + 1e-12 or not made.round > 0:
            raise UsageError(
                "a share, the noise or the rounding is out of range",
                where=name,
                expected="shares ≥ 0 that sum to ≤ 1",
            )
        return made


class FakeBackend:
    """See :class:`mllmqa.models.base.Backend`.

    Args:
        name: As the user named it.
        truth: Quality 0..1 by :func:`digest` of the pixels; what is not there gets a quality from its hash.
    """

    native_video = False

    def __init__(self, name: str = NAME, truth: Mapping[str, float] | None = None) -> None:
        self.observer = Observer.parse(name)
        self._truth = dict(truth or {})
        known = hashlib.sha256(repr(sorted(self._truth.items())).encode()).hexdigest()
        self.info = ModelInfo(name, None, known, None, "float64", "cpu", readout="logits")

    def latent(self, picture: ImageHWC) -> float:
        """Return the latent quality of a picture, −2..2."""
        key = digest(picture)
        quality = self._truth.get(key, int(key[:8], 16) / 0xFFFFFFFF)
        return SPREAD * (quality - 0.5)

    def check_words(self, prompt: Prompt, words: Sequence[str]) -> None:
        """It knows all words."""

    def level_logits(self, requests: Sequence[Request], words: Sequence[str]) -> list[LevelLogits | MllmqaError]:
        """Return logits around the percept of one picture, or around the preference for the second of two."""
        return [self._logits(request, words) for request in requests]

    def _logits(self, request: Request, words: Sequence[str]) -> LevelLogits | MllmqaError:
        chance = self._chance(request)
        if chance.random() < self.observer.refuse:
            return ApiRefusedError("the observer declines to answer", where=self.info.model)
        seen = self._percepts(request.images, chance)
        goal = seen[0] / SPREAD + 0.5 if len(seen) == 1 else 0.5 * math.erfc((seen[0] - seen[-1]) / math.sqrt(2))
        places = np.linspace(1, 0, len(words))
        logits = (-0.5 * ((places - min(1.0, max(0.0, goal))) / _WIDTH) ** 2).astype(np.float32)
        return LevelLogits(logits, float(np.logaddexp.reduce(logits.astype(np.float64))))

    def generate(self, requests: Sequence[Request], max_new_tokens: int = 128) -> list[str]:
        """Answer in words."""
        return [answer.text for answer in self.outcomes(requests, max_new_tokens)]

    def outcomes(self, requests: Sequence[Request], max_new_tokens: int = 128) -> list[ChatAnswer]:
        """Like :meth:`generate`, with made-up token counts, and whether an answer was cut off."""
        return [self._answer(request) for request in requests]

    def talk(
        self,
        turns: Sequence[Turn],
        *,
        max_new_tokens: int = 256,
        start: str = "",
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        schema: AnswerSchema | None = None,
    ) -> Spoken:
        """Answer the last turn, in one piece; see :meth:`mllmqa.models.base.Backend.talk`.

        Raises:
            UsageError: A schema is given: its words are fixed.
        """
        if schema is not None:
            raise UsageError("a synthetic observer says fixed words, never JSON", where=self.info.model)
        if cancelled is not None and cancelled():
            return Spoken("", (), "cancelled")
        pictures = tuple(picture for turn in turns for picture in turn.pictures)
        question = " ".join(part for part in turns[-1].content if isinstance(part, str))
        said = self._answer(Request(Prompt("talk", "", question, start), pictures))
        if on_text is not None:
            on_text(said.text)
        return Spoken(said.text, None, "length" if said.truncated else "stop")

    def _answer(self, request: Request) -> ChatAnswer:
        chance, o = self._chance(request), self.observer
        fate = chance.random()
        text = self._said(request, chance)
        cut = False
        for share, other in (
            (o.refuse, "I'm sorry, but I cannot rate these images."),
            (o.garble, "It looks quite good to me, with some blur."),
            (o.beyond, "Score: 140"),
            (o.cut, "Description: there is some visible noise in the"),
            (o.foreign, "La calidad de la imagen es muy buena."),
        ):
            if 0 <= fate < share:
                text, cut = other, share == o.cut and other.startswith("Description")
            fate -= share
        sent = _PICTURE_TOKENS * len(request.images) + len(request.prompt.question) // 4
        return ChatAnswer(text, sent, len(text) // 4 + 1, from_cache=False, truncated=cut)

    def _said(self, request: Request, chance: np.random.Generator) -> str:
        mode = _MODE.match(request.prompt.id)
        if mode is None:
            return "The quality of the image is fair."
        question, pictures = request.prompt.question, list(request.images)
        if "an example" in question:
            pictures = pictures[len(pictures) // 2 :]
        seen = self._percepts(pictures[1:] if mode[2] == "fr" else pictures, chance)
        score = self._score(mode[1], seen)
        if mode[1] == "two-afc":
            return score
        return (
            f"Description: some distortion is visible.\nScore: {score}"
            if "Description:" in question
            else f"Score: {score}"
        )

    def _score(self, stimulus: str, seen: np.ndarray) -> str:
        o = self.observer
        if stimulus == "single":
            score = min(100.0, max(0.0, 100 * (float(seen[0]) / SPREAD + 0.5)))
            return f"{o.round * round(score / o.round):g}"
        if stimulus == "multiple":
            ranks = np.argsort(np.argsort(seen, kind="stable"))
            return "[" + ", ".join(f"{_ORDINALS[k]}: {rank}" for k, rank in enumerate(ranks)) + "]"
        ahead = float(seen[0] - seen[1])
        if stimulus == "two-afc":
            return "A" if ahead > 0 else "B"
        return "2" if abs(ahead) <= o.tie else "1" if ahead > 0 else "0"

    def _percepts(self, pictures: Sequence[ImageHWC], chance: np.random.Generator) -> np.ndarray:
        n = len(pictures)
        favour = np.linspace(self.observer.bias, 0, n) if n > 1 else np.zeros(n)
        latent = np.array([self.latent(picture) for picture in pictures])
        seen: np.ndarray = latent + favour + self.observer.noise * chance.standard_normal(n)
        return seen

    def _chance(self, request: Request) -> np.random.Generator:
        """Chance that depends on what is asked, and on which time it is asked."""
        shown = [digest(picture) for picture in request.images]
        return stream(self.observer.seed, "fake", request.prompt.sha256, *shown, str(request.repeat))


def digest(picture: ImageHWC) -> str:
    """Return the SHA-256 of a picture's pixels and size."""
    found = hashlib.sha256(repr(picture.shape).encode())
    found.update(np.ascontiguousarray(picture).tobytes())
    return found.hexdigest()


def is_fake(name: str) -> bool:
    """Tell whether a model name means the synthetic observer."""
    return name == NAME or name.startswith(f"{NAME}:")
