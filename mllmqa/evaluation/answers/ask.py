"""Ask a model many questions: media are prepared in threads, questions go to the model in batches.

The text is the one that training writes (:mod:`mllmqa.models.turns`), pictures and frames are those that training
shows (:mod:`mllmqa.training.shown`). A question that cannot be asked or answered gives a reply that says why.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mllmqa import media
from mllmqa.data.sample import Message, path_of
from mllmqa.data.streams import stream
from mllmqa.errors import ApiAuthError, DataError, InferenceError, MediaFormatError, MllmqaError, error_line
from mllmqa.evaluation.answers.item import Item
from mllmqa.models.base import Backend, ChatMessage, EncodedImage, LevelLogits, Request
from mllmqa.prompts import Prompt
from mllmqa.training.shown import Look, Shown, show_all

if TYPE_CHECKING:
    from mllmqa.scoring import Scorer

Ready = tuple[Item, Request | MllmqaError]
"""A question with what the model is asked, or why it cannot be."""

VIEW_SEED = 0
"""Of random views and frame rules."""


@dataclass(frozen=True)
class Reply:
    """What a model answered.

    Attributes:
        item: The question.
        text: What it wrote; None where words were read, or there is no answer.
        logprobs: Natural logarithms of the words' probabilities in the closed set; None: not read. ``-inf`` where
            an endpoint did not report a word.
        coverage: Their mass in the open vocabulary; None where it is not known.
        error: Why there is no answer.
    """

    item: Item
    text: str | None = None
    logprobs: dict[str, float] | None = None
    coverage: float | None = None
    error: MllmqaError | None = None


class Asker:
    """A model that is asked.

    Args:
        scorer: Model with its preset.
        view: What it sees; None: the preset's.
        frames: Frame rule of clips; None: the preset's.
        max_tokens: Limit of an answer's length.

    Raises:
        UnknownNameError: No such view or frame rule.
        UsageError: The model cannot take clips in the preset's way.
    """

    def __init__(
        self, scorer: Scorer, *, view: str | None = None, frames: str | None = None, max_tokens: int = 128
    ) -> None:
        self.backend: Backend = scorer.backend
        self.look = Look.of(scorer.preset, scorer.backend.native_video, view=view, frames=frames)
        self.max_tokens = max_tokens
        own = getattr(scorer.backend, "batch_size", None)
        self._batch = int(own) if own else 4 * scorer.default_batch_size

    def ask(
        self, items: Iterable[Item], *, workers: int | None = None, batch_size: int | None = None
    ) -> Iterator[Reply]:
        """Ask all questions lazily; one reply each, in order.

        Args:
            items: The questions.
            workers: Decode threads; default: one per core, at most 8.
            batch_size: Questions at once; those of equal shape share a forward pass.
        """
        size = batch_size or self._batch
        ready = _ahead(items, self._prepared, workers or min(8, os.cpu_count() or 1), size)
        while batch := list(itertools.islice(ready, size)):
            yield from self._answers(batch)

    # ------------------------------------------------------------------ one question

    def _prepared(self, item: Item) -> Ready:
        try:
            return item, self.request(item)
        except MllmqaError as error:
            return item, error
        except Exception as error:  # noqa: BLE001 - a decoder's surprise costs one question, never the run
            return item, MediaFormatError(f"cannot be read ({error_line(error)})", where=item.id)

    def request(self, item: Item) -> Request:
        """Return one question as the model is asked it.

        Raises:
            DataError: A medium has no path, or several clips are shown at once.
            MediaError: A medium cannot be used.
        """
        seen = show_all(
            item.sample, item.folder, self.look, lambda key: stream(VIEW_SEED, "view", item.sample.id, key)
        )
        keys = [p.media for m in item.sample.messages for p in m.content if p.media is not None]
        clips = [one.clip for key in keys if (one := seen[key]).clip is not None]
        if clips and len(keys) > 1:
            raise DataError("shows a clip beside other media, which no video input takes", where=item.id)
        prompt = Prompt(f"answers/{item.task}", item.digest, item.question, "")
        return Request(
            prompt=prompt,
            images=tuple(image for key in keys for image in seen[key].images),
            clip=clips[0] if clips else None,
            encoded=self._files(item, keys, seen) if self.backend.info.remote else None,
            messages=tuple(_message(message, seen) for message in item.sample.messages),
        )

    def _files(self, item: Item, keys: Sequence[str], seen: dict[str, Shown]) -> tuple[EncodedImage, ...]:
        """The user's own bytes where the view is the untouched file, else lossless PNG."""
        from mllmqa.models.api.pictures import as_png, original_file

        files: list[EncodedImage] = []
        for key in keys:
            medium = item.sample.medium(key)
            own = None
            if medium.kind == "image" and self.look.view.kind == "native":
                own = original_file(media.open_media(path_of(medium, item.folder) or Path(), name=key))
            files += [own] if own is not None else [as_png(image) for image in seen[key].images]
        return tuple(files)

    # ------------------------------------------------------------------ a batch

    def _answers(self, batch: Sequence[Ready]) -> Iterator[Reply]:
        asked = [(item, request) for item, request in batch if isinstance(request, Request)]
        replies: dict[int, Reply] = {}
        for words in dict.fromkeys(item.words for item, _ in asked):
            group = [(item, request) for item, request in asked if item.words == words]
            found = self._written(group) if words is None else self._read(group, words)
            replies.update((id(item), reply) for (item, _), reply in zip(group, found, strict=True))
        for item, request in batch:
            yield replies[id(item)] if isinstance(request, Request) else Reply(item, error=request)

    def _written(self, group: Sequence[tuple[Item, Request]]) -> list[Reply]:
        found = written(self.backend, [request for _, request in group], self.max_tokens)
        return [
            Reply(item, error=text) if isinstance(text, MllmqaError) else Reply(item, text.strip())
            for (item, _), text in zip(group, found, strict=True)
        ]

    def _read(self, group: Sequence[tuple[Item, Request]], words: tuple[str, ...]) -> list[Reply]:
        answers = self.backend.level_logits([request for _, request in group], words)
        return [_of_logits(item, answer, words) for (item, _), answer in zip(group, answers, strict=True)]


