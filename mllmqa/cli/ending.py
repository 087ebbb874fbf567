"""How a command ends: its exit code, and what is closed behind it. It imports no command: all may import it."""

from __future__ import annotations

from contextlib import ExitStack

EXIT_OK = 0
EXIT_UNSCORED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

AT_END = ExitStack()
"""What is closed when a command ends, however it ends: connections to endpoints."""
