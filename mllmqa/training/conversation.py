"""Messages → the text that a model reads and the parts of it that it learns to say.

The text up to an answer is that of scoring and chat: the preset's layout for a single question, else the chat
template with its generation prompt; or the template of the stage. What is learnt is the answer and the end of the
turn. Places are counted in tokens from the end of the text, because there
media take their final number of tokens only when the processor expands them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mllmqa.data.sample import Message, Sample
from mllmqa.data.sample_labels import Level
from mllmqa.errors import DataError, LevelTokenError
from mllmqa.levels import Encode, token_ids
from mllmqa.models import turns as models_turns
from mllmqa.models.presets import Preset
from mllmqa.models.turns import Turn, without_media

PROBE = "xyzzy"
"""Stands in an answer's place to find that."""


class Template(Protocol):
    """A conversation template: messages in, text out."""

    eos: str
    """What ends a turn where the template writes nothing after an answer."""

    def render(self, messages: Sequence[Turn], *, media: str, add_generation_prompt: bool) -> str:
        """Return the text; ``media`` is the placeholder of a picture or clip."""
        ...


@dataclass(frozen=True)
class Written:
    """A sample's conversation as text.

    Attributes:
        text: With placeholders of the media, not yet expanded.
        ids: Tokens of it.
        learnt: Half-open ranges of tokens, counted from the end: (5, 1) is the fifth last to the second last.
        level: Place of the level word, from the end (1 is the last token); None where there is none.
    """

    text: str
    ids: tuple[int, ...]
    learnt: tuple[tuple[int, int], ...]
    level: int | None = None


