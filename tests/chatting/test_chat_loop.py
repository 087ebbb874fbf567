"""Lines in, answers out: what goes where, what a mistake costs, and Ctrl-C."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator

import pytest

from mllmqa.chatting import Doing, Question, Reply, Session
from mllmqa.chatting.loop import Interrupts, Loop, Screen, piped, tame
from mllmqa.chatting.transcript import Answered, Failed
from mllmqa.scoring import Scorer
from tests.chatting.conftest import NewSession


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A job in the background of a script inherits SIGINT as ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _screen(*, live: bool) -> tuple[Screen, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Screen(out, err, live=live), out, err


def _run(session: Session, text: str, *, live: bool = False, interactive: bool = False) -> tuple[Loop, str, str]:
    screen, out, err = _screen(live=live)
    loop = Loop(session, screen, interactive=interactive)
    loop.run(piped(io.StringIO(text)))
    return loop, out.getvalue(), err.getvalue()


def test_answers_on_stdout_all_else_on_stderr(new_session: NewSession, pair: tuple[str, str]) -> None:
    session = new_session()
    lines = f"\n/add {pair[0]}\n  Rate the quality of this image.  \n/bogus\n/add none.png\n/score\n/quit\n/score\n"
    loop, out, err = _run(session, lines)
    shown = out.splitlines()
    assert shown[0].startswith("A  ")
    assert shown[1] == session.exchanges[0].answer
    assert shown[2].startswith("A  ")
    assert len(shown) == 3  # nothing after /quit
    said = err.splitlines()
    assert said[0].startswith("(confidence 0.")
    assert said[1].startswith("mllmqa: no command '/bogus'")
    assert said[2].startswith("mllmqa: none.png: no such file")
    assert loop.failed == 2
    failed = [e for e in session.transcript.events if isinstance(e, Failed)]
    assert [(e.line, e.reason) for e in failed] == [("/bogus", "unknown-name"), ("/add none.png", "not-found")]


def test_why_shows_its_question_and_asks_it(new_session: NewSession, pair: tuple[str, str]) -> None:
    session = new_session()
    _, out, _ = _run(session, f"/add {pair[0]}\n/score\n/why\n")
    shown = out.splitlines()
    assert shown[2].startswith("Why is the quality of A ")
    assert shown[3] == session.exchanges[0].answer
    assert session.exchanges[0].question == shown[2]


def test_a_question_with_odd_bytes_is_a_question(new_session: NewSession, pair: tuple[str, str]) -> None:
    session = new_session()
    loop, out, _ = _run(session, f"/add {pair[0]}\nIs \udcff it sharp?\n/add x\udcff.png\n")
    assert session.exchanges[0].question == "Is ? it sharp?"
    assert out.count("\n") == 2
    assert loop.failed == 1
    assert isinstance(session.transcript.events[-1], Failed)
    assert session.transcript.events[-1].line == "/add x\\udcff.png"


def test_a_live_answer_is_shown_piece_by_piece() -> None:
    screen, out, err = _screen(live=True)
    for piece in ("It", " is", "\x1b[31m sharp. "):
        screen.piece(piece)
    assert out.getvalue() == "It is[31m sharp. "
    screen.reply(Reply("It is[31m sharp.", confidence=0.5, notes=("some frames",), finished="length"))
    assert out.getvalue() == "It is[31m sharp. \n"
    assert err.getvalue() == "(confidence 0.50; cut off at its greatest length; some frames)\n"


def test_a_live_answer_that_does_not_hold_is_replaced() -> None:
    screen, out, err = _screen(live=True)
    screen.piece("It is sharp.")
    screen.reply(Reply("It is blurry.", source="evidence"))
    assert out.getvalue() == "It is sharp.\nIt is blurry.\n"
    assert err.getvalue() == "(the text above does not hold; the answer is:)\n(composed from the readings)\n"
    screen.reply(Reply("", finished="cancelled"))
    assert out.getvalue().endswith("blurry.\n")
    assert err.getvalue().endswith("(stopped)\n")


def test_over_a_pipe_only_what_is_final_is_shown() -> None:
    screen, out, _ = _screen(live=False)
    screen.piece("It is sharp.")
    screen.reply(Reply("It is blurry."))
    assert out.getvalue() == "It is blurry.\n"


def test_control_characters_are_taken_out() -> None:
    assert tame("a\x1b]0;title\x07b\r\x9b2J\tc\n é画") == "a]0;titleb2J\tc\n é画"


# ---------------------------------------------------------------- Ctrl-C


def test_the_first_is_a_wish_the_second_an_exception() -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupts = Interrupts()
    with interrupts.answering():
        with pytest.raises(KeyboardInterrupt):  # nobody asks: the model is not speaking
            signal.raise_signal(signal.SIGINT)
        assert not interrupts.pressed()
        signal.raise_signal(signal.SIGINT)
        assert interrupts.pressed()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    with interrupts.answering():
        assert not interrupts.pressed()


def _interrupted(nano: Scorer, presses: int) -> Session:
    def answer(scorer: Scorer, question: Question) -> Reply:
        assert question.on_text is not None
        question.on_text("It is")
        assert question.cancelled is not None
        assert not question.cancelled()
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)
        assert question.cancelled()
        return Reply("It is", finished="cancelled")

    return Session(nano, Doing(answer, lambda name: nano))


def test_a_stopped_answer_is_kept_and_the_session_goes_on(nano: Scorer) -> None:
    session = _interrupted(nano, 1)
    loop, out, err = _run(session, "sharp?\nsharp?\n/model\n", live=True, interactive=True)
    assert out == f"It is\nIt is\nmodel nano ({nano.backend.info.dtype}, cpu)\n"
    assert err == "(stopped)\n(stopped)\n"
    assert loop.failed == 0
    assert [e.finished for e in session.transcript.events if isinstance(e, Answered)] == ["cancelled"] * 2


def test_a_second_press_gives_the_answer_up(nano: Scorer) -> None:
    session = _interrupted(nano, 2)
    _, out, err = _run(session, "sharp?\n/model\n", live=True, interactive=True)
    assert out == f"It is\nmodel nano ({nano.backend.info.dtype}, cpu)\n"
    assert err == "(stopped)\n"
    (event,) = [e for e in session.transcript.events if isinstance(e, Failed)]
    assert (event.line, event.reason) == ("sharp?", "interrupted")
    assert session.exchanges == []


def test_a_command_is_stopped_at_once_and_a_pipe_is_left(nano: Scorer) -> None:
    def load(name: str) -> Scorer:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    def answer(scorer: Scorer, question: Question) -> Reply:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    session = Session(nano, Doing(answer, load))
    _, _, err = _run(session, "/model other\n", interactive=True)
    assert err == "(stopped)\n"
    for line in ("/model other\n", "sharp?\n"):
        with pytest.raises(KeyboardInterrupt):
            _run(session, line)
