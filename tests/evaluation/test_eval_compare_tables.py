"""Comparisons item by item, and the tables that people read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import stats
from mllmqa.evaluation.compare import How, compare_runs, table
from mllmqa.evaluation.runlog import Log
from mllmqa.evaluation.spec import Figures
from mllmqa.evaluation.summary import summarise
from mllmqa.evaluation.tables import leaderboard, tables
from tests import eval_logs

FAST = How(resamples=300)


def scorers(n: int = 80, seed: int = 0) -> tuple[list[float], dict[str, list[float | None]]]:
    rng = np.random.default_rng(seed)
    mos = rng.uniform(1, 5, n)
    noises = {"good": 0.3, "fair": 1.0, "poor": 3.0}
    return mos.tolist(), {name: (mos + noise * rng.normal(size=n)).tolist() for name, noise in noises.items()}


def run(seed: int = 0, data: str = "set", into: Log | None = None, **more: list[float | None]) -> Log:
    mos, scores = scorers(seed=seed)
    return eval_logs.log(mos, {**scores, **more}, data, into)


# ---------------------------------------------------------------- comparisons


def test_all_pairs_of_a_run_with_the_statistics_own_numbers() -> None:
    mos, scores = scorers()
    pairs = compare_runs(run(), None, FAST)
    assert [(one.a, one.b) for one in pairs] == [("good", "fair"), ("good", "poor"), ("fair", "poor")]
    expected = stats.compare(scores["good"], scores["fair"], mos, resamples=300)  # type: ignore[arg-type]
    first = pairs[0]
    assert (first.value_a, first.value_b, first.between) == pytest.approx((expected.a, expected.b, expected.ab))
    assert (first.difference, first.low, first.high) == pytest.approx(
        (expected.difference.point, expected.difference.low, expected.difference.high)
    )
    assert [one.name for one in first.tests] == [
        "rank jackknife", "Williams", "Meng-Rosenthal-Rubin", "Steiger", "bootstrap",
    ]  # fmt: skip
    assert first.tests[0].p_value == pytest.approx(expected.tests[0].p_value)
    adjusted = stats.holm([one.tests[0].p_value or 0 for one in pairs])
    assert [one.p_holm for one in pairs] == pytest.approx(adjusted)


def test_two_runs_pair_the_same_names_else_all() -> None:
    first, second = run(), run()
    second.scorers.pop("poor")
    second.predictions.pop(("poor", "set"))
    assert [(one.a, one.b) for one in compare_runs(first, second, FAST)] == [("good", "good"), ("fair", "fair")]
    same = compare_runs(first, second, FAST)[0]
    assert (same.difference, same.tests[0].p_value, same.tests[0].reason) == (0, None, "the models agree perfectly")
    mos, scores = scorers()
    other = eval_logs.log(mos, {"new": scores["fair"]})
    assert [(one.a, one.b) for one in compare_runs(first, other, FAST)] == [
        ("good", "new"), ("fair", "new"), ("poor", "new"),
    ]  # fmt: skip
    chosen = compare_runs(first, other, FAST, a="good", b="new")
    assert [(one.a, one.b) for one in chosen] == [("good", "new")]
    assert [(one.a, one.b) for one in compare_runs(first, None, FAST, a="fair")] == [
        ("fair", "good"),
        ("fair", "poor"),
    ]


def test_only_common_scored_items_are_compared_and_the_rest_counted() -> None:
    mos, scores = scorers()
    a, b = list(scores["good"]), list(scores["fair"])
    a[0] = a[1] = b[1] = b[2] = None
    first, second = eval_logs.log(mos, {"x": a}), eval_logs.log(mos[:70], {"y": b[:70]})
    (found,) = compare_runs(first, second, FAST)
    assert (found.n, found.n_only_a, found.n_only_b, found.n_neither) == (67, 1, 1, 1)
    assert (found.n_missing_a, found.n_missing_b) == (0, 10)
    assert found.value_a == pytest.approx(stats.srcc(scores["good"][3:70], mos[3:70]))  # type: ignore[arg-type]
    assert table([found]).rows[0][-2:] == ("67", "13")


def test_the_order_of_items_in_a_log_does_not_matter() -> None:
    mos, scores = scorers()
    first = eval_logs.log(mos, {"good": scores["good"]})
    turned = eval_logs.log(mos, {"good": scores["good"]})
    turned.items["set"] = dict(reversed(turned.items["set"].items()))
    (found,) = compare_runs(first, turned, FAST)
    assert (found.difference, found.between) == (0, pytest.approx(1))


def test_other_opinions_of_one_item_are_an_error() -> None:
    mos, scores = scorers()
    other = eval_logs.log([mos[0] / 2 + 0.5, *mos[1:]], scores)
    with pytest.raises(
        DataError, match=r"i0 has the opinion .* in one run and .* in the other; expected runs on the same"
    ):
        compare_runs(run(), other, FAST)


def test_references_are_resampled_and_then_the_bootstrap_decides() -> None:
    mos, scores = scorers()
    log = eval_logs.log(mos, scores, reference=[f"r{i // 8}" for i in range(80)])
    found = compare_runs(log, None, FAST)[0]
    assert found.resampled == "references"
    assert found.decisive == next(one.p_value for one in found.tests if one.name == "bootstrap")
    assert "paired bootstrap by reference" in table([found]).foot[0]


def test_the_items_on_which_two_part_most() -> None:
    mos = [float(1 + k / 5) for k in range(20)]
    other = list(mos)
    other[3], other[18] = other[18], other[3]
    found = compare_runs(eval_logs.log(mos, {"a": mos, "b": other}), None, FAST)[0]
    assert [one.item for one in found.moved[:2]] == ["i3", "i18"]
    assert (found.moved[0].place_a, found.moved[0].place_b) == pytest.approx((3 / 19, 18 / 19))


def test_constant_and_unscored_sides_have_no_outcome() -> None:
    log = run(same=[1.0] * 80, none=[None] * 80)
    found = {(one.a, one.b): one for one in compare_runs(log, None, FAST)}
    assert found["good", "same"].difference is None
    assert found["good", "same"].p_holm is None
    assert found["good", "none"].n == 0
    assert found["good", "fair"].p_holm is not None
    json.loads(found["good", "none"].model_dump_json())


def test_plcc_can_be_compared_too() -> None:
    mos, scores = scorers()
    found = compare_runs(run(), None, How("plcc", 300))[0]
    assert found.value_a == pytest.approx(stats.plcc(scores["good"], mos))  # type: ignore[arg-type]
    assert table([found]).head[2] == "PLCC a"


@pytest.mark.parametrize(
    ("second", "a", "words"),
    [(eval_logs.log([1.0, 2.0], {"x": [1, 2]}, "other"), None, "share no data set: set and other"),
     (None, "z", "no scorer 'z'; expected good | fair | poor")],
)  # fmt: skip
def test_nothing_to_compare(second: Log | None, a: str | None, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        compare_runs(run(), second, FAST, a=a)
    assert words in str(caught.value)
    with pytest.raises(UsageError, match="no two scorers to compare"):
        compare_runs(eval_logs.log([1.0, 2.0], {"x": [1, 2]}), None, FAST)


# ---------------------------------------------------------------- tables


def test_the_table_of_a_data_set_is_ordered_by_srcc_and_tells_the_unscored() -> None:
    mos, scores = scorers()
    part: list[float | None] = [*scores["good"][:60], *[None] * 20]
    found = summarise(eval_logs.log(mos, {"part": part, "same": [1.0] * 80, **scores}), Figures(resamples=100))
    (shown,) = tables(found)
    assert [row[0] for row in shown.rows][-2:] == ["poor", "same"]
    cells = {row[0]: dict(zip(shown.head, row, strict=True)) for row in shown.rows}
    assert cells["same"]["SRCC [95 %]"] == "–"
    assert cells["part"]["n"] == "60"
    srcc = next(one.srcc for one in found.rows if one.scorer == "part")
    assert cells["part"]["unscored"] == f"20 ({srcc.worst:.3f} … {srcc.best:.3f})"
    assert cells["good"]["unscored"] == "0"
    assert shown.title == "set, all: 80 items"


def test_groups_have_a_table_of_their_own() -> None:
    mos, scores = scorers()
    log = eval_logs.log(mos, {"good": scores["good"]}, source=["x"] * 40 + ["y"] * 40)
    shown = tables(summarise(log, Figures(by=("source",), resamples=100)))[1]
    assert (shown.title, shown.head[1]) == ("set, all, by source", "source")
    assert [row[:2] for row in shown.rows] == [("good", "x"), ("good", "y")]


def test_the_leaderboard_puts_scorers_that_lack_a_data_set_last() -> None:
    log = run()
    run(seed=1, data="other", into=log)
    log.scorers |= {name: eval_logs.scorer(name) for name in ("lucky", "same")}
    for one in log.items["set"].values():
        log.add(eval_logs.prediction("lucky", one, one.opinion.mos))
        log.add(eval_logs.prediction("same", one, 1.0))
    found = summarise(log, Figures(resamples=100))
    board = leaderboard(found)
    assert board.head == ("scorer", "set", "other", "mean", "sets")
    assert [row[0] for row in board.rows] == ["good", "fair", "poor", "lucky", "same"]
    lucky = dict(zip(board.head, board.rows[3], strict=True))
    assert (lucky["other"], lucky["mean"], lucky["sets"]) == ("–", "1.000", "1 of 2")
    assert board.rows[4][3] == "–"
    assert tables(found)[-1].title == board.title


def test_forms_of_a_table() -> None:
    mos, scores = scorers()
    (shown,) = tables(summarise(eval_logs.log(mos, {"a | b": scores["good"]}), Figures(resamples=50)))
    lines = shown.markdown().splitlines()
    assert lines[0] == "### set, all: 80 items"
    assert lines[2].startswith("| scorer | SRCC [95 %] |")
    assert lines[3].count("---") == len(shown.head)
    assert "a \\| b" in lines[4]
    text = shown.text().splitlines()
    assert text[1].startswith("scorer  ")
    assert text[2].startswith("a | b  ")
