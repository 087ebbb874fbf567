"""``mllmqa bench prompts`` as a user meets it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.evaluation.prompting.synthetic import samples

GOLDEN = Path(__file__).parents[1] / "golden" / "help-bench-prompts.txt"


@pytest.fixture
def run(run: Run) -> Run:
    """Call ``mllmqa bench prompts``."""
    return functools.partial(run, "bench", "prompts")


def test_help_is_as_committed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert run("--help").out == GOLDEN.read_text(encoding="utf-8")


def test_a_run_writes_log_report_and_scores(run: Run, tmp_path: Path) -> None:
    data, out = samples(tmp_path, 16), tmp_path / "out"
    ran = run("--data", data, "--model", "fake:noise=0.3,refuse=0.1", "--out", out, "--modes", "single,double-ic")
    assert ran.code == 0, ran.err
    assert ran.out == (out / "report.md").read_text(encoding="utf-8")
    assert "| all | 72 | 72 |" in ran.err
    report = json.loads((out / "report.json").read_text())
    assert [mode["mode"] for mode in report["modes"]] == ["single", "double-ic"]
    assert len((out / "scores.csv").read_text().splitlines()) == 13
    log = (out / "answers.jsonl").read_bytes()
    again = run("--data", data, "--model", "fake:noise=0.3,refuse=0.1", "--out", out, "--modes", "single,double-ic")
    assert again.out == ran.out
    assert (out / "answers.jsonl").read_bytes() == log  # nothing was asked again
    other = run("--data", data, "--model", "fake:noise=0.4", "--out", out, "--modes", "single,double-ic")
    assert other.code == 2
    assert "another run" in other.err


def test_a_dry_run_asks_nothing(run: Run, tmp_path: Path) -> None:
    ran = run("--data", samples(tmp_path, 12), "--model", "api:eye", "--dry-run", "--price", "2/10")
    assert ran.code == 0, ran.err
    assert ran.out.count("\n") == 12
    assert ran.out.splitlines()[-1].startswith("| all | 192 | 192 | 608 |")


def test_a_spent_budget_is_exit_code_1_and_the_report_tells_what_is_there(run: Run, tmp_path: Path) -> None:
    arguments = ("--data", samples(tmp_path, 10), "--model", "fake", "--out", tmp_path / "o", "--modes", "single")
    ran = run(*arguments, "--budget", "4req")
    assert ran.code == 1
    assert "the budget is spent" in ran.err
    assert "| single | 10 | 4 | 4 |" in ran.out
    assert run(*arguments).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "fake", "--modes", "triple"), "no mode 'triple'"),
        (("--model", "fake"), "no place for log and report"),
        (("--model", "fake", "--compat", "x", "--dry-run"), "--compat 'x'"),
        (("--model", "fake", "--reference", "x", "--dry-run"), "--reference 'x'"),
        (("--model", "fake", "--base-url", "http://localhost:1/v1", "--dry-run"), "options of an endpoint"),
        (("--model", "fake", "--reference", "fr", "--dry-run"), "beside a reference"),
        (("--model", "fake:taste=1", "--out", "o"), "no 'taste'"),
        (("--model", "api:eye", "--budget", "5usd", "--dry-run"), "needs prices"),
    ],
)
def test_what_is_wrong_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("--data", samples(tmp_path, 10), *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
