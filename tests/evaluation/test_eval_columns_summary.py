"""Figures of a log: directions, the unscored with bounds, too few items, groups, references, near-duplicates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats
from mllmqa.evaluation.columns import columns, groups, parts
from mllmqa.evaluation.runlog import Header, Log
from mllmqa.evaluation.spec import Figures
from mllmqa.evaluation.summary import Row, Summary, summarise
from tests import eval_logs

FEW = Figures(resamples=200)


def noisy(n: int, noise: float = 0.5, seed: int = 0) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    mos = rng.uniform(1, 5, n)
    return mos.tolist(), (mos + noise * rng.normal(size=n)).tolist()


def row(found: Summary, scorer: str, subset: str = "all", data: str = "set") -> Row:
    return next(one for one in found.rows if (one.scorer, one.subset, one.data) == (scorer, subset, data))


def test_figures_are_those_of_the_statistics() -> None:
    mos, scores = noisy(60)
    found = row(summarise(eval_logs.log(mos, {"a": scores}), FEW), "a")
    boot = stats.bootstrap(scores, mos, resamples=200)
    assert found.srcc.value == pytest.approx(stats.srcc(scores, mos))
    assert (found.srcc.low, found.srcc.high) == pytest.approx((boot.srcc[0].low, boot.srcc[0].high))
    assert found.plcc.value == pytest.approx(stats.plcc(scores, mos))
    assert found.krcc.value == pytest.approx(stats.krcc(scores, mos))
    fit = stats.mapped(scores, mos)
    assert found.plcc_mapped.value == pytest.approx(fit.plcc.value)
    assert found.rmse_mapped.value == pytest.approx(fit.rmse.value)
    assert found.pair_accuracy.value == pytest.approx(stats.pair_accuracy(scores, mos).all.accuracy.value)
    assert (found.n_items, found.n_scored, found.n_unscored, found.direction) == (60, 60, 0, "agrees")
    assert found.resampled == "items"
    assert found.rmse is None  # the scorer does not say that it is on 1..5


@pytest.mark.parametrize("ties", [False, True])
def test_every_interval_holds_its_figure_also_with_ties(ties: bool) -> None:
    mos, scores = noisy(40, seed=3)
    if ties:
        mos, scores = [float(round(m)) for m in mos], [float(round(s)) for s in scores]
    found = row(summarise(eval_logs.log(mos, {"a": scores}), Figures(resamples=500)), "a")
    for one in (found.srcc, found.krcc, found.plcc, found.plcc_mapped, found.rmse_mapped, found.pair_accuracy):
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        assert one.low <= one.value <= one.high


def test_pair_accuracy_is_resampled_as_defined() -> None:
    """The interval comes from tau-b; here it is made of the definition."""
    mos, scores = ([float(round(one * 2)) for one in side] for side in noisy(25, seed=5))
    found = row(summarise(eval_logs.log(mos, {"a": scores}), Figures(resamples=300)), "a")
    x, y = np.array(scores), np.array(mos)

    def accuracy(drawn: np.ndarray) -> float:
        return stats.pair_accuracy(x[drawn], y[drawn]).all.accuracy.value

    expected = stats.bootstrap_statistic(accuracy, 25, resamples=30)
    assert (found.pair_accuracy.low, found.pair_accuracy.high) == pytest.approx((expected.low, expected.high))


def test_unscored_items_are_counted_with_bounds_and_reasons() -> None:
    mos, scores = noisy(30)
    lost: list[float | None] = [*scores[:25], *[None] * 5]
    found = summarise(eval_logs.log(mos, {"a": lost}), FEW)
    one = row(found, "a")
    assert (one.n_items, one.n_scored, one.n_unscored, one.reasons) == (30, 25, 5, {"corrupt": 5})
    assert one.srcc.value == pytest.approx(stats.srcc(scores[:25], mos[:25]))
    worst, best = stats.srcc_bounds([*scores[:25], *[math.nan] * 5], mos)
    assert (one.srcc.worst, one.srcc.best) == pytest.approx((worst, best))
    assert "a on set: 5 of 30 unscored (5 corrupt)" in found.notes


def test_what_a_killed_run_did_not_reach_is_unscored() -> None:
    mos, scores = noisy(10)
    log = eval_logs.log(mos, {"a": scores})
    del log.predictions["a", "set"]["i3"]
    assert row(summarise(log, FEW), "a").reasons == {"not-run": 1}


def test_an_inverted_scorer_is_flagged_and_not_turned() -> None:
    mos, scores = noisy(40)
    log = eval_logs.log(mos, {"falls": [-s for s in scores], "declared": [-s for s in scores], "rises": scores})
    log.add(eval_logs.scorer("declared", "lower-better"))
    found = summarise(log, FEW)
    assert row(found, "falls").direction == "inverted"
    assert row(found, "falls").srcc.value == pytest.approx(-row(found, "rises").srcc.value)  # type: ignore[operator]
    assert row(found, "declared").srcc == row(found, "rises").srcc
    assert row(found, "falls").plcc_mapped.value is None
    assert [note for note in found.notes if "inverted" in note] == [
        "falls on set: inverted, SRCC is negative; if lower is better there, state it, it is not turned"
    ]


def test_constant_and_wholly_unscored_scorers_have_no_srcc_and_say_so() -> None:
    mos, scores = noisy(12)
    found = summarise(eval_logs.log(mos, {"same": [3.0] * 12, "none": [None] * 12, "a": scores}), FEW)
    assert row(found, "same").srcc.value is None
    assert row(found, "same").srcc.reason == "all 12 scores are 3"
    nothing = row(found, "none")
    assert (nothing.srcc.value, nothing.srcc.worst, nothing.srcc.best) == (None, -1, 1)
    assert nothing.krcc.value is nothing.plcc.value is nothing.pair_accuracy.value is None
    assert [note for note in found.notes if not note.startswith("a on")] == [
        "same on set: no SRCC, all 12 scores are 3",
        "none on set: no SRCC, 0 scored items are too few, 3 are needed",
        f"none on set: 12 of 12 unscored (12 {next(iter(nothing.reasons))})",
    ]
    assert Summary.model_validate_json(found.model_dump_json()) == found  # no NaN gets into JSON


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_items(n: int) -> None:
    mos = [1.0, 2.0, 4.0, 5.0][:n]
    one = row(summarise(eval_logs.log(mos, {"a": mos}), FEW), "a")
    assert (one.srcc.value is None) == (n < 3)
    assert (one.srcc.low, one.srcc.high) == (None, None)  # five are needed for an interval
    assert one.direction == "unclear"
    assert one.plcc_mapped.value is None


def test_many_equal_scores_are_told() -> None:
    mos, scores = noisy(50)
    found = summarise(eval_logs.log(mos, {"a": [float(round(s)) for s in scores]}), FEW)
    assert any("of the pairs have equal scores" in note for note in found.notes)


def test_groups_and_what_is_left_without_each() -> None:
    mos, scores = noisy(40)
    source = ["x"] * 25 + ["y"] * 15
    one = row(
        summarise(eval_logs.log(mos, {"a": scores}, source=source), Figures(by=("source",), resamples=200)), "a"
    )
    x, y = one.groups["source"]
    assert (x.name, x.n_items, y.name, y.n_items) == ("x", 25, "y", 15)
    assert x.inside.value == pytest.approx(stats.srcc(scores[:25], mos[:25]))
    assert x.without.value == pytest.approx(stats.srcc(scores[25:], mos[25:]))
    assert x.without.value == y.inside.value


def test_levels_stand_in_their_order_and_other_groups_by_name() -> None:
    log = eval_logs.log(
        [1.0, 2.0, 4.0, 5.0], {"a": [1, 2, 3, 4]}, level=["bad", "poor", "good", "excellent"],
        severity=[None, 2.0, 1.5, 2.0], distortions=[None, (), ("blur",), ("blur", "noise")],
        extra=[{"cam": "k"}] * 4,
    )  # fmt: skip
    one = row(summarise(log, Figures(by=("level", "cam"), resamples=50)), "a")
    assert [group.name for group in one.groups["level"]] == ["bad", "poor", "good", "excellent"]
    whole = columns(log, "set")
    assert groups(whole, "severity") == ["unknown", "2", "1.5", "2"]
    assert groups(whole, "distortion") == ["unknown", "clean", "blur", "blur + noise"]
    assert groups(whole, "cam") == ["k"] * 4
    assert groups(whole, "folder") == ["set"] * 4
    with pytest.raises(UsageError, match=r"no item of set has a lens; expected source.*cam"):
        groups(whole, "lens")


def test_references_are_resampled_where_all_are_known_and_enough() -> None:
    mos, scores = noisy(30)
    references = [f"r{i // 5}" for i in range(30)]
    one = row(summarise(eval_logs.log(mos, {"a": scores}, reference=references), FEW), "a")
    assert one.resampled == "references"
    boot = stats.bootstrap(scores, mos, groups=references, resamples=200)
    assert (one.srcc.low, one.srcc.high) == pytest.approx((boot.srcc[0].low, boot.srcc[0].high))
    for other in ([None, *references[1:]], ["r0"] * 30, [f"r{i}" for i in range(30)]):
        assert columns(eval_logs.log(mos, {"a": scores}, reference=other), "set").references is None


def test_figures_with_and_without_near_duplicates_of_training() -> None:
    mos, scores = noisy(20)
    log = eval_logs.log(mos, {"a": scores}, duplicate_bits=[3] * 4 + [10, 11] + [30] * 13 + [None])
    log.add(eval_logs.record(list(log.items["set"].values()), duplicates_within=10))
    found = summarise(log, FEW)
    assert found.data[0].n_near_duplicates == 5
    rest = row(found, "a", "without near-duplicates (<= 10 bits)")
    assert rest.n_items == 15
    assert rest.srcc.value == pytest.approx(stats.srcc(scores[5:], mos[5:]))
    log.add(eval_logs.record(list(log.items["set"].values()), duplicates_within=64))
    assert len(parts(columns(log, "set"))) == 2  # the item that could not be hashed is left


def test_predicted_distributions_are_checked_where_the_scorer_is_on_the_scale() -> None:
    mos, scores = noisy(30, noise=0.3)
    scores = [min(5.0, max(1.0, one)) for one in scores]
    log = eval_logs.log(mos, {})
    log.add(eval_logs.scorer("m", kind="model", scale=(1.0, 5.0)))
    for i, (one, value) in enumerate(zip(log.items["set"].values(), scores, strict=True)):
        log.add(eval_logs.prediction("m", one, value, std=None if i == 7 else 0.4))
    found = row(summarise(log, FEW), "m")
    assert found.rmse is not None
    assert found.rmse.value == pytest.approx(stats.rmse(scores, mos))
    assert [one.level for one in found.coverage] == [0.5, 0.8, 0.9, 0.95]
    assert (found.coverage[0].share.n, found.coverage[0].share.n_unscored) == (29, 1)
    assert found.crps is not None
    assert found.crps.n == 29


def test_the_noise_ceiling_needs_deviations_and_numbers_of_ratings() -> None:
    mos, scores = noisy(40)
    known = {"opinion": [{"std": 0.8, "n_ratings": 20}] * 40}
    with_it = summarise(eval_logs.log(mos, {"a": scores}, **known), FEW).data[0]
    assert with_it.ceiling_srcc is not None
    assert 0.95 < with_it.ceiling_srcc < 1
    assert summarise(eval_logs.log(mos, {"a": scores}), FEW).data[0].ceiling_srcc is None


def test_combinations_are_rows_or_a_note_why_not() -> None:
    mos, scores = noisy(60)
    log = eval_logs.log(mos, {"a": scores, "b": noisy(60, seed=1)[1], "same": [1.0] * 60})
    found = summarise(log, Figures(combine=("rank-average", "ridge"), resamples=100))
    assert [one.scorer for one in found.rows] == ["a", "b", "same", "rank-average", "ridge"]
    assert row(found, "ridge").kind == "combination"
    few = summarise(
        eval_logs.log(mos[:6], {"a": scores[:6], "b": mos[:6]}), Figures(combine=("ridge",), resamples=50)
    )
    assert [note for note in few.notes if note.startswith("no ridge on set: 6 items")]


def test_dmos_is_turned_by_what_the_data_say() -> None:
    log = eval_logs.log([1.0, 2.0, 3.0, 5.0], {"a": [5.0, 4.0, 3.0, 1.0]})
    for one in list(log.items["set"].values()):
        log.add(one.model_copy(update={"opinion": one.opinion.model_copy(update={"direction": "dmos"})}))
    assert columns(log, "set").opinions.tolist() == [5, 4, 3, 1]
    assert row(summarise(log, FEW), "a").srcc.value == pytest.approx(1)


def test_a_log_without_a_complete_data_set_has_no_figures() -> None:
    log = Log(Header())
    log.add(eval_logs.item(0))
    with pytest.raises(DataError, match="no data set of the log is complete"):
        summarise(log)
    with pytest.raises(DataError, match="has no data set 'set'"):
        columns(log, "set")
