"""What a line that begins with ``/`` does. Results are lines of text for people."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mllmqa import levels, prompts
from mllmqa.chatting.session import Session
from mllmqa.chatting.transcript import Answered, ComparedTwo, Scored
from mllmqa.errors import MllmqaError, UnknownNameError, UsageError
from mllmqa.media.source import printable
from mllmqa.models.presets import nearest
from mllmqa.schema import Score, Unscored


class Leave(Exception):
    """The user wants to go."""


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        usage: As ``/help`` shows it.
        text: What it does.
        run: Session and arguments → lines to show.
        least: Arguments that it needs.
        most: Arguments that it takes; None: any number.
    """

    usage: str
    text: str
    run: Callable[[Session, list[str]], Iterable[str]]
    least: int = 0
    most: int | None = 0


def is_command(line: str) -> bool:
    """Tell whether a line is a command, and no question."""
    return line.startswith("/")


def run(session: Session, line: str) -> Iterator[str]:
    """Run a command and yield the lines to show as they come.

    Raises:
        UsageError: No such command, or not its arguments.
        MllmqaError: It cannot be done; the conversation is as it was before.
        Leave: The user wants to go.
    """
    name, arguments = _split(line)
    known = commands(session)
    if name not in known:
        hint = nearest(name, known) or "/help lists the commands; to add a file: /add FILE"
        raise UnknownNameError(f"no command {printable(name)!r}", hint=hint)
    command = known[name]
    if len(arguments) < command.least or (command.most is not None and len(arguments) > command.most):
        raise UsageError(f"{name} with {len(arguments)} arguments", expected=command.usage)
    yield from command.run(session, arguments)


def commands(session: Session) -> dict[str, Command]:
    """Return the commands of a session by name: those that can be done in it."""
    found = dict(_ALL)
    if session.doing.compare is None:
        del found["/compare"]
    return found


def why(session: Session) -> str:
    """Return the question that ``/why`` asks, about what was last said.

    Raises:
        UsageError: Nothing was said yet.
    """
    last = session.last
    if isinstance(last, ComparedTwo):
        if abs(last.p_a_better - 0.5) < EVEN:
            return f"Why is neither {last.a} nor {last.b} better?"
        worse, better = (last.b, last.a) if last.p_a_better > 0.5 else (last.a, last.b)
        return f"Why is {worse} worse than {better}?"
    if isinstance(last, Scored) and isinstance(last.result, Score):
        return f"Why is the quality of {last.key} {_level(last.result)}?"
    if isinstance(last, Answered):
        return "Why?"
    raise UsageError("nothing was said yet", expected="a question, /score or /compare before it")


EVEN = 0.05
"""So far from one half, a comparison says that neither is better."""


def score_row(key: str, path: str, result: Score | Unscored) -> str:
    """Return one line about a score."""
    if isinstance(result, Unscored):
        return f"{key}  unscored: {result.message}"
    return f"{key}  {result.value:.2f} ± {result.std:.2f}  {_level(result):<9}  {printable(path)}"


def _level(result: Score) -> str:
    return levels.nearest_level(result.value, prompts.level_scale())


def _split(line: str) -> tuple[str, list[str]]:
    name, _, rest = line.strip().partition(" ")
    try:
        return name.lower(), shlex.split(rest)
    except ValueError as error:  # e.g. an apostrophe in a file's name
        raise UsageError(f"{name.lower()}: {str(error).lower()}", hint="put names with blanks in quotes") from error


# ------------------------------------------------------------------ what they do


def _add(session: Session, paths: list[str]) -> Iterator[str]:
    for path in paths:
        yield session.add(path).title


def _score(session: Session, keys: list[str]) -> Iterator[str]:
    failed = 0
    for file, result in session.score(keys):
        failed += isinstance(result, Unscored)
        yield score_row(file.key, file.path, result)
    if failed:
        raise Unable(f"{failed} unscored")


class Unable(MllmqaError):
    """What went wrong is shown already, with the rest of the results."""

    code = "unscored"


def _compare(session: Session, keys: list[str]) -> Iterator[str]:
    yield session.compare(*keys).text


def _frames(session: Session, rules: list[str]) -> Iterator[str]:
    if rules:
        yield f"frames of videos: {session.set_frames(rules[0])}"
        return
    yield f"frames of videos: {session.frames or session.scorer.preset.video.frames}"


def _save(session: Session, names: list[str]) -> Iterator[str]:
    session.transcript.save(Path(names[0]))
    yield f"saved {len(session.transcript.events)} events to {printable(names[0])}"


def _model(session: Session, names: list[str]) -> Iterator[str]:
    if names:
        session.change_model(names[0])
    info = session.scorer.backend.info
    yield f"model {printable(info.model)} ({info.dtype}, {info.device})"


def _history(session: Session, _: list[str]) -> Iterator[str]:
    yield from (file.title for file in session.files.values())
    for number, one in enumerate(session.exchanges, 1):
        yield f"{number}. {one.question}"
        yield f"   {one.answer}"
    if not session.files and not session.exchanges:
        yield "nothing so far"


def _help(session: Session, _: list[str]) -> Iterator[str]:
    known = commands(session).values()
    width = max(len(command.usage) for command in known)
    yield "Ask a question about the files, or:"
    yield from (f"  {command.usage:<{width}}  {command.text}" for command in known)


def _quit(session: Session, _: list[str]) -> Iterable[str]:
    raise Leave


def _why(session: Session, _: list[str]) -> Iterator[str]:
    yield why(session)


WHY = "/why"
"""Shows the question that the loop then asks."""

_ALL = {
    "/add": Command("/add FILE…", "add images or videos: A, B, C …", _add, 1, None),
    "/score": Command("/score [A…]", "score some files, or all", _score, 0, None),
    "/compare": Command("/compare A B", "say which of two is better", _compare, 2, 2),
    WHY: Command(WHY, "ask why: about the last answer, score or comparison", _why),
    "/frames": Command("/frames [N|RULE]", "show or choose the frames of videos", _frames, 0, 1),
    "/model": Command("/model [NAME]", "show the model, or let another one answer", _model, 0, 1),
    "/history": Command("/history", "show files, questions and answers so far", _history),
    "/save": Command("/save FILE", "write all of this as lines of JSON", _save, 1, 1),
    "/help": Command("/help", "show this", _help),
    "/quit": Command("/quit", "leave; Ctrl-D does, too", _quit),
}
