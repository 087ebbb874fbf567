"""Questions as a model is asked them: options by letters, in one order or in several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mllmqa import prompts
from mllmqa.data.sample import Medium, Message, Part, Sample
from mllmqa.data.streams import stream
from mllmqa.errors import UsageError
from mllmqa.evaluation.answers.item import Item
from mllmqa.evaluation.choice.question import ORDINALS, Question

LETTER, OPEN, MEDIUM = "choice/letter", "choice/open", "choice/medium"


@dataclass(frozen=True)
class Orders:
    """In which orders the options of a question are shown.

    Attributes:
        kind: ``as-given``; ``circular``: each option once at each letter, so that a liking for a letter cancels;
            ``shuffle``: drawn ones.
        n: How many are drawn.
        seed: Of the draw; each question has its own stream.
    """

    kind: str = "as-given"
    n: int = 1
    seed: int = 0

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Orders:
        """Read ``as-given``, ``circular`` or ``shuffle:N``.

        Raises:
            UsageError: It is none of them.
        """
        name, _, number = text.partition(":")
        if name in ("as-given", "circular") and not number:
            return cls(name, 1, seed)
        if name == "shuffle" and number.isascii() and number.isdecimal() and 1 <= int(number) <= 100:
            return cls(name, int(number), seed)
        raise UsageError(f"orders {text!r}", expected="as-given, circular or shuffle:N")

    def of(self, question: Question) -> list[tuple[int, ...]]:
        """Return the orders: for each the place of every shown option among the question's own."""
        k = len(question.options)
        if self.kind == "circular":
            return [tuple((start + i) % k for i in range(k)) for start in range(k)] or [()]
        if self.kind == "shuffle" and k:
            draws = (stream(self.seed, "options", question.id, str(r)).permutation(k) for r in range(self.n))
            return list(dict.fromkeys(tuple(int(i) for i in draw) for draw in draws))
        return [tuple(range(k))]


def items_of(question: Question, folder: Path, orders: Orders, *, likelihood: bool = False) -> list[Item]:
    """Return a question as it is asked, once for each order.

    Args:
        question: With options or without.
        folder: Of its media.
        orders: Of its options.
        likelihood: Whether the probabilities of the letters are read; else the answer is written.
    """
    made = []
    for order in orders.of(question):
        shown = [question.options[i] for i in order]
        words = tuple(question.letters) if likelihood and shown else None
        task = "choice" if shown else "open"
        sample = Sample(id=question.id, media=_media(question), messages=(_message(question, shown),))
        made.append(Item(question.id, task, sample, folder, words, order))
    return made


def _media(question: Question) -> tuple[Medium, ...]:
    return tuple(Medium(key=f"medium_{k}", kind=one.kind, path=one.path) for k, one in enumerate(question.media, 1))


def _message(question: Question, shown: Sequence[str]) -> Message:
    parts: list[Part] = []
    for k, one in enumerate(question.media):
        if len(question.media) > 1:
            parts.append(Part(text=_said(MEDIUM, ordinal=ORDINALS[k], medium=one.kind)))
        parts.append(Part(media=f"medium_{k + 1}"))
    letters = question.letters
    text = _said(LETTER if shown else OPEN, question=question.question, options=list(shown), letters=letters)
    return Message(role="user", content=(*parts, Part(text=text)))


def _said(name: str, **variables: object) -> str:
    return prompts.render(prompts.load(name), **variables).question
