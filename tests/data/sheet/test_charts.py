"""Charts: valid SVG whose columns are as high as their counts, with names that cannot break out."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.sheet.charts import HEIGHT, WIDTH, columns_svg, histogram_svg, labelled_svg


def columns(svg: str) -> list[tuple[float, float, float]]:
    """x, y and height of each column."""
    root = ElementTree.fromstring(svg)  # noqa: S314
    return [(float(r.attrib["x"]), float(r.attrib["y"]), float(r.attrib["height"])) for r in root.iter("rect")]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
def test_columns_are_as_high_as_their_counts_and_stay_inside(counts: list[int]) -> None:
    found = columns(columns_svg(counts, ["x"] * len(counts), "t"))
    assert len(found) == len(counts)
    top = max([1, *counts])
    tallest = max(height for _, _, height in found) or 1.0
    for count, (x, y, height) in zip(counts, found, strict=True):
        assert 0 <= x < WIDTH
        assert 0 <= y <= y + height <= HEIGHT
        if max(counts):
            assert height == pytest.approx(tallest * count / top, abs=0.11)


def test_names_are_escaped() -> None:
    svg = labelled_svg([1, 2], ["<script>", '"&'], '"><b>')
    assert "<script>" not in svg
    root = ElementTree.fromstring(svg)  # noqa: S314
    assert root.attrib["aria-label"] == '"><b>'
    assert [title.text for title in root.iter("title")] == ["<script>: 1", '"&: 2']


def test_ranges_are_labelled_with_their_start() -> None:
    root = ElementTree.fromstring(labelled_svg([1, 1], ["3–4", ">256"], "t"))  # noqa: S314
    assert [text.text for text in root.iter("text")] == ["3", ">256"]


def test_histograms_have_their_ends() -> None:
    root = ElementTree.fromstring(histogram_svg([1] * 4, 0, 100, "t"))  # noqa: S314
    assert [text.text for text in root.iter("text")] == ["0", "50", "100"]
    assert [title.text for title in root.iter("title")][1] == "25 to 50: 1"
