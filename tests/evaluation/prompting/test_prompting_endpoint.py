"""Runs against an endpoint on loopback that refuses, cuts, is busy and is killed: nothing is paid twice."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mllmqa.evaluation.prompting.asking import Asker
from mllmqa.evaluation.prompting.bench import Bench, Design, make
from mllmqa.evaluation.prompting.items import read_items
from mllmqa.evaluation.prompting.log import AnswerLog, read_log
from mllmqa.evaluation.prompting.measure import measure
from mllmqa.evaluation.prompting.report import Report
from mllmqa.evaluation.prompting.runner import Limits, run
from mllmqa.models.api import ApiOptions
from mllmqa.models.api.backend import ApiBackend
from mllmqa.models.api.options import Budget
from mllmqa.models.api.transport import Pacing
from mllmqa.models.resolve import resolve
from mllmqa.scoring import Scorer
from tests.evaluation.prompting.synthetic import samples
from tests.loopback import Loopback, Received, Reply, chat, error_body, without_endpoint

DESIGN = Design(("single", "double", "multiple", "single-cot"), opponents=3, groups=1)


class Judge(Loopback):
    """Answers the prompts by what the pictures' hashes say; fails as told, the same way each time."""

    refuse = garble = 0
    faulty = False
    """Whether every question meets a fault at its first try: busy, a server error, or a cut connection."""

    def _usual(self, request: Received) -> Reply:
        text = " ".join(request.texts)
        if "Score:" not in text or request.path != "/v1/chat/completions":
            return super()._usual(request)
        marks = [hashlib.sha256(data).digest() for _, data in request.pictures]
        fate = hashlib.sha256(text.encode() + b"".join(marks)).digest()
        body = chat(self._said(text, marks, fate[0]))
        return self._fault(body, fate) if self.faulty else Reply(200, body)

    def _fault(self, body: dict[str, Any], fate: bytes) -> Reply:
        seen = self.__dict__.setdefault("seen", set())
        if fate in seen:
            return Reply(200, body)
        seen.add(fate)
        now = {"retry-after-ms": "1"}
        kind = fate[1] % 3
        if kind == 0:
            return Reply(429, error_body("slow down"), now)
        return Reply(503, error_body("busy"), now) if kind == 1 else Reply(200, body, cut=True)

    def _said(self, text: str, marks: list[bytes], fate: int) -> str:
        if fate < self.refuse:
            return "I'm sorry, but I can't help with that."
        if fate < self.refuse + self.garble:
            return "Quite nice."
        if "0 to 100" in text:
            return f"Description: some noise.\nScore: {marks[-1][0] % 101}"
        if len(marks) == 2:
            return f"Score: {int(marks[0] > marks[1])}"
        order = sorted(marks)
        return "Score: [" + ", ".join(str(order.index(mark)) for mark in marks) + "]"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_endpoint(monkeypatch, tmp_path)


@pytest.fixture
def judge() -> Iterator[Judge]:
    with Judge() as server:
        yield server


def connected(server: Judge, cache: Path, **options: Any) -> Scorer:
    source = resolve("api:eye")
    pacing = Pacing(sleep=lambda s: None, jitter=lambda: 0.0)
    backend = ApiBackend.connect(source, ApiOptions(base_url=server.url, cache=cache, **options), pacing)
    server.forget()
    return Scorer(backend, source.preset)


def asked(bench: Bench, scorer: Scorer, log_path: Path, concurrency: int = 4) -> tuple[Report, str | None]:
    asker = Asker(scorer, bench.items)
    head = bench.head(asker.info)
    with AnswerLog(log_path, head) as log:
        stopped = run(bench.work, asker, log, Limits(concurrency), lambda done, total: None)
    scorer.backend.close()  # type: ignore[attr-defined]
    return Report.of(head, bench, measure(bench, log.lines)), stopped


def test_faults_are_survived_and_failures_are_records(judge: Judge, tmp_path: Path) -> None:
    bench = make(read_items(samples(tmp_path, 12)), DESIGN)
    judge.refuse, judge.garble = 40, 20
    calm, _ = asked(bench, connected(judge, tmp_path / "c1"), tmp_path / "calm.jsonl")
    paid = len(judge.paid)
    assert paid == len(set(judge.paid)) == len(bench.work)
    judge.faulty = True
    rough, stopped = asked(bench, connected(judge, tmp_path / "c2", concurrency=4), tmp_path / "rough.jsonl")
    assert stopped is None
    assert rough.to_json() == calm.to_json()
    assert rough.to_markdown() == calm.to_markdown()
    refused = sum(mode.failures["refusal"].k for mode in rough.modes)
    garbled = sum(mode.failures["format"].k for mode in rough.modes)
    assert refused > 0
    assert garbled > 0
    assert sum(mode.answered for mode in rough.modes) == len(bench.work) - refused - garbled
    again, _ = asked(bench, connected(judge, tmp_path / "c2"), tmp_path / "rough.jsonl")
    assert not judge.received  # nothing was left to ask
    assert again.to_json() == rough.to_json()


