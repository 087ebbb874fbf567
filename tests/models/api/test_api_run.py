"""The command with an endpoint: options, output, a kill in the middle, money that is spent once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.records import read_jsonl
from mllmqa.schema import Score, Unscored
from tests.conftest import photo_pixels
from tests.loopback import KEY, Loopback, Reply, chat


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    for i in range(12):
        Image.fromarray(photo_pixels(48, 48, seed=i)).save(place / f"{i:02}.png")
    return place


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mllmqa", "score", "--model", "api:eye", *map(str, arguments)]


def _run(*arguments: object, key: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"OPENAI_API_KEY": key} if key else {})}
    return subprocess.run(_command(*arguments), env=environment, capture_output=True, text=True, check=False)


def test_a_run_from_the_command_line(server: Loopback, photos: Path, tmp_path: Path) -> None:
    server.key = KEY
    ran = _run(photos, "--base-url", server.url, "--cache", tmp_path / "c", "--price", "2/10", key=KEY)
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 13
    # The probe asks three times (decisions, which is not there; then with a started answer), one of them paid for.
    assert ran.stderr.splitlines() == [
        "endpoint: 13 answers paid for, 0 from the cache, 14 requests, 1,300 + 26 tokens, cost 0.0029",
        "scored 12, unscored 0",
    ]
    again = _run(photos, "--base-url", server.url, "--cache", tmp_path / "c", "--concurrency", 2)
    assert again.stdout == ran.stdout
    assert "endpoint: 0 answers paid for, 12 from the cache, 0 requests" in again.stderr


def test_a_wrong_key_is_one_line_and_no_record(server: Loopback, photos: Path, tmp_path: Path) -> None:
    server.key = KEY
    out = tmp_path / "out.jsonl"
    ran = _run(photos, "--base-url", server.url, "--jsonl", out, key="sk-wrong-0123456789")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        f"mllmqa: {server.url}: refuses the key (401); check the environment variable OPENAI_API_KEY and what the "
        "key may do\n"
    )
    assert len(server.received) == 1 or not out.exists()


def test_killed_in_the_middle_and_resumed_nothing_is_paid_twice(
    server: Loopback, photos: Path, tmp_path: Path
) -> None:
    out, gate = tmp_path / "out.jsonl", threading.Semaphore(6)  # the probe's 2 requests and 4 pictures
    server.on_request = lambda: gate.acquire() and None  # type: ignore[assignment, return-value]
    # One at a time and a batch of all: no record is written before the last answer.
    arguments = (photos, "--base-url", server.url, "--jsonl", out, "--concurrency", 1, "--batch-size", 12)
    first = subprocess.Popen(_command(*arguments), stderr=subprocess.DEVNULL)
    while (first.poll() is None and server._at_once == 0) or len(server.paid) < 5:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not list(read_jsonl(out))
    gate.release(100)
    while server._at_once:  # the request that was in flight when we were killed: its answer nobody read
        time.sleep(0.02)
    lost = len(server.paid) - 5
    second = _run(*arguments, "--resume")
    assert second.returncode == 0, second.stderr
    assert "4 from the cache" in second.stderr
    assert [Path(r.source).name for r in read_jsonl(out)] == [f"{i:02}.png" for i in range(12)]
    counts = sorted(server.paid.count(body) for body in set(server.paid))
    assert counts == [1] * (13 - lost) + [2] * lost
    assert lost <= 1


def test_ctrl_c_waits_for_what_is_paid_for_and_sends_nothing_new(
    server: Loopback, photos: Path, tmp_path: Path
) -> None:
    out, gate = tmp_path / "out.jsonl", threading.Semaphore(5)  # the probe's 2 requests and 3 pictures
    server.on_request = lambda: gate.acquire() and None  # type: ignore[assignment, return-value]
    arguments = (photos, "--base-url", server.url, "--jsonl", out, "--concurrency", 1, "--batch-size", 12)
    # A parent that ignores SIGINT (a background job of a shell) would hand that on.
    first = subprocess.Popen(
        _command(*arguments), stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    while len(server.paid) < 4 or server._at_once == 0:  # the fourth picture is in flight
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    time.sleep(0.2)  # gives a client that would not wait the time to go away; nothing is measured
    gate.release(100)
    _, err = first.communicate()
    assert (first.returncode, err) == (130, "mllmqa: interrupted\n")
    sent = len(server.paid)
    assert sent < 13
    second = _run(*arguments, "--resume")
    assert second.returncode == 0, second.stderr
    assert f"{sent - 1} from the cache" in second.stderr
    assert len(server.paid) == len(set(server.paid)) == 13


def test_a_spent_budget_is_continued(server: Loopback, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    arguments = (photos, "--base-url", server.url, "--csv", out)
    first = _run(*arguments, "--budget", "6req", "--concurrency", 1)
    assert first.returncode == 1
    assert "scored 5, unscored 7" in first.stderr
    assert first.stderr.count("the budget of 6 requests is spent") == 7
    second = _run(*arguments, "--resume")
    assert second.returncode == 0, second.stderr
    assert "scored 7, unscored 0, 5 already in the file" in second.stderr
    assert len(server.paid) == len(set(server.paid)) == 13


def test_a_refusal_is_not_paid_for_again_by_resume(server: Loopback, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    arguments = (photos, "--base-url", server.url, "--jsonl", out, "--readout", "text", "--no-cache", "--limit", 2)
    server.script.extend([Reply(), Reply(200, chat(None, refusal="no")), Reply()])
    assert _run(*arguments, "--concurrency", 1).returncode == 1
    reasons = [r.reason if isinstance(r, Unscored) else None for r in read_jsonl(out)]
    assert reasons == ["api-refused", None]
    before = len(server.received)
    again = _run(*arguments, "--resume")
    assert again.returncode == 1
    assert "2 already in the file (1 of them unscored)" in again.stderr
    assert len(server.received) == before + 1  # the probe, for want of a cache


def test_a_score_that_fell_back_says_so(server: Loopback, photos: Path) -> None:
    _run(photos / "00.png", "--base-url", server.url)
    server.script.append(Reply(200, chat("poor")))
    ran = _run(photos / "01.png", "--base-url", server.url)
    assert ran.stdout.splitlines()[1].endswith("01.png  (read from text, not logprobs)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nano", "--budget", "5req"], "options of an endpoint are given"),
        (["--model", "nano", "--no-cache"], "options of an endpoint are given"),
        (["--budget", "5eur"], "--budget '5eur'"),
        (["--budget", "5usd"], "a budget in money needs prices"),
        (["--price", "5"], "IN/OUT"),
        (["--readout", "guess"], "no readout 'guess'"),
        (["--concurrency", "0"], "1 to 256"),
        (["--timeout", "0"], "out of range"),
        (["--cache", "x", "--no-cache"], "exclude each other"),
        (["--base-url", "https://me:hunter2@host/v1"], "OPENAI_API_KEY"),
        (["--device", "cpu"], "chooses device, dtype"),
        ([], "needs a key"),
    ],
)
def test_usage_errors_are_one_line(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    from mllmqa.cli.app import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mllmqa", "score", "x.png", "--model", "api:eye", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
    out, err = capfd.readouterr()
    assert (stopped.value.code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert "hunter2" not in err


def test_records_of_both_kinds(server: Loopback, photos: Path) -> None:
    (photos / "03.png").write_text("no picture")
    ran = _run(photos, "--base-url", server.url, "--json")
    assert ran.returncode == 1
    kinds = [Score if '"status":"scored"' in line else Unscored for line in ran.stdout.splitlines()]
    assert kinds.count(Unscored) == 1
