"""The report of a run of ``mllmqa eval`` as Markdown and as one HTML file."""

from __future__ import annotations

from pathlib import Path

from mllmqa.evaluation.compare import ALPHA, Pair, table
from mllmqa.evaluation.number import Number
from mllmqa.evaluation.report import charts
from mllmqa.evaluation.report.axes import minus
from mllmqa.evaluation.report.content import Content, Disagreement, Part, disagreements
from mllmqa.evaluation.report.parts import (
    Cell,
    Fold,
    Gallery,
    Matrix,
    Page,
    Section,
    Shown,
    Simple,
    Text,
    Thumb,
    to_html,
)
from mllmqa.evaluation.summary import Row
from mllmqa.evaluation.tables import NONE, Table, leaderboard, of_data, of_figures, of_panel, tables

OPEN = 2
"""Scorers whose charts are not folded away."""
THUMBNAILS = 6
HOW = (
    "Opinions are on 1 (worst) to 5 (best). Nothing is turned round: a scorer whose scores fall with quality has a "
    "negative SRCC. Intervals are 95 % by bootstrap; differences are tested in pairs on the items that both scored "
    "(SRCC: infinitesimal jackknife of the ranks; where references are resampled, paired bootstrap), with Holm's "
    "correction."
)


def as_html(found: Content, thumbnails: int = THUMBNAILS) -> str:
    """Return one self-contained HTML file.

    Args:
        found: The report.
        thumbnails: Pictures of the worst disagreements of each scorer, half of them too high; 0: none, and no
            medium is opened.
    """
    sections = [_overview(found)] if len(found.summary.data) > 1 else []
    for part in found.parts:
        sections.append(_section(found, part, thumbnails))
    sections.append(Section("How it was measured", (Text(HOW), *_about(found))))
    title = found.summary.title or "Evaluation of " + ", ".join(one.name for one in found.summary.data)
    return to_html(Page(title, _sub(found), _tiles(found), found.summary.notes, tuple(sections)))


def as_markdown(found: Content, worst: int = THUMBNAILS) -> str:
    """Return Markdown: all tables, comparisons, and the worst disagreements by name."""
    letters = {part.key: part.letters for part in found.parts}
    lines = [f"# {found.summary.title or 'Evaluation'}", "", _sub(found), ""]
    lines += [f"- {note}" for note in found.summary.notes] + ([""] if found.summary.notes else [])
    made = tables(found.summary, letters)
    made += [table(list(part.pairs)) for part in found.parts if part.pairs and part.columns.subset == "all"]
    made += [of_figures(row) for row in found.summary.rows]
    for part in found.parts:
        if part.columns.subset == "all":
            made += [one for row in part.rows if (one := _worst_table(part, row, worst)) is not None]
    return "\n".join([*lines, *(one.markdown() for one in made), HOW]) + "\n"


def _sub(found: Content) -> str:
    sets = ", ".join(f"{one.name} ({one.n_items:,} items)" for one in found.summary.data)
    return f"{len(found.log.scorers)} scorers on {sets}."


def _tiles(found: Content) -> tuple[tuple[str, str], ...]:
    made = []
    for part in found.parts:
        best = part.rows[0] if part.rows else None
        if part.columns.subset == "all" and best is not None and best.srcc.value is not None:
            made.append((_figure(best.srcc), f"best SRCC on {part.columns.record.name}: {best.scorer}"))
    rows = [row for row in found.summary.rows if row.subset == "all" and row.kind != "combination"]
    total, lost = sum(row.n_items for row in rows), sum(row.n_unscored for row in rows)
    return (*made[:4], (f"{total - lost:,} of {total:,}", "predictions scored"))


def _figure(number: Number) -> str:
    interval = "" if number.low is None or number.high is None else f"  [{number.low:.2f}, {number.high:.2f}]"
    return minus(f"{number.value:.3f}{interval}")


def _overview(found: Content) -> Section:
    return Section("All data sets", (Shown(leaderboard(found.summary)),))


