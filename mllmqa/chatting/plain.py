"""Answers in a model's own words: nothing is read beforehand and nothing is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mllmqa.asking.confidence import of_tokens
from mllmqa.asking.speaking import How, Shown, speak
from mllmqa.asking.texts import say
from mllmqa.chatting.session import ChatFile, Question, Reply
from mllmqa.data.streams import stream
from mllmqa.data.tasks.wording import wording
from mllmqa.errors import InferenceError, UsageError
from mllmqa.prepare import Refused, ScoreOptions, make_plan, prepare

if TYPE_CHECKING:
    from mllmqa.scoring import Scorer


class PlainTalk:
    """Answers by :meth:`mllmqa.models.base.Backend.talk`; decodes each file once per model and frame rule."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Shown] = {}

    def __call__(self, scorer: Scorer, question: Question) -> Reply:
        """Answer a question.

        Raises:
            UsageError: There is no file.
            MediaError: A file can no longer be read, or even one frame of each is too long for the model.
            ModelError: The model failed.
        """
        if not question.files:
            raise UsageError("no image or video to talk about", expected="/add FILE first")
        shown = [self.shown(scorer, file, question.frames) for file in question.files]
        history = question.history if scorer.preset.history else ()
        lines = [line for one in history for line in (one.question, one.answer)] + [question.text]
        how = How(question.max_new_tokens, question.on_text, question.cancelled)
        said = speak(scorer.backend, shown, lines, how)
        return Reply(
            said.spoken.text.rstrip(),
            finished=said.spoken.finished,
            confidence=of_tokens(said.pieces, said.spoken.logprobs),
            notes=said.notes,
        )

    def shown(self, scorer: Scorer, file: ChatFile, frames: str | None) -> Shown:
        """Return what the model sees of a file: its pictures, each behind its name.

        Raises:
            MediaError: It cannot be read.
        """
        plan = make_plan(
            scorer.preset, scorer.backend.info, scorer.backend.native_video, ScoreOptions(frames=frames)
        )
        key = (file.key, plan.spec)
        if key not in self._seen:
            ready = prepare(file.path, file.media.name, plan)
            if ready is None or isinstance(ready, Refused):
                raise ready.error if ready else InferenceError("nothing to show", where=file.path)
            times = ready.provenance.timestamps_s if ready.media.kind == "video" else ()
            pictures = [image for request in ready.requests for image in request.images]
            encoded = [one for request in ready.requests for one in request.encoded or ()]
            size = len(pictures) // max(1, len(times))  # views of a picture or frame
            parts = [
                (
                    _name(file, times[k] if times else None),
                    tuple(pictures[i : i + size]),
                    tuple(encoded[i : i + size]),
                )
                for k, i in enumerate(range(0, len(pictures), size))
            ]
            self._seen[key] = Shown(file.key, tuple((n, p, e or None) for n, p, e in parts), times)
        return self._seen[key]


def _name(file: ChatFile, time_s: float | None) -> str:
    """Name a picture by its letter, as in training; nothing of the file's own name."""
    if time_s is not None:
        return say("model", "frame", key=file.key, time_s=f"{time_s:.1f}")
    return wording("layout").pick("stimulus", stream(0, "layout"), medium=file.media.kind, key=file.key)
