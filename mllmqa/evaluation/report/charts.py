"""The charts of one scorer on one data set, and of all scorers beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from mllmqa.errors import DataError
from mllmqa.evaluation import stats
from mllmqa.evaluation.columns import Column, Columns, Float, groups
from mllmqa.evaluation.number import Number
from mllmqa.evaluation.report import content as c
from mllmqa.evaluation.report.axes import Axis, linear, minus
from mllmqa.evaluation.report.parts import Chart, Grid
from mllmqa.evaluation.report.svg import Mark, Plot, Room, rows
from mllmqa.evaluation.summary import Data, Row

MOST_DOTS = 2000
"""Items that are drawn; more are thinned out at equal steps through the order of the log."""
MANY = 400
BINS = 8
OPINIONS = Axis(1.0, 5.0, (1.0, 2.0, 3.0, 4.0, 5.0), "opinion")
_CURVE_POINTS = 60


def scorers_chart(part: c.Part, about: Data) -> Chart:
    """Return SRCC of all scorers with intervals, bounds of the unscored, letters, and the noise ceiling."""
    marks = []
    for row in part.rows:
        found, reason = row.srcc, row.srcc.reason or "none"
        note = (
            reason if found.value is None else minus(f"{found.value:.3f} ") + f"{part.letters.get(row.scorer, '')}"
        )
        lost = found.n_unscored > 0
        marks.append(
            Mark(
                row.scorer, found.value, found.low, found.high, found.worst if lost else None,
                found.best if lost else None, note,
            )
        )  # fmt: skip
    rules = [] if about.ceiling_srcc is None else [(about.ceiling_srcc, "noise ceiling")]
    axis = linear([0.0, 1.0 if rules else 0.0, *_ends([row.srcc for row in part.rows])], "SRCC")
    what = "Dots with 95 % intervals; scorers that share a letter do not differ at 5 % (Holm)."
    lost = any(row.n_unscored for row in part.rows)
    more = " Thin lines: if the unscored items had got the worst or the best scores possible." if lost else ""
    room = Room(1040, names=190, notes=110)
    return Chart(rows(marks, axis, "SRCC of all scorers", rules=rules, room=room), what + more)


def scorer_charts(whole: Columns, one: Column, row: Row) -> Grid | None:
    """Return scatter with curve and band, residuals, and Bland–Altman; None without any scored item."""
    known = ~np.isnan(one.values)
    if not known.any():
        return None
    x, y = one.values[known], whole.opinions[known]
    names = None if whole.references is None else [n for n, k in zip(whole.references, known, strict=True) if k]
    made = [_scatter(one, row, x, y, names)]
    fit = c.curve(row)
    if fit is not None:
        made.append(_residuals(fit(x), y))
    if fit is not None or one.scale == (1.0, 5.0):
        raw = one.scale == (1.0, 5.0)
        made.append(_bland_altman(x if raw or fit is None else fit(x), y, raw=raw))
    return Grid(tuple(made), 3)


def group_charts(whole: Columns, one: Column, row: Row, by: str) -> Grid | None:
    """Return SRCC inside each group, and how much too high the scorer is there; None without groups."""
    found = row.groups.get(by, ())
    if not found:
        return None
    marks = [
        Mark(g.name, g.inside.value, g.inside.low, g.inside.high, note=_group_note(g.inside), css="c0")
        for g in found
    ]
    room = Room(520, names=150, notes=62, row=20)
    axis = linear([0.0, *_ends([g.inside for g in found])], "SRCC inside")
    made = [Chart(rows(marks, axis, f"SRCC inside each {by}", room=room), title=f"SRCC inside each {by}")]
    on_scale = c.fitted(one, row)
    if on_scale is not None:
        biases = c.biases(on_scale - whole.opinions, groups(whole, by), [g.name for g in found])
        signed = [Mark(b.name, b.mean, b.low, b.high, note=minus(f"{b.mean:+.2f}"), css="c1") for b in biases]
        ends = [x for b in biases for x in (b.mean, b.low, b.high) if x is not None]
        axis = linear([0.0, *ends], "fitted score − opinion")
        svg = rows(signed, axis, f"Mean error of each {by}", rules=[(0.0, "")], room=room)
        made.append(Chart(svg, title="Mean error: right of 0 is rated too high"))
    return Grid(tuple(made), 2)


def _group_note(found: Number) -> str:
    return found.reason or "none" if found.value is None else f"n {found.n}"


def _scatter(one: Column, row: Row, x: Float, y: Float, names: Sequence[str] | None) -> Chart:
    turned = ", negated" if one.scorer.direction == "lower-better" else ""
    plot = Plot(linear(x.tolist(), f"score{turned}"), OPINIONS)
    parts = [_dots(plot, x, y)]
    fit = c.curve(row)
    caption = f"No rising curve: {row.plcc_mapped.reason}."
    if fit is not None:
        at = np.linspace(float(x.min()), float(x.max()), _CURVE_POINTS)
        caption = "Rising 4-parameter logistic curve"
        try:
            low, high = stats.curve_band(fit, x, y, at, groups=names)
        except DataError as error:
            caption += f"; no band: {error}."
        else:
            parts.append(plot.band(at, low, high))
            caption += " with its 95 % band" + (" (by reference)." if names is not None else ".")
        parts.append(plot.line(at, fit(at), "curve"))
    thinned = f" {MOST_DOTS:,} of {len(x):,} items are drawn." if len(x) > MOST_DOTS else ""
    return Chart(plot.svg("Scores and opinions", *parts), caption + thinned, "Scores and opinions")


def _residuals(fitted: Float, y: Float) -> Chart:
    gap = y - fitted
    plot = Plot(linear(fitted.tolist(), "fitted score"), linear([0.0, *gap.tolist()], "opinion − fitted"))
    parts = [plot.across(0.0, "zero"), _dots(plot, fitted, gap), *_running_mean(plot, fitted, gap)]
    spread = float(np.sqrt(np.mean(gap**2)))
    caption = f"RMSE {spread:.3f}. Line: mean of {BINS} equally large bins, with 95 % intervals."
    return Chart(plot.svg("Residuals", *parts), caption, "Residuals")


def _running_mean(plot: Plot, x: Float, y: Float) -> list[Markup]:
    """Return the means of bins of equal size, with intervals, where each has at least 5 items."""
    bins = [
        part for part in np.array_split(np.argsort(x, kind="stable"), BINS) if len(part) >= stats.MIN_FOR_INTERVAL
    ]
    if len(bins) < BINS:
        return []
    middles = np.array([x[part].mean() for part in bins])
    means = np.array([y[part].mean() for part in bins])
    halves = [stats.student_half(y[part]) for part in bins]
    ends = zip(middles.tolist(), means.tolist(), halves, strict=True)
    return [plot.line(middles, means, "curve"), *(plot.upright(a, m - h, m + h, "curve") for a, m, h in ends)]


def _bland_altman(scores: Float, y: Float, *, raw: bool) -> Chart:
    """Return differences against means with the mean and its limits of agreement (Bland & Altman, Lancet 1986)."""
    gap, middle = scores - y, (scores + y) / 2
    mean, spread = float(gap.mean()), float(gap.std(ddof=1)) if len(gap) > 1 else 0.0
    limits = (mean - 1.96 * spread, mean + 1.96 * spread)
    what = "score" if raw else "fitted score"
    plot = Plot(
        linear(middle.tolist(), f"mean of {what} and opinion"),
        linear([*gap.tolist(), *limits], f"{what} − opinion"),
    )
    lines = [plot.across(mean, "curve", minus(f"mean {mean:+.2f}"))]
    lines += [plot.across(value, "limit", minus(f"{value:+.2f}")) for value in limits]
    caption = f"Mean difference and limits of agreement (±1.96 deviations) of {'raw' if raw else 'fitted'} scores."
    return Chart(plot.svg("Bland–Altman", _dots(plot, middle, gap), *lines), caption, "Bland–Altman")


def _dots(plot: Plot, x: Float, y: Float) -> Markup:
    shown = np.arange(len(x))
    if len(x) > MOST_DOTS:
        shown = np.linspace(0, len(x) - 1, MOST_DOTS).astype(int)
    return plot.points(x[shown], y[shown], "dots many" if len(shown) > MANY else "dots")


def _ends(numbers: Sequence[Number]) -> list[float]:
    found = []
    for one in numbers:
        ends = (one.value, one.low, one.high, *((one.worst, one.best) if one.n_unscored else ()))
        found += [value for value in ends if value is not None]
    return found
