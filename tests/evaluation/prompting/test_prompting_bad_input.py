"""Answers and opinions as they should not be, through the whole way from the log to the report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mllmqa.errors import DataError
from mllmqa.evaluation.prompting.bench import Bench, Design, make
from mllmqa.evaluation.prompting.items import read_items
from mllmqa.evaluation.prompting.log import Head, Line
from mllmqa.evaluation.prompting.measure import ModeReport, contrasts, measure
from mllmqa.evaluation.prompting.report import Report
from mllmqa.evaluation.prompting.trials import Trial
from tests.evaluation.prompting.synthetic import samples

Say = Callable[[Bench, Trial], str | None]
"""What the model says to a question; None: nothing came back."""


def planned(folder: Path, modes: tuple[str, ...] = ("single",), n: int = 12) -> Bench:
    return make(read_items(samples(folder, n)), Design(modes, opponents=2))


def said(bench: Bench, say: Say, *, truncated: bool = False) -> dict[str, Line]:
    lines = {}
    for _, trial in bench.work:
        text = say(bench, trial)
        failure = "transport" if text is None else None
        lines[trial.id] = Line(trial=trial.id, text=text, failure=failure, truncated=truncated)
    return lines


def honest(bench: Bench, trial: Trial) -> str:
    return f"Score: {100 * bench.items.rated[trial.shown[0]].opinion:.1f}"


def whole(bench: Bench, lines: dict[str, Line]) -> Report:
    head = Head(spec="x", model="m", questions=len(bench.work))
    return Report.of(head, bench, measure(bench, lines, resamples=200))


def only(bench: Bench, lines: dict[str, Line]) -> ModeReport:
    (found,) = measure(bench, lines, resamples=200)
    return found


@pytest.mark.parametrize(
    ("text", "kind", "truncated"),
    [
        ("Die Qualität ist gut und das Bild ist scharf.", "language", False),
        ("この画像の品質は良いです。", "language", False),
        ("Score: seventy-five", "format", False),
        ("", "format", False),
        ("Score: 140", "range", False),
        ("Score: -5", "range", False),
        ("Score: 8/10", "format", False),
        ("Description: there is some", "truncated", True),
        ("Score: 7", "truncated", True),
        ("I'm sorry, but I can't help with that.", "refusal", False),
        (None, "transport", False),
    ],
)
def test_a_mode_without_one_readable_answer_has_no_srcc_and_says_of_which_kind(
    tmp_path: Path, text: str | None, kind: str, truncated: bool
) -> None:
    bench = planned(tmp_path)
    found = whole(bench, said(bench, lambda _, __: text, truncated=truncated))
    (mode,) = found.modes
    assert mode.failures[kind].value == 1  # type: ignore[index]
    assert sum(share.k for share in mode.failures.values()) == mode.asked == 12
    assert math.isnan(mode.srcc.value)
    assert mode.interval is None
    assert f"none: no answer can be read ({kind} 12)" in found.to_markdown()
    assert f"no SRCC, no answer can be read ({kind} 12)" in found.to_html()
    assert json.loads(found.to_json())["modes"][0]["srcc"]["value"] is None


def test_constant_answers_have_no_srcc_and_the_constant_is_named(tmp_path: Path) -> None:
    bench = planned(tmp_path)
    found = whole(bench, said(bench, lambda _, __: "Score: 50"))
    (mode,) = found.modes
    assert mode.srcc.reason == "all 12 scores are 50"
    assert mode.answered == 12
    assert mode.numbers is not None
    assert (mode.numbers.distinct, mode.numbers.top_three.value) == (1, 1)
    assert "none: all 12 scores are 50" in found.to_markdown()


def test_a_model_that_scores_the_wrong_way_round_is_not_turned(tmp_path: Path) -> None:
    bench = planned(tmp_path)
    mode = only(bench, said(bench, lambda b, t: f"Score: {100 - 100 * b.items.rated[t.shown[0]].opinion:.1f}"))
    assert mode.srcc.value == pytest.approx(-1)
    assert mode.overall is not None
    assert mode.overall.direction == "inverted"
    assert mode.interval is not None
    assert mode.interval.high < 0


@pytest.mark.parametrize(("n", "reason"), [(2, "2 scored items are too few, 3 are needed"), (4, None)])
def test_few_pictures_have_no_interval_and_fewer_no_figure(tmp_path: Path, n: int, reason: str | None) -> None:
    bench = planned(tmp_path, n=n)
    mode = only(bench, said(bench, honest))
    assert mode.srcc.reason == reason
    assert mode.interval is None or math.isnan(mode.interval.low)
    if reason is None:
        assert mode.srcc.value == pytest.approx(1)


def test_modes_that_lost_different_pictures_are_compared_on_what_both_have(tmp_path: Path) -> None:
    bench = planned(tmp_path, ("single", "single-cot"), n=16)
    noise = np.random.default_rng(0).normal(0, 12, (2, 16))

    def say(_: Bench, trial: Trial) -> str:
        place, cot = trial.shown[0], trial.mode == "single-cot"
        if (place < 4) if cot else (place >= 13):
            return "I'm sorry, I can't rate this."
        value = 100 * bench.items.rated[place].opinion + noise[int(cot), place]
        return f"Score: {min(100, max(0, value)):.1f}"

    found = measure(bench, said(bench, say), resamples=200)
    assert [(mode.srcc.n, mode.srcc.n_unscored) for mode in found] == [(13, 3), (12, 4)]
    both = slice(4, 13)
    (test,) = contrasts(bench, found)
    scores = [mode.scores.values[both] for mode in found]
    ranks = [np.argsort(np.argsort(one)) for one in (*scores, bench.items.opinions[both])]
    expected = np.corrcoef(ranks[0], ranks[2])[0, 1] - np.corrcoef(ranks[1], ranks[2])[0, 1]
    assert test.difference == pytest.approx(expected)
    assert all(mode.srcc.worst < mode.srcc.value < mode.srcc.best for mode in found)


def test_modes_that_share_no_picture_have_no_test_and_say_why(tmp_path: Path) -> None:
    bench = planned(tmp_path, ("single", "single-cot"))

    def say(_: Bench, trial: Trial) -> str:
        return honest(bench, trial) if (trial.shown[0] < 6) == (trial.mode == "single") else "no"

    found = whole(bench, said(bench, say))
    (test,) = found.contrasts
    assert math.isnan(test.p_value)
    assert test.reason == "a correlation is missing"
    assert set(found.letters.values()) == {"a"}  # not told apart


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"high"'])
def test_an_opinion_that_is_no_number_is_an_error_with_its_line(tmp_path: Path, value: str) -> None:
    path = samples(tmp_path, 4)
    lines = path.read_text(encoding="utf-8").splitlines()
    record = json.loads(lines[2])
    record["labels"]["mos"][0]["value"] = "HERE"
    lines[2] = json.dumps(record).replace('"HERE"', value)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 3|:3"):
        read_items(path)


def test_an_opinion_off_its_own_scale_is_an_error(tmp_path: Path) -> None:
    path = samples(tmp_path, 4)
    record = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    record["labels"]["mos"][0]["value"] = 9.0
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    with pytest.raises(DataError):
        read_items(path)
