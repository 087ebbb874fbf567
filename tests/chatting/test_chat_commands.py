"""Commands: what they do, what they refuse, and what ``/why`` asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.chatting import Compared, Session
from mllmqa.chatting.commands import Leave, Unable, commands, is_command, run, why
from mllmqa.chatting.session import ChatFile
from mllmqa.chatting.transcript import read_transcript
from mllmqa.errors import MllmqaError, UnknownNameError, UsageError
from mllmqa.scoring import Scorer
from tests.chatting.conftest import NewSession


def _do(session: Session, line: str) -> list[str]:
    return list(run(session, line))


def _compare(p: float) -> object:
    def compare(scorer: Scorer, a: ChatFile, b: ChatFile, frames: str | None) -> Compared:
        return Compared(f"p = {p}", p)

    return compare


def test_add_score_frames_model_history(new_session: NewSession, pair: tuple[str, str], tmp_path: Path) -> None:
    session = new_session()
    assert _do(session, "/history") == ["nothing so far"]
    Path(pair[1]).rename(tmp_path / "with blank.png")
    assert _do(session, f"/add {pair[0]} '{tmp_path}/with blank.png'") == [
        f"A  {pair[0]} (image, 64×48)",
        f"B  {tmp_path}/with blank.png (image, 64×48)",
    ]
    rows = _do(session, "/score")
    assert [row[:1] for row in rows] == ["A", "B"]
    assert rows[0].endswith(pair[0])
    assert 1 <= float(rows[0].split()[1]) <= 5
    assert _do(session, "/SCORE a") == rows[:1]
    assert _do(session, "/frames 4") == ["frames of videos: uniform:4"]
    assert _do(session, "/frames") == ["frames of videos: uniform:4"]
    dtype = session.scorer.backend.info.dtype
    assert _do(session, "/model") == _do(session, "/model nano") == [f"model nano ({dtype}, cpu)"]
    session.ask("Rate the quality of this image.")
    shown = _do(session, "/history")
    assert shown[2:] == ["1. Rate the quality of this image.", f"   {session.exchanges[0].answer}"]


def test_save_writes_what_was_so_far(new_session: NewSession, tmp_path: Path) -> None:
    session = new_session()
    place = tmp_path / "talk.jsonl"
    assert _do(session, f"/save {place}") == [f"saved 1 events to {place}"]
    assert list(read_transcript(place)) == session.transcript.events
    with pytest.raises(UsageError, match="exists already"):
        _do(session, f"/save {place}")
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        _do(session, f"/save {tmp_path}/none/talk.jsonl")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/ad x.png", r"no command '/ad'; did you mean '/add'"),
        ("/home/me/x.png", r"no command '/home/me/x.png'; /help lists the commands; to add a file: /add FILE"),
        ("/", "no command '/'"),
        ("/add", r"/add with 0 arguments; expected /add FILE…"),
        ("/add it's.png", "no closing quotation; put names with blanks in quotes"),
        ("/frames 1 2", r"/frames with 2 arguments; expected /frames \[N\|RULE\]"),
        ("/score Q", "no file 'Q'; expected a file that was added"),
        ("/model none", "no model 'none'"),
        ("/compare A B", "no command '/compare'"),
        ("/why", "nothing was said yet"),
    ],
)
def test_what_cannot_be_done_is_one_line(line: str, said: str, new_session: NewSession) -> None:
    assert is_command(line)
    with pytest.raises(MllmqaError, match=said) as caught:
        _do(new_session(), line)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_gone_is_shown_and_counts_as_undone(new_session: NewSession, pair: tuple[str, str]) -> None:
    session = new_session()
    _do(session, f"/add {pair[0]} {pair[1]}")
    Path(pair[0]).unlink()
    shown = []
    with pytest.raises(Unable, match="1 unscored"):
        shown.extend(run(session, "/score"))
    rows = []
    with pytest.raises(Unable):
        for row in run(session, "/score"):
            rows.append(row)
    assert rows[0].startswith("A  unscored: ")
    assert rows[1].startswith("B  ")


def test_help_lists_what_can_be_done(new_session: NewSession) -> None:
    plain, able = new_session(), new_session(_compare(0.5))
    assert not any("/compare" in line for line in _do(plain, "/help"))
    assert any("/compare A B" in line for line in _do(able, "/help"))
    assert all(any(command.usage in line for line in _do(able, "/help")) for command in commands(able).values())
    for name in ("/add", "/score", "/compare", "/frames", "/why", "/save", "/model", "/history", "/help", "/quit"):
        assert name in commands(able)


def test_quit(new_session: NewSession) -> None:
    with pytest.raises(Leave):
        _do(new_session(), "/quit")


@pytest.mark.parametrize(
    ("p", "question"),
    [
        (0.9, "Why is B worse than A?"),
        (0.1, "Why is A worse than B?"),
        (0.52, "Why is neither A nor B better?"),
    ],
)
def test_why_after_a_comparison(p: float, question: str, new_session: NewSession, pair: tuple[str, str]) -> None:
    session = new_session(_compare(p))
    _do(session, f"/add {pair[0]} {pair[1]}")
    assert _do(session, "/compare A B") == [f"p = {p}"]
    assert why(session) == question
    assert _do(session, "/why") == [question]


def test_why_after_a_score_and_after_an_answer(new_session: NewSession, pair: tuple[str, str]) -> None:
    session = new_session()
    _do(session, f"/add {pair[0]}")
    (row,) = _do(session, "/score")
    assert why(session) == f"Why is the quality of A {row.split()[4]}?"
    session.ask("Rate the quality of this image.")
    assert why(session) == "Why?"
    with pytest.raises(UnknownNameError):
        _do(session, "/score Z")
    assert why(session) == "Why?"
