"""For a session: answers that rest on readings (:mod:`mllmqa.asking`), and :mod:`mllmqa.comparing`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mllmqa.asking.answer import Options, answer, depth_for, refusal
from mllmqa.asking.evidence import Depth, Gathered, gather
from mllmqa.asking.records import Answer
from mllmqa.asking.scope import Refusal, understand
from mllmqa.chatting.session import ChatFile, Compared, Exchange, Question, Reply
from mllmqa.comparing import compare
from mllmqa.errors import MllmqaError
from mllmqa.models.base import Turn
from mllmqa.prepare import ScoreOptions
from mllmqa.schema import Unscored
from mllmqa.scoring import Input

if TYPE_CHECKING:
    from mllmqa.scoring import Scorer


class GroundedTalk:
    """Answers by :func:`mllmqa.asking.answer`; further questions about the same files are not read for again."""

    def __init__(self) -> None:
        self._known: tuple[Scorer, tuple[ChatFile, ...], Depth, Gathered] | None = None

    def __call__(self, scorer: Scorer, question: Question) -> Reply:
        """Answer a question, or decline to.

        Raises:
            MediaError: A file can no longer be read.
            ModelError: The model failed.
        """
        asked = understand(question.text, [file.key for file in question.files], follows=bool(question.history))
        if isinstance(asked, Refusal):
            return _reply(refusal(question.text, asked))
        options = Options(question.max_new_tokens, on_text=question.on_text, cancelled=question.cancelled)
        depth = depth_for(asked, options)
        if question.frames is not None:
            depth = replace(depth, frames=question.frames)
        gathered = self._gathered(scorer, question.files, depth)
        history = _turns(question.history)
        return _reply(answer(scorer, question.text, asked, gathered, history=history, options=options))

    def _gathered(self, scorer: Scorer, files: tuple[ChatFile, ...], depth: Depth) -> Gathered:
        known = self._known
        if known is None or known[0] is not scorer or known[1:3] != (files, depth):
            known = (scorer, files, depth, gather(scorer, [file.path for file in files], depth=depth))
            self._known = known
        return known[3]


def compare_files(scorer: Scorer, a: ChatFile, b: ChatFile, frames: str | None) -> Compared:
    """Compare two files of a session.

    Raises:
        MllmqaError: One of them cannot be used; has the code of its record.
    """
    inputs = (Input.of(file.path) for file in (a, b))
    found = compare(scorer, *inputs, options=ScoreOptions(frames=frames))
    if isinstance(found, Unscored):
        error = MllmqaError(found.message)
        error.code = found.reason
        raise error
    letters = {"A": a.key, "B": b.key}
    text = re.sub(r"\b[AB]\b", lambda match: letters[match[0]], found.text())
    return Compared(text, found.p_a_better, found.model_dump(mode="json"))


def _turns(history: Sequence[Exchange]) -> list[Turn]:
    return [turn for one in history for turn in (Turn("user", (one.question,)), Turn("assistant", (one.answer,)))]


def _reply(found: Answer) -> Reply:
    why = (f"instead of the model's own text: {found.reason}",) if found.source == "evidence" else ()
    return Reply(
        found.text,
        source=found.source,
        finished="cancelled" if found.reason == "cancelled" else "stop",
        confidence=found.confidence,
        notes=(*why, *found.notes),
        details=found.model_dump(mode="json"),
    )
