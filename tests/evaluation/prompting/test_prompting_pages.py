"""The page of a prompt benchmark: every figure of the report is on it, and it is the same bytes each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mllmqa.evaluation.prompting import charts, pages
from mllmqa.evaluation.prompting.asking import Asker
from mllmqa.evaluation.prompting.bench import Bench, Design, make
from mllmqa.evaluation.prompting.items import read_items
from mllmqa.evaluation.prompting.log import AnswerLog
from mllmqa.evaluation.prompting.measure import measure
from mllmqa.evaluation.prompting.report import Report
from mllmqa.evaluation.prompting.runner import Limits, run
from mllmqa.loading import load
from mllmqa.models.api.options import Price
from tests.evaluation.prompting.synthetic import samples
from tests.pages_read import checked


def reported(
    folder: Path, model: str, design: Design, n: int = 12, references: int = 0, price: bool = True
) -> Report:
    bench: Bench = make(read_items(samples(folder, n, references)), design)
    asker = Asker(load(model), bench.items)
    head = bench.head(asker.info)
    with AnswerLog(folder / "answers.jsonl", head) as log:
        run(bench.work, asker, log, Limits(), lambda done, total: None)
    return Report.of(head, bench, measure(bench, log.lines, Price(2, 10) if price else None))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    design = Design(("single", "double", "double-ic", "levels"), opponents=4, repeats=2)
    return reported(tmp_path_factory.mktemp("run"), "fake:noise=0.5,bias=0.4,refuse=0.1", design, 16)


def test_the_page_has_every_section_and_the_figures_of_the_report(report: Report) -> None:
    page = pages.as_html(report)
    text = " ".join(checked(page).texts)
    for words in (
        "Agreement with people", "Modes and metrics", "Differences between modes", "Cost", "Failures", "refusal",
        "How it answers", "Shown first and preferred", "Order effect", "Same verdict after a swap",
        "Cycles of three", "Multiples of ten", "Agreement of repeats (ICC)", "answers can be used",
    ):  # fmt: skip
        assert words in text
    found = {mode["mode"]: mode for mode in json.loads(report.to_json())["modes"]}
    for mode in report.modes:
        assert f"{found[mode.mode]['srcc']['value']:.3f}" in text
        assert f"{100 * found[mode.mode]['failures']['refusal']['value']:.1f} %" in text
    assert pages.as_html(report) == page


def test_it_is_written_beside_the_other_reports(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
        "scores.csv",
    ]
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report.to_html()


def test_colours_are_those_of_the_strategies() -> None:
    names = ("single", "double-ic", "multiple-cot", "levels", "anchored", "2afc")
    assert [charts.css(name) for name in names] == ["c0", "c1", "c2", "c3", "c3", "c3"]


def test_the_cost_chart_has_a_dot_for_each_mode_and_labels_apart(report: Report) -> None:
    chart = charts.cost(report.modes, 12)
    assert chart is not None
    assert chart.svg.count("<circle") == len(report.modes)
    assert "pictures sent per picture judged" in chart.svg  # of levels no tokens are counted
    counted = charts.cost(report.modes[:3], 12)
    assert counted is not None
    assert "money per picture" in counted.svg
    heights = charts._apart([(10.0, 50.0), (12.0, 52.0), (300.0, 50.0)], [60.0, 60.0, -40.0])
    assert heights[0] == 50.0
    assert heights[1] >= 63.0
    assert heights[2] == 50.0


def test_the_front_has_what_no_cheaper_mode_beats() -> None:
    assert charts._front([3.0, 1.0, 2.0, 2.0, 5.0], [0.9, 0.5, 0.4, 0.7, 0.8]) == [1, 3, 0]
    assert charts._front([1.0, 1.0], [0.5, 0.5]) == [0]


def test_a_model_that_refuses_everything_has_no_figure_and_the_page_says_so(tmp_path: Path) -> None:
    report = reported(tmp_path, "fake:refuse=1", Design(("single", "double"), opponents=2))
    page = pages.as_html(report)
    text = " ".join(checked(page).texts)
    assert "single: no SRCC, no answer can be read (refusal 12)" in text
    assert "best SRCC" not in text
    assert f"0 of {len(report.bench.work)}" in text
    assert charts.cost(report.modes, 12) is None
    assert "100.0 %" in text


def test_with_references_their_intervals_resample_references(tmp_path: Path) -> None:
    report = reported(tmp_path, "fake:noise=0.4", Design(("double",), opponents=3), n=5, references=6)
    (mode,) = report.modes
    assert mode.interval is not None
    assert (mode.interval.n, mode.interval.n_units) == (6, 6)
    assert mode.interval.low <= mode.srcc.value <= mode.interval.high
    text = " ".join(checked(pages.as_html(report)).texts)
    assert "SRCC mean over references with 95 % intervals" in text
    assert f"[{mode.interval.low:.3f}, {mode.interval.high:.3f}]" in text.replace("−", "-")


def test_few_references_have_no_interval(tmp_path: Path) -> None:
    report = reported(tmp_path, "fake:noise=0.4", Design(("double",), opponents=2), n=4, references=2)
    assert charts.interval(report.modes[0]) == (None, None)
    assert "nan" not in report.to_markdown()
    checked(pages.as_html(report))


def test_what_was_not_asked_yet_is_said(tmp_path: Path) -> None:
    bench = make(read_items(samples(tmp_path, 8)), Design(("single",)))
    head = bench.head(Asker(load("fake"), bench.items).info)
    report = Report.of(head, bench, measure(bench, {}))
    text = " ".join(checked(pages.as_html(report)).texts)
    assert "single: 8 of 8 questions were not asked yet" in text
    assert "single: no SRCC, nothing was asked yet" in text
