"""Score images and videos: sources in, one result each out, in order.

Decode workers prepare the next inputs while the model works on the current batch; the number of inputs
in flight is bounded, so memory does not grow with the number of files.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from mllmqa import prompts
from mllmqa.errors import InferenceError, MllmqaError, UsageError, error_line
from mllmqa.levels import average, distribution
from mllmqa.media.source import printable
from mllmqa.models.base import Backend, LevelLogits
from mllmqa.models.devices import BATCH, BATCH_ON_CPU
from mllmqa.models.presets import Preset
from mllmqa.prepare import Plan, Prepared, Refused, ScoreOptions, make_plan, prepare
from mllmqa.schema import Anchored, Distribution, FrameScore, Score, Unscored

if TYPE_CHECKING:
    from mllmqa.prepare import IsDone, Source

    Many = list[Source] | tuple[Source, ...]


@dataclass(frozen=True)
class Input:
    """One input of a run.

    Attributes:
        source: What to open; an error where it could not even be found.
        name: How its record calls it: valid Unicode on one line.
        kind: ``image`` or ``video`` if the user said so, None otherwise.
    """

    source: Source | MllmqaError
    name: str
    kind: Literal["image", "video"] | None = None

    @classmethod
    def of(cls, source: Source, kind: Literal["image", "video"] | None = None) -> Input:
        """Return an input named by its path, or by its type where it has none."""
        path = isinstance(source, str | os.PathLike)
        return cls(source, printable(source) if path else f"<{type(source).__name__}>", kind)


@dataclass(frozen=True)
class Judged:
    """What the answers about one input say.

    Attributes:
        whole: Of the input.
        frames: Of each frame, for videos that were asked about frame by frame.
        anchored: How it came about, for scores by comparison with anchors.
    """

    whole: Distribution
    frames: Sequence[Distribution]
    anchored: Anchored | None = None


class Scorer:
    """A model with its preset, ready to score.

    Args:
        backend: The model behind it.
        preset: How it is asked.
    """

    def __init__(self, backend: Backend, preset: Preset) -> None:
        self.backend = backend
        self.preset = preset
        self.scale = prompts.word_scale(preset.words)

    @overload
    def score(self, source: Source, options: ScoreOptions | None = ...) -> Score: ...
    @overload
    def score(self, source: Many, options: ScoreOptions | None = ...) -> list[Score | Unscored]: ...

    def score(self, source: Source | Many, options: ScoreOptions | None = None) -> Score | list[Score | Unscored]:
        """Score one source, or a list of them.

        Args:
            source: Path, binary file object, PIL image, uint8 array (H, W, 3) for an image or
                (T, H, W, 3) for a video; or a list or tuple of those.
            options: What to ask and what to show; the preset's choices by default.

        Returns:
            For one source its :class:`Score`. For a list one entry each, in order: a :class:`Score`, or
            an :class:`Unscored` that says why not.

        Raises:
            MllmqaError: One source could not be scored (a list never raises for its items).
        """
        if isinstance(source, list | tuple):
            return list(self.stream([Input.of(one) for one in source], options))
        plan = self.plan(options)
        ready = prepare(source, Input.of(source).name, plan)
        if isinstance(ready, Refused) or ready is None:
            raise ready.error if ready else InferenceError("nothing to score")
        answers = answered(self.backend.level_logits(ready.requests, self.scale.words))
        result = self._result(ready, answers, plan)
        if isinstance(result, Unscored):
            raise InferenceError(result.message)
        return result

    @property
    def default_batch_size(self) -> int:
        """Requests at once where the caller does not say; a remote model says what keeps its connections busy."""
        if own := getattr(self.backend, "batch_size", None):
            return int(own)
        return BATCH_ON_CPU if self.backend.info.device == "cpu" else BATCH

    def plan(self, options: ScoreOptions | None = None) -> Plan:
        """Resolve options against this model.

        Raises:
            UsageError: The model cannot do what the options ask for.
            LevelTokenError: Its tokenizer splits the level words.
        """
        plan = make_plan(self.preset, self.backend.info, self.backend.native_video, options or ScoreOptions())
        self.backend.check_words(plan.image_prompt, self.scale.words)
        return plan

    def stream(
        self,
        sources: Iterable[Input | Source],
        options: ScoreOptions | None = None,
        *,
        workers: int | None = None,
        batch_size: int | None = None,
        is_done: IsDone | None = None,
    ) -> Iterator[Score | Unscored]:
        """Score any number of sources lazily, one result each, in order.

        Args:
            sources: The inputs, or what :meth:`score` takes.
            options: As for :meth:`score`.
            workers: Decode threads; default: one per core, at most 8.
            batch_size: Requests per forward pass; default: :attr:`default_batch_size` (halved when the GPU's memory
                does not hold them).
            is_done: Asked with name and SHA-256 of every input that can be opened; those that are done
                give no result.

        Raises:
            UsageError: Before the first result, for options that this model cannot do.
        """
        plan = self.plan(options)
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch size {batch_size}", expected="at least 1")
        size = batch_size or self.default_batch_size
        waiting: list[Prepared | Refused] = []
        for ready in prepare_ahead(sources, plan, workers or min(8, os.cpu_count() or 1), is_done):
            waiting.append(ready)
            if sum(len(w.requests) for w in waiting if isinstance(w, Prepared)) >= size:
                yield from self.results(waiting, plan, size)
                waiting = []
        yield from self.results(waiting, plan, size)

    def results(self, waiting: Sequence[Prepared | Refused], plan: Plan, size: int) -> Iterator[Score | Unscored]:
        """Ask the model about all waiting inputs, ``size`` requests per forward pass; one result each, in order."""
        requests = [r for ready in waiting if isinstance(ready, Prepared) for r in ready.requests]
        answers: Iterator[LevelLogits | MllmqaError] = itertools.chain.from_iterable(
            self.backend.level_logits(requests[i : i + size], self.scale.words)
            for i in range(0, len(requests), size)
        )
        for ready in waiting:
            if isinstance(ready, Refused):
                yield unscored(ready.source, ready.error, plan, ready)
            else:
                own = list(itertools.islice(answers, len(ready.requests)))
                yield self._result(ready, own, plan)

    def _result(
        self, ready: Prepared, answers: Sequence[LevelLogits | MllmqaError], plan: Plan
    ) -> Score | Unscored:
        """Assemble one input's score from the answers to its requests."""
        try:
            judged = self._judge(answered(answers), ready, plan)
        except MllmqaError as error:
            return unscored(ready.source, error, plan, ready)
        shown = None
        if plan.per_frame and ready.media.kind == "video":
            timed = zip(judged.frames, ready.provenance.timestamps_s, strict=True)
            shown = tuple(FrameScore(**dict(part), timestamp_s=t) for part, t in timed)
        return Score(
            **dict(judged.whole),
            source=ready.source,
            aspect=plan.aspect,
            frames=shown,
            anchored=judged.anchored,
            media=ready.media,
            provenance=ready.provenance,
        )

    def _judge(self, answers: Sequence[LevelLogits], ready: Prepared, plan: Plan) -> Judged:
        """Turn the answers to an input's requests into distributions over the level words."""
        parts = [self._one(answer) for answer in answers]
        if ready.joint:
            return Judged(parts[0], parts[1:])
        return Judged(average(parts, self.scale), parts)

    def _one(self, answer: LevelLogits) -> Distribution:
        logits = np.asarray(answer.logits, dtype=np.float32)
        return distribution(logits, answer.log_z, self.scale, answer.readout)


