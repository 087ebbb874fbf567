"""How ``mllmqa score`` talks to people: a row per result on stdout, problems and progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from mllmqa import levels, prompts
from mllmqa.cli.ending import EXIT_OK, EXIT_UNSCORED
from mllmqa.schema import Score, Unscored

if TYPE_CHECKING:
    from rich.progress import Progress

_BAR_WIDTH = 20
_COLOURS = {5: "green4", 4: "green3", 3: "yellow3", 2: "dark_orange", 1: "red3"}


class Screen:
    """Shows results as they come; a context manager that owns the progress bar.

    Args:
        as_json: Print JSON records instead of rows.
        quiet: Results go to a file: print no rows.
        scale: Shown scale, 5 or 100.
        total: Counts the inputs to come for the progress bar; called only if there is one.
    """

    def __init__(self, *, as_json: bool, quiet: bool, scale: int, total: Callable[[], int | None]) -> None:
        self._json, self._quiet, self._scale, self._total = as_json, quiet, scale, total
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress: Progress | None = None
        self._task: Any = None
        self._header_shown = False
        self.scored = self.unscored = 0

    def __enter__(self) -> Screen:
        if self._err.is_terminal and (total := self._total()) != 1:
            from rich import progress as p

            self._progress = p.Progress(
                p.TextColumn("scoring"), p.BarColumn(), p.MofNCompleteColumn(),
                p.TextColumn("{task.fields[rate]}"), p.TextColumn("left"), p.TimeRemainingColumn(),
                console=self._err, transient=True, redirect_stdout=False,
            )  # fmt: skip
            self._task = self._progress.add_task("scoring", total=total, rate="")
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, result: Score | Unscored) -> None:
        """Show one result."""
        if isinstance(result, Unscored):
            self.unscored += 1
            message = result.message
            told = not result.source or message.startswith(f"{result.source}: ")
            named = message if told else f"{result.source}: {message}"
            self._err.print(Text(f"unscored: {named}"))
        else:
            self.scored += 1
        if self._json:
            self._line(result.model_dump_json())
        elif isinstance(result, Score) and not self._quiet:
            self._rows(result)
        if self._progress is not None:
            self._advance(self._progress)

    def _line(self, text: str) -> None:
        """Write one line to stdout; above the bar where both are the same terminal."""
        if self._progress is not None and self._out.is_terminal:
            self._progress.console.print(Text(text))
        else:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def _advance(self, progress: Progress) -> None:
        speed = progress.tasks[0].speed
        progress.update(self._task, advance=1, rate=f"{speed:.1f}/s" if speed else "")

    def _rows(self, result: Score) -> None:
        out = self._out
        if self._progress is not None and out.is_terminal:
            out = self._progress.console  # the same terminal: rows go above the bar, not into it
        if not self._header_shown:
            self._header_shown = True
            out.print(Text(f"{'score':>6}   {'± std':>6}  {'level':<10}{'':<{_BAR_WIDTH}}  file", "bold"))
        out.print(self._row(result.value, result.std, f"{result.source}{_fallback(result)}"))
        for frame in result.frames or ():
            out.print(self._row(frame.value, frame.std, f"  at {frame.timestamp_s:.3f} s"))

    def _row(self, value: float, std: float, name: str) -> Text:
        shown = levels.on_display_scale(value, self._scale)
        spread = std * (levels.on_display_scale(5.0, self._scale) - levels.on_display_scale(1.0, self._scale)) / 4
        word = levels.nearest_level(value, prompts.level_scale())
        filled = round((value - 1) / 4 * _BAR_WIDTH)
        bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
        row = Text(f"{shown:>6.2f} ± {spread:>6.2f}   ")
        row.append(f"{word:<10}{bar}", _COLOURS[round(min(5, max(1, value)))])
        return row.append(f"  {name}")

    def note(self, line: str) -> None:
        """Show one line about the run on stderr."""
        self._err.print(Text(line))

    def finish(self, already: int, already_unscored: int) -> int:
        """Print the summary; return the exit code.

        Args:
            already: Inputs that the file had before.
            already_unscored: Those of them that it has as unscored.
        """
        if self._quiet or self.unscored or self.scored + self.unscored != 1:
            extra = f", {already} already in the file" if already else ""
            extra += f" ({already_unscored} of them unscored)" if already_unscored else ""
            self._err.print(f"scored {self.scored}, unscored {self.unscored}{extra}")
        return EXIT_UNSCORED if self.unscored or already_unscored else EXIT_OK


def _fallback(result: Score) -> str:
    """Say so where this score was read in another way than the model's others."""
    usual = result.provenance.readout.partition(":")[0]
    return "" if result.readout == usual else f"  (read from {result.readout}, not {usual})"
