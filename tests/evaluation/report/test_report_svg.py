"""Charts as SVG: well-formed, everything inside the picture, and values where they belong."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as Tree

import numpy as np
import pytest
from markupsafe import Markup

from mllmqa.evaluation.report.axes import Axis, linear
from mllmqa.evaluation.report.svg import Mark, Plot, Room, label, rows, stacked

UNIT = Axis(0.0, 1.0, (0.0, 0.5, 1.0), "x")
EVIL = '"><script>&'


def tree(svg: Markup) -> Tree.Element:
    assert isinstance(svg, Markup)
    return Tree.fromstring(str(svg))  # noqa: S314


def of_class(root: Tree.Element, name: str) -> list[Tree.Element]:
    return [one for one in root.iter() if name in (one.get("class") or "").split()]


def texts(root: Tree.Element) -> list[str]:
    return ["".join(one.itertext()) for one in root.iter("text")]


def numbers(text: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+\.?\d*", text)]


# ---------------------------------------------------------------- plots


def test_points_stand_at_their_values_and_beyond_the_axis_at_its_end() -> None:
    plot = Plot(UNIT, UNIT, 340, 260)
    (left, bottom), (right, top) = plot.at(0, 0), plot.at(1, 1)
    assert 0 < left < right < 340
    assert 0 < top < bottom < 260
    assert plot.at(0.5, 0.5) == (pytest.approx((left + right) / 2), pytest.approx((top + bottom) / 2))
    assert plot.at(7, -7) == (right, bottom)


def test_dots_are_one_path_without_those_that_are_no_number() -> None:
    plot = Plot(UNIT, UNIT)
    drawn = tree(plot.svg("t", plot.points(np.array([0.1, math.nan, 0.5]), np.array([0.2, 0.3, 0.6]))))
    (path,) = of_class(drawn, "dots")
    assert path.get("d", "").count("M") == 2
    across, down = plot.at(0.5, 0.6)
    assert f"M{across:.1f} {down:.1f}h0" in path.get("d", "")


def test_a_thousand_dots_stay_small() -> None:
    rng = np.random.default_rng(0)
    assert len(Plot(UNIT, UNIT).points(rng.random(1000), rng.random(1000))) < 16_000


def test_lines_and_bands_follow_the_curve_and_come_back() -> None:
    plot, x = Plot(UNIT, UNIT), np.array([0.0, 0.5, 1.0])
    line = tree(plot.svg("t", plot.line(x, x, "curve")))
    assert of_class(line, "curve")[0].get("d", "").count("L") == 2
    band = of_class(tree(plot.svg("t", plot.band(x, x - 0.1, x + 0.1))), "band")[0].get("d", "")
    places = numbers(band)
    assert len(places) == 12
    assert places[0] == places[-2]  # it starts and ends at the same x
    assert band.endswith("Z")
    nothing = np.array([])
    assert plot.line(nothing, nothing, "curve") == plot.band(nothing, nothing, nothing) == ""


def test_rules_lie_across_and_upright() -> None:
    plot = Plot(UNIT, UNIT)
    drawn = tree(plot.svg("t", plot.across(0.25, "zero", "a quarter"), plot.upright(0.5, 0.2, 0.4, "limit")))
    (flat,), (tall,) = of_class(drawn, "zero"), of_class(drawn, "limit")
    assert flat.get("y1") == flat.get("y2") == f"{plot.at(0, 0.25)[1]:.1f}"
    assert tall.get("x1") == tall.get("x2")
    assert float(tall.get("y1", 0)) > float(tall.get("y2", 0))
    assert "a quarter" in texts(drawn)


def test_axes_have_ticks_and_names_and_nothing_lies_outside() -> None:
    plot = Plot(UNIT, linear([-3, 7], "y & z"))
    drawn = tree(plot.svg(EVIL, plot.points(np.array([-9.0, 9.0]), np.array([-99.0, 99.0]))))
    assert drawn.get("aria-label") == EVIL
    assert {"0", "0.5", "1", "x", "y & z", "−4"} <= set(texts(drawn))
    for line in drawn.iter("line"):
        assert all(0 <= float(line.get(name, 0)) <= 340 for name in ("x1", "x2"))
        assert all(0 <= float(line.get(name, 0)) <= 260 for name in ("y1", "y2"))


# ---------------------------------------------------------------- rows


def test_rows_have_dot_interval_bounds_and_note() -> None:
    marks = [Mark("one", 0.5, 0.25, 0.75, 0.0, 1.0, "n 7", "c2"), Mark("two", 0.5, css="c1")]
    drawn = tree(rows(marks, UNIT, "t", room=Room(300, 100, 100)))
    dots = list(drawn.iter("circle"))
    assert [float(one.get("cx", 0)) for one in dots] == [150.0, 150.0]
    assert float(dots[0].get("cy", 0)) < float(dots[1].get("cy", 0))
    (span,), (bound,) = of_class(drawn, "span"), of_class(drawn, "bound")
    assert (span.get("x1"), span.get("x2"), bound.get("x1"), bound.get("x2")) == (
        "125.0",
        "175.0",
        "100.0",
        "200.0",
    )
    assert "c2" in (span.get("class") or "")
    assert {"one", "two", "n 7"} <= set(texts(drawn))


def test_a_row_without_value_says_why_and_has_no_dot() -> None:
    drawn = tree(rows([Mark("none", None, note="all 5 scores are 3")], UNIT, "t"))
    assert list(drawn.iter("circle")) == []
    assert "all 5 scores are 3" in texts(drawn)


def test_rules_of_rows_are_named_and_long_names_are_cut_with_a_tooltip() -> None:
    name = "a-model-with-a-very-long-name/" * 3
    drawn = tree(rows([Mark(name, 0.2)], UNIT, "t", rules=[(0.5, "coins")]))
    assert len(of_class(drawn, "rule")) == 1
    assert "coins" in texts(drawn)
    titles = [one.text for one in drawn.iter("title")]
    assert name in titles
    shown = next(one for one in drawn.iter("text") if (one.text or "").endswith("…"))
    assert len(shown.text or "") < 25


def test_the_picture_is_as_high_as_its_rows() -> None:
    heights = [numbers(tree(rows([Mark("r", 0.1)] * n, UNIT, "t")).get("viewBox", ""))[3] for n in (1, 2, 12)]
    assert heights[1] - heights[0] == Room().row
    assert heights[2] - heights[0] == 11 * Room().row


# ---------------------------------------------------------------- bars


def test_stacked_bars_are_as_long_as_their_shares() -> None:
    drawn = tree(
        stacked([("m", [0.25, 0.5]), ("n", [0.0, 0.1])], ["refusal", "format"], "t", room=Room(300, 100, 100))
    )
    wide = {(one[0].text): float(one.get("width", 0)) for one in of_class(drawn, "bar") if len(one)}
    assert wide["m: refusal 25.0 %"] == 25.0
    assert wide["m: format 50.0 %"] == 50.0
    assert wide["n: format 10.0 %"] == 10.0
    assert "n: refusal 0.0 %" not in wide
    assert {"75.0 %", "10.0 %", "refusal", "format"} <= set(texts(drawn))
    first, second = (one for one in of_class(drawn, "bar") if len(one) and (one[0].text or "").startswith("m: "))
    assert float(second.get("x", 0)) == float(first.get("x", 0)) + 25.0


def test_texts_are_escaped_everywhere() -> None:
    for svg in (
        rows([Mark(EVIL, 0.5, note=EVIL)], Axis(0, 1, (0, 1), EVIL), EVIL, rules=[(0.5, EVIL)]),
        stacked([(EVIL, [0.5])], [EVIL], EVIL),
        Plot(Axis(0, 1, (0, 1), EVIL), UNIT).svg(EVIL),
    ):
        assert "<script>" not in svg
        tree(svg)
    assert label("", 1, 1, "end") == ""


def test_the_same_input_gives_the_same_bytes() -> None:
    marks = [Mark(f"m{k}", k / 10, k / 10 - 0.05, k / 10 + 0.05) for k in range(10)]
    assert rows(marks, UNIT, "t") == rows(marks, UNIT, "t")
