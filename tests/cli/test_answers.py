"""``mllmqa answers`` as a user meets it, with nano and over loopback."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_labels import Distortion, Labels, Level, Preference
from mllmqa.data.tasks.compose import told
from tests.conftest import Run, photo_pixels
from tests.data.samples_made import WORDS
from tests.loopback import Loopback, without_endpoint

GOLDEN = Path(__file__).parents[1] / "golden"
OPTIONS = {"candidates": ["Noise", "Blur"], "correct_ans": "Blur", "type": 1, "concern": 0}


@pytest.fixture
def run(run: Run) -> Run:
    """Call ``mllmqa answers``."""
    return functools.partial(run, "answers")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, a file of samples, a file of questions."""
    for key in "AB":
        Image.fromarray(photo_pixels(48, 32, seed=ord(key))).save(tmp_path / f"{key}.png")
    blur = Distortion(media="A", category="blur", severity=3.0)
    one = Labels(distortions=(blur,), levels=(Level(media="A", word="fair", scale=WORDS),))
    both = (blur, Distortion(media="B", category="blur", severity=1.0))
    pair = Labels(distortions=both, preference=Preference(among=("A", "B"), better="B"))
    a, b = (Medium(key=key, kind="image", path=f"{key}.png") for key in "AB")
    samples = [told(Sample(id=task, media=(a,), labels=one), task, 0) for task in ("identify", "level", "assess")]
    samples.append(told(Sample(id="rate", media=(a, b), labels=pair), "rate", 0))
    write_samples(iter(samples), tmp_path / "samples.jsonl")
    rows = [{"question": f"What hurts it, {k}?", "img_path": f"{key}.png", **OPTIONS} for k, key in enumerate("AB")]
    (tmp_path / "questions.json").write_text(json.dumps(rows))
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    without_endpoint(monkeypatch, tmp_path)
    with Loopback() as loopback:
        yield loopback


def test_help_is_as_committed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert run("--help").out == (GOLDEN / "help-answers.txt").read_text(encoding="utf-8")


def test_nano_answers_samples_and_the_log_is_graded_again(run: Run, folder: Path) -> None:
    log, file = folder / "log.jsonl", folder / "samples.jsonl"
    ran = run(file, "--device", "cpu", "--out", log, "--json", "--max-tokens", 12, "--limit", 2)
    assert ran.code == 0, ran.err
    tasks = {task["task"]: task for task in json.loads(ran.out)["tasks"]}
    assert set(tasks) == {"identify", "level"}
    assert all(task["n"] == 1 and task["n_unscored"] == 0 for task in tasks.values())
    refused = run(file, "--out", log)
    assert (refused.code, "exists already" in refused.err) == (2, True)
    ran = run(file, "--device", "cpu", "--out", log, "--max-tokens", 12, "--resume", "--graded", folder / "g.jsonl")
    assert ran.code == 0, ran.err
    assert len(log.read_text().splitlines()) == 5  # a header, two answers, two more
    graded = [json.loads(line) for line in (folder / "g.jsonl").read_text().splitlines()]
    assert [one["id"] for one in graded] == ["identify", "level", "assess", "rate"]
    again = run(file, "--out", log, "--regrade", "--model", "no-such-model")
    assert (again.code, again.out) == (0, ran.out)
    assert "level" in again.out
    other = run(file, "--device", "cpu", "--out", log, "--max-tokens", 11, "--resume")
    assert (other.code, "other settings" in other.err) == (2, True)


