"""The report of a run: its content, the page and the Markdown, from a hand-made log with real pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.errors import UsageError
from mllmqa.evaluation import stats
from mllmqa.evaluation.report import charts
from mllmqa.evaluation.report.content import (
    Content,
    biases,
    content,
    curve,
    disagreements,
    fitted,
)
from mllmqa.evaluation.report.run_pages import HOW, as_html, as_markdown
from mllmqa.evaluation.runlog import Log
from mllmqa.evaluation.spec import Figures
from mllmqa.levels import nearest_level
from mllmqa.prompts import level_scale
from tests import eval_logs
from tests.pages_read import Elements, checked

FEW = Figures(resamples=50)
N = 40
EVIL = "<script>alert(1)</script>"


def run(folder: Path | None = None, n: int = N, into: Log | None = None, data: str = "set", **more: object) -> Log:
    """Three scorers: a good one, a poor one with two items unscored, and a constant."""
    rng = np.random.default_rng(0)
    mos = np.linspace(1.2, 4.8, n)
    poor: list[float | None] = (mos + 2 * rng.normal(size=n)).tolist()
    poor[3] = poor[9] = None
    scores = {"good": (mos + 0.3 * rng.normal(size=n)).tolist(), "poor": poor, "same": [3.0] * n}
    fields: dict[str, object] = {"level": [nearest_level(x, level_scale()) for x in mos.tolist()], **more}
    if folder is not None:
        fields["path"] = [str(folder / f"{i}.png") for i in range(n)]
        for i in range(n - 1):  # the last one is missing
            Image.fromarray(np.full((24, 32, 3), i * 5, np.uint8)).save(folder / f"{i}.png")
    return eval_logs.log(mos.tolist(), scores, data, into, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole() -> Content:
    return content(run(distortions=[("blur",) if i % 2 else () for i in range(N)]), FEW)


# ---------------------------------------------------------------- content


def test_rows_come_best_first_with_letters_and_all_pairs(whole: Content) -> None:
    (part,) = whole.parts
    assert [row.scorer for row in part.rows] == ["good", "poor", "same"]
    assert part.letters == {"good": "a", "poor": "b", "same": ""}
    assert {(one.a, one.b) for one in part.pairs} == {("good", "poor"), ("good", "same"), ("poor", "same")}
    assert part.key == ("set", "all")


def test_labelled_groups_are_looked_at_without_being_asked_for(whole: Content) -> None:
    groups = whole.parts[0].rows[0].groups
    assert set(groups) == {"level", "distortion"}
    assert [g.name for g in groups["distortion"]] == ["blur", "clean"]
    assert sum(g.n_items for g in groups["level"]) == N


def test_groups_that_nothing_is_labelled_with_are_left_and_asked_ones_are_kept() -> None:
    log = run(n=12, source=["x"] * 6 + ["y"] * 6, level=["fair"] * 12)
    assert set(content(log, Figures(resamples=20, by=("source",))).parts[0].rows[0].groups) == {"source"}
    with pytest.raises(UsageError):
        content(log, Figures(resamples=20, by=("lens",)))


def test_each_data_set_has_the_groups_that_it_has_labelled() -> None:
    log = run(n=12, into=run(n=12, distortions=[("blur",), ("noise",)] * 6), data="other")
    first, second = content(log, Figures(resamples=20)).parts
    assert set(first.rows[0].groups) == {"level", "distortion"}
    assert set(second.rows[0].groups) == {"level"}


def test_the_curve_of_a_row_is_the_fitted_one(whole: Content) -> None:
    (part,) = whole.parts
    one = part.columns.column("good")
    fit = stats.fit_logistic(one.values, part.columns.opinions)
    found = curve(part.rows[0])
    assert found is not None
    np.testing.assert_allclose(found(one.values), fit(one.values))
    np.testing.assert_allclose(fitted(one, part.rows[0]), fit(one.values))  # type: ignore[arg-type]
    assert curve(part.rows[2]) is None
    assert fitted(part.columns.column("same"), part.rows[2]) is None


def test_disagreements_are_the_largest_errors_on_both_sides(whole: Content) -> None:
    (part,) = whole.parts
    one, row = part.columns.column("poor"), part.rows[1]
    high, low = disagreements(part.columns, one, row, 3)
    on_scale = fitted(one, row)
    assert on_scale is not None
    gap = on_scale - part.columns.opinions
    assert [x.gap for x in high] == pytest.approx(sorted(gap[~np.isnan(gap)], reverse=True)[:3])
    assert [x.gap for x in low] == pytest.approx(sorted(gap[~np.isnan(gap)])[:3])
    assert all(x.item.id not in ("i3", "i9") for x in (*high, *low))
    assert high[0].score == pytest.approx(one.values[int(high[0].item.id[1:])])
    assert disagreements(part.columns, part.columns.column("same"), part.rows[2], 3) == ([], [])


def test_the_score_of_a_disagreement_is_the_scorer_s_own() -> None:
    mos = np.linspace(1, 5, 20)
    log = eval_logs.log(mos.tolist(), {"error": (6 - mos + 0.2 * np.sin(9 * mos)).tolist()})
    log.scorers["error"] = eval_logs.scorer("error", "lower-better")
    part = content(log, FEW).parts[0]
    high, _ = disagreements(part.columns, part.columns.column("error"), part.rows[0], 1)
    assert high[0].score == pytest.approx(-part.columns.scorers[0].values[int(high[0].item.id[1:])])
    assert high[0].score > 0


def test_biases_of_groups_have_student_s_interval() -> None:
    errors = np.array([0.1, 0.3, 0.2, 0.4, 0.5, 1.0, np.nan, 7.0])
    found = biases(errors, ["a"] * 5 + ["b", "b", "c"], ["c", "b", "a", "z"])
    assert [(one.name, one.mean, one.n) for one in found] == [
        ("c", 7.0, 1),
        ("b", 1.0, 1),
        ("a", pytest.approx(0.3), 5),
    ]
    assert (found[0].low, found[1].high) == (None, None)
    half = stats.student_half(errors[:5])
    assert (found[2].low, found[2].high) == (pytest.approx(0.3 - half), pytest.approx(0.3 + half))
    assert half == pytest.approx(2.776445 * np.std(errors[:5], ddof=1) / np.sqrt(5), rel=1e-5)


# ---------------------------------------------------------------- charts


def test_a_scorer_with_a_curve_has_three_charts_and_a_constant_one_says_why(whole: Content) -> None:
    (part,) = whole.parts
    grid = charts.scorer_charts(part.columns, part.columns.column("good"), part.rows[0])
    assert grid is not None
    assert [one.title for one in grid.charts] == ["Scores and opinions", "Residuals", "Bland–Altman"]
    assert "with its 95 % band" in grid.charts[0].caption
    assert 'class="band"' in grid.charts[0].svg
    flat = charts.scorer_charts(part.columns, part.columns.column("same"), part.rows[2])
    assert flat is not None
    assert len(flat.charts) == 1
    assert flat.charts[0].caption.startswith("No rising curve:")


def test_the_limits_of_agreement_are_those_of_the_differences() -> None:
    mos = np.linspace(1, 5, 30)
    gap = 0.5 + 0.1 * np.cos(7 * mos)
    log = eval_logs.log(mos.tolist(), {"a": np.clip(mos + gap, 1, 5.6).tolist()})
    log.scorers["a"] = eval_logs.scorer("a", scale=(1.0, 5.0))
    log.predictions[("a", "set")] = {
        name: one.model_copy(update={"value": min(5.0, one.value or 0.0)})
        for name, one in log.predictions[("a", "set")].items()
    }
    part = content(log, FEW).parts[0]
    grid = charts.scorer_charts(part.columns, part.columns.scorers[0], part.rows[0])
    assert grid is not None
    apart = part.columns.scorers[0].values - mos
    assert f"mean {apart.mean():+.2f}" in grid.charts[2].svg
    assert f"{apart.mean() + 1.96 * apart.std(ddof=1):+.2f}" in grid.charts[2].svg
    assert "of raw scores" in grid.charts[2].caption


def test_many_items_are_thinned_out_and_said_to_be(monkeypatch: pytest.MonkeyPatch, whole: Content) -> None:
    monkeypatch.setattr(charts, "MOST_DOTS", 10)
    (part,) = whole.parts
    grid = charts.scorer_charts(part.columns, part.columns.column("good"), part.rows[0])
    assert grid is not None
    assert "10 of 40 items are drawn" in grid.charts[0].caption
    assert grid.charts[0].svg.count("h0") == 10


# ---------------------------------------------------------------- pages


def test_the_page_is_self_contained_and_shows_pictures(tmp_path: Path) -> None:
    page = as_html(content(run(tmp_path), FEW), thumbnails=4)
    found = checked(page)
    pictures = [attributes for tag, attributes in found.found if tag == "img"]
    assert (
        5 <= len(pictures) <= 8
    )  # two scorers with a curve, at most two of each kind, the last picture is missing
    assert all((one["src"] or "").startswith("data:image/jpeg;base64,") for one in pictures)
    text = " ".join(found.texts)
    for words in (
        "Scores and opinions",
        "Residuals",
        "Bland–Altman",
        "Differences of SRCC",
        "Rated most too high",
        HOW,
    ):
        assert words in text
    assert "same on set: no SRCC, all 40 scores are 3" in text
    assert "2 of 40 unscored" in text
    assert "118 of 120" in text
    assert len([tag for tag, _ in found.found if tag == "details"]) == 4
    assert as_html(content(run(tmp_path), FEW), thumbnails=4) == page


def test_missing_media_are_said_and_no_medium_is_opened_without_thumbnails(tmp_path: Path) -> None:
    found = content(run(), FEW)  # paths that are not there
    text = " ".join(Elements(as_html(found)).texts)
    assert "no such file" in text
    bare = as_html(found, thumbnails=0)
    assert "Rated most too high" not in bare
    assert "no such file" not in bare


def test_names_cannot_act_on_the_page() -> None:
    log = run(n=12, id=[f"{EVIL}{i}" for i in range(12)])
    log = eval_logs.log([1.0, 2.0, 3.0, 4.0, 5.0, 2.5], {EVIL: [1, 2, 3, 4, 5, 2]}, EVIL, log)
    page = as_html(content(log, FEW))
    checked(page)
    assert EVIL not in page


def test_several_data_sets_have_a_section_each_and_a_leaderboard() -> None:
    log = run(n=12, into=run(n=12), data="other")
    found = content(log, FEW)
    titles = [part.key for part in found.parts]
    assert titles == [("set", "all"), ("other", "all")]
    text = " ".join(checked(as_html(found, 0)).texts)
    assert "SRCC over data sets" in text
    assert "3 scorers on set (12 items), other (12 items)." in text


def test_a_run_in_which_nothing_is_scored_is_still_a_report() -> None:
    log = eval_logs.log([1.0, 2.0, 3.0], {"none": [None, None, None]})
    found = content(log, FEW)
    text = " ".join(checked(as_html(found)).texts)
    assert "No item is scored." in text
    assert "no SRCC" in text
    assert "0 of 3" in text
    assert "| none |" in as_markdown(found)


def test_markdown_has_tables_comparison_bounds_and_worst_items(whole: Content) -> None:
    text = as_markdown(whole, 2)
    assert text.startswith("# Evaluation\n\n3 scorers on set (40 items).\n")
    assert "- same on set: no SRCC" in text
    for title in (
        "### set, all: 40 items", "### set, all, by level", "### Comparison", "### good on set, all: all figures",
        "### set: poor and people part most",
    ):  # fmt: skip
        assert title in text
    row = next(line for line in text.splitlines() if line.startswith("| good | ") and "[" in line)
    assert "| a |" in row
    assert text.rstrip().endswith(HOW)
