"""Read labels back from texts: what a built answer, or a model's, claims.

Only the words of the vocabulary count; nothing is guessed. A text that says two things about the same point
(A is better, B is better) says nothing. What is denied ("no blur", "no serious blur") is not claimed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from mllmqa import prompts
from mllmqa.data.tasks.phrases import GRID
from mllmqa.data.tasks.truth import Finding, Side
from mllmqa.data.tasks.wording import vocabulary

_BETTER = re.compile(r"\b([AB]) (?:is|has) (?:the )?better\b|\bbetter one is ([AB])\b|\bprefer ([AB])\b")
_LETTER = re.compile(r"\s*([A-H])\b[.)]?\s*$")
_BOX = re.compile(r"\((\d{1,4}), (\d{1,4}), (\d{1,4}), (\d{1,4})\)")
_SPAN = re.compile(r"from (\d+(?:\.\d+)?) s to (\d+(?:\.\d+)?) s")
_STALL = re.compile(r"at second (\d+(?:\.\d+)?) for (\d+(?:\.\d+)?) s\b")
_NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w%]|\.\d)"
_SCALE = re.compile(rf"\bfrom ({_NUMBER}) to ({_NUMBER})")
_SCALE_SAID = re.compile(rf"{_SCALE.pattern}|(?:\bout of|/) ?{_NUMBER}")


def categories(text: str) -> list[str]:
    """Return the categories that a text claims, in order, each once.

    "no blur" is no claim of blur; other negations ("not blurred by noise", "blur is absent") are not understood. A
    question whether there is blur names it like a claim. Whether one is said to be there or not: :func:`presence`.
    """
    claimed = _labels().finditer(_denied().sub(";", text))
    return list(dict.fromkeys(_by_label()[found[0].lower()] for found in claimed))


def says_clean(text: str) -> bool:
    """Tell whether a text says that there is no distortion, and names none."""
    return vocabulary().clean in text.lower() and not categories(text)


def graded(text: str) -> list[tuple[str, int]]:
    """Return (category, severity 1..5) of every distortion that stands behind a grade, in order."""
    return [(one.category, int(one.severity)) for one in findings(text)]


def findings(text: str) -> list[Finding]:
    """Return every distortion that stands behind a grade, in order, with the box and span right behind it."""
    pattern = rf"\b({'|'.join(_grades())}) ({_labels().pattern})(?: at {_BOX.pattern})?(?: {_SPAN.pattern})?"
    made = []
    for match in re.finditer(pattern, _denied().sub(";", text), re.IGNORECASE):
        box = tuple(int(x) / GRID for x in match.groups()[2:6]) if match[3] else None
        span_s = (float(match[7]), float(match[8])) if match[7] else None
        severity, category = _grades()[match[1].lower()], _by_label()[match[2].lower()]
        made.append(Finding(category, severity, box, span_s))  # type: ignore[arg-type]
    return made


def strength(text: str) -> tuple[str, int] | None:
    """Return (category, severity 1..5) of "the blur is serious"; None where no or several such things are said."""
    said = re.findall(rf"\b({_labels().pattern}) is ({'|'.join(_grades())})\b", text, re.IGNORECASE)
    return (_by_label()[said[0][0].lower()], _grades()[said[0][1].lower()]) if len(said) == 1 else None


def presence(text: str) -> tuple[str, bool] | None:
    """Return (category, whether it is there) of "Yes, there is blur" or "No, there is no blur".

    None where the text says neither, where both halves contradict ("Yes, there is no blur"), or where it says so
    of several.
    """
    pattern = rf"\b(yes|no), there is (no )?({_labels().pattern})\b"
    said = {(m[1].lower(), m[2] is not None, m[3].lower()) for m in re.finditer(pattern, text, re.IGNORECASE)}
    if len(said) != 1:
        return None
    ((word, denied, label),) = said
    return (_by_label()[label], not denied) if denied is (word == "no") else None


def better(text: str) -> Side | None:
    """Return the side that a text calls better; a bare letter counts."""
    named = {next(filter(None, found.groups())) for found in _BETTER.finditer(text)}
    if not named and (letter := _LETTER.fullmatch(text)) and letter[1] in "AB":
        named = {letter[1]}
    if len(named) != 1:
        return None
    return "A" if named == {"A"} else "B"


def sides(text: str) -> dict[Side, list[tuple[str, int]]]:
    """Return what a comparison says of each side: (category, severity), in order."""
    found: dict[Side, list[tuple[str, int]]] = {"A": [], "B": []}
    for part in text.split(";"):
        if match := re.match(r"\s*([AB]) (?:has|shows) ", part):
            found["A" if match[1] == "A" else "B"] += graded(part)
    return found


def clean_sides(text: str) -> list[Side]:
    """Return the sides that a comparison calls clean, in order."""
    parts = [part for part in text.split(";") if says_clean(part)]
    found = [match[1] for part in parts if (match := re.match(r"\s*([AB]) (?:has|shows) ", part))]
    return ["A" if side == "A" else "B" for side in found]


def level(text: str, words: Sequence[str] | None = None) -> str | None:
    """Return the level word behind the last "is", where that ends the sentence.

    Args:
        text: What was said.
        words: Of the scale; None: the five of ``prompts/levels.yaml``.
    """
    among = "|".join(map(re.escape, words or prompts.level_scale().words))
    found = re.findall(rf"\bis ({among})\b\s*[.!]?\s*$", text.strip(), re.IGNORECASE)
    return str(found[-1]).lower() if found else None


def comparative(text: str) -> str | None:
    """Return the comparison word behind the last "is"."""
    words = "|".join(prompts.word_scale("comparison").words)
    found = re.findall(rf"\bis ({words})\b\s*[.!]?\s*$", text.strip(), re.IGNORECASE)
    return str(found[-1]).lower() if found else None


def letter(text: str) -> str | None:
    """Return the letter of an option, if the text is one."""
    found = _LETTER.fullmatch(text)
    return found[1] if found else None


def boxes(text: str) -> list[tuple[float, float, float, float]]:
    """Return boxes as shares of width and height, 0..1."""
    return [tuple(int(x) / GRID for x in found.groups()) for found in _BOX.finditer(text)]  # type: ignore[misc]


def spans_s(text: str) -> list[tuple[float, float]]:
    """Return spans in seconds."""
    return [(float(found[1]), float(found[2])) for found in _SPAN.finditer(text)]


def number(text: str) -> float | None:
    """Return the number that a text gives, if it is one only; the scale ("from 1 to 5", "out of 5") is none."""
    said = re.findall(_NUMBER, _SCALE_SAID.sub(" ", text))
    return float(said[0]) if len(said) == 1 else None


def scale(text: str) -> tuple[float, float] | None:
    """Return the scale (low, high) that a question states."""
    found = _SCALE.search(text)
    return (float(found[1]), float(found[2])) if found else None


def stalls(text: str) -> list[tuple[float, float]] | None:
    """Return (start, duration) in seconds of the stalls that a text tells; none where it says that there was none.

    None where it says nothing of stalls.
    """
    told = [(float(found[1]), float(found[2])) for found in _STALL.finditer(text)]
    denied = f"no {vocabulary().label('stall')}" in text.lower()
    return told if bool(told) is not denied else None


def count(text: str, noun: str) -> int | None:
    """Return the number before a noun ("three stalls": 3), in words or digits; None where there is none, or two."""
    words = vocabulary().numbers
    said = re.findall(rf"\b({'|'.join(words)}|\d+) {re.escape(noun)}s?\b", text, re.IGNORECASE)
    if len(said) != 1:
        return None
    return int(said[0]) if said[0].isdigit() else words.index(said[0].lower())


@cache
def _denied() -> re.Pattern[str]:
    return re.compile(rf"\bno (?:(?:{'|'.join(_grades())}) )?{_labels().pattern}", re.IGNORECASE)


@cache
def _grades() -> dict[str, int]:
    return {word: k for k, word in enumerate(vocabulary().severities, 1)}


@cache
def _by_label() -> dict[str, str]:
    return {label: category for category, label in vocabulary().categories.items()}


@cache
def _labels() -> re.Pattern[str]:
    """Match any label; longer ones first, so that none is read inside another."""
    longest = sorted(_by_label(), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b", re.IGNORECASE)
