"""How ``mllmqa compare`` talks to people: results on stdout, problems and progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from mllmqa.asking.records import Answer
from mllmqa.cli.ask import notes_of
from mllmqa.cli.ending import EXIT_OK, EXIT_UNSCORED
from mllmqa.schema import Comparison, Ranked, Unscored


class Screen:
    """Shows comparisons.

    Args:
        as_json: Print the JSON record instead of text.
    """

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    def compared(self, result: Comparison | Unscored) -> int:
        """Show which of two is better; return the exit code."""
        if isinstance(result, Unscored):
            self._refused(result)
        if self._json:
            self._line(result)
        elif isinstance(result, Comparison):
            self._out.print(Text(result.text()))
        return EXIT_UNSCORED if isinstance(result, Unscored) else EXIT_OK

    def reasons(self, found: Answer) -> None:
        """Show why, below the verdict."""
        if self._json:
            self._line(found)
            return
        self._out.print(Text(found.text))
        for line in notes_of(found):
            self.note(line)

    def ranked(self, result: Ranked) -> int:
        """Show a ranking; return the exit code."""
        for one in result.unscored:
            self._refused(one)
        if self._json:
            self._line(result)
        elif result.items:
            self._table(result)
        self.note(_summary(result))
        return EXIT_UNSCORED if result.unscored or result.n_failed else EXIT_OK

    def note(self, line: str) -> None:
        """Show one line about the run on stderr."""
        self._err.print(Text(line))

    @contextmanager
    def progress(self) -> Iterator[Callable[[int, int], None] | None]:
        """Show how many pairs are done, on a terminal."""
        if not self._err.is_terminal:
            yield None
            return
        with self._err.status("comparing") as status:
            yield lambda done, total: status.update(f"comparing: {done} of {total} pairs")

    def _refused(self, one: Unscored) -> None:
        told = not one.source or one.message.startswith(f"{one.source}: ")
        self.note(f"unscored: {one.message if told else f'{one.source}: {one.message}'}")

    def _line(self, record: Comparison | Ranked | Unscored | Answer) -> None:
        sys.stdout.write(record.model_dump_json() + "\n")
        sys.stdout.flush()

    def _table(self, result: Ranked) -> None:
        scored = all(item.score is not None for item in result.items)
        value = f"{'score':>7}" if scored else ""
        self._out.print(Text(f"{'rank':>4}  {'place':>6}   {'± err':>5}  {'group':<8}{value}  file", "bold"))
        for item in result.items:
            group = ",".join(map(str, item.groups))
            value = f"{item.score.value:>7.2f}" if scored and item.score else ""
            row = f"{item.rank:>4}  {item.map_score:>6.2f} ± {item.standard_error:>5.2f}  {group:<8}{value}"
            self._out.print(Text(f"{row}  {item.source}"))


def _summary(result: Ranked) -> str:
    """Say how the ranking came about, in one line."""
    asked = "pairs of scores" if result.method == "scores" else "pairs asked in both orders"
    parts = [f"ranked {len(result.items)}, unscored {len(result.unscored)}"]
    parts.append(f"{result.n_pairs} of {result.n_possible} {asked}")
    if result.n_failed:
        parts.append(f"{result.n_failed} pairs without an answer")
    if result.position_bias is not None:
        parts.append(f"position bias {result.position_bias:+.2f}")
    if result.reference_used is False:
        parts.append("the reference was not used: this model scores one input at a time")
    rule = f"files that share a group cannot be told apart (z of each pair, Holm, {result.alpha:g})"
    return "; ".join([*parts, rule])
