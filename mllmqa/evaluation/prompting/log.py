"""The append-only log of answers: one typed line per question, so that a run can be killed and scored again.

The first line is the head: what was asked of whom. A question whose line is an answer, or a failure that was paid
for, is done; transport failures are asked again by the next run, and the last line of a question counts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal

from pydantic import Field, ValidationError

from mllmqa.errors import DataError
from mllmqa.evaluation.prompting.answers import RETRIED, FailureKind
from mllmqa.resume import check_start, lines
from mllmqa.schema import Record

VERSION: Literal[1] = 1
_START = b'{"prompt_log":1,"spec":'


class Head(Record):
    """The first line."""

    prompt_log: Literal[1] = VERSION
    spec: str
    """Hash of all that decides the answers: model, pictures, prompts, plan."""
    model: str
    questions: int


class Line(Record):
    """One question and what became of it."""

    trial: str
    values: tuple[float, ...] = ()
    failure: FailureKind | None = None
    """None: a readable answer."""
    text: str | None = None
    """What the model said; None where logits were read or nothing came."""
    said: str = ""
    """Why there is no answer."""
    logits: tuple[float, ...] | None = None
    truncated: bool = False
    tokens_in: int | None = Field(default=None, ge=0)
    tokens_out: int | None = Field(default=None, ge=0)
    from_cache: bool = False
    seconds: float = Field(default=0.0, ge=0)
    original: bool | None = None

    @property
    def done(self) -> bool:
        """Whether it need not be asked again."""
        return self.failure not in RETRIED


class AnswerLog:
    """The log of one run, open for appending; thread-safe.

    Args:
        path: Of the file; a torn last line is cut off.
        head: Of this run.

    Raises:
        DataError: It is no such log, or of another run.
    """

    def __init__(self, path: Path, head: Head) -> None:
        self.path = path
        self._lock = threading.Lock()
        known = path.exists() and path.stat().st_size > 0
        if known:
            known = _mend(path)
        self.lines = {line.trial: line for line in read_log(path, head)} if known else {}
        self._file = path.open("ab")
        if not known:
            self._write(head)

    def __enter__(self) -> AnswerLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._file.close()

    def append(self, line: Line) -> None:
        """Add a line; it is on its way to the disk when this returns.

        Raises:
            OSError: The disk is full, or the file is gone.
        """
        with self._lock:
            self._write(line)
            self.lines[line.trial] = line

    def _write(self, record: Record) -> None:
        self._file.write(record.model_dump_json(exclude_defaults=not isinstance(record, Head)).encode() + b"\n")
        self._file.flush()


def _mend(path: Path) -> bool:
    """Cut off a torn last line of ours; tell whether anything is left."""
    end = 0
    for line, after in lines(path):
        if not line.endswith(b"\n"):
            check_start(path, line, _START if end == 0 else b'{"trial":', "a log of `mllmqa bench prompts`")
            with path.open("rb+") as file:
                file.truncate(end)
            break
        end = after
    return end > 0


def read_log(path: Path, head: Head | None = None) -> Iterable[Line]:
    """Yield the lines of a log, in their order.

    Args:
        path: Of the file.
        head: Of the run that it must belong to; None: any.

    Raises:
        DataError: A line is malformed, or the log is of another run.
    """
    for number, (raw, _) in enumerate(lines(path), 1):
        try:
            if number > 1:
                yield Line.model_validate_json(raw)
                continue
            found = Head.model_validate_json(raw)
        except ValidationError as error:
            what = f"line {number} is not one of this log: {error.errors()[0]['msg']}"
            raise DataError(what, where=path, expected="a log of `mllmqa bench prompts`") from error
        if head is not None and found.spec != head.spec:
            raise DataError(
                f"its answers are of another run (spec {found.spec}, now {head.spec})",
                where=path,
                hint="use the same data, model and options, or another folder",
            )


def known_lines(folder: Path | None) -> dict[str, Line]:
    """Return the last line of each question in ``answers.jsonl`` of a run's folder; nothing where there is none."""
    path = None if folder is None else folder / "answers.jsonl"
    return {} if path is None or not path.exists() else {line.trial: line for line in read_log(path)}
