"""Lines in, answers out: a person at a terminal, or a pipe.

At a terminal Ctrl-C ends the answer: what was said of it stays. Before the model begins to speak, and at the second
press, it is given up at once. At the prompt Ctrl-C leaves. Over a pipe it leaves always.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Protocol, TextIO

from mllmqa.chatting import commands
from mllmqa.chatting.commands import Leave, Unable
from mllmqa.chatting.session import Reply, Session
from mllmqa.chatting.transcript import Failed
from mllmqa.errors import MllmqaError, error_line

PROMPT = "> "


class Out(Protocol):
    """Where things are shown."""

    def line(self, text: str) -> None:
        """Show a line of results."""
        ...

    def piece(self, text: str) -> None:
        """Show a piece of an answer while it is being said."""
        ...

    def note(self, text: str) -> None:
        """Show a line about the conversation."""
        ...


class Screen:
    """Shows answers on stdout, all else on stderr.

    Args:
        out: For answers and results.
        err: For problems and notes.
        live: Whether answers are shown while they are being said; else as a whole, once they are final.
    """

    def __init__(self, out: TextIO, err: TextIO, *, live: bool) -> None:
        self._out, self._err, self._live = out, err, live
        self._shown = ""

    def line(self, text: str) -> None:
        """Show a line of results."""
        self._out.write(f"{tame(text)}\n")
        self._out.flush()

    def piece(self, text: str) -> None:
        """Show a piece of an answer while it is being said."""
        if self._live:
            self._shown += tame(text)
            self._out.write(tame(text))
            self._out.flush()

    def note(self, text: str) -> None:
        """Show a line about the conversation."""
        self._out.flush()
        self._err.write(f"{tame(text)}\n")
        self._err.flush()

    def broken_off(self) -> None:
        """End the line of an answer that does not go on."""
        if self._shown:
            self._out.write("\n")
            self._out.flush()
        self._shown = ""

    def answer(self, text: str) -> None:
        """Show what of an answer is not shown yet; all of it where what was shown is not its beginning."""
        text = tame(text)
        if self._shown and not text.startswith(self._shown.rstrip()):
            self.broken_off()
            self.note("(the text above does not hold; the answer is:)")
        self._out.write(text[len(self._shown) :])
        self._shown = self._shown or text
        self.broken_off()

    def reply(self, reply: Reply) -> None:
        """Show what of an answer is not shown yet, and what there is to know about it."""
        self.answer(reply.text)
        about = [f"confidence {reply.confidence:.2f}"] if reply.confidence is not None else []
        about += ["composed from the readings"] if reply.source == "evidence" else []
        about += _ENDED[reply.finished]
        about += reply.notes
        if about:
            self.note(f"({'; '.join(about)})")


_ENDED = {"stop": [], "length": ["cut off at its greatest length"], "cancelled": ["stopped"]}


def tame(text: str) -> str:
    """Return a text without control characters: what a model says may not move the cursor or set colours.

    >>> tame("a\\x1b[31mb\\n")
    'a[31mb\\n'
    """
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


class Interrupts:
    """Ctrl-C while an answer is being said."""

    def __init__(self) -> None:
        self._pressed = self._asked = False

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Take a Ctrl-C as a wish, if somebody has begun to ask for it; else, and again, as KeyboardInterrupt."""
        self._pressed = self._asked = False
        before = signal.signal(signal.SIGINT, self._take)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def pressed(self) -> bool:
        """Tell whether the answer shall end."""
        self._asked = True
        return self._pressed

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._pressed or not self._asked:
            raise KeyboardInterrupt
        self._pressed = True


class Loop:
    """Runs a conversation.

    Args:
        session: Its state.
        screen: Where things are shown.
        interactive: Whether a person types the lines.
    """

    def __init__(self, session: Session, screen: Screen, *, interactive: bool) -> None:
        self._session, self._screen, self._interactive = session, screen, interactive
        self._interrupts = Interrupts()
        self.failed = 0
        """Lines that could not be done."""

    def run(self, lines: Iterator[str]) -> None:
        """Do line by line until there are no more, or the user leaves.

        Raises:
            KeyboardInterrupt: Ctrl-C at the prompt, or over a pipe.
        """
        for line in lines:
            try:
                self.do(line)
            except Leave:
                return

    def do(self, line: str) -> None:
        """Do one line; what goes wrong is one line on the screen.

        Raises:
            Leave: The user wants to go.
            KeyboardInterrupt: Over a pipe.
        """
        line = line.strip()
        if not line:
            return
        try:
            if commands.is_command(line):
                self._command(line)
            else:
                self._ask(line)
        except Unable:
            self.failed += 1
        except MllmqaError as error:
            self.fail(line, error)
        except KeyboardInterrupt:
            if not self._interactive:
                raise
            self._screen.broken_off()
            self._screen.note("(stopped)")
            self._record(line, "interrupted", "stopped by Ctrl-C")

    def fail(self, line: str, error: MllmqaError) -> None:
        """Show and record that a line could not be done."""
        self.failed += 1
        self._screen.broken_off()
        self._screen.note(f"mllmqa: {error_line(error)}")
        self._record(line, error.code, error_line(error))

    def _record(self, line: str, reason: str, message: str) -> None:
        clean = line.encode("utf-8", "backslashreplace").decode()
        self._session.transcript.add(Failed(line=clean, reason=reason, message=message))

    def _command(self, line: str) -> None:
        shown = ""
        for shown in commands.run(self._session, line):
            self._screen.line(shown)
        if line.split()[0].lower() == commands.WHY:
            self._ask(shown)

    def _ask(self, question: str) -> None:
        clean = question.encode("utf-8", "replace").decode()
        if not self._interactive:
            self._screen.reply(self._session.ask(clean, self._screen.piece))
            return
        with self._interrupts.answering():
            reply = self._session.ask(clean, self._screen.piece, self._interrupts.pressed)
        self._screen.reply(reply)


def typed(screen: Screen) -> Iterator[str]:
    """Yield the lines that a person types, with line editing and a history where there is readline.

    Raises:
        KeyboardInterrupt: Ctrl-C at the prompt.
    """
    with contextlib.suppress(ImportError):  # not on every system; input() then edits as the terminal does
        import readline  # noqa: F401 - input() uses it once it is there
    while True:
        try:
            line = input(PROMPT) if sys.stdout.isatty() else _without_stdout()
        except EOFError:
            screen.note("")
            return
        except KeyboardInterrupt:
            screen.note("")
            raise
        yield line


def _without_stdout() -> str:
    """Ask on stderr where stdout goes elsewhere: results only belong there."""
    sys.stderr.write(PROMPT)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def piped(stream: TextIO) -> Iterator[str]:
    """Yield the lines of a pipe."""
    yield from stream
