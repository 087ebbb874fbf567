"""The texts of answers: pools of ``prompts/answer/*.yaml``, filled."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from pydantic import Field

from mllmqa import prompts, resources
from mllmqa.data.tasks.wording import Wording
from mllmqa.errors import PromptError
from mllmqa.schema import Record

FOLDER = "answer"


class Effects(Record):
    """What distortions do to the content (``prompts/answer/effects.yaml``)."""

    id: str
    version: int = Field(ge=1)
    effects: dict[str, str]
    """Category → a clause."""


class Scope(Record):
    """What belongs to quality (``prompts/answer/scope.yaml``)."""

    id: str
    version: int = Field(ge=1)
    quality: tuple[str, ...]
    """Words, one of which a question has to hold; ``*`` stands for any ending."""
    follow_up: tuple[str, ...]
    """Words that do behind an answer."""
    outside: tuple[str, ...]
    """Regular expressions of what does not belong to it."""


def say(name: str, pool: str, **variables: Any) -> str:
    """Fill the one wording of a pool of ``prompts/answer/NAME.yaml``.

    Raises:
        PromptError: The file is malformed, or a variable is missing.
        UnknownNameError: No such pool.
    """
    return _pools(name).pick(pool, np.random.default_rng(0), **variables)


def ref(name: str) -> str:
    """Return id and version of a file, for records."""
    return _pools(name).ref


@cache
def effects() -> dict[str, str]:
    """Return what each category of distortion does."""
    return prompts.read_file(resources.folder("prompts") / FOLDER / "effects.yaml", Effects).effects


@cache
def scope() -> Scope:
    """Return what belongs to quality."""
    return prompts.read_file(resources.folder("prompts") / FOLDER / "scope.yaml", Scope)


@cache
def _pools(name: str) -> Wording:
    path = resources.folder("prompts") / FOLDER / f"{name}.yaml"
    found = prompts.read_file(path, Wording)
    if found.id != f"{FOLDER}/{name}":
        raise PromptError(f"id is {found.id!r}", where=path, expected=f"'{FOLDER}/{name}'")
    return found
