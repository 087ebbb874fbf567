"""Figures beside the spread of the ratings: where it is known, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from mllmqa.evaluation import panel as panels
from mllmqa.evaluation import stats
from mllmqa.evaluation.columns import columns
from mllmqa.evaluation.panel import Panel, spread
from mllmqa.evaluation.runlog import Log
from mllmqa.evaluation.spec import Figures
from mllmqa.evaluation.summary import summarise
from mllmqa.evaluation.tables import of_figures, of_panel, tables
from tests import eval_logs

FEW = Figures(resamples=200)


def made(n: int = 60, std: float | None = 0.8, ratings: float | None = 20, **more: object) -> Log:
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, n)
    scores = (mos + 0.5 * rng.normal(size=n)).tolist()
    opinion = {key: value for key, value in (("std", std), ("n_ratings", ratings)) if value is not None}
    return eval_logs.log(mos.tolist(), {"a": scores}, opinion=[opinion] * n, **more)  # type: ignore[arg-type]


def found(log: Log) -> Panel:
    (row,) = summarise(log, FEW).rows
    assert row.panel is not None
    return row.panel


def test_with_deviations_and_numbers_all_figures_are_those_of_the_statistics() -> None:
    log = made()
    whole = columns(log, "set")
    x, y = whole.scorers[0].values, whole.opinions
    fit = stats.fit_logistic(x, y)
    width = stats.half_width(0.8, 20, 60, student=True)
    one, roc = found(log), stats.krasula(x, y, 0.8, 20)
    assert one.width == "confidence interval"
    assert one.outliers.value == pytest.approx(stats.outlier_ratio(fit(x), y, width).value)
    hits = round((one.outliers.value or 0) * 60)
    assert (one.outliers.low, one.outliers.high) == pytest.approx(
        (stats.wilson(hits, 60).low, stats.wilson(hits, 60).high)
    )
    for number, expected in (
        (one.different_similar, roc.different_similar),
        (one.better_worse, roc.better_worse),
        (one.correct, roc.correct),
        (one.resolving_power, stats.resolving_power(fit(x), y, 0.8, 20)),
        (one.rmse_beyond, stats.rmse_beyond(fit(x), y, width, lost_parameters=4)),
    ):
        assert number is not None
        assert number.value == pytest.approx(expected.value, rel=1e-6)
        assert (number.n, number.n_unscored) == (expected.n, expected.n_unscored)
    assert one.n_drawn is None


def test_without_numbers_of_ratings_the_width_is_two_deviations() -> None:
    log = made(ratings=None)
    one, whole = found(log), columns(log, "set")
    x, y = whole.scorers[0].values, whole.opinions
    assert one.width == "two deviations"
    assert one.outliers.value == pytest.approx(stats.outlier_ratio(stats.fit_logistic(x, y)(x), y, 1.6).value)
    assert (one.correct, one.rmse_beyond, one.resolving_power) == (None, None, None)


@pytest.mark.parametrize("std", [None, 0.0])
def test_without_spread_there_is_nothing_to_stand_beside(std: float | None) -> None:
    log = made(std=std)
    assert spread(columns(log, "set")) is None
    summary = summarise(log, FEW)
    assert summary.rows[0].panel is None
    assert len(tables(summary)) == 1


def test_one_unknown_deviation_is_enough_to_leave_it() -> None:
    opinions = [{"std": 0.5, "n_ratings": 9}] * 11 + [{"n_ratings": 9}]
    mos = [1 + k / 3 for k in range(12)]
    log = eval_logs.log(mos, {"a": list(mos)}, opinion=opinions)
    assert spread(columns(log, "set")) is None


def test_an_inverted_scorer_has_no_curve_and_so_no_panel() -> None:
    rng = np.random.default_rng(1)
    mos = rng.uniform(1, 5, 40)
    log = eval_logs.log(mos.tolist(), {"a": (-mos).tolist()}, opinion=[{"std": 0.5, "n_ratings": 9}] * 40)
    assert summarise(log, FEW).rows[0].panel is None


def test_unscored_items_give_bounds() -> None:
    rng = np.random.default_rng(2)
    mos = rng.uniform(1, 5, 40)
    scores: list[float | None] = (mos + 0.4 * rng.normal(size=40)).tolist()
    scores[3] = scores[7] = None
    one = found(eval_logs.log(mos.tolist(), {"a": scores}, opinion=[{"std": 0.5, "n_ratings": 9}] * 40))
    assert (one.outliers.n, one.outliers.n_unscored) == (38, 2)
    assert one.outliers.worst is not None and one.outliers.best is not None and one.outliers.value is not None
    assert one.outliers.best <= one.outliers.value <= one.outliers.worst


def test_references_are_resampled() -> None:
    log = made(reference=[f"r{i // 6}" for i in range(60)])
    one = found(log).outliers
    assert one.low is not None and one.high is not None and one.value is not None
    assert one.low <= one.value <= one.high
    assert (one.low, one.high) != pytest.approx((found(made()).outliers.low, found(made()).outliers.high))


def test_pairs_of_many_items_are_drawn_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found(made()).correct
    monkeypatch.setattr(panels, "MOST_ITEMS", 30)
    log = made()
    one = found(log)
    assert one.n_drawn == 30
    assert one.correct is not None and whole is not None
    assert one.correct.n < 30 * 29 / 2 < whole.n
    assert found(log) == one
    assert one.outliers.n == 60  # only pairs are drawn
    shown = of_panel("set", "all", list(summarise(log, FEW).rows))
    assert shown.foot[-1] == "Pairs of 30 items that were drawn."


def test_the_table_shows_them_with_intervals() -> None:
    summary = summarise(made(), FEW)
    shown = tables(summary)[1]
    assert shown.title == "set, all: beside the spread of the ratings"
    cells = dict(zip(shown.head, shown.rows[0], strict=True))
    assert cells["outliers [95 %]"].count("[") == 1
    assert float(cells["C0"]) > 0.8
    assert "confidence interval" in shown.foot[0]
    every = {row[0]: row for row in of_figures(summary.rows[0]).rows}
    assert {"SRCC", "outliers", "RMSE*", "AUC different", "AUC better", "C0", "resolves"} <= set(every)
    assert every["SRCC"][1] == f"{summary.rows[0].srcc.value:.3f}"
