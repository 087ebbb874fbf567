"""Prompts as files: load a YAML of ``prompts/``, render it, and know its identity.

A prompt is a question to the model and the start of its answer; the level word is read right after
that start (Q-Align, Wu et al., ICML 2024). Text blocks are Jinja2, sandboxed and strict.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from mllmqa import resources
from mllmqa.errors import PromptError, UnknownNameError
from mllmqa.schema import Record

WORDINGS = ("answer/", "build/", "teach/", "train/")
"""Folders of files of other kinds: of ``mllmqa.asking``, ``.data.tasks``, ``.data.teacher``, ``.training``."""


class PromptFile(Record):
    """One file below ``prompts/``: text blocks with an identity."""

    id: str
    version: int = Field(ge=1)
    aspect: str
    question: str
    answer: str
    """Start of the model's answer, without the level word; may be empty. No trailing space, but for Q-SiT."""


class Level(Record):
    """One answer word and its value on the scale of its file."""

    word: str
    value: float = Field(allow_inf_nan=False)


class LevelFile(Record):
    """A scale of answer words, best first: the level words, or the comparison words."""

    id: str
    version: int = Field(ge=1)
    range: tuple[float, float]
    """Lowest and highest value of the scale, which its last and first words have."""
    levels: tuple[Level, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _best_first(self) -> LevelFile:
        values, words = self.values, self.words
        if any(a <= b for a, b in itertools.pairwise(values)) or (values[-1], values[0]) != self.range:
            raise ValueError(f"values {values} do not fall from {self.range[1]} to {self.range[0]}")
        if len(set(words)) != len(words):
            raise ValueError(f"a word is there twice: {words}")
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """The words, best first."""
        return tuple(level.word for level in self.levels)

    @property
    def values(self) -> tuple[float, ...]:
        """Their values, in the order of the words: 5 … 1 on the ACR scale."""
        return tuple(level.value for level in self.levels)


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt.

    Attributes:
        id: Name and version, e.g. ``score/quality@1``.
        sha256: Of the rendered question and answer start.
        question: What the user says, beside the image or frames.
        answer: How the model's answer starts.
    """

    id: str
    sha256: str
    question: str
    answer: str


_File = TypeVar("_File", bound=BaseModel)


def read_file(path: Path, kind: type[_File]) -> _File:
    """Read a YAML file as a record of some kind.

    Raises:
        PromptError: It is malformed; names the first field.
    """
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PromptError(f"not valid YAML: {error}", where=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise PromptError(f"field {field}: {first['msg']}", where=path) from error


def names() -> list[str]:
    """Return the ids of all shipped prompts, e.g. ``score/quality``."""
    root = resources.folder("prompts")
    found = (p.relative_to(root).with_suffix("").as_posix() for p in root.glob("*/*.yaml"))
    return sorted(name for name in found if not name.startswith(WORDINGS))


@cache
def load(prompt_id: str) -> PromptFile:
    """Return the prompt file with this id.

    Raises:
        UnknownNameError: No such prompt.
        PromptError: The file is malformed, or its id is not its place.
    """
    if prompt_id not in names():
        raise UnknownNameError(f"no prompt {prompt_id!r}", expected=" | ".join(names()))
    path = resources.folder("prompts") / f"{prompt_id}.yaml"
    found = read_file(path, PromptFile)
    if found.id != prompt_id:
        raise PromptError(f"id is {found.id!r}", where=path, expected=repr(prompt_id))
    return found


@cache
def word_scale(name: str) -> LevelFile:
    """Return the words and values of ``prompts/NAME.yaml``, e.g. ``levels`` or ``comparison``.

    Raises:
        UnknownNameError: No such file.
        PromptError: The file is malformed.
    """
    folder = resources.folder("prompts")
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UnknownNameError(f"no scale of words {name!r}", expected=" | ".join(known))
    return read_file(folder / f"{name}.yaml", LevelFile)


def level_scale() -> LevelFile:
    """Return the level words with their values on the ACR scale 1 … 5 (``prompts/levels.yaml``)."""
    return word_scale("levels")


def render(prompt: PromptFile, **variables: Any) -> Prompt:
    """Fill the variables of a prompt's text blocks.

    Args:
        prompt: The file, from :func:`load`.
        variables: Values for the text blocks, e.g. ``medium="image"``.

    Raises:
        PromptError: A variable is missing or the template is malformed.

    >>> render(load("score/quality"), medium="video").answer
    'The quality of the video is'
    """
    from jinja2 import TemplateError

    try:
        question, answer = (_template(block).render(variables) for block in (prompt.question, prompt.answer))
    except TemplateError as error:
        raise PromptError(f"cannot be rendered: {error}", where=prompt.id) from error
    digest = hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()
    return Prompt(id=f"{prompt.id}@{prompt.version}", sha256=digest, question=question, answer=answer)


@cache
def _template(block: str) -> Any:
    """Compile a block once: that takes a hundred times longer than filling it."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(undefined=StrictUndefined, autoescape=False).from_string(block)
