"""What a model said, as numbers or as a failure of a stated kind. Nothing is guessed and nothing is replaced.

The published reader of Wu et al. (ECCV 2024) takes any numbers behind a literal marker: it loses the sign of whole
numbers, accepts 140 on a scale to 100, and puts a random number in the place of an answer that it cannot read. It
is kept for comparison only (:func:`mllmqa.evaluation.prompting.wu2024.read`).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

FailureKind = Literal["refusal", "format", "range", "truncated", "language", "transport", "model"]
FAILURES: tuple[FailureKind, ...] = ("refusal", "format", "range", "truncated", "language", "transport", "model")
"""``refusal``: it declines; ``format``: no score can be read; ``range``: the score is off its scale; ``truncated``:
cut off before the score; ``language``: an answer in another language; ``transport``: no answer came back;
``model``: a model on this machine failed."""
RETRIED: frozenset[FailureKind] = frozenset({"transport", "model"})
"""Nothing was paid for, or nothing was said: a resumed run asks again."""

Shape = Literal["score", "choice", "letter", "ranking"]
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
FIRST, SECOND, SAME = 1.0, 0.0, 2.0
"""Values of a choice, as Wu et al. coded them."""


@dataclass(frozen=True)
class Answer:
    """A readable answer.

    Attributes:
        values: One score (0..100), one choice (:data:`FIRST`, :data:`SECOND`, :data:`SAME`), or one rank (0 the
            worst) per picture in display order.
    """

    values: tuple[float, ...]


@dataclass(frozen=True)
class Failure:
    """An answer that is none.

    Attributes:
        kind: Of :data:`FAILURES`.
        said: Why, in one line.
    """

    kind: FailureKind
    said: str


_MARK = re.compile(r"\bscores?\b[\s\"'*_]*[:：=]", re.IGNORECASE)
_NUMBER = r"(?:[-+−]\s?)?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_LEAD = r"^[\s\[\](){}*_\"'`<>:]*"
_ORDINAL_NUMBER = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
_WORD_CHOICES = {"first": FIRST, "second": SECOND, "same": SAME, "equal": SAME, "tie": SAME}
_REFUSAL = re.compile(
    r"\b(?:i|we)(?:\s+am|['’]m)?\s+(?:really\s+|very\s+)?(?:sorry|unable|not able)\b|\bas an ai\b|\bsorry\b"
    r"|\b(?:i|we)\s+(?:can\s?not|can['’]?t|won['’]?t|will not|do not|don['’]t)\s+"
    r"(?:\w+\s+){0,2}?(?:assist|help|rate|judge|compare|rank|provide|give|answer|see|view|evaluate|assess|comply|do)\b"
    r"|\b(?:declin\w+|refuse)\s+to\b",
    re.IGNORECASE,
)
_ENGLISH = frozenset(
    [
        "the",
        "is",
        "are",
        "of",
        "and",
        "a",
        "an",
        "in",
        "to",
        "it",
        "this",
        "that",
        "both",
        "more",
        "than",
        "image",
        "images",
        "better",
        "quality",
    ]
)
_OTHER = frozenset(
    [
        "el",
        "la",
        "los",
        "las",
        "una",
        "imagen",
        "calidad",
        "es",
        "y",
        "de",
        "que",
        "con",
        "le",
        "les",
        "une",
        "est",
        "et",
        "qualité",
        "der",
        "die",
        "das",
        "und",
        "ist",
        "ein",
        "eine",
        "bild",
        "qualität",
        "il",
        "lo",
        "gli",
        "della",
        "è",
        "di",
        "che",
        "immagine",
        "qualità",
        "o",
        "uma",
        "imagem",
        "qualidade",
        "een",
        "het",
        "en",
        "beeld",
        "kwaliteit",
    ]
)


def read(text: str, shape: Shape, n: int = 1, *, truncated: bool = False) -> Answer | Failure:
    """Read the answer to one question.

    Args:
        text: What the model said.
        shape: What was asked for.
        n: Pictures of a ranking.
        truncated: Whether the answer was cut off by its length.

    Returns:
        The values, or the kind of failure. A score on another scale (8/10), a range (50-60), two different scores
        and numbers in words are no scores.
    """
    marked = _marked(text)
    found = {_values(part, shape, n, alone=not marked) for part in marked or [text]}
    only = found.pop() if len(found) == 1 else None
    if only is None or (truncated and _ends_in_number(text)):
        return _unreadable(text, truncated, several=len(found) > 0 and only is None)
    if not _in_range(only, shape, n):
        return Failure("range", f"{_short(text)}: off the scale")
    return Answer(only)


def _marked(text: str) -> list[str]:
    """Return what follows each marker, up to the next one."""
    ends = list(_MARK.finditer(text))
    stops = [*(mark.start() for mark in ends[1:]), len(text)]
    return [text[mark.end() : stop] for mark, stop in zip(ends, stops, strict=False)]


def _values(part: str, shape: Shape, n: int, *, alone: bool) -> tuple[float, ...] | None:
    """Return the numbers of one marked part; ``alone``: without a marker nothing else may be said."""
    part = part.replace("−", "-")
    if shape == "ranking":
        return _ranks(part, n, alone=alone)
    if shape == "letter":
        found = re.match(_LEAD + r"([ABab])\b(?P<rest>.*)", part, re.DOTALL)
        if found is None or (alone and len(found["rest"].strip(" .*)]\"'")) > 40):
            return None
        return (FIRST if found[1] in "Aa" else SECOND,)
    if shape == "choice" and (word := re.match(_LEAD + r"(?:the\s+)?([a-z]+)", part, re.IGNORECASE)):
        return _word(word[1].lower(), part[word.end() :])
    return _one_number(part, shape, alone=alone)


def _word(word: str, rest: str) -> tuple[float, ...] | None:
    """Read "first" or "the second image"; whatever says more is no choice."""
    plain = re.fullmatch(r"\s*(?:image|picture|version|one|quality)?[\s.*\]\"'`]*", rest, re.IGNORECASE)
    return (_WORD_CHOICES[word],) if word in _WORD_CHOICES and plain else None


def _one_number(part: str, shape: Shape, *, alone: bool) -> tuple[float, ...] | None:
    found = re.match(_LEAD + rf"({_NUMBER})(?P<rest>.*)", part, re.DOTALL)
    if found is None:
        return None
    rest = found["rest"]
    if shape == "score":
        rest = re.sub(r"^[*_\s]*(?:/|out of|of)\s*100\b|^\s*%", "", rest)
    if re.match(r"\s*(?:[-–—/,;]|to\b|out of\b|of\b|or\b|and\b|±)\s*\d|^\w", rest):
        return None  # a range, another scale, a list, or 85px
    if alone and not re.fullmatch(r"[\s.*_\])}\"'`>]*", rest):
        return None
    return (float(found[1].replace(" ", "")),)


def _ranks(part: str, n: int, *, alone: bool) -> tuple[float, ...] | None:
    inside = re.search(r"\[([^\[\]]*)\]", part)
    body = inside[1] if inside else part.strip().split("\n\n")[0]
    names = "|".join(ORDINALS[:n])
    named = re.findall(rf"\b({names})\b[^\d\[\],;]*?[:=]\s*({_NUMBER})", body, re.IGNORECASE)
    if named:
        by_name = {name.lower(): float(value) for name, value in named}
        whole = len(named) == n == len(by_name)
        return tuple(by_name[name] for name in ORDINALS[:n]) if whole else None
    places = re.findall(rf"\b(\d+)(?:st|nd|rd|th)\b[^\d\[\],;]*?[:=]\s*({_NUMBER})", body, re.IGNORECASE)
    if places:
        by_place = {int(place): float(value) for place, value in places}
        whole = len(places) == n and sorted(by_place) == list(range(1, n + 1))
        return tuple(by_place[place] for place in range(1, n + 1)) if whole else None
    numbers = re.findall(_NUMBER, _ORDINAL_NUMBER.sub("", body))
    words = re.sub(_NUMBER, "", body)
    if len(numbers) != n or (alone and re.search(r"\w{2,}", words)) or ">" in body or "<" in body:
        return None
    return tuple(float(number) for number in numbers)


def _in_range(values: tuple[float, ...], shape: Shape, n: int) -> bool:
    if shape == "score":
        return 0 <= values[0] <= 100
    highest = n - 1 if shape == "ranking" else 2
    return all(value == int(value) and 0 <= value <= highest for value in values)


def _ends_in_number(text: str) -> bool:
    """Tell whether a cut may have cut the number itself."""
    return bool(re.search(r"\d\s*$", text))


def _unreadable(text: str, truncated: bool, several: bool) -> Failure:
    if truncated:
        return Failure("truncated", f"cut off before its score: {_short(text[-80:])}")
    if not several and _REFUSAL.search(text):
        return Failure("refusal", _short(text))
    if _is_foreign(text):
        return Failure("language", _short(text))
    return Failure("format", _short(text) if text.strip() else "an empty answer")


def _is_foreign(text: str) -> bool:
    """Tell whether a text is in another script, or has function words of another language and none of English."""
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return False
    latin = sum(unicodedata.name(c, "").startswith("LATIN") for c in letters)
    words = re.findall(r"[^\W\d_]+", text.lower())
    other, english = (sum(word in known for word in words) for known in (_OTHER, _ENGLISH))
    return latin < len(letters) / 2 or (other >= 2 and other > 2 * english)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 120 else line[:117] + "..."
