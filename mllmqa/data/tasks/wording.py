"""Pools of wordings (``prompts/build/*.yaml``) and the vocabulary that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from pydantic import Field, ValidationError

from mllmqa import resources
from mllmqa.errors import DataError, PromptError, UnknownNameError
from mllmqa.schema import Record

FOLDER = "build"
Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of width and height, 0..1."""


class Wording(Record):
    """One file of wordings: named pools of text blocks (Jinja2)."""

    id: str
    version: int = Field(ge=1)
    pools: dict[str, tuple[str, ...]]

    @property
    def ref(self) -> str:
        """Id and version, as records name it."""
        return f"{self.id}@{self.version}"

    def pick(self, pool: str, rng: np.random.Generator, **variables: Any) -> str:
        """Draw a wording and fill it.

        Raises:
            UnknownNameError: No such pool.
            PromptError: A variable is missing.
        """
        if pool not in self.pools:
            raise UnknownNameError(f"{self.id} has no pool {pool!r}", expected=" | ".join(self.pools))
        blocks = self.pools[pool]
        return _fill(blocks[int(rng.integers(len(blocks)))], self.id, variables)


class Vocabulary(Record):
    """What people call distortions and grades (``prompts/build/words.yaml``)."""

    id: str
    version: int = Field(ge=1)
    categories: dict[str, str]
    """Category of the distortion engine → its name in texts."""
    video_only: frozenset[str]
    """Categories that a still picture cannot have."""
    temporal: frozenset[str]
    """Those of ``video_only`` that are about the course of time; the others show in single frames."""
    severities: tuple[str, ...] = Field(min_length=5, max_length=5)
    """Words for the severities 1 … 5."""
    clean: str
    numbers: tuple[str, ...]
    """Words for 0, 1, 2 …"""
    positions: tuple[str, ...] = Field(min_length=9, max_length=9)
    """Places in a picture, row by row on a grid of 3 × 3."""
    extents: dict[str, float]
    """Word → largest share of the picture, rising to 1."""

    def possible(self, medium: str) -> list[str]:
        """Return the categories that an ``image`` or a ``video`` can have."""
        return [c for c in self.categories if medium == "video" or c not in self.video_only]

    def label(self, category: str) -> str:
        """Return the name of a category.

        Raises:
            DataError: The category has no name.
        """
        if category not in self.categories:
            raise DataError(
                f"no word for the distortion category {category!r}", expected=" | ".join(self.categories)
            )
        return self.categories[category]

    def grade(self, severity: float) -> str:
        """Return the word for a severity in 1..5, rounded half up.

        Raises:
            DataError: Out of range.
        """
        if not 1 <= severity <= 5:
            raise DataError(f"severity {severity}", expected="1..5")
        return self.severities[int(np.floor(severity + 0.5)) - 1]

    def number(self, count: int) -> str:
        """Return the word for a count, or its digits beyond the words."""
        return self.numbers[count] if count < len(self.numbers) else str(count)

    @property
    def large(self) -> float:
        """Share of the picture up to which a distortion is not yet global."""
        return sorted(self.extents.values())[-2]

    def position(self, box: Box) -> str:
        """Return where the center of a box lies; on a line between two places it is the middle one."""
        row, column = (0 if x < 1 / 3 else 1 if x <= 2 / 3 else 2 for x in (_middle(box, 1), _middle(box, 0)))
        return self.positions[3 * row + column]

    def extent(self, box: Box) -> str:
        """Return the word for the share of the picture that a box covers."""
        share = area(box)
        return next(word for word, most in self.extents.items() if share <= most)


_File = TypeVar("_File", Wording, Vocabulary)


@cache
def wording(name: str) -> Wording:
    """Return the pools of ``prompts/build/NAME.yaml``.

    Raises:
        UnknownNameError: No such file.
        PromptError: The file is malformed, or its id is not its place.
    """
    return _read(name, Wording)


@cache
def vocabulary() -> Vocabulary:
    """Return the words of distortions and grades."""
    return _read("words", Vocabulary)


def names() -> list[str]:
    """Return the names of all files of wordings."""
    return sorted(p.stem for p in (resources.folder("prompts") / FOLDER).glob("*.yaml") if p.stem != "words")


def join(parts: Sequence[str]) -> str:
    """Join labels as a sentence does: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def area(box: Box) -> float:
    """Return the share of the picture that a box covers, 0..1; exact to 1e-9."""
    return round(abs(box[2] - box[0]) * abs(box[3] - box[1]), 9)


def _middle(box: Box, axis: int) -> float:
    return (box[axis] + box[axis + 2]) / 2


def _read(name: str, kind: type[_File]) -> _File:
    path: Path = resources.folder("prompts") / FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise UnknownNameError(f"no wordings {name!r}", expected=" | ".join(names()))
    try:
        found = kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise PromptError(f"malformed: {' '.join(str(error).split())}", where=path) from error
    if found.id != f"{FOLDER}/{name}":
        raise PromptError(f"id is {found.id!r}", where=path, expected=f"'{FOLDER}/{name}'")
    return found


def _fill(block: str, where: str, variables: dict[str, Any]) -> str:
    from jinja2 import TemplateError

    try:
        return str(_template(block).render(variables))
    except TemplateError as error:
        raise PromptError(f"cannot be rendered: {error}", where=where) from error


@cache
def _template(block: str) -> Any:
    """Compile a block once: that takes longer than filling it."""
    return _environment().from_string(block)


@cache
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
