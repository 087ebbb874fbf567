"""An answer as level logits: from a decision, from the log-probabilities of a token, or from one word.

What an endpoint did not say is never guessed: a level word that is not among its most likely tokens has no mass
and is flagged, and an answer in other words is an error of its own kind.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mllmqa.errors import ApiAnswerError, ApiRefusedError, ApiTruncatedError, ApiUnparsedError
from mllmqa.models.base import LevelLogits
from mllmqa.schema import Readout

LEAST_MASS = 0.1
"""Of the level words at their position; with less, the answer goes another way there, and its text decides."""

_UNLIKELY = -9000.0
"""Endpoints write -9999 for "not among the most likely"."""

_SLACK = 0.01
"""By which probabilities may add up to more than 1 (rounding)."""


def of_decision(answer: dict[str, Any], words: Sequence[str], where: str) -> LevelLogits:
    """Read the answer of a decisions endpoint to a question of the type ``score``.

    Labels are matched, not positions, and the values are ours: only the probabilities are taken.

    Raises:
        ApiRefusedError: The question was refused.
        ApiAnswerError: It is no score over these labels.
    """
    first = answer["answers"][0]
    if first.get("type") == "refusal":
        raise ApiRefusedError("the model declines to answer", where=where)
    found: dict[str, float] = {}
    for item in _objects(first.get("probabilities")):
        label, probability = item.get("label"), _number(item.get("probability"))
        if isinstance(label, str) and math.isfinite(probability):
            found[label] = found.get(label, 0.0) + probability
    total = sum(found.values())
    if (
        first.get("type") != "score"
        or set(found) != set(words)
        or min(found.values()) < 0
        or not 0.98 < total < 1.02
    ):
        raise ApiAnswerError(
            "its decision is no distribution over the levels", where=where, expected=" | ".join(words)
        )
    logits = [math.log(found[word]) if found[word] > 0 else -math.inf for word in words]
    return _level_logits(logits, None, "decisions")


def of_chat(answer: dict[str, Any], words: Sequence[str], where: str, *, logprobs: bool) -> LevelLogits:
    """Read a chat answer.

    Args:
        answer: With at least one choice.
        words: Level words, best first.
        where: Endpoint, for messages.
        logprobs: Whether log-probabilities were asked for. Where this answer has none, or goes another way than
            a level word, its text is read and ``readout`` says so.

    Raises:
        ApiRefusedError: The model or a filter declines.
        ApiTruncatedError: It was cut off before a level word.
        ApiUnparsedError: It is something else than a level word.
        ApiAnswerError: It holds no text, or numbers that are no log-probabilities.
    """
    text = text_of(answer, where)
    if logprobs and (found := _of_tokens(answer["choices"][0], words, where)) is not None:
        return found
    word = parse_word(text, words)
    if word is not None:
        return _level_logits([0.0 if word == w else -math.inf for w in words], None, "text")
    if answer["choices"][0].get("finish_reason") == "length":
        raise ApiTruncatedError("the answer was cut off before a level word", where=where)
    raise ApiUnparsedError(f"the answer is no level word: {text[:60]!r}", where=where, expected=" | ".join(words))


def text_of(answer: dict[str, Any], where: str) -> str:
    """Return the text of a chat answer.

    Raises:
        ApiRefusedError: The model or a filter declines.
        ApiTruncatedError: All its length went into reasoning.
        ApiAnswerError: It has no text.
    """
    choice = answer["choices"][0]
    message, reason = choice.get("message"), choice.get("finish_reason")
    if not isinstance(message, dict):
        raise ApiAnswerError("answers without a message", where=where)
    if reason == "content_filter":
        raise ApiRefusedError("a content filter stopped the answer", where=where)
    if message.get("refusal"):
        said = " ".join(str(message["refusal"]).split())[:120]
        raise ApiRefusedError(f"the model declines to answer: {said!r}", where=where)
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in _objects(content))
    if isinstance(content, str) and (content.strip() or reason != "length"):
        return content
    if reason == "length":
        raise ApiTruncatedError("the answer was cut off before its first word", where=where)
    raise ApiAnswerError("answers without text", where=where)


def parse_word(text: str, words: Sequence[str]) -> str | None:
    """Return the level word that a text consists of; None if it is anything else.

    Case, white space, quotes, emphasis and one final mark do not count; a second word does.

    >>> parse_word(' **Good**. ', ["good", "bad"]), parse_word("not bad", ["good", "bad"])
    ('good', None)
    """
    bare = text.strip().strip("*_`\"'“”‘’ ").rstrip(".!").strip("*_`\"'“”‘’ ").casefold()
    return next((word for word in words if word.casefold() == bare), None)


def has_logprobs(answer: dict[str, Any]) -> bool:
    """Tell whether a chat answer holds log-probabilities of alternatives."""
    entries = _entries(answer["choices"][0])
    return bool(entries) and any(_objects(entry.get("top_logprobs")) for entry in entries)


def _of_tokens(choice: dict[str, Any], words: Sequence[str], where: str) -> LevelLogits | None:
    """Sum the mass of each level word's variants at the first position with a letter; None if it is too little."""
    entries = _entries(choice)
    start = next((i for i, entry in enumerate(entries) if re.search(r"\w", _bare(entry))), None)
    if start is None or not _objects(entries[start].get("top_logprobs")):
        return None
    spelled = _spelled(entries[start:], words)
    mass: dict[str, list[float]] = {word: [] for word in words}
    total = 0.0
    for token, logprob in _alternatives(entries[start], where):
        total += math.exp(logprob)
        word = next((w for w in words if w.casefold() == token), None)
        if word is None and spelled is not None and token == _bare(entries[start]):
            word = spelled
        if word is not None:
            mass[word].append(logprob)
    if total > 1 + _SLACK:
        raise ApiAnswerError(f"its probabilities add up to {total:.3g}", where=where, expected="at most 1")
    logits = [float(np.logaddexp.reduce(mass[word])) if mass[word] else -math.inf for word in words]
    if sum(math.exp(x) for x in logits) < LEAST_MASS:
        return None
    return _level_logits(logits, 0.0, "logprobs")


