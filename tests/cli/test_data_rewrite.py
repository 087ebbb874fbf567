"""`mllmqa data rewrite` as a user meets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mllmqa.data.sample_file import read_samples, write_samples
from tests.conftest import Run
from tests.data.teacher.made import School, flaw, photos, single
from tests.loopback import Reply, chat, without_endpoint

GOLDEN = Path(__file__).parents[1] / "golden"
BLUR = flaw("A", "blur", 2)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_endpoint(monkeypatch, tmp_path)


@pytest.fixture
def school() -> Iterator[School]:
    with School() as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    photos(tmp_path, 4)
    write_samples([single("assess", BLUR, number=k) for k in range(4)], tmp_path / "set.jsonl")
    return tmp_path / "set.jsonl"


def test_help_is_as_committed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    golden = GOLDEN / "help-data-rewrite.txt"
    assert run("data", "rewrite", "--help").out == golden.read_text(encoding="utf-8")


def test_all_rewritten(run: Run, school: School, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.jsonl"
    ran = run("data", "rewrite", source, "--out", out, "--model", "api:eye", "--base-url", school.url, "--price", "2/10")  # fmt: skip # noqa: E501
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        "endpoint: 4 answers paid for, 0 from the cache, 4 requests, 400 + 8 tokens, cost 0.0009",
        "rewritten 4, dropped 0",
    ]
    assert [sample.id for sample in read_samples(out)] == [f"assess{k}" for k in range(4)]


def test_a_dropped_one_is_exit_code_1_and_named(run: Run, school: School, source: Path, tmp_path: Path) -> None:
    school.script.append(Reply(200, chat("No.")))
    out = tmp_path / "new.jsonl"
    ran = run("data", "rewrite", source, "--out", out, "--model", "api:eye", "--base-url", school.url)
    assert ran.code == 1
    assert ran.err.splitlines()[1:] == [
        "rewritten 3, dropped 1 (not-json 1)",
        f"mllmqa: the dropped ones, with reasons: {tmp_path / 'new.dropped.jsonl'}",
    ]


def test_a_budget_and_resume(run: Run, school: School, source: Path, tmp_path: Path) -> None:
    command = ("data", "rewrite", source, "--out", tmp_path / "new.jsonl", "--model", "api:eye", "--base-url", school.url)  # fmt: skip # noqa: E501
    first = run(*command, "--budget", "3req", "--concurrency", 1)
    assert first.code == 1
    assert "rewritten 3, dropped 1 (budget 1)" in first.err
    assert run(*command).code == 2
    second = run(*command, "--resume", "--max-tokens", 1024)
    assert second.code == 0
    assert "1 answers paid for, 3 from the cache" in second.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nano"], "expected api:MODEL"),
        (["--model", "api:"], "expected api:MODEL"),
        (["--model", "api:eye", "--budget", "5eur"], "--budget '5eur'"),
        (["--model", "api:eye", "--budget", "5usd"], "a budget in money needs prices"),
        (["--model", "api:eye", "--frames", "many"], "no frame rule"),
        (["--model", "api:eye", "--resume", "--no-cache"], "--resume without --no-cache"),
        (["--model", "api:eye"], "needs a key"),
    ],
)
def test_usage_errors_are_one_line(
    arguments: list[str], message: str, run: Run, school: School, source: Path, tmp_path: Path
) -> None:
    url = [] if arguments == ["--model", "api:eye"] else ["--base-url", school.url]
    url = [] if "nano" in arguments else url
    ran = run("data", "rewrite", source, "--out", tmp_path / "new.jsonl", *arguments, *url)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.glob("new*"))
    assert school.received == []
