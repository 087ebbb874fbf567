"""The charts of a prompt benchmark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from markupsafe import Markup

from mllmqa.evaluation.number import finite
from mllmqa.evaluation.prompting.habits import CHANCE_OF_CYCLE, Share
from mllmqa.evaluation.prompting.measure import ModeReport
from mllmqa.evaluation.report.axes import Axis, linear, logarithmic, minus
from mllmqa.evaluation.report.parts import Chart, Grid
from mllmqa.evaluation.report.svg import Mark, Plot, Room, label, rows, stacked

STRATEGIES = ("standard", "in-context", "chain of thought", "further")
_PERCENT = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
_HALF = Room(520, names=110, notes=64, row=22)
_WIDE = Room(1040, names=130, notes=150)
_LABEL = 13  # pixels between the labels of dots that lie near each other
TENS_OF_WHOLE = 11 / 101
"""Share of multiples of ten if the whole numbers 0..100 were used evenly."""


def css(mode: str) -> str:
    """Return the class of a mode: its strategy has a colour."""
    how = {"ic": 1, "cot": 2}.get(mode.partition("-")[2], 0)
    return f"c{how if mode.partition('-')[0] in ('single', 'double', 'multiple') else 3}"


def agreement(modes: Sequence[ModeReport], letters: Mapping[str, str], *, references: bool) -> Chart:
    """Return SRCC of all modes with intervals, bounds and letters."""
    marks, ends = [], [0.0, 1.0]
    for m in modes:
        low, high = interval(m)
        if m.srcc.reason is not None:
            marks.append(Mark(m.mode, None, note=none_because(m)))
            continue
        lost = m.srcc.n_unscored > 0
        worst, best = (finite(m.srcc.worst), finite(m.srcc.best)) if lost else (None, None)
        ends += [x for x in (m.srcc.value, low, high, worst, best) if x is not None]
        note = minus(f"{m.srcc.value:.3f} ") + f"{letters.get(m.mode, '')}"
        marks.append(Mark(m.mode, m.srcc.value, low, high, worst, best, note, css(m.mode)))
    what = "mean over references" if references else "over all pictures"
    caption = f"SRCC {what} with 95 % intervals; modes that share a letter do not differ at 5 % (Holm). Colours: "
    caption += "blue standard, orange in-context, green chain of thought, violet further modes."
    if any(m.srcc.n_unscored for m in modes):
        caption += " Thin lines: if the unscored pictures had got the worst or the best scores possible."
    return Chart(rows(marks, linear(ends, "SRCC"), "SRCC of all modes", room=_WIDE), caption)


def interval(m: ModeReport) -> tuple[float | None, float | None]:
    """Return the ends of the interval of SRCC; None where there is none."""
    return (None, None) if m.interval is None else (finite(m.interval.low), finite(m.interval.high))


def none_because(m: ModeReport) -> str:
    """Return why a mode has no SRCC."""
    if m.answered:
        return m.srcc.reason or "none"
    if not m.asked:
        return "nothing was asked yet"
    kinds = ", ".join(f"{kind} {share.k}" for kind, share in m.failures.items() if share.k)
    return f"no answer can be read ({kinds})"


def cost(modes: Sequence[ModeReport], pictures: int) -> Chart | None:
    """Return SRCC against the cost per picture: money, else tokens, else pictures sent; None without SRCC."""
    known = [m for m in modes if m.srcc.reason is None]
    if not known:
        return None
    prices = [m.spent.money for m in known]
    tokens = [m.spent.tokens_in + m.spent.tokens_out for m in known]
    values, name = [m.spent.images / pictures for m in known], "pictures sent per picture judged"
    if all(price is not None and price > 0 for price in prices):
        values, name = [(price or 0.0) / pictures for price in prices], "money per picture"
    elif all(tokens) and not any(m.spent.uncounted for m in known):
        values, name = [count / pictures for count in tokens], "tokens per picture"
    ends = [x for m in known for x in (m.srcc.value, *interval(m)) if x is not None]
    plot = Plot(logarithmic(values, name), linear(ends, "SRCC"), 1040, 380)
    front = _front(values, [m.srcc.value for m in known])
    at = np.array([values[i] for i in front]), np.array([known[i].srcc.value for i in front])
    parts = [plot.line(*at, "front")]
    spots = [plot.at(x, m.srcc.value) for x, m in zip(values, known, strict=True)]
    ends_left = [across > 0.85 * plot.width for across, _ in spots]
    heights = _apart(
        spots, [(-1 if left else 1) * (12 + 7 * len(m.mode)) for left, m in zip(ends_left, known, strict=True)]
    )
    for (across, down), m, x, y, left in zip(spots, known, values, heights, ends_left, strict=True):
        low, high = interval(m)
        if low is not None and high is not None:
            parts.append(plot.upright(x, low, high, f"bound {css(m.mode)}"))
        dot = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="5"><title>{}</title></circle>')
        parts.append(dot.format(css(m.mode), across, down, m.mode))
        parts.append(label(m.mode, across + (-9 if left else 9), y + 4, "end" if left else "start", "text"))
    caption = "Dashed: modes that no other one beats at the same cost or less. Lines: 95 % intervals."
    return Chart(plot.svg(f"SRCC against {name}", *parts), caption)


def _front(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Return the modes that none dominates, by cost."""
    front: list[int] = []
    for i in sorted(range(len(costs)), key=lambda k: (costs[k], -values[k])):
        if not front or values[i] > values[front[-1]]:
            front.append(i)
    return front


