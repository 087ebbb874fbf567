"""The state of a conversation: model, files, questions and answers so far. It knows no terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mllmqa import media
from mllmqa._version import __version__
from mllmqa.asking.evidence import KEYS
from mllmqa.asking.records import Source
from mllmqa.chatting.transcript import Added, Answered, ComparedTwo, Frames, Model, Scored, Transcript
from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.media.source import printable
from mllmqa.prepare import ScoreOptions
from mllmqa.schema import Media, Score, Unscored

if TYPE_CHECKING:
    from mllmqa.scoring import Scorer

MAX_NEW_TOKENS = 256


@dataclass(frozen=True)
class ChatFile:
    """A file of the conversation.

    Attributes:
        key: Its letter.
        path: As the user named it.
        media: What it is.
    """

    key: str
    path: str
    media: Media

    @property
    def title(self) -> str:
        """One line for people."""
        m = self.media
        lasts = "" if m.duration_s is None else f", {m.duration_s:.1f} s"
        return f"{self.key}  {printable(self.path)} ({m.kind}, {m.width}×{m.height}{lasts})"


@dataclass(frozen=True)
class Exchange:
    """A question and its answer, earlier in the conversation."""

    question: str
    answer: str


@dataclass(frozen=True)
class Question:
    """What is to be answered.

    Attributes:
        text: In the user's words.
        files: That the conversation is about, in order.
        history: Earlier exchanges; not those that were refused or said nothing.
        frames: Frame rule of videos; None: the model's own.
        max_new_tokens: Limit of the answer's length.
        on_text: Given each piece of text that may become the answer.
        cancelled: Asked between tokens.
    """

    text: str
    files: tuple[ChatFile, ...]
    history: tuple[Exchange, ...] = ()
    frames: str | None = None
    max_new_tokens: int = MAX_NEW_TOKENS
    on_text: Callable[[str], None] | None = None
    cancelled: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        text: What is shown; what ``on_text`` was given is its beginning, or was withdrawn.
        source: Who speaks: the model, its readings, or the program that declines.
        finished: How it ended.
        confidence: 0..1, where it is known.
        notes: What the reader should know, e.g. which frames were kept.
        details: The whole record, for the transcript.
    """

    text: str
    source: Source = "model"
    finished: Literal["stop", "length", "cancelled"] = "stop"
    confidence: float | None = None
    notes: tuple[str, ...] = ()
    details: dict[str, Any] | None = None


@dataclass(frozen=True)
class Compared:
    """Which of two files is better.

    Attributes:
        text: One line for people.
        p_a_better: Probability that the first is.
        details: The whole record, for the transcript.
    """

    text: str
    p_a_better: float
    details: dict[str, Any] | None = None


class Answering(Protocol):
    """What answers questions."""

    def __call__(self, scorer: Scorer, question: Question) -> Reply:
        """Answer; raises :class:`~mllmqa.errors.MllmqaError` where there is no answer."""
        ...


class Comparing(Protocol):
    """What compares two files."""

    def __call__(self, scorer: Scorer, a: ChatFile, b: ChatFile, frames: str | None) -> Compared:
        """Compare; raises :class:`~mllmqa.errors.MllmqaError` where a file cannot be used."""
        ...


@dataclass(frozen=True)
class Doing:
    """What a session is able to do.

    Attributes:
        answer: Answers questions.
        load: Loads another model by its name.
        compare: Compares two files; None: that cannot be done here.
        max_new_tokens: Limit of an answer's length.
    """

    answer: Answering
    load: Callable[[str], Scorer]
    compare: Comparing | None = None
    max_new_tokens: int = MAX_NEW_TOKENS


