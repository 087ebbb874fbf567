"""The log of a run: a header that says who was asked how, then one line per answer, appended as they come.

A killed run goes on where it was; answers can be graded again at any time without the model.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import JsonValue, ValidationError

from mllmqa import resume, sinks
from mllmqa._version import __version__
from mllmqa.errors import DataError, UsageError, error_line
from mllmqa.evaluation.answers.ask import Reply
from mllmqa.evaluation.answers.item import Item
from mllmqa.schema import Record

ANSWERS_VERSION: Literal[1] = 1
_START = b'{"answers_version":'
_EXPECTED = "a log that `mllmqa answers --out` wrote"


class Header(Record):
    """First line of a log: who was asked, and how. Answers of different headers are never mixed."""

    answers_version: Literal[1] = ANSWERS_VERSION
    spec: str
    """Hash of the rest but for the version of the library."""
    model: dict[str, JsonValue]
    settings: dict[str, JsonValue]
    mllmqa_version: str = __version__

    @classmethod
    def of(cls, model: dict[str, Any], settings: dict[str, Any]) -> Header:
        """Return the header of a run; a device or the user's name of a model does not tell runs apart."""
        told = {key: value for key, value in model.items() if key not in ("device", "model")}
        if not model.get("weights_sha256"):
            told["model"] = model.get("model")
        text = json.dumps([told, settings], sort_keys=True)
        return cls(spec=hashlib.sha256(text.encode()).hexdigest()[:16], model=model, settings=settings)


class Answer(Record):
    """One answer as the log keeps it."""

    answers_version: Literal[1] = ANSWERS_VERSION
    id: str
    order: tuple[int, ...] = ()
    """Place of each shown option among the question's own."""
    asked: str
    """:attr:`Item.digest`."""
    text: str | None = None
    logprobs: dict[str, float | None] | None = None
    """None for a word that an endpoint did not report."""
    coverage: float | None = None
    reason: str | None = None
    """Code of the error where there is no answer."""
    message: str | None = None

    @classmethod
    def of(cls, reply: Reply) -> Answer:
        """Return the record of a reply."""
        item, error = reply.item, reply.error
        read = None
        if reply.logprobs is not None:
            read = {word: value if math.isfinite(value) else None for word, value in reply.logprobs.items()}
        return cls(
            id=item.id, order=item.order, asked=item.digest,
            text=reply.text, logprobs=read, coverage=reply.coverage,
            reason=None if error is None else error.code, message=None if error is None else error_line(error),
        )  # fmt: skip

    @property
    def final(self) -> bool:
        """Whether it need not be asked again: it was answered, or refused for good."""
        return self.reason is None or self.reason in resume.FINAL_REASONS


class Answers:
    """What a log knows, by question."""

    def __init__(self) -> None:
        self._by: dict[tuple[str, tuple[int, ...]], Answer] = {}

    def __len__(self) -> int:
        return len(self._by)

    def add(self, answer: Answer) -> None:
        """Keep an answer; the last of a question counts."""
        self._by[answer.id, answer.order] = answer

    def of(self, item: Item) -> Answer | None:
        """Return the answer to this very question (same texts and media), or None."""
        found = self._by.get((item.id, item.order))
        return found if found is not None and found.asked == item.digest else None


def read_log(path: Path) -> tuple[Header, Answers]:
    """Read a log; a torn last line is passed over.

    Raises:
        DataError: It cannot be read, or a line is not ours.
    """
    header, answers, _ = _read(path)
    return header, answers


class AnswerLog:
    """Writes a log; a context manager.

    Args:
        path: The file.
        header: Of the run.
        continued: Go on with an existing file.

    Attributes:
        known: The answers that it has.

    Raises:
        UsageError: The file exists and ``continued`` is off, cannot be written, or another process writes it.
        DataError: It is not ours, or of another model or settings.
    """

    def __init__(self, path: Path, header: Header, *, continued: bool) -> None:
        sinks.check_output("jsonl", path, continued=continued)
        self.known, there = Answers(), path.exists() and path.stat().st_size > 0
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise UsageError(f"cannot be written: {error.strerror}", where=path) from error
        try:
            sinks.lock(self._file, path)
            if there:
                found, self.known, end = _read(path)
                if found.spec != header.spec:
                    raise DataError(
                        f"its answers were given by another model or with other settings (spec {found.spec}, "
                        f"now {header.spec})", where=path, hint="use the same, or another file",
                    )  # fmt: skip
                self._file.truncate(end)
            else:
                self._append(header)
        except BaseException:
            self._file.close()
            raise

    def write(self, answer: Answer) -> None:
        """Append one answer and flush it."""
        self._append(answer)
        self.known.add(answer)

    def _append(self, record: Record) -> None:
        self._file.write(record.model_dump_json(exclude_none=True).encode() + b"\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _read(path: Path) -> tuple[Header, Answers, int]:
    """Return header, answers, and where the last whole line ends."""
    header, answers, end = None, Answers(), 0
    try:
        for number, (line, after) in enumerate(resume.lines(path), 1):
            if not line.endswith(b"\n"):
                resume.check_start(path, line, _START, _EXPECTED)
                break
            if number == 1:
                header = Header.model_validate_json(line)
            else:
                answers.add(Answer.model_validate_json(line))
            end = after
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from error
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise DataError(
            f"line {number} is no record of answers ({what})", where=path, expected=_EXPECTED
        ) from error
    if header is None:
        raise DataError("holds no header", where=path, expected=_EXPECTED)
    return header, answers, end
