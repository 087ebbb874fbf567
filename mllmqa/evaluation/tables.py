"""Figures as tables for people: one per data set, and a leaderboard over all; as cells, Markdown or plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mllmqa.evaluation.number import Number
from mllmqa.evaluation.summary import Row, Summary

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


Letters = Mapping[tuple[str, str], Mapping[str, str]]
"""By data set and part: letters of significance of each scorer."""


def tables(summary: Summary, letters: Letters | None = None) -> list[Table]:
    """Return all tables of a summary: each data set and part, its groups, and a leaderboard over several.

    Args:
        summary: The figures.
        letters: Of significance, for a column of their own; None: none.
    """
    made = []
    for data, subset in dict.fromkeys((row.data, row.subset) for row in summary.rows):
        rows = [row for row in summary.rows if (row.data, row.subset) == (data, subset)]
        made.append(of_data(summary, data, subset, (letters or {}).get((data, subset))))
        made += [of_panel(data, subset, rows)] if any(row.panel is not None for row in rows) else []
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
        cells = [with_interval(found[name]) if name in found else NONE for name in names]
        placed.append(
            (
                len(names) - len(known),
                -(mean or 0.0),
                (scorer, *cells, _plain(mean), f"{len(known)} of {len(names)}"),
            )
        )
    rows = tuple(cells for _, _, cells in sorted(placed, key=lambda one: one[:2]))
    return Table("SRCC over data sets", ("scorer", *names, "mean", "sets"), rows)


def of_data(summary: Summary, data: str, subset: str, letters: Mapping[str, str] | None = None) -> Table:
    """Return the figures of all scorers on one data set or part, best SRCC first.

    Args:
        summary: The figures.
        data: Name of the data set.
        subset: ``all`` or another part.
        letters: Of significance, for a column of their own; None: none.
    """
    rows = [row for row in summary.rows if (row.data, row.subset) == (data, subset)]
    head: tuple[str, ...] = ("scorer", "SRCC [95 %]", "KRCC", "PLCC", "PLCC fit", "RMSE fit", "pairs", "in bands")
    head = (*head, "n", "unscored")
    made: list[tuple[str, ...]] = []
    for row in sorted(rows, key=lambda row: (row.srcc.value is None, -(row.srcc.value or 0.0))):
        figures = (row.krcc, row.plcc, row.plcc_mapped, row.rmse_mapped, row.pair_accuracy, row.srcc_in_bands)
        cells = (row.scorer, with_interval(row.srcc), *(_plain(one.value) for one in figures))
        made.append((*cells, str(row.n_scored), _unscored(row)))
    if letters is not None:
        head = (*head[:2], "letters", *head[2:])
        made = [(*row[:2], letters.get(row[0], ""), *row[2:]) for row in made]
    about = next(one for one in summary.data if one.name == data)
    foot = []
    if rows and rows[0].resampled == "references":
        foot.append("Intervals resample references.")
    if about.ceiling_srcc is not None and subset == "all":
        low, high = _plain(about.ceiling_low), _plain(about.ceiling_high)
        foot.append(f"Noise ceiling of SRCC: {_plain(about.ceiling_srcc)} [{low}, {high}].")
    n_items = rows[0].n_items if rows else 0
    if letters is not None:
        foot.append("Scorers that share no letter differ at 5 % (Holm).")
    return Table(f"{data}, {subset}: {n_items} items", head, tuple(made), tuple(foot))


def _of_groups(data: str, subset: str, by: str, rows: Sequence[Row]) -> Table:
    made = []
    for row in rows:
        for group in row.groups.get(by, ()):
            figures = (with_interval(group.inside), with_interval(group.without))
            made.append((row.scorer, group.name, *figures, str(group.inside.n), str(group.inside.n_unscored)))
    head = ("scorer", by, "SRCC inside [95 %]", "SRCC of all others [95 %]", "n", "unscored")
    return Table(f"{data}, {subset}, by {by}", head, tuple(made))


def of_figures(row: Row) -> Table:
    """Return every figure of a row with interval, bounds and numbers, or why there is none."""
    named = {
        "SRCC": row.srcc, "KRCC": row.krcc, "PLCC": row.plcc, "PLCC fit": row.plcc_mapped,
        "RMSE fit": row.rmse_mapped, "RMSE": row.rmse, "pairs": row.pair_accuracy, "in bands": row.srcc_in_bands,
        "CRPS": row.crps, **{f"inside {one.level:.0%}": one.share for one in row.coverage},
    }  # fmt: skip
    if row.panel is not None:
        one = row.panel
        named |= {"outliers": one.outliers, "RMSE*": one.rmse_beyond, "AUC different": one.different_similar}
        named |= {"AUC better": one.better_worse, "C0": one.correct, "resolves": one.resolving_power}
    rows = []
    for name, found in named.items():
        if found is not None:
            bounds = (_plain(found.worst), _plain(found.best)) if found.n_unscored else ("", "")
            ends = ("", "") if found.low is None else (_plain(found.low), _plain(found.high))
            cells = (name, _plain(found.value), *ends, *bounds, f"{found.n:,}", f"{found.n_unscored:,}")
            rows.append((*cells, found.reason or ""))
    head = ("figure", "value", "low", "high", "worst", "best", "n", "unscored", "why none")
    return Table(f"{row.scorer} on {row.data}, {row.subset}: all figures", head, tuple(rows))


def of_panel(data: str, subset: str, rows: Sequence[Row]) -> Table:
    """Return the figures beside the spread of the ratings."""
    made, widths, drawn = [], set(), 0
    for row in rows:
        one = row.panel
        if one is None:
            continue
        widths.add(
            {"confidence interval": "its confidence interval", "two deviations": "two deviations"}[one.width]
        )
        drawn = max(drawn, one.n_drawn or 0)
        areas = (one.different_similar, one.better_worse, one.correct, one.resolving_power)
        cells = (
            with_interval(one.outliers),
            *(NONE if n is None else with_interval(n) for n in (one.rmse_beyond, *areas)),
        )
        made.append((row.scorer, *cells, str(one.outliers.n), str(one.outliers.n_unscored)))
    head = ("scorer", "outliers [95 %]", "RMSE*", "AUC different", "AUC better", "C0", "resolves", "n", "unscored")
    foot = [f"Outliers: mapped scores farther from the opinion than {' or '.join(sorted(widths))}."]
    foot += [f"Pairs of {drawn:,} items that were drawn."] if drawn else []
    return Table(f"{data}, {subset}: beside the spread of the ratings", head, tuple(made), tuple(foot))


def with_interval(number: Number) -> str:
    """Return a figure with its interval in brackets."""
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
