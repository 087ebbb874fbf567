"""From a trial to what a model says: pictures as the model shall see them, one request, one outcome."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mllmqa import media, prompts
from mllmqa.errors import (
    ApiAuthError,
    ApiError,
    ApiModelError,
    ApiRefusedError,
    ApiTruncatedError,
    BudgetError,
    MllmqaError,
    UsageError,
    error_line,
)
from mllmqa.evaluation.prompting.answers import Failure
from mllmqa.evaluation.prompting.items import Items
from mllmqa.evaluation.prompting.strategies import Response
from mllmqa.evaluation.prompting.trials import LOGITS, Trial, files, prompt_of
from mllmqa.models.base import EncodedImage, ImageHWC, LevelLogits, Request
from mllmqa.models.fake import FakeBackend, digest
from mllmqa.prepare import VIEW_SEED
from mllmqa.scoring import Scorer

SHELF_BYTES = 256 << 20
"""Pictures that are kept ready; beyond it the least recently used are read again."""

STOPPING = (BudgetError, ApiAuthError, ApiModelError)
"""After these, no further question makes sense."""


@dataclass(frozen=True)
class Outcome:
    """What became of one question.

    Attributes:
        result: What the model gave, or the failure.
        tokens_in: As the endpoint counts them; None where nobody counts.
        tokens_out: Likewise.
        from_cache: Whether it was paid for by an earlier run.
        seconds: Until it was there.
        original: Whether all pictures went as their own bytes; None for a model on this machine.
    """

    result: Response | Failure
    tokens_in: int | None = None
    tokens_out: int | None = None
    from_cache: bool = False
    seconds: float = 0.0
    original: bool | None = None


@dataclass(frozen=True)
class _Shown:
    view: ImageHWC | None
    file: EncodedImage | None

    @property
    def size(self) -> int:
        """Bytes that it takes in memory."""
        return (0 if self.view is None else self.view.nbytes) + (0 if self.file is None else len(self.file.data))


class Asker:
    """Asks one model; thread-safe if the model is remote.

    Args:
        scorer: The model.
        items: What trials speak of.
        max_tokens: Length of an answer in words.

    Raises:
        UsageError: The model's view cuts pictures into parts, which cannot be compared.
    """

    def __init__(self, scorer: Scorer, items: Items, max_tokens: int = 256) -> None:
        self.scorer, self.items, self.max_tokens = scorer, items, max_tokens
        self.info = scorer.backend.info
        self._view = scorer.plan().view
        self._shelf: OrderedDict[Path, _Shown] = OrderedDict()
        self._held, self._lock = 0, threading.Lock()
        if isinstance(scorer.backend, FakeBackend):
            self._tell(scorer.backend)

    def _tell(self, observer: FakeBackend) -> None:
        """Let the synthetic observer know the opinions of the pictures."""
        truth = {}
        for item in (*self.items.rated, *self.items.exemplars):
            view = self._shown(item.path).view
            if view is not None:
                truth[digest(view)] = item.opinion
        self.scorer = Scorer(FakeBackend(observer.info.model, truth), self.scorer.preset)
        self.info = self.scorer.backend.info

    def ask(self, trial: Trial) -> Outcome:
        """Ask once.

        Raises:
            BudgetError: The budget is spent.
            ApiAuthError: The endpoint refuses the key.
            ApiModelError: It has no such model.
        """
        start = time.monotonic()
        try:
            request = self.request(trial)
        except (MllmqaError, MemoryError) as error:
            return Outcome(Failure("model", error_line(error)))
        outcome = self._logits(trial, request) if trial.stimulus in LOGITS else self._words(request)
        original = None if request.encoded is None else all(file.original for file in request.encoded)
        return replace(outcome, seconds=time.monotonic() - start, original=original)

    def request(self, trial: Trial) -> Request:
        """Return the request of a trial.

        Raises:
            MediaError: A picture cannot be read.
            UsageError: The view cuts it into parts.
        """
        shown = [self._shown(path) for path in files(trial, self.items)]
        views = tuple(one.view for one in shown if one.view is not None)
        encoded = tuple(one.file for one in shown if one.file is not None)
        return Request(prompt_of(trial, self.items), views, encoded=encoded or None, repeat=trial.repeat)

    def _words(self, request: Request) -> Outcome:
        backend = self.scorer.backend
        outcomes = getattr(backend, "outcomes", None)
        if outcomes is None:
            return self._local(request)
        found = outcomes([request], self.max_tokens)[0]
        if isinstance(found, MllmqaError):
            return Outcome(_failure(found))
        response = Response(found.text, found.truncated)
        return Outcome(response, found.tokens_in, found.tokens_out, found.from_cache)

    def _local(self, request: Request) -> Outcome:
        backend = self.scorer.backend
        try:
            text = backend.generate([request], self.max_tokens)[0]
        except Exception as error:  # noqa: BLE001 - whatever a model's code raises becomes a record
            return Outcome(Failure("model", error_line(error)))
        tokenizer = getattr(getattr(backend, "processor", None), "tokenizer", None)
        said = None if tokenizer is None else len(tokenizer(text, add_special_tokens=False)["input_ids"])
        return Outcome(Response(text, truncated=said is not None and said >= self.max_tokens), None, said)

    def _logits(self, trial: Trial, request: Request) -> Outcome:
        words = prompts.word_scale(LOGITS[trial.stimulus]).words
        found = self.scorer.backend.level_logits([request], words)[0]
        if isinstance(found, LevelLogits):
            return Outcome(Response(None, logits=tuple(float(x) for x in found.logits)))
        return Outcome(_failure(found))

    def _shown(self, path: Path) -> _Shown:
        with self._lock:
            if (kept := self._shelf.get(path)) is not None:
                self._shelf.move_to_end(path)
                return kept
        made = self._read(path)
        with self._lock:
            if path not in self._shelf:
                self._shelf[path] = made
                self._held += made.size
            while self._held > SHELF_BYTES and len(self._shelf) > 1:
                self._held -= self._shelf.popitem(last=False)[1].size
        return made

    def _read(self, path: Path) -> _Shown:
        from mllmqa.models.api.pictures import as_png, original_file

        opened = media.open_media(path)
        if self.info.remote and self._view.kind == "native" and (own := original_file(opened)) is not None:
            return _Shown(None, own)
        picture = media.decode_image(opened, background=self._view.pad_color)
        shown = self._view(picture, np.random.default_rng([VIEW_SEED, int(opened.info.sha256 or "0", 16)]))
        if len(shown) != 1:
            raise UsageError(f"the view {self._view.name} cuts pictures into parts, which cannot be compared")
        return _Shown(None, as_png(shown[0])) if self.info.remote else _Shown(shown[0], None)


def _failure(error: MllmqaError) -> Failure:
    """Return the kind of failure that an error is.

    Raises:
        MllmqaError: It ends the run.
    """
    if isinstance(error, STOPPING):
        raise error
    if isinstance(error, ApiRefusedError):
        return Failure("refusal", error_line(error))
    if isinstance(error, ApiTruncatedError):
        return Failure("truncated", error_line(error))
    if isinstance(error, ApiError):
        return Failure("format" if error.code == "unparsed" else "transport", error_line(error))
    return Failure("model", error_line(error))
