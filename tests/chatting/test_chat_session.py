"""The state of a conversation: what is added, asked and scored, and what stays as it was after an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.asking.evidence import KEYS
from mllmqa.chatting import Compared, Doing, Question, Reply, Session
from mllmqa.chatting.session import ChatFile, Exchange
from mllmqa.chatting.transcript import Added, Answered, ComparedTwo, Frames, Model, Scored
from mllmqa.errors import MediaNotFoundError, UnknownNameError, UsageError
from mllmqa.schema import Score, Unscored
from mllmqa.scoring import Scorer
from tests.chatting.conftest import NewSession
from tests.media.made import make_video


def test_files_are_letters_in_order(new_session: NewSession, pair: tuple[str, str], tmp_path: Path) -> None:
    session = new_session()
    assert [session.add(path).key for path in pair] == ["A", "B"]
    clip = session.add(str(make_video(tmp_path / "clip.mp4", 20)))
    assert clip.title.startswith(f"C  {tmp_path}/clip.mp4 (video, ")
    assert clip.title.endswith(" s)")
    assert session.files["A"].title == f"A  {pair[0]} (image, 64×48)"
    assert session.file("b").path == pair[1]
    events = session.transcript.events
    assert [type(e) for e in events] == [Model, Added, Added, Added]
    assert isinstance(events[1], Added)
    assert events[1].sha256 == session.files["A"].media.sha256


def test_what_cannot_be_added(new_session: NewSession, pair: tuple[str, str], tmp_path: Path) -> None:
    session = new_session()
    with pytest.raises(MediaNotFoundError):
        session.add(str(tmp_path / "none.png"))
    with pytest.raises(UsageError, match="stdin holds the questions"):
        session.add("-")
    assert session.files == {}
    for _ in KEYS:
        session.add(pair[0])
    with pytest.raises(UsageError, match="there are 8 files already"):
        session.add(pair[0])
    with pytest.raises(UnknownNameError, match=r"no file 'K'; expected A \| B"):
        session.file("K")


def test_questions_carry_files_history_and_frames(nano: Scorer, pair: tuple[str, str]) -> None:
    asked: list[Question] = []

    def answer(scorer: Scorer, question: Question) -> Reply:
        assert scorer is nano
        asked.append(question)
        source = "refusal" if "who" in question.text else "model"
        return Reply(f"answer {len(asked)}", source=source)  # type: ignore[arg-type]

    session = Session(nano, Doing(answer, lambda name: nano, max_new_tokens=7))
    session.add(pair[0])
    session.set_frames("4")
    for text in ("one?", "who is this?", "two?"):
        session.ask(text)
    last = asked[-1]
    assert last.history == (Exchange("one?", "answer 1"),)
    assert (last.frames, last.max_new_tokens, [f.key for f in last.files]) == ("uniform:4", 7, ["A"])
    answered = [e for e in session.transcript.events if isinstance(e, Answered)]
    assert [e.source for e in answered] == ["model", "refusal", "model"]
    assert session.last is answered[-1]


def test_a_failed_question_leaves_all_as_it_was(new_session: NewSession) -> None:
    session = new_session()
    before = list(session.transcript.events)
    with pytest.raises(UsageError, match="no image or video"):
        session.ask("Is it sharp?")
    assert (session.exchanges, session.last, session.transcript.events) == ([], None, before)


def test_scores_of_some_and_of_all(new_session: NewSession, pair: tuple[str, str], nano: Scorer) -> None:
    session = new_session()
    with pytest.raises(UsageError, match="no file to score"):
        session.score()
    for path in pair:
        session.add(path)
    both = session.score()
    assert [file.key for file, _ in both] == ["A", "B"]
    ((file, result),) = session.score(["b"])
    assert file.key == "B"
    assert isinstance(result, Score)
    assert result.value == pytest.approx(nano.score(pair[1]).value, abs=1e-4)
    Path(pair[0]).unlink()
    ((_, gone),) = session.score(["A"])
    assert isinstance(gone, Unscored)
    assert sum(isinstance(e, Scored) for e in session.transcript.events) == 4


def test_comparing_is_what_it_is_given(new_session: NewSession, pair: tuple[str, str]) -> None:
    def compare(scorer: Scorer, a: ChatFile, b: ChatFile, frames: str | None) -> Compared:
        return Compared(f"{b.key} is better", 0.2, {"frames": frames})

    session = new_session(compare)
    for path in pair:
        session.add(path)
    session.set_frames("uniform:2")
    assert session.compare("A", "b").text == "B is better"
    assert isinstance(session.last, ComparedTwo)
    assert session.last.details == {"frames": "uniform:2"}
    with pytest.raises(UsageError, match="A is compared with itself"):
        session.compare("A", "a")
    with pytest.raises(UsageError, match="nothing here compares"):
        new_session().compare("A", "B")


def test_frame_rules(new_session: NewSession) -> None:
    session = new_session()
    assert session.set_frames("3") == "uniform:3"
    with pytest.raises(UnknownNameError):
        session.set_frames("some")
    assert session.frames == "uniform:3"
    assert session.set_frames(None) == session.scorer.preset.video.frames
    assert [e.rule for e in session.transcript.events if isinstance(e, Frames)] == ["uniform:3", None]


def test_another_model_answers_and_the_old_one_is_closed(nano: Scorer, new_session: NewSession) -> None:
    session = new_session()
    with pytest.raises(UnknownNameError):
        session.change_model("other")
    assert session.scorer is nano
    session.change_model("nano")
    models = [e for e in session.transcript.events if isinstance(e, Model)]
    assert [m.name for m in models] == ["nano", "nano"]
    assert models[0].weights_sha256 == nano.backend.info.weights_sha256