def _alternatives(entry: dict[str, Any], where: str) -> list[tuple[str, float]]:
    """Return bare token and log-probability of the alternatives at one position.

    The token that was chosen may be listed beside them or among them: equal pairs of raw token and value count
    once.
    """
    pairs: dict[tuple[str, float], str] = {}
    for item in [*_objects(entry.get("top_logprobs")), entry]:
        logprob = _number(item.get("logprob"))
        if not isinstance(item.get("token"), str) or math.isnan(logprob):
            raise ApiAnswerError("its log-probabilities are malformed", where=where)
        if logprob > _SLACK:
            raise ApiAnswerError(f"a log-probability is {logprob:.3g}", where=where, expected="at most 0")
        if logprob > _UNLIKELY:
            pairs[item["token"], logprob] = _bare(item)
    return [(bare, logprob) for (_, logprob), bare in pairs.items()]


def _spelled(entries: list[dict[str, Any]], words: Sequence[str]) -> str | None:
    """Return the level word that the answer spells over several tokens, if it does.

    Of such a word the first token is known, so its mass is the word's. For words that were not chosen it is not.
    """
    text = "".join(str(entry.get("token") or "") for entry in entries)
    whole = re.match(r"\w+", re.sub("[▁Ġ]", " ", text).strip())
    first = _bare(entries[0])
    word = next((w for w in words if whole and w.casefold() == whole[0].casefold()), None)
    return word if word is not None and first != word.casefold() else None


def _bare(entry: dict[str, Any]) -> str:
    """Return a token without the marks of white space, in lower case."""
    return re.sub("[▁Ġ]", " ", str(entry.get("token") or "")).strip().casefold()


def _entries(choice: dict[str, Any]) -> list[dict[str, Any]]:
    logprobs = choice.get("logprobs")
    return _objects(logprobs.get("content")) if isinstance(logprobs, dict) else []


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: object) -> float:
    """Return a JSON number; NaN for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _level_logits(logits: list[float], log_z: float | None, readout: Readout) -> LevelLogits:
    return LevelLogits(np.asarray(logits, np.float32), log_z, readout)