def answered(answers: Sequence[LevelLogits | MllmqaError]) -> list[LevelLogits]:
    """Return a model's answers, if there is one for each request; else raise the first error among them."""
    found = []
    for answer in answers:
        if isinstance(answer, MllmqaError):
            raise answer
        found.append(answer)
    return found


def unscored(source: str, error: MllmqaError, plan: Plan, ready: Prepared | Refused) -> Unscored:
    """Return the record of an input that could not be used."""
    return Unscored(
        source=source,
        aspect=plan.aspect,
        reason=error.code,
        message=error_line(error),
        media=ready.media,
        spec=plan.spec,
    )


def prepare_ahead(
    sources: Iterable[Input | Source], plan: Plan, workers: int, is_done: IsDone | None = None
) -> Iterator[Prepared | Refused]:
    """Prepare sources in threads, in order, at most ``workers + 2`` ahead; leave out those that are done."""
    if workers < 1:
        raise UsageError(f"{workers} workers", expected="at least 1")
    window: deque[Future[Prepared | Refused | None]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="mllmqa-decode")
    try:
        for one in sources:
            item = one if isinstance(one, Input) else Input.of(one)
            window.append(pool.submit(_prepare_one, item, plan, is_done))
            if len(window) >= workers + 2 and (ready := window.popleft().result()) is not None:
                yield ready
        while window:
            if (ready := window.popleft().result()) is not None:
                yield ready
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_one(item: Input, plan: Plan, is_done: IsDone | None) -> Prepared | Refused | None:
    if isinstance(item.source, MllmqaError):
        return Refused(item.name, item.source)
    return prepare(item.source, item.name, plan, item.kind, is_done)
