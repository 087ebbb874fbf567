"""Closed questions to a model: whether a distortion is there, how strong it is, how good a picture is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mllmqa import prompts
from mllmqa.asking import places, thresholds
from mllmqa.asking.records import Presence, Severity
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.errors import ApiRefusedError, ApiTruncatedError, ApiUnparsedError, LevelTokenError, MllmqaError
from mllmqa.levels import distribution, expectation
from mllmqa.models.base import Diagnosis, Examiner
from mllmqa.prompts import Level, LevelFile, Prompt
from mllmqa.scoring import answered

if TYPE_CHECKING:
    from mllmqa.models.base import Examined, ImageHWC, LevelLogits, Request
    from mllmqa.scoring import Scorer

OTHERWISE = (ApiRefusedError, ApiTruncatedError, ApiUnparsedError)
"""A remote model answered a closed question with something else: that reading is missing, the others are not."""

InTime = tuple[list[Presence], list[Severity]]
"""Presences, and severities of those that may be there."""

_WORD_TOKENS = 8
"""Length of an answer whose first word is a severity."""


@cache
def severity_scale() -> LevelFile:
    """Return the five severities with their values 5 … 1, strongest first."""
    words = vocabulary()
    levels = tuple(Level(word=word, value=k) for k, word in reversed([*enumerate(words.severities, 1)]))
    return LevelFile(id="severities", version=words.version, range=(1, len(levels)), levels=levels)


class Listener:
    """Asks one model closed questions about pictures.

    Args:
        scorer: Model with its preset.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._backend = scorer.backend
        self._examined: dict[int, tuple[ImageHWC, Examined]] = {}  # by id: pictures live as long as their entry
        self._scorer = scorer
        self._plain = not scorer.preset.follows
        self._yes_no = prompts.word_scale("yes_no")

    def presence(
        self, shown: Sequence[Request], categories: Sequence[str], medium: str
    ) -> tuple[list[Presence], dict[str, str]]:
        """Ask of each category whether it is there, or let the model's own heads tell.

        Args:
            shown: Pictures, each asked about by itself; their prompts are replaced.
            categories: Of the distortion engine.
            medium: What the file is called in the questions.

        Returns:
            One reading per category, of several pictures by :func:`~mllmqa.asking.places.lasting`; and of those
            that the model cannot answer, or answers otherwise, why (``presence`` for all, where its tokenizer
            splits the words).

        Raises:
            ModelError: The model failed.
        """
        if not categories:
            return [], {}
        if heads := self._found(shown, categories):
            return [_of_heads(category, [one[category] for one in heads]) for category in categories], {}
        asked = {category: self._question("yes_no", category, medium) for category in categories}
        try:
            self._backend.check_words(asked[categories[0]], self._yes_no.words)
        except LevelTokenError as error:
            return [], {"presence": str(error)}
        readings: dict[str, list[tuple[float, float | None]]] = {category: [] for category in categories}
        unread: dict[str, str] = {}
        for request in shown:  # one call per picture: what it shows is computed once
            requests = [replace(request, prompt=prompt) for prompt in asked.values()]
            for category, answer in zip(categories, self._closed(requests, self._yes_no.words), strict=True):
                if isinstance(answer, str):
                    unread[f"presence:{category}"] = answer
                else:
                    readings[category].append(_expected(answer, self._yes_no))
        found = [_presence(category, seen) for category, seen in readings.items() if len(seen) == len(shown)]
        unread |= {f"presence:{one.category}": why for one in found if (why := _elsewhere(one.coverage))}
        return [one for one in found if f"presence:{one.category}" not in unread], unread

    def how(self, request: Request, categories: Sequence[str], medium: str) -> Mapping[str, Severity | str]:
        """Ask how strong each category is, or let the model's own heads tell; or why there is no answer.

        Args:
            request: The picture or clip; its prompt is replaced.
            categories: Those that may be there, the most probable first. Where the words are no single tokens, each
                is a text of its own, so only as many are asked about as a composed text names.
            medium: As for :meth:`presence`.

        Raises:
            ModelError: The model failed.
        """
        scale = severity_scale()
        if not categories:
            return {}
        if found := self._found([request], categories):
            return {category: _between(found[0][category], scale) for category in categories}
        asked = {category: self._question("how", category, medium) for category in categories}
        try:
            for prompt in asked.values():
                self._backend.check_words(prompt, scale.words)
        except LevelTokenError as error:
            first = [*asked.items()][: thresholds.MOST_NAMED]
            return dict.fromkeys(asked, str(error)) | {c: self._written(request, p, c) for c, p in first}
        requests = [replace(request, prompt=prompt) for prompt in asked.values()]
        answers = self._closed(requests, scale.words)
        return {
            category: a if isinstance(a, str) else _severity(category, a, scale)
            for category, a in zip(asked, answers, strict=True)
        }

    @property
    def sees_moments(self) -> bool:
        """Whether the model has heads for what happens in the time of a clip."""
        return isinstance(self._backend, Examiner) and self._backend.examines_time

    def in_time(self, slices: Sequence[ImageHWC], times_s: Sequence[Sequence[float]], duration_s: float) -> InTime:
        """Let heads tell what happens in a clip; only where :attr:`sees_moments`.

        Args:
            slices: Pictures of :func:`mllmqa.media.slice_pictures`.
            times_s: When the rows of each are shown, as :func:`mllmqa.media.slices.moments` has it.
            duration_s: Of the clip.

        Returns:
            Of each category how probable it is, with spans, and how strong: as in the picture that shows it most.
        """
        each = [self._backend.examine_in_time(picture) for picture in slices]  # type: ignore[attr-defined]
        times, scale = [time for part in times_s for time in part], severity_scale()
        presence, severities = [], []
        for found in zip(*each, strict=True):
            most = max(found, key=lambda one: one.found.probability).found
            rows = [p for one in found for p in one.rows]
            there = most.probability >= thresholds.PRESENT
            spans = places.spans_of(rows, times, duration_s) if there else []
            presence.append(
                Presence(category=most.category, probability=most.probability, coverage=None, spans_s=tuple(spans))
            )
            if most.probability >= thresholds.ABSENT_BELOW:
                severities.append(_between(most, scale))
        return presence, severities

    def fidelities(self, shown: Sequence[Request]) -> list[float] | None:
        """Return how near each picture is to an undistorted one, by the model's own heads; None without heads."""
        found = self._heads(shown)
        return None if found is None else [one.fidelity for one in found]

    def _found(self, shown: Sequence[Request], categories: Sequence[str]) -> list[dict[str, Diagnosis]] | None:
        """Return what the model's own heads find in each picture; None where it has none for all the categories."""
        known = [{one.category: one for one in picture.found} for picture in self._heads(shown) or ()]
        return known if known and set(categories) <= known[0].keys() else None

    def _heads(self, shown: Sequence[Request]) -> list[Examined] | None:
        """Let the model's own heads examine pictures, each once."""
        single = all(len(request.images) == 1 and request.clip is None for request in shown)
        if not single or not isinstance(self._backend, Examiner) or not self._backend.examines:
            return None
        pictures = [request.images[0] for request in shown]
        new = [picture for picture in pictures if id(picture) not in self._examined]
        found = self._backend.examine(new) if new else []
        self._examined |= {id(picture): (picture, one) for picture, one in zip(new, found, strict=True)}
        return [self._examined[id(picture)][1] for picture in pictures]

    def scores(self, requests: Sequence[Request]) -> list[float]:
        """Return the score 1..5 of each request by the preset's own words and prompt.

        Raises:
            ModelError: The model failed.
        """
        scale, size = self._scorer.scale, self._scorer.default_batch_size
        found: list[float] = []
        for start in range(0, len(requests), size):
            answers = answered(self._backend.level_logits(requests[start : start + size], scale.words))
            found += [distribution(_logits(a), a.log_z, scale, a.readout).value for a in answers]
        return found

    def _closed(self, requests: Sequence[Request], words: Sequence[str]) -> list[LevelLogits | str]:
        """Return one answer per request, or why the model gave none of the words; all other errors are raised."""
        given = self._backend.level_logits(requests, words)
        answered([one for one in given if not isinstance(one, OTHERWISE)])
        return [str(one) if isinstance(one, MllmqaError) else one for one in given]

    def _question(self, name: str, category: str, medium: str) -> Prompt:
        file = prompts.load(f"ask/{name}" if self._plain else f"ask/{name}_word")
        words = ", ".join(reversed(severity_scale().words))
        return prompts.render(file, label=vocabulary().label(category), medium=medium, words=words)

    def _written(self, request: Request, prompt: Prompt, category: str) -> Severity | str:
        """Let a model whose tokenizer splits the words write one of them: then that one has all the mass."""
        (text,) = self._backend.generate([replace(request, prompt=prompt)], _WORD_TOKENS)
        scale = severity_scale()
        said = re.match(rf"\W*({'|'.join(scale.words)})\b", text, re.IGNORECASE)
        if said is None:
            return f"no word for a severity in its answer {text[:40]!r}"
        words = {word: float(word == said[1].lower()) for word in scale.words}
        value = scale.values[scale.words.index(said[1].lower())]
        return Severity(category=category, value=value, std=0.0, words=words, readout="text")


