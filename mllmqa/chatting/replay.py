"""The same questions again, with the same or another model, and what differs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mllmqa.chatting.commands import score_row
from mllmqa.chatting.session import Session
from mllmqa.chatting.transcript import Added, Answered, AnyEvent, ComparedTwo, Failed, Frames, Model, Scored
from mllmqa.errors import MllmqaError, error_line
from mllmqa.schema import Score, Unscored

SHOWN = 0.005
"""Scores and probabilities that are closer look alike with two decimals."""


@dataclass(frozen=True)
class Step:
    """One event, replayed.

    Attributes:
        what: The question or command.
        before: What the transcript says.
        now: What came of it this time.
        status: ``note``: nothing was asked, but there is something to know.
    """

    what: str
    before: str
    now: str
    status: Literal["same", "differs", "note"]

    def lines(self) -> list[str]:
        """For people: what was asked; both where they differ."""
        if self.status == "same":
            return [f"= {self.what}", f"  {self.now}"]
        if self.status == "note":
            return [f"! {self.what}: {self.now}"]
        return [f"≠ {self.what}", f"- {self.before}", f"+ {self.now}"]


def replay(session: Session, events: Sequence[AnyEvent], *, change_models: bool) -> Iterator[Step]:
    """Do again what a transcript tells, in order.

    Args:
        session: A new one.
        events: Of the transcript.
        change_models: Whether the models of the transcript answer again; else the session's does.
    """
    models = 0
    for event in events:
        if isinstance(event, Model):
            models += 1
            if change_models and models > 1:  # the first was loaded for the session
                session.change_model(event.name)
        elif isinstance(event, Frames):
            session.set_frames(event.rule)
        elif isinstance(event, Added):
            yield from _add(session, event)
        elif isinstance(event, Answered):
            yield _ask(session, event)
        elif isinstance(event, Scored):
            yield _score(session, event)
        elif isinstance(event, ComparedTwo):
            yield _compare(session, event)
        elif isinstance(event, Failed):
            yield Step(event.line, "", f"was not done then: {event.message}", "note")


def first_model(events: Sequence[AnyEvent]) -> str | None:
    """Return the name of the model that a transcript begins with."""
    return next((event.name for event in events if isinstance(event, Model)), None)


def _add(session: Session, event: Added) -> Iterator[Step]:
    """Add the file; a missing one ends the replay, for all that follows would be about other files."""
    path = os.fsdecode(event.path.encode("utf-8", "backslashreplace"))
    file = session.add(path)
    if file.media.sha256 != event.sha256:
        yield Step(f"/add {event.path}", "", f"{file.key} is another file now: its content differs", "note")


def _ask(session: Session, event: Answered) -> Step:
    try:
        now = session.ask(event.question).text
    except MllmqaError as error:
        now = f"no answer: {error_line(error)}"
    return Step(event.question, event.text, now, _status(now == event.text))


def _score(session: Session, event: Scored) -> Step:
    ((file, result),) = session.score([event.key])
    before, now = (score_row(event.key, file.path, one) for one in (event.result, result))
    return Step(f"/score {event.key}", before, now, _status(_alike(event.result, result)))


def _alike(before: Score | Unscored, now: Score | Unscored) -> bool:
    if isinstance(before, Unscored) or isinstance(now, Unscored):
        both = isinstance(before, Unscored) and isinstance(now, Unscored)
        return both and before.reason == now.reason  # type: ignore[union-attr]  # both are
    return abs(before.value - now.value) < SHOWN and abs(before.std - now.std) < SHOWN


def _compare(session: Session, event: ComparedTwo) -> Step:
    what = f"/compare {event.a} {event.b}"
    try:
        found = session.compare(event.a, event.b)
    except MllmqaError as error:
        return Step(what, event.text, f"not compared: {error_line(error)}", "differs")
    return Step(what, event.text, found.text, _status(abs(found.p_a_better - event.p_a_better) < SHOWN))


def _status(same: bool) -> Literal["same", "differs"]:
    return "same" if same else "differs"
