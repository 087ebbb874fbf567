"""How ``mllmqa answers`` talks to people: figures on stdout, problems and progress on stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.text import Text

from mllmqa.cli.ending import EXIT_OK, EXIT_UNSCORED

if TYPE_CHECKING:
    from mllmqa.evaluation.answering import Results
    from mllmqa.evaluation.answers.log import Answer
    from mllmqa.evaluation.answers.tally import Count


class Progress:
    """A progress bar on a terminal, and one line for each question that got no answer; a context manager.

    Args:
        total: Questions of the file.
    """

    def __init__(self, total: int) -> None:
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)
        self._total = total
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._err.is_terminal:
            from rich import progress as p

            self._bar = p.Progress(
                p.TextColumn("asking"), p.BarColumn(), p.MofNCompleteColumn(), p.TimeRemainingColumn(),
                console=self._err, transient=True, redirect_stdout=False,
            )  # fmt: skip
            self._task = self._bar.add_task("asking", total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def told(self, answer: Answer) -> None:
        """Show that a question is done."""
        if answer.message is not None:
            self.note(f"no answer: {answer.id}: {answer.message}")
        if self._bar is not None:
            self._bar.update(self._task, advance=1)

    def note(self, line: str) -> None:
        """Show one line on stderr."""
        self._err.print(Text(line))


def finish(results: Results, *, as_json: bool, graded: Path | None) -> int:
    """Show results, write grades, return the exit code.

    Args:
        results: Of the run.
        as_json: One JSON object instead of a table.
        graded: File for each answer's grade.
    """
    if graded is not None:
        from mllmqa.whole_file import write_whole

        write_whole(graded, "".join(f"{one.model_dump_json()}\n" for one in results.graded))
    if as_json:
        print(json.dumps(results.flat()))
    else:
        for line in lines(results):
            print(line)
    if results.n_unscored:
        print(f"mllmqa: {results.n_unscored} questions have no answer", file=sys.stderr)
    return EXIT_UNSCORED if results.n_unscored else EXIT_OK


def lines(results: Results) -> list[str]:
    """Return results as lines for people."""
    head = f"{'':<24}{'n':>6}{'unparsed':>10}{'no answer':>11}{'accuracy':>10}   95 %"
    return [*_figures(results, head), *_judged(results)]


def _judged(results: Results) -> list[str]:
    return [
        f"judge, {one.criterion:<18} n {one.n:>5}  no score {one.n_unscored:>4}  mean {_share(one.mean)} of 0..2"
        f"  ± {_share(one.standard_error)}  between rounds {_share(one.between_rounds)}"
        for one in results.judged
    ]


def _figures(results: Results, head: str) -> list[str]:
    if results.choices is None:
        made = [head]
        for task in results.tasks:
            figures = "  ".join(
                f"{name} {mean.value:.3f}" for name, mean in task.figures.items() if name != "chance"
            )
            made.append(f"{_row(task.task, task.count)}  always one answer {task.constant:.3f}")
            made += [f"{'':<4}{figures}"] if figures else []
            made += [
                f"{'':<4}{one.category:<22} there {one.hits + one.missed:>5}  precision {_share(one.precision)}"
                f"  recall {_share(one.recall)}"
                for one in task.categories
            ]
        return made
    found = results.choices
    made = [head, f"{_row('all', found.count)}  chance {_share(found.chance)}"]
    for name, one in (("right in all orders", found.all_orders), ("same in all orders", found.consistent)):
        made += [] if one is None else [_row(name, one)]
    for name, many in found.by_category.items():
        made += [_row(f"{name}: {value}", count) for value, count in many.items()]
    for letter in found.letters:
        made.append(f"letter {letter.letter}: chosen {letter.chosen}, right {letter.right}, shown {letter.shown}")
    if found.n_hidden or found.n_open:
        made.append(f"{found.n_hidden} questions without a published answer, {found.n_open} without options")
    return made


def _row(name: str, count: Count) -> str:
    low, high = count.interval or (float("nan"), float("nan"))
    cells = f"{name:<24}{count.n:>6}{count.n_unparsed:>10}{count.n_unscored:>11}"
    return f"{cells}{_share(count.accuracy):>10}   {low:.3f} to {high:.3f}"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
