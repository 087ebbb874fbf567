"""The one record of questions, whatever file they come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mllmqa.data.tasks.phrases import LETTERS
from mllmqa.schema import Record

QUESTION_VERSION: Literal[1] = 1
ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth")


class Shown(Record):
    """One picture or clip of a question."""

    kind: Literal["image", "video"]
    path: str = Field(min_length=1)
    """Relative to the folder of the media."""


class Question(Record):
    """A question about pictures or clips, with options or without.

    Two options with the same text make no difference to an answer, so they are refused.
    """

    question_version: Literal[1] = QUESTION_VERSION
    id: str = Field(min_length=1)
    benchmark: str
    """The form of the file that it is from, e.g. ``qbench``."""
    media: tuple[Shown, ...] = Field(min_length=1, max_length=len(ORDINALS))
    question: str = Field(min_length=1)
    options: tuple[str, ...] = Field(default=(), max_length=len(LETTERS))
    """In the order of their letters; none: it is answered in words."""
    answer: int | None = Field(default=None, ge=0)
    """Index of the right option; None: not published, or without options."""
    reference: str | None = None
    """A right answer in words, for questions without options."""
    categories: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Name of a grouping → the groups that it is in, e.g. ``{"kind": ("yes/no",)}``."""

    @model_validator(mode="after")
    def _is_answerable(self) -> Question:
        if len(self.options) == 1:
            raise ValueError("one option only; expected several, or none")
        if len({option.strip().casefold() for option in self.options}) != len(self.options):
            raise ValueError(f"an option is there twice: {', '.join(self.options)}")
        if self.answer is not None and self.answer >= len(self.options):
            raise ValueError(f"answer {self.answer} of {len(self.options)} options")
        return self

    @property
    def letters(self) -> str:
        """Of its options."""
        return LETTERS[: len(self.options)]