@dataclass
class Session:
    """A conversation.

    Attributes:
        scorer: The model that answers.
        doing: What can be done.
        transcript: Of all that happens.
        files: By letter, in order.
        frames: Frame rule of videos; None: the model's own.
        exchanges: Questions and answers so far.
        last: What ``/why`` asks about: the last question, score or comparison; None: nothing yet.
    """

    scorer: Scorer
    doing: Doing
    transcript: Transcript = field(default_factory=Transcript)
    files: dict[str, ChatFile] = field(default_factory=dict)
    frames: str | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    last: Answered | Scored | ComparedTwo | None = None

    def __post_init__(self) -> None:
        self._record_model()

    def add(self, path: str) -> ChatFile:
        """Add a file.

        Raises:
            MediaError: It is no image or video that can be read.
            UsageError: There are as many files as letters, or ``-`` is named.
        """
        if len(self.files) >= len(KEYS):
            raise UsageError(f"there are {len(KEYS)} files already", expected="at most that many in a conversation")
        if path == "-":
            raise UsageError("stdin holds the questions", expected="the path of a file")
        info = media.open_media(path, name=printable(path)).info
        made = ChatFile(KEYS[len(self.files)], path, info)
        self.files[made.key] = made
        self.transcript.add(
            Added(
                key=made.key, path=os.fsencode(path).decode("utf-8", "backslashreplace"), sha256=info.sha256,
                kind=info.kind, width=info.width, height=info.height, duration_s=info.duration_s,
            )
        )  # fmt: skip
        return made

    def file(self, key: str) -> ChatFile:
        """Return a file by its letter, in either case.

        Raises:
            UnknownNameError: There is none.
        """
        found = self.files.get(key.upper())
        if found is None:
            there = " | ".join(self.files)
            raise UnknownNameError(f"no file {key!r}", expected=there or "a file that was added with /add FILE")
        return found

    def ask(
        self,
        text: str,
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Reply:
        """Answer a question about the files.

        Raises:
            MllmqaError: There is no answer; the conversation is as it was before.
        """
        question = Question(
            text=text, files=tuple(self.files.values()), history=tuple(self.exchanges), frames=self.frames,
            max_new_tokens=self.doing.max_new_tokens, on_text=on_text, cancelled=cancelled,
        )  # fmt: skip
        reply = self.doing.answer(self.scorer, question)
        event = Answered(
            question=text, files=tuple(self.files), text=reply.text, source=reply.source, finished=reply.finished,
            confidence=reply.confidence, notes=reply.notes, details=reply.details,
        )  # fmt: skip
        self.transcript.add(event)
        if reply.text and reply.source != "refusal":
            self.exchanges.append(Exchange(text, reply.text))
            self.last = event
        return reply

    def score(self, keys: Sequence[str] = ()) -> list[tuple[ChatFile, Score | Unscored]]:
        """Score some files, or all.

        Raises:
            UnknownNameError: No such file.
            UsageError: There is none, or the model cannot score so.
        """
        chosen = [self.file(key) for key in keys] or list(self.files.values())
        if not chosen:
            raise UsageError("no file to score", expected="/add FILE first")
        results = self.scorer.stream([one.path for one in chosen], ScoreOptions(frames=self.frames))
        scored = list(zip(chosen, results, strict=True))
        for one, result in scored:
            event = Scored(key=one.key, result=result)
            self.transcript.add(event)
            self.last = event
        return scored

    def compare(self, a: str, b: str) -> Compared:
        """Say which of two files is better.

        Raises:
            UnknownNameError: No such file.
            UsageError: It is one file, or nothing here compares.
            MllmqaError: A file cannot be used.
        """
        if self.doing.compare is None:
            raise UsageError("nothing here compares files", hint="ask which is better, or use /score")
        first, second = self.file(a), self.file(b)
        if first is second:
            raise UsageError(f"{first.key} is compared with itself", expected="two files")
        found = self.doing.compare(self.scorer, first, second, self.frames)
        event = ComparedTwo(
            a=first.key, b=second.key, p_a_better=found.p_a_better, text=found.text, details=found.details
        )
        self.transcript.add(event)
        self.last = event
        return found

    def set_frames(self, rule: str | None) -> str:
        """Choose the frames of videos by a rule, or by their number; return the rule's name.

        Raises:
            UnknownNameError: No such rule.
        """
        if rule is not None and rule.isdecimal():
            rule = f"uniform:{rule}"
        name = self.scorer.preset.video.frames if rule is None else media.parse_rule(rule).name
        self.frames = rule
        self.transcript.add(Frames(rule=rule))
        return name

    def change_model(self, name: str) -> None:
        """Let another model answer from here on; files and conversation stay.

        Raises:
            MllmqaError: It cannot be loaded; the old one stays.
        """
        before, self.scorer = self.scorer, self.doing.load(name)
        if (close := getattr(before.backend, "close", None)) is not None:  # connections of an endpoint
            close()
        self._record_model()

    def _record_model(self) -> None:
        info = self.scorer.backend.info
        self.transcript.add(
            Model(
                name=info.model, preset=self.scorer.preset.name, revision=info.revision,
                weights_sha256=info.weights_sha256, dtype=info.dtype, device=info.device, base_url=info.base_url,
                mllmqa_version=__version__,
            )
        )  # fmt: skip
