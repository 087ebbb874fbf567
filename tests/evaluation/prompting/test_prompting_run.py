"""Whole runs with the synthetic observer: every figure recovers the truth, and a refusal of all is no figure."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mllmqa.errors import ApiAuthError, UsageError
from mllmqa.evaluation.prompting.asking import Asker
from mllmqa.evaluation.prompting.bench import MODES, NINE, Bench, Design, make, parse_modes
from mllmqa.evaluation.prompting.estimate import estimate, patch_tokens, table, tile_tokens
from mllmqa.evaluation.prompting.items import read_items
from mllmqa.evaluation.prompting.log import AnswerLog, Line
from mllmqa.evaluation.prompting.measure import ModeReport, measure, outcomes
from mllmqa.evaluation.prompting.report import Report
from mllmqa.evaluation.prompting.runner import Limits, run
from mllmqa.loading import load
from mllmqa.models.api.options import Budget, Price
from tests.evaluation.prompting.synthetic import samples


def made(folder: Path, design: Design, n: int = 40, references: int = 0) -> Bench:
    path = folder / "samples.jsonl"
    return make(read_items(path if path.exists() else samples(folder, n, references)), design)


def ran(bench: Bench, model: str, folder: Path, limits: Limits | None = None) -> tuple[AnswerLog, str | None]:
    asker = Asker(load(model), bench.items)
    with AnswerLog(folder / "answers.jsonl", bench.head(asker.info)) as log:
        return log, run(bench.work, asker, log, limits or Limits(), lambda done, total: None)


def report(bench: Bench, log: AnswerLog, model: str, price: Price | None = None) -> Report:
    head = bench.head(Asker(load(model), bench.items).info)
    return Report.of(head, bench, measure(bench, log.lines, price))


def by_mode(found: Report) -> dict[str, ModeReport]:
    return {mode.mode: mode for mode in found.modes}


def test_the_nine_modes_recover_quality_bias_and_failure_rates(tmp_path: Path) -> None:
    bench = made(tmp_path, Design(opponents=8, groups=3))
    model = "fake:noise=0.7071,bias=0.6,refuse=0.06,garble=0.04,round=5"  # a difference has a deviation of 1
    log, stopped = ran(bench, model, tmp_path)
    assert stopped is None
    assert len(log.lines) == len(bench.work) == 3 * (36 + 288 + 108)
    found = by_mode(report(bench, log, model))
    assert list(found) == list(NINE)
    for mode in found.values():
        assert mode.srcc.value > (0.7 if "single" in mode.mode else 0.85)
        assert mode.interval is not None
        assert mode.interval.low < mode.srcc.value < mode.interval.high
        assert mode.srcc.n + mode.srcc.n_unscored == 36
    doubles = [found[name] for name in NINE if name.startswith("double")]
    truth = 4 * (bench.items.opinions - bench.items.opinions.mean())
    for mode in doubles:
        assert abs(mode.scores.order - 0.6) < 3 * mode.scores.order_error
        assert mode.places is not None
        assert mode.places.first.interval.low > 0.5
        inside = np.abs(mode.scores.values - truth) < 1.96 * mode.scores.errors
        assert inside.mean() > 0.8
    refused = [sum(mode.failures["refusal"].k for mode in found.values()), sum(m.asked for m in found.values())]
    garbled = sum(mode.failures["format"].k for mode in found.values())
    assert abs(refused[0] / refused[1] - 0.06) < 4 * math.sqrt(0.06 * 0.94 / refused[1])
    assert abs(garbled / refused[1] - 0.04) < 4 * math.sqrt(0.04 * 0.96 / refused[1])
    assert all(found["single"].failures[kind].k == 0 for kind in ("range", "language", "transport"))
    assert found["single"].numbers is not None
    assert found["single"].numbers.fives.value == 1


def test_further_modes_repeats_and_no_bias(tmp_path: Path) -> None:
    bench = made(tmp_path, Design(("single", "double", "levels", "anchored", "2afc"), repeats=2), n=30)
    log, _ = ran(bench, "fake:noise=0.5", tmp_path)
    found = by_mode(report(bench, log, "fake:noise=0.5"))
    assert all(mode.srcc.value > 0.8 for name, mode in found.items() if name != "2afc")
    assert found["2afc"].srcc.value > 0.5
    assert abs(found["double"].scores.order) < 3 * found["double"].scores.order_error
    retest = found["single"].retest
    assert retest is not None
    assert 0.6 < retest.icc_agreement.value < 1
    assert retest.changed.value > 0.5
    assert found["levels"].retest is None


def test_with_references_the_headline_is_the_mean_over_them(tmp_path: Path) -> None:
    bench = made(tmp_path, Design(("single", "double", "multiple-ic")), n=8, references=5)
    assert len(bench.items.rated) == 32
    log, _ = ran(bench, "fake:noise=0.4", tmp_path)
    found = report(bench, log, "fake:noise=0.4")
    for mode in found.modes:
        assert mode.overall is None
        assert mode.references is not None
        assert mode.references.n_groups == 4
        assert mode.srcc.value > 0.7
    assert found.contrasts[0].test == "Wilcoxon"
    assert "mean over references" in found.to_markdown()


def test_a_model_that_refuses_all_has_no_srcc_and_the_report_says_so(tmp_path: Path) -> None:
    bench = made(tmp_path, Design(), n=20)
    log, _ = ran(bench, "fake:refuse=1", tmp_path)
    found = report(bench, log, "fake:refuse=1")
    for mode in found.modes:
        assert math.isnan(mode.srcc.value)
        assert mode.srcc.reason is not None
        assert mode.failures["refusal"].value == 1
    assert found.to_markdown().count("none: no answer can be read (refusal ") == 9
    assert json.loads(found.to_json())["modes"][0]["srcc"]["value"] is None
    assert set(found.letters.values()) == {""}


def test_the_published_protocol_runs_and_keeps_its_own_figures(tmp_path: Path) -> None:
    bench = made(tmp_path, Design(compat="wu2024"), n=24)
    log, _ = ran(bench, "fake:noise=0.4,beyond=0.1", tmp_path)
    found = report(bench, log, "fake:noise=0.4,beyond=0.1")
    assert by_mode(found)["single"].failures["range"].k == 0  # 140 is accepted there
    published = json.loads(found.to_json())["published"]
    assert published["double"]["srcc"] > 0.7
    assert published["double"]["n"] == 20
    assert [len(bench.of(mode)) for mode in ("single", "double", "multiple")] == [20, 100, 40]


def test_a_log_is_read_anew_without_the_model(tmp_path: Path) -> None:
    bench = made(tmp_path, Design(("single",)), n=8)
    trial = bench.of("single")[0]
    lines = {trial.id: Line(trial=trial.id, failure="format", text="Score: 60", said="an older reader")}
    (first,) = outcomes(bench.strategies[0], [trial], lines)
    assert first[1].values == (60.0,)  # type: ignore[union-attr]


def test_a_budget_stops_a_model_on_this_machine_and_the_same_command_goes_on(tmp_path: Path) -> None:
    bench = made(tmp_path, Design(("single",)), n=12)
    log, stopped = ran(bench, "fake", tmp_path, Limits(budget=Budget(requests=5)))
    assert "the budget is spent" in (stopped or "")
    assert len(log.lines) == 5
    log, stopped = ran(bench, "fake", tmp_path, Limits(budget=Budget(tokens=1000), price=None))
    assert "budget" in (stopped or "")
    log, stopped = ran(bench, "fake", tmp_path)
    assert stopped is None
    assert len(log.lines) == 12
    (tmp_path / "whole").mkdir()
    whole, _ = ran(bench, "fake", tmp_path / "whole")
    assert report(bench, whole, "fake").to_json() == report(bench, log, "fake").to_json()


def test_unreadable_pictures_are_named_and_not_asked_about(tmp_path: Path) -> None:
    path = samples(tmp_path, 8)
    (tmp_path / "p3.png").write_bytes(b"no picture")
    (tmp_path / "p5.png").unlink()
    bench = make(read_items(path), Design(("single",)))
    assert [name for name, _ in bench.unreadable] == ["p3", "p5"]
    assert len(bench.work) == 6
    log, _ = ran(bench, "fake", tmp_path)
    assert "2 pictures cannot be read" in report(bench, log, "fake").to_markdown()


def test_estimates_before_and_after_answers(tmp_path: Path) -> None:
    bench = made(tmp_path, Design(("single", "double-ic", "single-cot")), n=12)
    before = {one.mode: one for one in estimate(bench, {}, Price(2, 10), 4)}
    assert before["single"].images == 8
    assert before["double-ic"].images == 4 * before["double-ic"].requests
    assert before["single-cot"].tokens_out > before["single"].tokens_out
    assert not before["single"].measured
    log, _ = ran(bench, "fake", tmp_path, Limits(budget=Budget(requests=4)))
    after = {one.mode: one for one in estimate(bench, log.lines, Price(2, 10))}
    assert (after["single"].left, after["single"].measured) == (4, True)
    assert table(list(after.values())).splitlines()[-1].startswith("| all | ")
    assert (tile_tokens(512, 512), patch_tokens(64, 33)) == (255, 4)


def test_money_and_srcc_per_unit_of_it(tmp_path: Path) -> None:
    bench = made(tmp_path, Design(("single", "levels")), n=16)
    log, _ = ran(bench, "fake:noise=0.2", tmp_path)
    found = by_mode(report(bench, log, "fake:noise=0.2", Price(2, 10)))
    spent = found["single"].spent
    assert spent.money == pytest.approx((2 * spent.tokens_in + 10 * spent.tokens_out) / 1e6)
    assert spent.srcc_per_unit == pytest.approx(found["single"].srcc.value / spent.money)  # type: ignore[operator]
    assert found["levels"].spent.money is None  # nobody counted its tokens


def test_modes_are_parsed_and_wrong_designs_are_refused(tmp_path: Path) -> None:
    assert parse_modes("nine") == NINE
    assert parse_modes("all") == MODES
    assert parse_modes("single, levels,single") == ("single", "levels")
    for text, design in (("triple", Design(("triple",))), ("2afc", Design(("2afc",), compat="wu2024"))):
        with pytest.raises(UsageError):
            design.check()
        assert text in design.modes
    for design in (Design(size=9), Design(repeats=0), Design(opponents=0), Design(("multiple-ic",), size=5)):
        with pytest.raises(UsageError):
            design.check()
    with pytest.raises(UsageError):
        parse_modes(" ,")
    with pytest.raises(UsageError, match="across references"):
        made(tmp_path, Design(("anchored",)), n=6, references=3)


def test_another_seed_or_picture_is_another_run(tmp_path: Path) -> None:
    info = load("fake").backend.info
    path = samples(tmp_path, 12)
    specs = {make(read_items(path), Design(("double",), seed=seed)).head(info).spec for seed in (0, 0, 1)}
    assert len(specs) == 2
    (tmp_path / "p0.png").write_bytes((tmp_path / "p1.png").read_bytes())
    assert make(read_items(path), Design(("double",))).head(info).spec not in specs


def test_an_error_that_ends_the_run_leaves_the_log_usable(tmp_path: Path) -> None:
    bench = made(tmp_path, Design(("single",)), n=8)
    asker = Asker(load("fake"), bench.items)
    ask, left = asker.ask, iter(range(3))

    def refuse(trial):  # type: ignore[no-untyped-def]
        if next(left, None) is None:
            raise ApiAuthError("refuses the key")
        return ask(trial)

    asker.ask = refuse  # type: ignore[method-assign]
    with AnswerLog(tmp_path / "answers.jsonl", bench.head(asker.info)) as log, pytest.raises(ApiAuthError):
        run(bench.work, asker, log, Limits(), lambda done, total: None)
    assert len(ran(bench, "fake", tmp_path)[0].lines) == 8
