"""One question to a model: a conversation that ends where its answer begins, with the media that it shows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mllmqa.data.sample import Sample


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        id: Unique in its run, together with ``order``.
        task: What kind of question it is.
        sample: Media, and messages of which the last is the question.
        folder: What the paths of the media are relative to.
        words: Answer words whose probabilities are read, e.g. letters of options; None: the answer is written.
        order: Place of each shown option among the question's own, where there are options.
    """

    id: str
    task: str
    sample: Sample
    folder: Path
    words: tuple[str, ...] | None = None
    order: tuple[int, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides the answer beside the model: messages, media, words; 16 digits."""
        media = [[one.key, one.kind, one.sha256 or one.path, one.span_s] for one in self.sample.media]
        said = [message.model_dump() for message in self.sample.messages]
        text = json.dumps([media, said, self.words], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def question(self) -> str:
        """The texts of the last message."""
        return self.sample.messages[-1].text
