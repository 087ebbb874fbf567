"""What happened in a conversation: typed, versioned records, one line of JSON each, in order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from mllmqa.asking.records import Source
from mllmqa.errors import DataError, UsageError
from mllmqa.schema import Record, Score, Unscored
from mllmqa.whole_file import write_whole

TRANSCRIPT_VERSION: Literal[1] = 1
"""Raised when a field changes its meaning."""


class _Event(Record):
    transcript_version: Literal[1] = TRANSCRIPT_VERSION
    type: str


class Model(_Event):
    """From here on this model answers."""

    type: Literal["model"] = "model"
    name: str
    """As the user named it."""
    preset: str
    revision: str | None = None
    weights_sha256: str | None = None
    dtype: str
    device: str
    base_url: str | None = None
    mllmqa_version: str


class Added(_Event):
    """A file, and the letter by which the conversation knows it."""

    type: Literal["file"] = "file"
    key: str
    path: str
    sha256: str | None
    kind: Literal["image", "video"]
    width: int
    height: int
    duration_s: float | None = None


class Frames(_Event):
    """From here on this rule chooses the frames of videos; None: the model's own."""

    type: Literal["frames"] = "frames"
    rule: str | None


class Answered(_Event):
    """A question and its answer."""

    type: Literal["answer"] = "answer"
    question: str
    files: tuple[str, ...]
    """Keys of the files that were there."""
    text: str
    source: Source
    """``evidence``: composed from readings; ``refusal``: a question that is not answered."""
    finished: Literal["stop", "length", "cancelled"]
    confidence: float | None = Field(default=None, ge=0, le=1)
    notes: tuple[str, ...] = ()
    details: dict[str, Any] | None = None
    """The whole record of what answered, where it has one."""


class Scored(_Event):
    """The score of a file."""

    type: Literal["score"] = "score"
    key: str
    result: Score | Unscored = Field(discriminator="status")


class ComparedTwo(_Event):
    """Which of two files is better."""

    type: Literal["compare"] = "compare"
    a: str
    b: str
    p_a_better: float = Field(ge=0, le=1)
    text: str
    details: dict[str, Any] | None = None


class Failed(_Event):
    """A line that could not be done."""

    type: Literal["failed"] = "failed"
    line: str
    reason: str
    """Stable short name: the ``code`` of the error."""
    message: str


Event = Annotated[Model | Added | Frames | Answered | Scored | ComparedTwo | Failed, Field(discriminator="type")]
"""What a line of a transcript is."""

AnyEvent = Model | Added | Frames | Answered | Scored | ComparedTwo | Failed

_EVENT: TypeAdapter[AnyEvent] = TypeAdapter(Event)


class Transcript:
    """All events so far, and the file that they go to as they happen.

    Args:
        path: Created new; None: kept in memory only.

    Raises:
        UsageError: It is there already, or cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.events: list[AnyEvent] = []
        if path is not None:
            _refuse_existing(path)
            try:
                path.touch(exist_ok=False)
            except OSError as error:
                raise UsageError(f"cannot be written: {error.strerror}", where=path) from error

    def add(self, event: AnyEvent) -> None:
        """Add an event; it is in the file when this returns.

        Raises:
            UsageError: The file cannot be written.
        """
        self.events.append(event)
        if self.path is None:
            return
        try:
            with self.path.open("ab") as file:
                file.write(_line(event))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(f"cannot be written: {error.strerror}", where=self.path) from error

    def save(self, path: Path) -> None:
        """Write all events so far to another file, whole or not at all.

        Raises:
            UsageError: It is there already, or cannot be written.
        """
        _refuse_existing(path)
        try:
            write_whole(path, b"".join(map(_line, self.events)))
        except OSError as error:
            raise UsageError(f"cannot be written: {error.strerror}", where=path) from error


def read_transcript(path: Path) -> Sequence[AnyEvent]:
    """Read a transcript.

    Raises:
        DataError: It cannot be read, is empty, or a line is no event of this version; names file and line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from error
    events = []
    for number, line in enumerate(lines, 1):
        try:
            events.append(_EVENT.validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise DataError(
                f"line {number} is no event of a transcript: {field + ': ' if field else ''}{first['msg']}",
                where=path,
                expected=f"a file that /save or --transcript wrote (version {TRANSCRIPT_VERSION})",
            ) from error
    if not events:
        raise DataError("is empty", where=path, expected="a transcript")
    return events


def _line(event: AnyEvent) -> bytes:
    return event.model_dump_json().encode() + b"\n"


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise UsageError("this file exists already", where=path, hint="name another, or remove it")
