"""``mllmqa chat`` as a user meets it: over a pipe, and at a real pseudo-terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mllmqa.chatting.transcript import Answered, Failed, Model, read_transcript
from tests.conftest import Run, photo_pixels
from tests.loopback import Loopback, Reply, chat, without_endpoint
from tests.terminal import Typing

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """Two small photos."""
    for name, seed in (("a.png", 1), ("b.png", 2)):
        Image.fromarray(photo_pixels(64, 48, seed=seed)).save(tmp_path / name)
    return str(tmp_path / "a.png"), str(tmp_path / "b.png")


def test_help_is_as_committed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert run("chat", "--help").out == (GOLDEN / "help-chat.txt").read_text(encoding="utf-8")


# ---------------------------------------------------------------- over a pipe


def test_questions_over_a_pipe_and_again(run: Run, pair: tuple[str, str], tmp_path: Path) -> None:
    place = tmp_path / "talk.jsonl"
    lines = b"Rate the quality of this image.\n/score A\n/why\n"
    ran = run("chat", "--plain", *pair, "--transcript", place, stdin=lines)
    assert ran.code == 0, ran.err
    assert "> " not in ran.out
    answer, row, why, because = ran.out.splitlines()
    assert answer
    assert row.startswith("A  ")
    assert why.startswith("Why is the quality of A ")
    assert ran.err.splitlines()[:2] == [f"A  {pair[0]} (image, 64×48)", f"B  {pair[1]} (image, 64×48)"]
    events = read_transcript(place)
    assert [e.text for e in events if isinstance(e, Answered)] == [answer, because]

    again = run("chat", "--plain", "--replay", place)
    assert again.code == 0, again.err
    assert again.out.splitlines()[:2] == ["= Rate the quality of this image.", f"  {answer}"]
    assert again.err.splitlines()[-1] == "replayed 3: 3 the same, 0 differ"

    told = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]
    told[3]["text"] = "It is perfect."
    place.write_text("".join(f"{json.dumps(one)}\n" for one in told), encoding="utf-8")
    other = run("chat", "--plain", "--replay", place, "--model", "nano")
    assert other.code == 1
    assert other.out.splitlines()[:3] == ["≠ Rate the quality of this image.", "- It is perfect.", f"+ {answer}"]


def test_grounded_answers_over_a_pipe(run: Run, pair: tuple[str, str], tmp_path: Path) -> None:
    place = tmp_path / "talk.jsonl"
    lines = f"Who is this?\n/compare A B\n/why\n/save {place}\n".encode()
    ran = run("chat", *pair, stdin=lines)
    assert ran.code == 0, ran.err
    declined, verdict, why, because, saved = ran.out.splitlines()
    assert "quality" in declined
    assert "better (p" in verdict
    assert why.startswith("Why is ")
    assert because
    assert saved == f"saved 6 events to {place}"
    again = run("chat", "--replay", place)
    assert again.code == 0, again.out
    assert again.err.splitlines()[-1] == "replayed 3: 3 the same, 0 differ"


def test_mistakes_are_lines_and_the_rest_goes_on(run: Run, pair: tuple[str, str], tmp_path: Path) -> None:
    ran = run("chat", tmp_path / "none.png", pair[0], stdin=b"/bogus\n\n/model no-such-model\n/score\n")
    assert ran.code == 1
    assert ran.out.startswith("A  ")
    said = ran.err.splitlines()
    assert said[0].startswith(f"mllmqa: {tmp_path}/none.png: no such file")
    assert said[2].startswith("mllmqa: no command '/bogus'")
    assert said[3].startswith("mllmqa: ")
    assert "no-such-model" in said[3]
    assert len(said) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--replay", "none.jsonl"), "none.jsonl: cannot be read"),
        (("--replay", "none.jsonl", "a.png"), "a replay has its own files"),
        (("--transcript", "/none/talk.jsonl"), "/none/talk.jsonl: cannot be written"),
        (("--frames", "some"), "some"),
        (("--model", "no/such/folder/"), "no/such/folder"),
    ],
)
def test_wrong_calls_are_one_line(arguments: tuple[str, ...], said: str, run: Run) -> None:
    ran = run("chat", *arguments, stdin=b"")
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


# ---------------------------------------------------------------- at a terminal


def _at_a_terminal(*arguments: object, **how: Any) -> Typing:
    return Typing("-m", "mllmqa", "chat", *map(str, arguments), **how)


def test_a_person_types_with_nano(pair: tuple[str, str], tmp_path: Path) -> None:
    place = tmp_path / "talk.jsonl"
    with _at_a_terminal(pair[0], "--transcript", place) as terminal:
        assert "/help lists the commands" in terminal.until("> ")
        terminal.type(f"/add {pair[1]}\r")
        assert f"B  {pair[1]} (image, 64×48)" in terminal.until("> ")
        terminal.type("Rate the quality of this image.\r")
        terminal.until("(confidence ")
        terminal.until("> ")
        terminal.type("/scor\r")
        assert "did you mean '/score'?" in terminal.until("> ")
        terminal.interrupt()
        assert terminal.end() == 130
        assert "mllmqa: interrupted" in terminal.shown
    events = read_transcript(place)
    assert [type(e) for e in events][-2:] == [Answered, Failed]
    answer = next(e for e in events if isinstance(e, Answered))
    assert answer.text in terminal.shown


def test_ctrl_c_stops_the_answer_and_not_the_program(
    pair: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_endpoint(monkeypatch, tmp_path)
    place = tmp_path / "talk.jsonl"
    with Loopback() as server:
        options = ("--plain", "--model", "api:eye", "--base-url", server.url, "--transcript", place)
        with _at_a_terminal(pair[0], *options) as terminal:
            terminal.until("> ")
            server.script.append(Reply(body=chat("A is sharp and bright."), stall=4))
            terminal.type("Is it sharp?\r")
            terminal.until("A is")  # as it is being said
            terminal.type("\x03")
            terminal.until("(stopped)")
            terminal.until("> ")
            assert server.hung_up.wait(60)
            server.script.append(Reply(body=chat("Because of its edges.")))
            terminal.type("Why?\r")
            terminal.until("Because of its edges.")
            terminal.until("> ")
            terminal.type("\x04")
            assert terminal.end() == 0
            assert "answers paid for" in terminal.shown
    stopped, answered = [e for e in read_transcript(place) if isinstance(e, Answered)]
    assert (stopped.text, stopped.finished) == ("A is", "cancelled")
    assert answered.finished == "stop"
    asked = [m["role"] for m in server.received[-1].body["messages"]]
    assert asked == ["user", "assistant", "user"]


def test_results_go_where_stdout_goes(pair: tuple[str, str], tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("wb") as out, _at_a_terminal(pair[0], stdout=out.fileno()) as terminal:
        terminal.until("> ")
        terminal.type("/score\r/quit\r")
        assert terminal.end() == 0
    (row,) = (tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()
    assert row.startswith("A  ")
    assert row.split()[1] not in terminal.shown


def test_a_transcript_names_its_models(
    run: Run, pair: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "talk.jsonl"
    monkeypatch.chdir(tmp_path)
    assert run("chat", "a.png", stdin=f"/model nano\n/save {place}\n".encode()).code == 0
    models = [e for e in read_transcript(place) if isinstance(e, Model)]
    assert [m.name for m in models] == ["nano", "nano"]
    assert run("chat", "--replay", place).err.splitlines()[-1] == "replayed 0: 0 the same, 0 differ"