def _section(found: Content, part: Part, thumbnails: int) -> Section:
    name, subset = part.key
    about = next(one for one in found.summary.data if one.name == name)
    whole = subset == "all"
    made: list[Simple | Fold] = [charts.scorers_chart(part, about)] if whole else []
    made.append(Shown(of_data(found.summary, name, subset, part.letters)))
    rows = list(part.rows)
    made += [Shown(of_panel(name, subset, rows))] if any(row.panel is not None for row in rows) else []
    if len(part.rows) > 1 and whole:
        made.append(_matrix(part))
    if whole:
        made += [_scorer(part, row, thumbnails, is_open=k < OPEN) for k, row in enumerate(part.rows)]
    every = tuple(Shown(of_figures(row)) for row in part.rows)
    made.append(Fold("All figures", "with intervals, bounds of the unscored, and numbers of items", every))
    lead = f"{part.rows[0].n_items:,} items." if part.rows else "No scorer has begun."
    return Section(name if whole else f"{name}, {subset}", tuple(made), lead)


def _matrix(part: Part) -> Matrix:
    """Return the difference of SRCC of each scorer (row) to each other one (column)."""
    names = tuple(row.scorer for row in part.rows)
    found = {(one.a, one.b): one for one in part.pairs}
    cells = []
    for a in names:
        line = []
        for b in names:
            one, sign = (found[a, b], 1) if (a, b) in found else (found.get((b, a)), -1)
            line.append(Cell("") if one is None else _difference(one, sign))
        cells.append(tuple(line))
    foot = "SRCC of the row minus that of the column; coloured where they differ at 5 % (Holm)."
    return Matrix("Differences of SRCC", names, tuple(cells), foot)


def _difference(one: Pair, sign: int) -> Cell:
    if one.difference is None:
        return Cell(NONE, about="no difference: one of them has no SRCC on the common items")
    value = sign * one.difference
    tone = ("up" if value > 0 else "down") if one.p_holm is not None and one.p_holm < ALPHA else ""
    p = "no test" if one.p_holm is None else f"p {one.p_holm:.2g} (Holm)"
    return Cell(minus(f"{value:+.3f}"), tone, f"{p}, {one.n} items")


def _scorer(part: Part, row: Row, thumbnails: int, *, is_open: bool) -> Fold:
    whole, one = part.columns, part.columns.column(row.scorer)
    made: list[Simple] = []
    drawn = charts.scorer_charts(whole, one, row)
    made.append(Text("No item is scored.") if drawn is None else drawn)
    made += [grid for by in row.groups if (grid := charts.group_charts(whole, one, row, by)) is not None]
    high, low = disagreements(whole, one, row, (thumbnails + 1) // 2)
    for title, items in (("Rated most too high", high), ("Rated most too low", low)):
        if items and thumbnails:
            made.append(Gallery(title, tuple(_thumb(item) for item in items)))
    srcc = row.srcc
    about = f"no SRCC: {srcc.reason}" if srcc.value is None else f"SRCC {_figure(srcc)}"
    lost = f", {row.n_unscored} of {row.n_items} unscored" if row.n_unscored else ""
    return Fold(row.scorer, about + lost, tuple(made), is_open)


def _thumb(one: Disagreement) -> Thumb:
    from mllmqa.data.sample import Medium
    from mllmqa.data.sheet.thumbnails import strip_of

    line = minus(f"people {one.opinion:.2f}, scorer {one.fitted:.2f} ({one.gap:+.2f})")
    if not one.item.path:
        return Thumb(None, one.item.id, line, "no path is known")
    strip = strip_of(Medium(key="A", kind=one.item.kind, path=one.item.path), (), Path())
    if not strip.shots:
        return Thumb(None, one.item.id, line, strip.trouble or "cannot be shown")
    return Thumb(strip.shots[len(strip.shots) // 2].uri, one.item.id, line)


def _worst_table(part: Part, row: Row, most: int) -> Table | None:
    high, low = disagreements(part.columns, part.columns.column(row.scorer), row, (most + 1) // 2)
    rows = tuple(
        (one.item.id, f"{one.opinion:.2f}", f"{one.fitted:.2f}", f"{one.gap:+.2f}", f"{one.score:.4g}")
        for one in (*high, *low)
    )
    head = ("item", "people", "fitted score", "difference", "raw score")
    return Table(f"{part.columns.record.name}: {row.scorer} and people part most", head, rows) if rows else None


def _about(found: Content) -> tuple[Simple, ...]:
    """Return what each scorer is."""
    rows = []
    for one in found.log.scorers.values():
        said = ", ".join(
            f"{key} {value}" for key, value in one.about.items() if isinstance(value, str | int | float)
        )
        rows.append((one.name, one.kind, one.direction, said))
    return (Shown(Table("Scorers", ("scorer", "kind", "direction", "about"), tuple(rows)), strong=0),)
