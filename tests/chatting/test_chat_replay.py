"""Replays: the same model says the same; what differs is shown, of answers, scores, comparisons and files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mllmqa.chatting import Compared, Doing, Question, Reply, Session
from mllmqa.chatting.replay import Step, first_model, replay
from mllmqa.chatting.session import ChatFile
from mllmqa.chatting.transcript import AnyEvent, Failed, Model
from mllmqa.errors import InferenceError, MediaNotFoundError
from mllmqa.scoring import Scorer
from tests.chatting.conftest import NewSession
from tests.conftest import photo_pixels


def _compare(scorer: Scorer, a: ChatFile, b: ChatFile, frames: str | None) -> Compared:
    return Compared(f"{b.key} is better", 0.3)


@pytest.fixture
def told(new_session: NewSession, pair: tuple[str, str]) -> list[AnyEvent]:
    session = new_session(_compare)
    for path in pair:
        session.add(path)
    session.set_frames("2")
    session.ask("Rate the quality of this image.")
    session.score()
    session.compare("A", "B")
    session.transcript.add(Failed(line="/x", reason="usage", message="no command"))
    return session.transcript.events


def _again(session: Session, events: list[AnyEvent]) -> list[Step]:
    return list(replay(session, events, change_models=True))


def test_the_same_again_is_the_same(told: list[AnyEvent], new_session: NewSession) -> None:
    session = new_session(_compare)
    steps = _again(session, told)
    assert [s.status for s in steps] == ["same", "same", "same", "same", "note"]
    assert steps[0].lines() == ["= Rate the quality of this image.", f"  {steps[0].before}"]
    assert steps[4].lines() == ["! /x: was not done then: no command"]
    assert session.frames == "uniform:2"
    kinds = [type(event) for event in session.transcript.events]
    assert kinds == [type(event) for event in told[:-1]]  # what failed is told, and not done again


def test_other_answers_are_shown_side_by_side(told: list[AnyEvent], nano: Scorer) -> None:
    def answer(scorer: Scorer, question: Question) -> Reply:
        return Reply("Something else.")

    steps = _again(Session(nano, Doing(answer, lambda name: nano, _compare)), told)
    assert steps[0].lines() == [
        "≠ Rate the quality of this image.",
        f"- {steps[0].before}",
        "+ Something else.",
    ]
    assert [s.status for s in steps[1:]] == ["same", "same", "same", "note"]


def test_what_fails_now_differs(told: list[AnyEvent], nano: Scorer) -> None:
    def answer(scorer: Scorer, question: Question) -> Reply:
        raise InferenceError("the model failed")

    steps = _again(Session(nano, Doing(answer, lambda name: nano)), told)
    assert (steps[0].now, steps[0].status) == ("no answer: the model failed", "differs")
    assert steps[3].now.startswith("not compared: nothing here compares")


def test_another_preference_differs(told: list[AnyEvent], new_session: NewSession) -> None:
    def compare(scorer: Scorer, a: ChatFile, b: ChatFile, frames: str | None) -> Compared:
        return Compared("A is better", 0.31)

    assert _again(new_session(compare), told)[3].status == "differs"


def test_a_file_with_another_content_is_told(
    told: list[AnyEvent], pair: tuple[str, str], new_session: NewSession
) -> None:
    Image.fromarray(photo_pixels(64, 48, seed=9) // 4).save(pair[0])
    steps = _again(new_session(_compare), told)
    assert steps[0].lines() == [f"! /add {pair[0]}: A is another file now: its content differs"]
    assert steps[2].status == "differs"
    assert steps[3].status == "same"


def test_a_file_that_is_gone_ends_it(told: list[AnyEvent], pair: tuple[str, str], new_session: NewSession) -> None:
    Path(pair[1]).unlink()
    with pytest.raises(MediaNotFoundError):
        _again(new_session(_compare), told)


def test_models_of_the_transcript(told: list[AnyEvent], nano: Scorer) -> None:
    loaded: list[str] = []

    def load(name: str) -> Scorer:
        loaded.append(name)
        return nano

    def answer(scorer: Scorer, question: Question) -> Reply:
        return Reply("x")

    second = told[0].model_copy(update={"name": "second"})
    events = [*told[:2], second, *told[2:]]
    assert first_model(events) == "nano"
    assert first_model(told[1:]) is None
    list(replay(Session(nano, Doing(answer, load, _compare)), events, change_models=False))
    assert loaded == []
    session = Session(nano, Doing(answer, load, _compare))
    list(replay(session, events, change_models=True))
    assert loaded == ["second"]
    assert sum(isinstance(e, Model) for e in session.transcript.events) == 2
