"""Read labels back from texts: what a built answer, or a model's, claims.

Only the words of the vocabulary count; nothing is guessed. A text that says two things about the same point
(A is better, B is better) says nothing.
"""

from __future__ import annotations

import re
from functools import cache

from mllmqa import prompts
from mllmqa.data.tasks.truth import Side
from mllmqa.data.tasks.phrases import GRID
from mllmqa.data.tasks.wording import vocabulary

_BETTER = re.compile(r"\b([AB]) (?:is|has) (?:the )?better\b|\bbetter one is ([AB])\b|\bprefer ([AB])\b")
_LETTER = re.compile(r"\s*([A-H])\b[.)]?\s*$")
_BOX = re.compile(r"\((\d{1,4}), (\d{1,4}), (\d{1,4}), (\d{1,4})\)")
_SPAN = re.compile(r"from (\d+(?:\.\d+)?) s to (\d+(?:\.\d+)?) s")


def categories(text: str) -> list[str]:
    """Return the categories that a text names, in order, each once."""
    return list(dict.fromkeys(_by_label()[found[0].lower()] for found in _labels().finditer(text)))


def says_clean(text: str) -> bool:
    """Tell whether a text says that there is no distortion, and names none."""
    return vocabulary().clean in text.lower() and not categories(text)


def graded(text: str) -> list[tuple[str, int]]:
    """Return (category, severity 1..5) of every distortion that stands behind a grade, in order."""
    grades = {word: k for k, word in enumerate(vocabulary().severities, 1)}
    pattern = rf"\b({'|'.join(grades)}) ({_labels().pattern})"
    found = re.finditer(pattern, text, re.IGNORECASE)
    return [(_by_label()[m[2].lower()], grades[m[1].lower()]) for m in found]


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


def level(text: str) -> str | None:
    """Return the level word behind the last "is", where that ends the sentence."""
    words = "|".join(prompts.level_scale().words)
    found = re.findall(rf"\bis ({words})\b\s*[.!]?\s*$", text.strip(), re.IGNORECASE)
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


@cache
def _by_label() -> dict[str, str]:
    return {label: category for category, label in vocabulary().categories.items()}


@cache
def _labels() -> re.Pattern[str]:
    """Match any label; longer ones first, so that none is read inside another."""
    longest = sorted(_by_label(), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b", re.IGNORECASE)
