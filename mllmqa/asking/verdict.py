"""The shipped schema ``verdict``: which file is better, and of each its level and distortions, with a reason.

Its words are those of all other answers; ``prompts/answer/verdict.yaml`` holds its shape. It depends on the files
that a question is about: their letters, and what a picture or a video can have. All that it says is checked, and
it can be composed of readings alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import Field

from mllmqa import prompts, resources
from mllmqa.answer_schema import AnswerSchema
from mllmqa.asking import compose, thresholds
from mllmqa.asking.claims import claims_of
from mllmqa.asking.records import Claim, Evidence, FileEvidence
from mllmqa.asking.texts import FOLDER, say
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.schema import Record

NAME = "verdict"


class Shape(Record):
    """``prompts/answer/verdict.yaml``."""

    id: str
    version: int = Field(ge=1)
    equal: str
    """What is said of files of equal quality, in the place of a letter."""
    better: dict[str, Any]
    file: dict[str, Any]
    reason: dict[str, Any]
    local_only: frozenset[str]
    """Keywords that are left out for endpoints."""


@cache
def shape() -> Shape:
    """Return the shape."""
    return prompts.read_file(resources.folder("prompts") / FOLDER / f"{NAME}.yaml", Shape)


class VerdictForm:
    """The schema for one question.

    Args:
        evidence: Readings of all files.
        keys: Files that the question is about.
        remote: Whether an endpoint is to hold an answer to it.
    """

    def __init__(self, evidence: Evidence, keys: Sequence[str], *, remote: bool = False) -> None:
        self._keys = tuple(keys)
        media = {key: evidence.of(key).medium for key in keys}
        self._ranked = len(keys) > 1 and len(set(media.values())) == 1
        body = _body(media, ranked=self._ranked)
        self.schema = AnswerSchema.of(_without(body, shape().local_only) if remote else body, NAME)

    def claims(self, data: Mapping[str, Any]) -> list[Claim]:
        """Return what a verdict claims: of each file, which is better, and in its reason."""
        found = [claim for key, one in data["files"].items() for claim in _of_file(key, one)]
        return [*found, *self._of_better(data.get("better")), *claims_of(data["reason"], self._keys)]

    def composed(self, evidence: Evidence) -> dict[str, Any]:
        """Return the verdict that the readings give."""
        files = {key: _composed_file(evidence, evidence.of(key)) for key in self._keys}
        better = {"better": self._best(evidence)} if self._ranked else {}
        return {**better, "files": files, "reason": self._reason(evidence)}

    def _of_better(self, said: str | None) -> Iterator[Claim]:
        words = f"better: {said}"
        if said == shape().equal:
            for one, other in itertools.combinations(self._keys, 2):
                yield Claim(kind="equal", key=one, other=other, words=words)
        elif said is not None:
            for other in self._keys:
                if other != said:
                    yield Claim(kind="better", key=said, other=other, words=words)

    def _best(self, evidence: Evidence) -> str | None:
        """Return the file that is better than each other by the stated margin; the word for equal; or None."""
        keys, margin = self._keys, thresholds.EVEN_MARGIN
        gaps = {(a, b): _better(evidence, a, b) - 0.5 for a, b in itertools.permutations(keys, 2)}
        if all(abs(gap) < margin for gap in gaps.values()):
            return shape().equal
        ahead = [key for key in keys if all(gaps[key, other] > 0 for other in keys if other != key)]
        clear = [key for key in ahead if all(gaps[key, other] >= margin for other in keys if other != key)]
        return next(iter(clear if len(keys) > 2 else ahead), None)

    def _reason(self, evidence: Evidence) -> str:
        if not self._ranked:
            return compose.level(evidence, self._keys)
        if len(self._keys) == 2 and (pair := evidence.pair(*self._keys)) is not None:
            return compose.verdict(pair, "compose")
        order = ", ".join(key for key in evidence.order() if key in self._keys)
        return say("compose", "order", order=order)


# ------------------------------------------------------------------ the schema


def _body(media: Mapping[str, str], *, ranked: bool) -> dict[str, Any]:
    """Return the schema for files of these media, key → medium."""
    words, kinds = vocabulary(), list(dict.fromkeys(media.values()))
    sides: list[str | None] = [*media, shape().equal, *([None] if len(media) > 2 else [])]
    marks: dict[str, Any] = {
        "<most named>": thresholds.MOST_NAMED,
        "<levels>": list(prompts.level_scale().words),
        "<severities>": [*words.severities, None],
        "<sides>": sides,
    }
    named = {kind: [words.label(category) for category in words.possible(kind)] for kind in kinds}
    files = {key: {"$ref": f"#/$defs/{kind}"} for key, kind in media.items()}
    properties = {
        **({"better": _filled(shape().better, marks)} if ranked else {}),
        "files": _object(files),
        "reason": dict(shape().reason),
    }
    defined = {kind: _filled(shape().file, {**marks, "<distortions>": named[kind]}) for kind in kinds}
    return {**_object(properties), "$defs": defined}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _filled(value: Any, marks: Mapping[str, Any]) -> Any:
    """Return a schema with each mark replaced by what it stands for."""
    if isinstance(value, Mapping):
        return {key: _filled(one, marks) for key, one in value.items()}
    return marks[value] if isinstance(value, str) and value in marks else value


def _without(value: Any, keywords: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(one, keywords) for key, one in value.items() if key not in keywords}
    return value


# ------------------------------------------------------------------ claims and readings


def _of_file(key: str, said: Mapping[str, Any]) -> Iterator[Claim]:
    scale, words = prompts.level_scale(), vocabulary()
    level = said["level"]
    value = scale.values[scale.words.index(level)]
    yield Claim(kind="level", key=key, value=value, words=f"level of {key}: {level}")
    if said["distortions"] is None:
        return
    if not said["distortions"]:
        yield Claim(kind="clean", key=key, words=f"distortions of {key}: []")
    categories = {label: category for category, label in words.categories.items()}
    for one in said["distortions"]:
        label, grade = one["distortion"], one["severity"]
        category = categories[label]
        yield Claim(kind="distortion", key=key, category=category, words=f"distortion of {key}: {label}")
        if grade is not None:
            strength, named = 1 + words.severities.index(grade), f"severity of {label} in {key}: {grade}"
            yield Claim(kind="severity", key=key, category=category, value=strength, words=named)


def _composed_file(evidence: Evidence, file: FileEvidence) -> dict[str, Any]:
    if not file.presence:
        return {"level": file.level, "distortions": None}
    words, found = vocabulary(), list[dict[str, Any]]()
    for category in evidence.found(file.key)[: thresholds.MOST_NAMED]:
        strength = file.severity(category)
        grade = None if strength is None else words.grade(strength.value)
        found.append({"distortion": words.label(category), "severity": grade})
    return {"level": file.level, "distortions": found}


def _better(evidence: Evidence, one: str, other: str) -> float:
    """Return the probability that one file is better; one half where a pair was not read."""
    pair = evidence.pair(one, other)
    return 0.5 if pair is None else pair.better(one)
