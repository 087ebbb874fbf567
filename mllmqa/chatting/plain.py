"""Answers in a model's own words: nothing is read beforehand and nothing is checked.

All files are shown in front of the first question that fits. What is too long for the model loses earlier questions
first, then every second frame; the answer says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mllmqa.chatting.session import ChatFile, Question, Reply
from mllmqa.data.streams import stream
from mllmqa.data.tasks.wording import wording
from mllmqa.errors import InferenceError, MediaLimitError, UsageError
from mllmqa.models.base import EncodedImage, ImageHWC, Turn
from mllmqa.prepare import Refused, ScoreOptions, make_plan, prepare

if TYPE_CHECKING:
    from mllmqa.scoring import Scorer


@dataclass(frozen=True)
class Part:
    """One picture, or one frame, as the model sees it.

    Attributes:
        pictures: Views, uint8 RGB (H, W, 3); several where the view cuts it into tiles.
        encoded: The same as files, for a remote model.
        time_s: Of a frame.
    """

    pictures: tuple[ImageHWC, ...]
    encoded: tuple[EncodedImage, ...] | None
    time_s: float | None = None


@dataclass(frozen=True)
class Shown:
    """What the model sees of one file."""

    file: ChatFile
    parts: tuple[Part, ...]

    def halved(self) -> Shown:
        """Every second frame."""
        return replace(self, parts=self.parts[::2])


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
        shown = [self._shown(scorer, file, question.frames) for file in question.files]
        history = question.history if scorer.preset.history else ()
        lines = [line for one in history for line in (one.question, one.answer)] + [question.text]
        notes: dict[str, str] = {}
        while True:
            try:
                spoken = scorer.backend.talk(
                    turns_of(shown, lines),
                    max_new_tokens=question.max_new_tokens,
                    on_text=question.on_text,
                    cancelled=question.cancelled,
                )
                break
            except MediaLimitError:
                if len(lines) > 1:
                    lines = lines[2:]
                    notes["history"] = "earlier questions did not fit into the model"
                elif any(len(one.parts) > 1 for one in shown):
                    shown = [one.halved() for one in shown]
                    notes["frames"] = kept(shown)
                else:
                    raise
        return Reply(
            spoken.text.rstrip(), finished=spoken.finished, confidence=confidence(spoken.logprobs),
            notes=tuple(notes.values()),
        )  # fmt: skip

    def _shown(self, scorer: Scorer, file: ChatFile, frames: str | None) -> Shown:
        plan = make_plan(
            scorer.preset, scorer.backend.info, scorer.backend.native_video, ScoreOptions(frames=frames)
        )
        key = (file.key, plan.spec)
        if key in self._seen:
            return self._seen[key]
        ready = prepare(file.path, file.media.name, plan)
        if ready is None or isinstance(ready, Refused):
            raise ready.error if ready else InferenceError("nothing to show", where=file.path)
        times = ready.provenance.timestamps_s if ready.media.kind == "video" else ()
        pictures = [image for request in ready.requests for image in request.images]
        encoded = [one for request in ready.requests for one in request.encoded or ()]
        size = len(pictures) // max(1, len(times))
        parts = [
            Part(
                tuple(pictures[start : start + size]),
                tuple(encoded[start : start + size]) or None,
                times[start // size] if times else None,
            )
            for start in range(0, len(pictures), size)
        ]
        self._seen[key] = Shown(file, tuple(parts))
        return self._seen[key]


def turns_of(shown: Sequence[Shown], lines: Sequence[str]) -> list[Turn]:
    """Return a talk: the pictures, each behind its name where there are several, in front of the first line.

    Args:
        shown: Files.
        lines: Question, answer, …, question.
    """
    content: list[ImageHWC | str] = []
    encoded: list[EncodedImage] = []
    named = sum(len(one.parts) for one in shown) > 1
    for one in shown:
        for part in one.parts:
            content += [*([_name(one.file, part)] if named else []), *part.pictures]
            encoded += part.encoded or ()
    first = Turn("user", (*content, lines[0]), tuple(encoded) or None)
    rest = [Turn("assistant" if k % 2 else "user", (line,)) for k, line in enumerate(lines[1:], 1)]
    return [first, *rest]


def _name(file: ChatFile, part: Part) -> str:
    """Name a picture as in training (``prompts/build/layout.yaml``); nothing of the file's own name."""
    name = wording("layout").pick("stimulus", stream(0, "layout"), medium=file.media.kind, key=file.key)
    return name if part.time_s is None else f"{name.removesuffix(':')} ({part.time_s:.1f} s):"


def kept(shown: Sequence[Shown]) -> str:
    """Say which frames were kept."""
    videos = [one for one in shown if one.parts[0].time_s is not None]
    each = [f"{one.file.key} at {', '.join(f'{part.time_s:.1f}' for part in one.parts)} s" for one in videos]
    return f"not all frames fit into the model; kept: {'; '.join(each)}"


def confidence(logprobs: Sequence[float] | None) -> float | None:
    """Return the geometric mean of the tokens' probabilities; None where they are not known."""
    return math.exp(sum(logprobs) / len(logprobs)) if logprobs else None
