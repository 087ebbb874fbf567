"""A talk with a model behind an endpoint: chat messages, streamed answers, each paid for once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mllmqa.errors import ApiRejectedError
from mllmqa.models.api.cache import AnswerCache, key_of
from mllmqa.models.api.ear import Cut, Ear
from mllmqa.models.api.events import logprobs_of
from mllmqa.models.api.messages import CHAT, Dialect, Picture, hashed, response_format, talk_body
from mllmqa.models.api.meter import Meter
from mllmqa.models.api.pictures import data_url
from mllmqa.models.api.readout import text_of
from mllmqa.models.api.transport import Transport
from mllmqa.models.base import Spoken, Turn
from mllmqa.models.talking import check_turns

if TYPE_CHECKING:
    from mllmqa.answer_schema import AnswerSchema

HELD_BY = "response_format"
"""What a record says of an answer by a schema: the endpoint was told to hold it to that."""

_OPTIONAL = ("stream_options", "logprobs", "stream")
"""Parameters that an endpoint may reject and an answer can do without; the longer name first."""


@dataclass
class Teller:
    """Passes on an answer without its forced start, which a model may repeat, in whole characters.

    Attributes:
        start: Of the answer.
        repeated: Whether the model was asked to repeat the start; else it was given as said already.
        on_text: Given the pieces.
    """

    start: str
    repeated: bool
    on_text: Callable[[str], None] | None
    raw: str = ""
    told: str = ""

    def take(self, piece: str, *, last: bool = False) -> None:
        """Take a piece as it came."""
        self.raw += piece
        raw = self.raw[:-1] if "\ud800" <= self.raw[-1:] <= "\udbff" and not last else self.raw
        text = raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        text = text[self.dropped(text, last=last) :]
        new = text[len(self.told) :]
        self.told += new
        if new and self.on_text is not None:
            self.on_text(new)

    def dropped(self, text: str, *, last: bool) -> int:
        """Return how many characters in front are not told: white space, and the start where it is repeated."""
        if self.start and not self.repeated:
            return 0
        space = len(text) - len(text.lstrip())
        if not self.start:
            return space
        if text.startswith(self.start, space):
            return space + len(self.start)
        undecided = self.start.startswith(text[space:]) and not last
        return len(text) if undecided else 0


@dataclass(frozen=True)
class Wish:
    """What an answer shall be.

    Attributes:
        limit: Of its tokens.
        start: How it begins.
        schema: What the endpoint shall hold it to.
    """

    limit: int
    start: str = ""
    schema: AnswerSchema | None = None

    @property
    def held_by(self) -> str | None:
        """For records."""
        return None if self.schema is None else HELD_BY


@dataclass
class Talks:
    """Talks with one model.

    Attributes:
        model: As the endpoint calls it.
        dialect: How it wants to be asked.
        without: Optional parameters that it has rejected.
    """

    model: str
    dialect: Dialect
    transport: Transport
    cache: AnswerCache
    meter: Meter
    without: set[str] = field(default_factory=set)

    def talk(
        self,
        turns: Sequence[Turn],
        wish: Wish,
        on_text: Callable[[str], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Spoken:
        """Answer the last turn; see :meth:`mllmqa.models.base.Backend.talk`."""
        check_turns(turns, wish.start, wish.schema)
        if cancelled is not None and cancelled():
            return Spoken("", None, "cancelled")
        while True:
            ear, teller = Ear(), Teller(wish.start, not self.dialect.prefill, on_text)
            try:
                answer, kept = self._answer(turns, wish, ear, teller, cancelled)
            except Cut:
                if cancelled is not None and cancelled():
                    return self._spoken(ear.gathered.answer(), teller, "cancelled", wish.held_by)
                continue  # another thread asked the same, and has heard enough
            except ApiRejectedError as error:
                if (name := self._optional(error.what)) is None:
                    raise
                self.without.add(name)
                continue
            self.meter.count(from_cache=int(kept))
            text = text_of(answer, self.transport.url)
            teller.take(text[len(teller.raw) :], last=True)
            cut = answer["choices"][0].get("finish_reason") == "length"
            return self._spoken(answer, teller, "length" if cut else "stop", wish.held_by)

    def _answer(
        self,
        turns: Sequence[Turn],
        wish: Wish,
        ear: Ear,
        teller: Teller,
        cancelled: Callable[[], bool] | None,
    ) -> tuple[dict[str, Any], bool]:
        """Return the answer, and whether it was there already."""

        def body(picture: Picture) -> dict[str, Any]:
            made = talk_body(self.model, turns, wish.start, self.dialect, picture, wish.limit)
            made |= response_format(wish.schema)
            return {name: value for name, value in made.items() if name not in self.without}

        extra = {"stream": True, "stream_options": {"include_usage": True}}
        extra = {} if "stream" in self.without else {n: v for n, v in extra.items() if n not in self.without}

        def ask() -> dict[str, Any]:
            whole = body(data_url) | extra
            return ear.listen(lambda e: self.transport.stream(whole, e), teller.take, cancelled)

        keyed = body(hashed)  # keys sort what they hash, but answers have the order of their schema
        keyed |= {} if wish.schema is None else {"schema_sha256": wish.schema.sha256}
        return self.cache.answer(key_of(self.transport.url, CHAT, keyed), self.model, ask)

    def _optional(self, complaint: str) -> str | None:
        """Return the parameter that an endpoint does not know, if an answer can do without it."""
        return next((name for name in _OPTIONAL if name in complaint and name not in self.without), None)

    def _spoken(
        self,
        answer: dict[str, Any],
        teller: Teller,
        finished: Literal["stop", "length", "cancelled"],
        held_by: str | None,
    ) -> Spoken:
        dropped = len(teller.raw) - len(teller.told) if teller.repeated and teller.start else 0
        return Spoken(teller.told, logprobs_of(answer, dropped), finished, held_by)
