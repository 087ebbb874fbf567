"""A real pseudo-terminal of any width for the tests of what people see."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
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