def _apart(spots: Sequence[tuple[float, float]], reach: Sequence[float]) -> list[float]:
    """Return the heights of labels so that none lies on another; each reaches so far right (left: below 0)."""
    placed: list[tuple[float, float, float]] = []
    found = [0.0] * len(spots)
    for i in sorted(range(len(spots)), key=lambda k: spots[k][1]):
        (across, y), wide = spots[i], reach[i]
        start, end = min(across, across + wide), max(across, across + wide)
        while any(start < b and a < end and abs(y - other) < _LABEL for a, b, other in placed):
            y += 1.0
        placed.append((start, end, y))
        found[i] = y
    return found


def failures(modes: Sequence[ModeReport]) -> Chart | None:
    """Return the shares of each kind of failure; None without any."""
    kinds = [kind for kind in modes[0].failures if any(m.failures[kind].k for m in modes)] if modes else []
    if not kinds:
        return None
    shares = [(m.mode, [m.failures[kind].value for kind in kinds]) for m in modes if m.asked]
    svg = stacked(shares, kinds, "Answers that cannot be used", room=_WIDE)
    return Chart(svg, "Share of the questions asked whose answer cannot be used; none is replaced by a random one.")


def habits(modes: Sequence[ModeReport]) -> Grid | None:
    """Return how a model answers: places, swaps, cycles, round numbers, repeats; None where nothing is known."""
    made = [
        _shares(modes, "Shown first and preferred", lambda m: m.places.first if m.places else None, 0.5, "no bias"),
        _order(modes),
        _shares(modes, "Same verdict after a swap", lambda m: m.places.consistent if m.places else None),
        _shares(
            modes, "Cycles of three", lambda m: m.cycles.cyclic if m.cycles else None, CHANCE_OF_CYCLE, "coins"
        ),
        _shares(
            modes, "Multiples of ten", lambda m: m.numbers.tens if m.numbers else None, TENS_OF_WHOLE, "even use"
        ),
        _shares(modes, "Three most used scores", lambda m: m.numbers.top_three if m.numbers else None),
        _retest(modes),
    ]
    found = tuple(one for one in made if one is not None)
    return Grid(found, 2) if found else None


def _shares(
    modes: Sequence[ModeReport],
    title: str,
    of: Callable[[ModeReport], Share | None],
    rule: float | None = None,
    text: str = "",
) -> Chart | None:
    marks = []
    for m in modes:
        one = of(m)
        if one is not None and one.n:
            ends = finite(one.interval.low), finite(one.interval.high)
            marks.append(Mark(m.mode, one.value, *ends, note=f"{100 * one.value:.1f} %", css=css(m.mode)))
    rules = [] if rule is None else [(rule, text)]
    return Chart(rows(marks, _PERCENT, title, rules=rules, room=_HALF), title=title) if marks else None


def _order(modes: Sequence[ModeReport]) -> Chart | None:
    marks = []
    for m in modes:
        value, half = m.scores.order, 1.96 * m.scores.order_error
        if not math.isnan(value):
            note = minus(f"{value:+.2f}")
            marks.append(
                Mark(m.mode, value, finite(value - half), finite(value + half), note=note, css=css(m.mode))
            )
    if not marks:
        return None
    axis = linear([0.0, *(x for mark in marks for x in (mark.value, mark.low, mark.high) if x is not None)])
    title = "Order effect, in deviations of a difference"
    return Chart(rows(marks, axis, title, rules=[(0.0, "none")], room=_HALF), title=title)


def _retest(modes: Sequence[ModeReport]) -> Chart | None:
    marks = [
        Mark(m.mode, icc.value, note=f"{icc.value:.2f}", css=css(m.mode))
        for m in modes
        if m.retest is not None and (icc := m.retest.icc_agreement).reason is None
    ]
    title = "Agreement of repeats (ICC)"
    axis = linear([0.0, 1.0, *(mark.value or 0.0 for mark in marks)])
    return Chart(rows(marks, axis, title, room=_HALF), title=title) if marks else None
