"""The report of a prompt benchmark as one HTML file. Like the others, it is the same bytes whenever it is made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mllmqa.evaluation.prompting import charts
from mllmqa.evaluation.prompting.habits import Share
from mllmqa.evaluation.prompting.measure import ALPHA, Contrast, ModeReport
from mllmqa.evaluation.report.axes import minus
from mllmqa.evaluation.report.parts import Cell, Matrix, Page, Section, Shown, Simple, Text, to_html
from mllmqa.evaluation.tables import NONE, Table

if TYPE_CHECKING:
    from mllmqa.evaluation.prompting.report import Report


def as_html(report: Report) -> str:
    """Return one self-contained HTML file."""
    items, modes = report.bench.items, report.modes
    seen: list[Simple] = [charts.agreement(modes, report.letters, references=items.reference)]
    seen += [Shown(_metrics(report))] + ([_contrasts(report)] if len(modes) > 1 else [])
    sections = [Section("Agreement with people", tuple(seen))]
    if (cost := charts.cost(modes, len(items.rated))) is not None:
        sections.append(Section("Cost", (cost, Shown(_cost(modes)))))
    failed = charts.failures(modes)
    lost = Text("Every answer can be used.") if failed is None else failed
    sections.append(Section("Failures", (lost, Shown(_failures(modes), strong=3))))
    if (grid := charts.habits(modes)) is not None:
        lead = "Whatever people think of the pictures: dots with 95 % intervals."
        sections.append(Section("How it answers", (grid,), lead))
    kind = "against references" if items.reference else "without references"
    protocol = f", protocol {report.bench.design.compat}" if report.bench.design.compat else ""
    sub = f"{len(items.rated)} pictures {kind}, {len(items.exemplars)} exemplars held out, "
    sub += (
        f"{len(report.bench.work):,} questions, seed {report.bench.design.seed}{protocol}; spec {report.head.spec}."
    )
    title = f"Prompt benchmark: {report.head.model}"
    return to_html(Page(title, sub, _tiles(report), _notes(report), tuple(sections)))


def _tiles(report: Report) -> tuple[tuple[str, str], ...]:
    known = [m for m in report.modes if m.srcc.reason is None]
    made = []
    if known:
        best = max(known, key=lambda m: m.srcc.value)
        made.append((f"{best.srcc.value:.3f}{_brackets(best)}", f"best SRCC: {best.mode}"))
    asked, answered = sum(m.asked for m in report.modes), sum(m.answered for m in report.modes)
    made.append((f"{answered:,} of {asked:,}", "answers can be used"))
    tokens = sum(m.spent.tokens_in + m.spent.tokens_out for m in report.modes)
    money = [m.spent.money for m in report.modes if m.spent.money is not None]
    if len(money) == len(report.modes) and money:
        made.append((f"{sum(money):.2f}", "money"))
    return (*made, (f"{tokens:,}", "tokens")) if tokens else tuple(made)


def _notes(report: Report) -> list[str]:
    found = [f"{m.mode}: no SRCC, {charts.none_because(m)}" for m in report.modes if m.srcc.reason is not None]
    found += [
        f"{m.mode}: {m.planned - m.asked:,} of {m.planned:,} questions were not asked yet"
        for m in report.modes
        if m.asked < m.planned
    ]
    if report.bench.items.left_out:
        found.append(f"{report.bench.items.left_out:,} records without opinion, path or reference are left out")
    return found + [
        f"{name} cannot be read and was not asked about: {why}" for name, why in report.bench.unreadable
    ]


def _metrics(report: Report) -> Table:
    """Return modes against metrics."""
    head = (
        "mode", "SRCC [95 %]", "letters", "KRCC", "PLCC", "n", "unscored", "failed", "first", "swap same", "cycles",
        "tens", "retest",
    )  # fmt: skip
    rows = []
    for m in report.modes:
        figures = (m.overall.krcc, m.overall.plcc) if m.overall else (None, None)
        bounds = (
            f" ({m.srcc.worst:.3f} … {m.srcc.best:.3f})" if m.srcc.n_unscored and not _nan(m.srcc.worst) else ""
        )
        failed = Share.of(m.asked - m.answered, m.asked)
        place, number = m.places, m.numbers
        again = m.retest.icc_agreement if m.retest else None
        cells = (
            NONE if m.srcc.reason is not None else f"{m.srcc.value:.3f}{_brackets(m, 3)}", report.letters[m.mode],
            *(NONE if one is None or one.reason is not None else f"{one.value:.3f}" for one in figures),
            str(m.srcc.n), f"{m.srcc.n_unscored}{bounds}", _percent(failed),
            _percent(place.first if place else None), _percent(place.consistent if place else None),
            _percent(m.cycles.cyclic if m.cycles else None), _percent(number.tens if number else None),
            "" if again is None or again.reason is not None else f"{again.value:.3f}",
        )  # fmt: skip
        rows.append((m.mode, *cells))
    foot = (
        "Modes that share no letter differ at 5 % (Holm). failed: answers that cannot be used; first: picture "
        "shown first is preferred (50 % is right); swap same: same verdict in both orders; cycles: of three "
        "(coins: 25 %); tens: scores that are multiples of ten; retest: ICC of repeats.",
    )
    return Table("Modes and metrics", head, tuple(rows), foot)


def _contrasts(report: Report) -> Matrix:
    names = tuple(m.mode for m in report.modes)
    found = {(one.a, one.b): (one, 1) for one in report.contrasts}
    found |= {(one.b, one.a): (one, -1) for one in report.contrasts}
    cells = tuple(tuple(_difference(found.get((a, b))) for b in names) for a in names)
    foot = "SRCC of the row minus that of the column; coloured where they differ at 5 % (Holm)."
    return Matrix("Differences between modes", names, cells, foot)


def _difference(found: tuple[Contrast, int] | None) -> Cell:
    if found is None:
        return Cell("")
    one, sign = found
    if _nan(one.difference):
        return Cell(NONE, about=one.reason or "one of them has no SRCC")
    value = sign * one.difference
    tone = ("up" if value > 0 else "down") if one.adjusted < ALPHA else ""
    about = one.reason or f"{one.test}, p {one.adjusted:.2g} (Holm)"
    return Cell(minus(f"{value:+.3f}"), tone, about)


def _failures(modes: tuple[ModeReport, ...]) -> Table:
    kinds = [kind for kind in modes[0].failures if any(m.failures[kind].k for m in modes)] if modes else []
    rows = []
    for m in modes:
        shares = (_percent(m.failures[kind]) for kind in kinds)
        rows.append((m.mode, f"{m.planned:,}", f"{m.asked:,}", f"{m.answered:,}", *shares))
    return Table("Questions", ("mode", "planned", "asked", "answered", *kinds), tuple(rows))


def _cost(modes: tuple[ModeReport, ...]) -> Table:
    head = ("mode", "images", "tokens in", "tokens out", "uncounted", "money", "SRCC per unit of money")
    rows = []
    for m in modes:
        s = m.spent
        money = NONE if s.money is None else f"{s.money:.4f}"
        per = NONE if s.srcc_per_unit is None else f"{s.srcc_per_unit:.3g}"
        counts = (s.images, s.tokens_in, s.tokens_out, s.uncounted)
        rows.append((m.mode, *(f"{count:,}" for count in counts), money, per))
    return Table("Cost of all answers, whichever run paid for them", head, tuple(rows))


def _brackets(m: ModeReport, digits: int = 2) -> str:
    low, high = charts.interval(m)
    return "" if low is None or high is None else f" [{low:.{digits}f}, {high:.{digits}f}]"


def _percent(share: Share | None) -> str:
    return "" if share is None or not share.n else f"{100 * share.value:.1f} %"


def _nan(value: float) -> bool:
    return math.isnan(value)