def _logits(answer: LevelLogits) -> Any:
    return np.asarray(answer.logits, dtype=np.float32)


def _expected(answer: LevelLogits, scale: LevelFile) -> tuple[float, float | None]:
    return expectation(_logits(answer), answer.log_z, scale, 1.0)


def _elsewhere(coverage: float | None) -> str | None:
    """Say that a model answers something else than the words that it was asked for."""
    if coverage is None or coverage >= thresholds.LEAST_COVERAGE:
        return None
    return f"the words that it was asked for hold {coverage:.2g} of its probability"


def _presence(category: str, readings: Sequence[tuple[float, float | None]]) -> Presence:
    values, masses = zip(*readings, strict=True)
    known = [mass for mass in masses if mass is not None]
    return Presence(
        category=category,
        probability=places.lasting(values),
        coverage=float(np.mean(known)) if len(known) == len(masses) else None,
        per_frame=tuple(values) if len(values) > 1 else None,
    )


def _of_heads(category: str, found: Sequence[Diagnosis]) -> Presence:
    """Of the heads, over pictures."""
    values = tuple(one.probability for one in found)
    return Presence(
        category=category,
        probability=places.lasting(values),
        coverage=None,
        per_frame=values if len(values) > 1 else None,
    )


def _between(found: Diagnosis, scale: LevelFile) -> Severity:
    """Put the mass on the two words that a severity lies between, so that their mean is the severity."""
    mass = [max(0.0, 1 - abs(found.severity - value)) for value in scale.values]
    spread = sum(p * (value - found.severity) ** 2 for p, value in zip(mass, scale.values, strict=True))
    return Severity(
        category=found.category,
        value=found.severity,
        std=spread**0.5,
        words=dict(zip(scale.words, mass, strict=True)),
        readout="heads",
    )


def _severity(category: str, answer: LevelLogits, scale: LevelFile) -> Severity | str:
    found = distribution(_logits(answer), answer.log_z, scale, answer.readout)
    if why := _elsewhere(found.coverage):
        return why
    return Severity(category=category, value=found.value, std=found.std, words=found.levels, readout=found.readout)
