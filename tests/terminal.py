"""A real pseudo-terminal of any width for the tests of what people see."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SILENT_S = 120
"""A terminal that shows nothing for so long never will: the test fails instead of waiting for ever."""
AGAIN_S = 10
_NOT_PASSED = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE")


class Seen(NamedTuple):
    code: int
    terminal: str
    """All that reached the terminal, with its control sequences."""
    piped: str
    """What went to stdout, where that was a pipe."""

    @property
    def plain(self) -> str:
        """The terminal's text without control sequences and colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.terminal).replace("\r\n", "\n")


def python_on_a_terminal(*arguments: str, columns: int, pipe_stdout: bool = False) -> Seen:
    """Run Python with stderr, and stdout unless it is piped, on a terminal of some width."""
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in _NOT_PASSED}
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdin=follower, stderr=follower,
        stdout=subprocess.PIPE if pipe_stdout else follower, env={**kept, "TERM": "xterm-256color"},
    ) as process:  # fmt: skip
        os.close(follower)
        seen = b""
        try:
            while block := os.read(leader, 65536):
                seen += block
        except OSError:  # how Linux says that the other side is closed
            pass
        os.close(leader)
        piped = process.stdout.read().decode() if process.stdout else ""
    return Seen(process.returncode, seen.decode(), piped)


_AS_A_SHELL_DOES = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background of a script inherits it as ignored
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # Ctrl-C reaches who has the terminal
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Typing:
    """Python on a terminal that somebody types at; a context manager.

    Args:
        arguments: Of the interpreter.
        columns: Of the terminal.
        environment: Beside that of the tests.
        stdout: Where stdout goes; None: the terminal.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 100,
        environment: dict[str, str] | None = None,
        stdout: int | None = None,
    ) -> None:
        self._leader, follower = pty.openpty()
        ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        kept = {key: value for key, value in os.environ.items() if key not in _NOT_PASSED}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _AS_A_SHELL_DOES, *arguments], cwd=ROOT, start_new_session=True,
            stdin=follower, stdout=follower if stdout is None else stdout, stderr=follower,
            env={**kept, "TERM": "dumb", **(environment or {})},
        )  # fmt: skip
        os.close(follower)
        self._seen, self._read_to = b"", 0

    def __enter__(self) -> Typing:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._leader)

    def until(self, text: str) -> str:
        """Wait until the terminal shows a text behind what was waited for before; return all up to its end."""
        wanted = text.encode()
        while (found := self._seen.find(wanted, self._read_to)) < 0:
            if not self._more():
                raise AssertionError(f"ended without {text!r}; the terminal shows:\n{self.shown}")
        start, self._read_to = self._read_to, found + len(wanted)
        return self._seen[start : self._read_to].decode(errors="replace").replace("\r\n", "\n")

    def type(self, keys: str) -> None:
        """Type some keys: ``\\r`` ends a line, ``\\x03`` is Ctrl-C, ``\\x04`` Ctrl-D."""
        os.write(self._leader, keys.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C at a prompt; again where nothing comes of it, as a person does.

        CPython's readline does not notice a signal that arrives between the prompt and its wait for a key.
        """
        for _ in range(3):
            self.type("\x03")
            if select.select([self._leader], [], [], AGAIN_S)[0]:
                break

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        while self._more():
            pass
        return self._process.wait()

    @property
    def shown(self) -> str:
        """All that the terminal has shown."""
        return self._seen.decode(errors="replace").replace("\r\n", "\n")

    def _more(self) -> bool:
        if not select.select([self._leader], [], [], SILENT_S)[0]:
            raise AssertionError(f"nothing came for {SILENT_S} s; the terminal shows:\n{self.shown}")
        try:
            block = os.read(self._leader, 65536)
        except OSError:  # how Linux says that the other side is closed
            return False
        self._seen += block
        return bool(block)