def test_a_lost_log_costs_nothing_because_answers_are_kept(judge: Judge, tmp_path: Path) -> None:
    bench = make(read_items(samples(tmp_path, 8)), Design(("single", "double"), repeats=2))
    first, _ = asked(bench, connected(judge, tmp_path / "c"), tmp_path / "a.jsonl")
    assert len(judge.paid) == len(bench.work)  # each repeat is a question of its own
    second, _ = asked(bench, connected(judge, tmp_path / "c"), tmp_path / "b.jsonl")
    assert not judge.paid
    assert first.to_json() == second.to_json()
    assert all(line.from_cache for line in read_log(tmp_path / "b.jsonl"))


def test_the_users_own_bytes_are_sent_in_the_order_of_display(judge: Judge, tmp_path: Path) -> None:
    bench = make(read_items(samples(tmp_path, 8)), Design(("double",)))
    report, _ = asked(bench, connected(judge, tmp_path / "c"), tmp_path / "a.jsonl", concurrency=1)
    trial = bench.of("double")[0]
    sent = [data for _, data in judge.received[0].pictures]
    assert sent == [bench.items.rated[i].path.read_bytes() for i in trial.shown]
    assert report.modes[0].originals.value == 1


def test_the_budget_is_hard_and_the_same_command_goes_on(judge: Judge, tmp_path: Path) -> None:
    bench = make(read_items(samples(tmp_path, 10)), Design(("single", "double")))
    spent = connected(judge, tmp_path / "c", budget=Budget(requests=7))
    partial, stopped = asked(bench, spent, tmp_path / "a.jsonl")
    assert "budget" in (stopped or "")
    assert len(judge.paid) <= 7
    assert sum(mode.asked for mode in partial.modes) == len(judge.paid)
    assert all(mode.failures["transport"].k == 0 for mode in partial.modes)  # not asked is no failure
    first = list(judge.paid)
    whole, stopped = asked(bench, connected(judge, tmp_path / "c"), tmp_path / "a.jsonl")
    assert stopped is None
    assert max(Counter(first + judge.paid).values()) == 1
    assert sum(mode.asked for mode in whole.modes) == len(bench.work)


def test_an_endpoint_that_goes_away_stops_the_run_and_its_questions_are_asked_later(
    judge: Judge, tmp_path: Path
) -> None:
    bench = make(read_items(samples(tmp_path, 30)), Design(("single", "double")))
    scorer = connected(judge, tmp_path / "c", retries=0)
    judge.script.extend([Reply()] * 5 + [Reply(503, error_body("gone"))] * 400)
    partial, stopped = asked(bench, scorer, tmp_path / "a.jsonl", concurrency=2)
    assert "got no answer" in (stopped or "")
    assert sum(mode.answered for mode in partial.modes) == 5
    judge.script.clear()
    whole, _ = asked(bench, connected(judge, tmp_path / "c"), tmp_path / "a.jsonl")
    assert sum(mode.answered for mode in whole.modes) == len(bench.work)
    assert all(mode.failures["transport"].k == 0 for mode in whole.modes)


def _command(data: Path, out: Path, server: Judge, cache: Path) -> subprocess.Popen[bytes]:
    arguments = ["--modes", "single,double", "--opponents", "2", "--concurrency", "2", "--base-url", server.url]
    command = [sys.executable, "-m", "mllmqa", "bench", "prompts", "--data", data, "--model", "api:eye"]
    where = ["--out", out, "--cache", cache]
    return subprocess.Popen([*command, *arguments, *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env=dict(os.environ))  # fmt: skip


def test_killed_twice_and_resumed_the_report_is_the_same_and_nothing_is_paid_twice(
    judge: Judge, tmp_path: Path
) -> None:
    data = samples(tmp_path, 12)
    judge.refuse = 30
    gate, dying = threading.Semaphore(0), threading.Event()

    def hold() -> None:
        gate.acquire()
        if dying.is_set():
            raise ConnectionAbortedError("its client was killed")

    judge.on_request = hold
    for allowed in (6, 10):  # some of them are the probe's
        dying.clear()
        process = _command(data, tmp_path / "killed", judge, tmp_path / "c1")
        before = len(judge.received)
        gate.release(allowed)
        while process.poll() is None and (len(judge.received) < before + allowed or judge._at_once == 0):
            time.sleep(0.02)
        assert process.poll() is None, "it was done before it could be killed"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        dying.set()
        while judge._at_once:
            gate.release()
            time.sleep(0.01)
        gate = threading.Semaphore(0)
    dying.clear()
    gate.release(10_000)
    assert _command(data, tmp_path / "killed", judge, tmp_path / "c1").wait() == 0
    assert max(Counter(judge.paid).values()) == 1
    assert _command(data, tmp_path / "whole", judge, tmp_path / "c2").wait() == 0
    for name in ("report.json", "report.md", "scores.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