def written(backend: Backend, requests: Sequence[Request], max_tokens: int) -> list[str | MllmqaError]:
    """Let a model write answers; the questions of a batch that fails are asked one by one.

    Raises:
        ApiAuthError: An endpoint refuses the key, and nothing was answered.
    """
    if outcomes := getattr(backend, "outcomes", None):  # an endpoint tells each failure by itself
        found = [one if isinstance(one, MllmqaError) else one.text for one in outcomes(requests, max_tokens)]
        if found and all(isinstance(one, ApiAuthError) for one in found):
            raise found[0]
        return found
    try:
        return list(backend.generate(requests, max_tokens))
    except MllmqaError as error:
        if len(requests) == 1:
            return [error]
    except Exception as error:  # noqa: BLE001 - whatever a model's code raises becomes a record
        if len(requests) == 1:
            return [InferenceError(f"the model failed: {type(error).__name__}: {error_line(error)}")]
    return [answer for request in requests for answer in written(backend, [request], max_tokens)]


def _of_logits(item: Item, answer: LevelLogits | MllmqaError, words: tuple[str, ...]) -> Reply:
    import numpy as np

    if isinstance(answer, MllmqaError):
        return Reply(item, error=answer)
    logits = np.asarray(answer.logits, dtype=np.float64)
    total = np.logaddexp.reduce(logits)
    coverage = None if answer.log_z is None else float(np.exp(total - answer.log_z))
    return Reply(item, logprobs=dict(zip(words, (logits - total).tolist(), strict=True)), coverage=coverage)


def _message(message: Message, seen: dict[str, Shown]) -> ChatMessage:
    """Return a message with a place for each picture; an answer is stripped, as it is learnt."""
    if message.role == "assistant":
        return ChatMessage("assistant", (message.text.strip(),))
    content: list[str | None] = []
    for part in message.content:
        if part.media is not None:
            one = seen[part.media]
            content += [None] * (1 if one.clip else len(one.images))
        else:
            content.append(part.text or "")
    return ChatMessage(message.role, tuple(content))


def _ahead(items: Iterable[Item], prepare: Callable[[Item], Ready], workers: int, most: int) -> Iterator[Ready]:
    """Prepare questions in threads, in order, at most ``most`` + ``workers`` ahead."""
    window: deque[Future[Ready]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="mllmqa-decode")
    try:
        for item in items:
            window.append(pool.submit(prepare, item))
            if len(window) >= most + workers:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
