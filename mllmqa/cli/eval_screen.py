"""How a run of ``mllmqa eval`` is watched: a progress bar on a terminal, else a line for each scorer, on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from mllmqa.evaluation.runlog import Prediction


class Screen:
    """Progress on a terminal, else a line for each scorer; a context manager."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> Screen:
        if sys.stderr.isatty():
            from rich import progress as p
            from rich.console import Console

            self._progress = p.Progress(
                p.TextColumn("{task.description}"), p.BarColumn(), p.MofNCompleteColumn(), p.TimeRemainingColumn(),
                console=Console(stderr=True), transient=True, redirect_stdout=False,
            )  # fmt: skip
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def begins(self, scorer: str, data: str, todo: int) -> None:
        """A scorer begins with a data set."""
        if self._progress is None:
            print(f"{scorer} on {data}: {todo} items", file=sys.stderr)
        else:
            self._task = self._progress.add_task(f"{scorer} on {data}", total=todo)

    def made(self, prediction: Prediction) -> None:
        """A prediction was logged."""
        if self._progress is not None:
            self._progress.advance(self._task)

    def note(self, line: str) -> None:
        """Show one line."""
        print(line, file=sys.stderr)
