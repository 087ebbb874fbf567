"""Answers that rest on readings: what a session gets of them, and that files are read once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.asking.records import Answer
from mllmqa.chatting import Question
from mllmqa.chatting.grounded import GroundedTalk, compare_files
from mllmqa.chatting.session import ChatFile, Exchange
from mllmqa.errors import MediaNotFoundError, MllmqaError
from mllmqa.media import open_media
from mllmqa.schema import Comparison
from mllmqa.scoring import Scorer


def _files(*paths: str, keys: str = "AB") -> tuple[ChatFile, ...]:
    return tuple(ChatFile(k, p, open_media(p, name=p).info) for k, p in zip(keys, paths, strict=False))


def test_a_question_outside_quality_is_declined(nano: Scorer, pair: tuple[str, str]) -> None:
    reply = GroundedTalk()(nano, Question("Who is this?", _files(*pair)))
    assert reply.source == "refusal"
    assert reply.text
    assert Answer.model_validate(reply.details).reason == "outside"
    assert GroundedTalk()(nano, Question("Is it sharp?", ())).source == "refusal"


def test_files_are_read_once(nano: Scorer, pair: tuple[str, str]) -> None:
    talk, files = GroundedTalk(), _files(*pair)
    first = talk(nano, Question("Why is A worse than B?", files))
    assert first.text
    assert first.source in ("model", "evidence")
    answer = Answer.model_validate(first.details)
    assert answer.text == first.text
    assert answer.evidence is not None
    assert first.confidence == answer.confidence
    for path in pair:
        Path(path).unlink()
    history = (Exchange("Why is A worse than B?", first.text),)
    again = talk(nano, Question("And why?", files, history))
    assert again.source in ("model", "evidence")
    stopped = talk(nano, Question("Is A or B better?", files, cancelled=lambda: True))
    assert stopped.finished == "cancelled" or stopped.source == "evidence"
    with pytest.raises(MediaNotFoundError):
        GroundedTalk()(nano, Question("Is A or B better?", files))


def test_comparisons_use_the_letters_of_the_session(nano: Scorer, pair: tuple[str, str]) -> None:
    a, b = _files(*pair, keys="BA")  # the first is called B here
    found = compare_files(nano, a, b, None)
    record = Comparison.model_validate(found.details)
    assert found.p_a_better == record.p_a_better
    swapped = record.text().translate(str.maketrans("AB", "BA"))
    assert found.text == swapped
    Path(pair[0]).unlink()
    with pytest.raises(MllmqaError, match="no such file") as caught:
        compare_files(nano, a, b, None)
    assert caught.value.code == "not-found"