def test_questions_in_every_order_over_an_endpoint(run: Run, folder: Path, server: Loopback) -> None:
    server.tokens = {"B": 0.9, "A": 0.1}
    out = folder / "inspect.json"
    ran = run(
        folder / "questions.json", "--model", "api:eye", "--base-url", server.url, "--orders", "circular", "--json",
        "--out", folder / "log.jsonl", "--export", f"inspect={out}", "--export", f"vlmevalkit={folder / 'q.tsv'}",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert (found["questions"], found["n"], found["accuracy"], found["chance"]) == (2, 4, 0.5, 0.5)
    assert (found["all_orders"]["right"], found["consistent"]["right"]) == (0, 0)
    assert [letter["chosen"] for letter in found["letters"]] == [0, 4]
    assert found["by_category"]["kind"]["what"]["n"] == 4
    assert len(json.loads(out.read_text())["samples"]) == 4
    assert (folder / "q.tsv").exists()
    asked = len(server.received)
    again = run(
        folder / "questions.json", "--model", "api:eye", "--base-url", server.url, "--orders", "circular",
        "--out", folder / "log.jsonl", "--resume",
    )  # fmt: skip
    assert (again.code, len(server.received)) == (0, asked)
    assert "right in all orders" in again.out


def test_likelihood_of_letters(run: Run, folder: Path, server: Loopback) -> None:
    server.tokens = {" B": 0.6, " A": 0.3, " The": 0.1}
    where = ("--model", "api:eye", "--base-url", server.url, "--readout", "logprobs", "--no-cache")
    ran = run(folder / "questions.json", *where, "--grade", "likelihood", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["accuracy"] == 1.0


def test_questions_that_fail_are_named_and_counted(run: Run, folder: Path, server: Loopback) -> None:
    (folder / "B.png").unlink()
    server.tokens = {"I see two: A or B": 1.0}
    ran = run(folder / "questions.json", "--model", "api:eye", "--base-url", server.url, "--json", "--no-cache")
    assert ran.code == 1
    assert "no answer: 2: " in ran.err
    found = json.loads(ran.out)
    assert (found["n"], found["n_unparsed"], found["n_unscored"], found["accuracy"]) == (1, 1, 1, 0.0)
    assert (found["worst"], found["best"]) == (0.0, 1.0)


def test_a_model_that_refuses_everything_is_never_right_and_nothing_is_guessed(run: Run, folder: Path) -> None:
    ran = run(folder / "questions.json", "--model", "fake:refuse=1", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert (found["n"], found["right"], found["n_unparsed"], found["accuracy"]) == (2, 0, 2, 0.0)
    assert found["accuracy_of_parsed"] is None
    assert (found["worst"], found["best"]) == (0.0, 1.0)


def test_a_wrong_key_stops_the_run(
    run: Run, folder: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = "right"
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    where = ("--model", "api:eye", "--base-url", server.url)
    assert run(folder / "samples.jsonl", *where, "--tasks", "identify").code == 0
    server.key = "another"
    ran = run(folder / "questions.json", *where)
    assert (ran.code, ran.out) == (2, "")
    assert "key" in ran.err


def test_a_judge_grades_descriptions(run: Run, folder: Path, server: Loopback) -> None:
    where = ("--base-url", server.url, "--no-cache", "--concurrency", 1)
    log = folder / "log.jsonl"
    ran = run(folder / "samples.jsonl", "--tasks", "assess", "--device", "cpu", "--max-tokens", 8, "--out", log)
    assert ran.code == 0, ran.err
    # the probe asks first; what it is told does not matter
    server.tokens = {"Score: 2": 1.0}
    server.logprobs = "no"
    asked = ("--tasks", "assess", "--out", log, "--regrade", "--json")
    ran = run(folder / "samples.jsonl", *asked, *where, "--judge", "api:eye", "--rounds", 2, "--readout", "text")
    assert ran.code == 0, ran.err
    judged = json.loads(ran.out)["judge"]
    assert [one["criterion"] for one in judged] == ["completeness", "preciseness", "relevance"]
    assert {one["mean"] for one in judged} == {2.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resume",), "--out LOG.jsonl with them"),
        (("--tasks", "talk"), "task 'talk' cannot be graded"),
        (("--tasks", "yes_no"), "no sample of the task yes_no"),
        (("--orders", "circular"), "options of questions are given"),
        (("--grade", "guess"), "text or likelihood"),
        (("--export", "xlsx=a"), "vlmevalkit=PATH"),
        (("--base-url", "http://x"), "--model api:MODEL with them"),
    ],
)
def test_calls_that_make_no_sense(options: tuple[str, ...], message: str, run: Run, folder: Path) -> None:
    ran = run(folder / "samples.jsonl", *options)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_tasks_belong_to_samples(run: Run, folder: Path) -> None:
    ran = run(folder / "questions.json", "--tasks", "rate")
    assert (ran.code, "a file of samples with them" in ran.err) == (2, True)