class Writer:
    """Writes conversations for one model.

    Args:
        processor: Of the model.
        preset: How it is asked; its words are the level words.
        template: Of the stage; None: the preset's layout, or the processor's chat template.
        media_first: Whether all media go in front of the first question.
        words: Level words, best first.
    """

    def __init__(
        self, processor: Any, preset: Preset, template: Template | None, media_first: bool, words: Sequence[str]
    ) -> None:
        self._processor, self._preset, self._template = processor, preset, template
        self._media_first, self.words = media_first, tuple(words)
        self._reserved = _reserved(processor)
        self._end = self._turn_end()
        self._level_ids: tuple[int, ...] | None = None

    @property
    def level_ids(self) -> tuple[int, ...] | None:
        """Tokens of the level words, best first; None before the first sample with a level was written."""
        return self._level_ids

    def write(self, sample: Sample, tags: Mapping[str, Sequence[str]]) -> Written:
        """Write one sample.

        Args:
            sample: With messages that end with an answer, all media before the first answer.
            tags: Key of a medium → ``("image",)``, ``("video",)``, or ``image`` for each of its pictures.

        Raises:
            DataError: The messages are not such, or the template loses an answer.
            LevelTokenError: The level word is not the token that scoring reads.
        """
        where = f"sample {sample.id}"
        turns = self._turns(sample, tags, where)
        answers = [k for k, turn in enumerate(turns) if turn["role"] == "assistant"]
        head = self._head(turns[:-1])
        said = self._separator(head) + _text_of(turns[-1])
        text = f"{head}{said}{self._end}"
        spans = [self._earlier(head, turns, k, where) for k in answers[:-1]] + [(len(head), len(text))]
        encode = self._encoder(text)
        ids = encode(text)
        places = [(_common(encode(text[:a]), ids), _common(encode(text[:b]), ids)) for a, b in spans]
        learnt = tuple((len(ids) - a, len(ids) - b) for a, b in places)
        level = self._level(sample, text, len(head), (encode, ids))
        return Written(text, tuple(ids), learnt, level)

    # ------------------------------------------------------------------ messages

    def _turns(self, sample: Sample, tags: Mapping[str, Sequence[str]], where: str) -> list[Turn]:
        """The messages as templates take them."""
        messages = sample.messages
        roles = [message.role for message in messages]
        if not roles or roles[-1] != "assistant" or "user" not in roles:
            raise DataError("has no question with an answer", where=where, expected="messages that end with one")
        first = roles.index("assistant")
        after = [m for m in messages[first:] if m.role == "assistant" or not self._media_first]
        if late := [p.media for m in after for p in m.content if p.media is not None]:
            raise DataError(f"shows {late[0]} after the first answer", where=where, expected="all media before it")
        if held := [token for m in messages for token in self._reserved if token in m.text]:
            raise DataError(
                f"holds {held[0]!r}, a token of the model, in its text", where=where, expected="plain text"
            )
        turns: list[Turn] = [{"role": m.role, "content": list(_parts(m, tags))} for m in messages]
        if self._media_first:
            everything = [p for turn in turns for p in turn["content"] if p["type"] != "text"]
            for turn in turns:
                turn["content"] = without_media(turn["content"]) or [{"type": "text", "text": ""}]
            turns[roles.index("user")]["content"][:0] = everything
        return turns

    def _head(self, turns: Sequence[Turn]) -> str:
        """The text in front of the last answer; a preset's layout has room for one question."""
        if self._template is not None:
            return self._render(turns, generate=True)
        return models_turns.head(self._processor, self._preset, turns)

    def _render(self, turns: Sequence[Turn], *, generate: bool) -> str:
        if self._template is not None:
            clip = any(part["type"] == "video" for turn in turns for part in turn["content"])
            named = getattr(self._processor, "video_token", None) if clip else None
            media = named or self._processor.image_token
            return self._template.render(turns, media=media, add_generation_prompt=generate)
        return models_turns.rendered(self._processor, self._preset, turns, generate=generate)

    def _separator(self, head: str) -> str:
        """What stands between the generation prompt and an answer, as in scoring."""
        if self._template is not None:
            return "" if head[-1:].isspace() else " "
        return models_turns.separator(self._preset, head)

    def _turn_end(self) -> str:
        """What a template writes after an answer, else the end token: without one a model never stops."""
        turns = [{"role": role, "content": [{"type": "text", "text": PROBE}]} for role in ("user", "assistant")]
        text = self._render(turns, generate=False)
        end = text[text.rfind(PROBE) + len(PROBE) :].rstrip()
        if end:
            return end
        return self._template.eos if self._template is not None else str(self._processor.tokenizer.eos_token)

    def _earlier(self, head: str, turns: Sequence[Turn], k: int, where: str) -> tuple[int, int]:
        """Find the answer ``turns[k]``, which is not the last, in the text: it is where another one would stand."""
        answer = _text_of(turns[k])
        other = {"role": "assistant", "content": [{"type": "text", "text": PROBE}]}
        probed = self._render([*turns[:k], other, *turns[k + 1 : -1]], generate=True)
        start = probed.find(PROBE)
        if start < 0 or f"{probed[:start]}{answer}{probed[start + len(PROBE) :]}" != head:
            raise DataError("an answer is not in the rendered text", where=where, hint="use another template")
        end = start + len(answer)
        if head.startswith(self._end, end):
            end += len(self._end)
        return (start - 1 if head[start - 1] == " " else start), end

    # ------------------------------------------------------------------ tokens

    def _encoder(self, text: str) -> Encode:
        """As :class:`mllmqa.models.hf.HFBackend` encodes."""
        if own := getattr(self._processor, "encode", None):
            return own  # type: ignore[no-any-return]
        tokenizer = self._processor.tokenizer
        special = not (tokenizer.bos_token and text.startswith(tokenizer.bos_token))
        return lambda t: list(tokenizer(t, add_special_tokens=special)["input_ids"])

    def _level(self, sample: Sample, text: str, head: int, coded: tuple[Encode, list[int]]) -> int | None:
        """Find the level word in the last answer and check that it is the token that scoring reads."""
        label = asked_level(sample)
        if label is None:
            return None
        where = f"sample {sample.id}"
        if label.scale != self.words:
            raise DataError(
                f"its level words are {', '.join(label.scale)}", where=where, expected=", ".join(self.words),
                hint="choose a preset with these words",
            )  # fmt: skip
        found = [m.start() for m in re.finditer(rf"\b{re.escape(label.word)}\b", text[head:])]
        if len(found) != 1:
            raise DataError(f"says {label.word!r} {len(found)} times in its answer", where=where, expected="once")
        encode, ids = coded
        before = text[: head + found[0]].rstrip(" ")
        known = self._ids(encode, before)
        place = _common(encode(before), ids)
        if ids[place] != known[self.words.index(label.word)]:
            raise LevelTokenError(
                f"token {ids[place]} stands where {label.word!r} is {known[self.words.index(label.word)]}",
                where=where,
            )
        return len(ids) - place

    def _ids(self, encode: Callable[[str], list[int]], before: str) -> tuple[int, ...]:
        """Tokens of the words; the same after every answer start, or the losses would mix them up."""
        if self._preset.words_apart:
            raise LevelTokenError(
                "its level words are tokens by themselves, which no training text gives", where=self._preset.name,
                hint="choose another preset",
            )  # fmt: skip
        if self._level_ids is None:
            self._level_ids = tuple(token_ids(encode, before, self.words))
        return self._level_ids


def asked_level(sample: Sample) -> Level | None:
    """Return the level label that the last answer tells, or None where it tells none alone."""
    if sample.task not in LEVEL_TASKS or len(sample.labels.levels) != 1:
        return None
    return sample.labels.levels[0]


LEVEL_TASKS = ("level", "streaming_level")
"""Tasks whose answer is a sentence with one level word."""


def _reserved(processor: Any) -> tuple[str, ...]:
    """What no text may hold: placeholders would be taken for media, special tokens for ends of turns."""
    named = [getattr(processor, name, None) for name in ("image_token", "video_token")]
    return tuple(token for token in dict.fromkeys([*named, *processor.tokenizer.all_special_tokens]) if token)


def _parts(message: Message, tags: Mapping[str, Sequence[str]]) -> list[Turn]:
    if message.role == "assistant":  # as it is learnt, whether a template trims it or not
        return [{"type": "text", "text": message.text.strip()}]
    made: list[Turn] = []
    for part in message.content:
        if part.media is not None:
            made += [{"type": tag} for tag in tags[part.media]]
        else:
            made.append({"type": "text", "text": part.text or ""})
    return made


def _text_of(turn: Turn) -> str:
    return "".join(part.get("text", "") for part in turn["content"]).strip()


def _common(head: Sequence[int], ids: Sequence[int]) -> int:
    """How many tokens both begin with: a token across the border belongs to what follows."""
    n = 0
    for a, b in zip(head, ids, strict=False):
        if a != b:
            break
        n += 1
    return n
