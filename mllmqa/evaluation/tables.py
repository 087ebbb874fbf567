"""Figures as tables for people: one per data set, and a leaderboard over all; as cells, Markdown or plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mllmqa.evaluation.summary import Number, Row, Summary

NONE = "–"


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: What it shows.
        head: Names of the columns.
        rows: As many cells each.
        foot: Lines below it.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    foot: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Return it as Markdown, with a newline at the end."""
        cells = [[cell.replace("|", "\\|") for cell in row] for row in (self.head, *self.rows)]
        lines = [f"| {' | '.join(row)} |" for row in cells]
        lines.insert(1, "|" + "|".join(["---", *["---:"] * (len(self.head) - 1)]) + "|")
        foot = [f"\n{line}" for line in self.foot]
        return "\n".join([f"### {self.title}\n", *lines, *foot]) + "\n"

    def text(self) -> str:
        """Return it as plain text with aligned columns, with a newline at the end."""
        widths = [max(len(row[i]) for row in (self.head, *self.rows)) for i in range(len(self.head))]
        lines = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (self.head, *self.rows)
        ]
        return "\n".join([self.title, *lines, *self.foot]) + "\n"


def tables(summary: Summary) -> list[Table]:
    """Return all tables of a summary: each data set and part, its groups, and a leaderboard over several."""
    made = []
    for data, subset in dict.fromkeys((row.data, row.subset) for row in summary.rows):
        rows = [row for row in summary.rows if (row.data, row.subset) == (data, subset)]
        made.append(_of_data(summary, data, subset, rows))
        made += [
            _of_groups(data, subset, by, rows) for by in dict.fromkeys(by for row in rows for by in row.groups)
        ]
    if len(summary.data) > 1:
        made.append(leaderboard(summary))
    return made


def leaderboard(summary: Summary) -> Table:
    """Return SRCC of all scorers over all data sets, best mean first.

    The mean is over the data sets that have a figure; a scorer that lacks some stands below all that lack none,
    since its mean is of other data sets.
    """
    names = [data.name for data in summary.data]
    by_scorer: dict[str, dict[str, Number]] = {}
    for row in summary.rows:
        if row.subset == "all":
            by_scorer.setdefault(row.scorer, {})[row.data] = row.srcc
    placed = []
    for scorer, found in by_scorer.items():
        values = [found[name].value for name in names if name in found]
        known = [value for value in values if value is not None]
        mean = float(np.mean(known)) if known else None
        cells = [_with_interval(found[name]) if name in found else NONE for name in names]
        placed.append(
            (
                len(names) - len(known),
                -(mean or 0.0),
                (scorer, *cells, _plain(mean), f"{len(known)} of {len(names)}"),
            )
        )
    rows = tuple(cells for _, _, cells in sorted(placed, key=lambda one: one[:2]))
    return Table("SRCC over data sets", ("scorer", *names, "mean", "sets"), rows)


def _of_data(summary: Summary, data: str, subset: str, rows: Sequence[Row]) -> Table:
    head = ("scorer", "SRCC [95 %]", "KRCC", "PLCC", "PLCC fit", "RMSE fit", "pairs", "in bands", "n", "unscored")
    ordered = sorted(rows, key=lambda row: (row.srcc.value is None, -(row.srcc.value or 0.0)))
    cells = tuple(
        (
            row.scorer, _with_interval(row.srcc), _plain(row.krcc.value), _plain(row.plcc.value),
            _plain(row.plcc_mapped.value), _plain(row.rmse_mapped.value), _plain(row.pair_accuracy.value),
            _plain(row.srcc_in_bands.value), str(row.n_scored), _unscored(row),
        )
        for row in ordered
    )  # fmt: skip
    about = next(one for one in summary.data if one.name == data)
    foot = []
    if rows and rows[0].resampled == "references":
        foot.append("Intervals resample references.")
    if about.ceiling_srcc is not None and subset == "all":
        low, high = _plain(about.ceiling_low), _plain(about.ceiling_high)
        foot.append(f"Noise ceiling of SRCC: {_plain(about.ceiling_srcc)} [{low}, {high}].")
    n_items = rows[0].n_items if rows else 0
    return Table(f"{data}, {subset}: {n_items} items", head, cells, tuple(foot))


def _of_groups(data: str, subset: str, by: str, rows: Sequence[Row]) -> Table:
    made = []
    for row in rows:
        for group in row.groups.get(by, ()):
            figures = (_with_interval(group.inside), _with_interval(group.without))
            made.append((row.scorer, group.name, *figures, str(group.inside.n), str(group.inside.n_unscored)))
    head = ("scorer", by, "SRCC inside [95 %]", "SRCC of all others [95 %]", "n", "unscored")
    return Table(f"{data}, {subset}, by {by}", head, tuple(made))


def _with_interval(number: Number) -> str:
    if number.value is None:
        return NONE
    interval = "" if number.low is None or number.high is None else f" [{number.low:.3f}, {number.high:.3f}]"
    return f"{number.value:.3f}{interval}"


def _unscored(row: Row) -> str:
    """Return the number of unscored items, with the bounds that they leave to SRCC."""
    if not row.n_unscored or row.srcc.worst is None or row.srcc.best is None:
        return str(row.n_unscored)
    return f"{row.n_unscored} ({row.srcc.worst:.3f} … {row.srcc.best:.3f})"


def _plain(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
