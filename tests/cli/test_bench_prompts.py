"""``mllmqa bench prompts`` as a user meets it."""

from __future__ import annotations

import functools
import json
import resource
from pathlib import Path

import pytest

from mllmqa.evaluation.prompting.log import read_log
from tests.conftest import Run
from tests.evaluation.prompting.synthetic import samples
from tests.loopback import Loopback, Reply, error_body, without_endpoint
from tests.pages_read import checked

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


def test_a_model_that_refuses_everything_has_no_srcc_and_every_report_says_so(run: Run, tmp_path: Path) -> None:
    data, out = samples(tmp_path, 12), tmp_path / "out"
    asked = ("--data", data, "--model", "fake:refuse=1", "--out", out, "--modes", "all", "--opponents", "2")
    ran = run(*asked)
    assert ran.code == 0, ran.err
    assert ran.out.count("| none: no answer can be read (refusal ") == 12
    report = json.loads((out / "report.json").read_text())
    for mode in report["modes"]:
        assert (mode["srcc"]["value"], mode["interval"], mode["answered"]) == (None, None, 0)
        assert mode["srcc"]["reason"] == "0 scored items are too few, 3 are needed"
        assert mode["failures"]["refusal"]["value"] == 1
        assert (mode["srcc"]["n"], mode["srcc"]["n_unscored"]) == (0, 8)
    assert set(report["letters"].values()) == {""}
    assert all(one["p_value"] is None for one in report["contrasts"])
    text = " ".join(checked((out / "report.html").read_text(encoding="utf-8")).texts)
    assert text.count("no SRCC, no answer can be read (refusal ") == 12
    assert "best SRCC" not in text
    header, *rows = (out / "scores.csv").read_text().splitlines()
    assert header.startswith("id,opinion,single,")
    assert all(set(row.split(",")[2:]) == {""} for row in rows)


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(run: Run, tmp_path: Path) -> None:
    asked = ("--data", samples(tmp_path, 30), "--model", "fake", "--out", tmp_path / "o", "--modes", "single")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        ran = run(*asked)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ran.code == 2
    assert "File too large" in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err
    assert not (tmp_path / "o" / "report.md").exists()
    again = run(*asked)
    assert again.code == 0, again.err
    assert "| single | 30 | 30 | 30 |" in again.out
    trials = [line.trial for line in read_log(tmp_path / "o" / "answers.jsonl")]
    assert len(trials) == len(set(trials)) == 30  # what was written before the disk was full is not asked again


@pytest.mark.parametrize("answers", [0, 3])
def test_a_key_that_is_refused_at_once_or_in_the_middle_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    without_endpoint(monkeypatch, tmp_path)
    data, out = samples(tmp_path, 8), tmp_path / "o"
    with Loopback() as server:
        server.script.extend([Reply()] * answers + [Reply(401, error_body("no such key"))] * 50)
        asked = ("--data", data, "--model", "api:eye", "--base-url", server.url, "--out", out, "--modes", "single",
                 "--concurrency", "1", "--cache", tmp_path / "c")  # fmt: skip
        ran = run(*asked)
        received = len(server.received)
    assert ran.code == 2
    assert "key" in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err
    assert received <= answers + 2
    assert not (out / "report.md").exists()


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
