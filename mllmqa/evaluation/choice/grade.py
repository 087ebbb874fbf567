"""Which option an answer chooses: by its letter, in brackets or plain, or by its text. Nothing is guessed.

An answer that names two options, none, or one that it denies is unparsed: it counts as such, and is never given a
random letter, as a known harness does (facts: promptbench §3.1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from mllmqa.data.tasks.phrases import LETTERS

How = Literal["letter", "text", "likelihood"]

_WORD = r"(?:answer|option|choice|correct (?:answer|option|choice)|letter)"
_MARK = r"[*_`'\"]{0,3}"
_NEGATION = re.compile(
    r"\b(?:not|no|never|neither|nor|without|isn't|aren't|n't|rather than|instead of)\b[\s\w]{0,12}$"
)


@dataclass(frozen=True)
class Choice:
    """What an answer chooses.

    Attributes:
        index: Of the option, from 0; None: unparsed.
        how: What it was read from; None where it was not.
        named: All options that it names.
    """

    index: int | None
    how: How | None
    named: tuple[int, ...]


def read_choice(text: str, options: Sequence[str]) -> Choice:
    """Return the option that an answer chooses.

    Args:
        text: What was said.
        options: Their texts, in the order of the letters A, B, …

    >>> read_choice("(B)", ["blur", "noise"]).index
    1
    >>> read_choice("The answer is noise.", ["blur", "noise"]).index
    1
    >>> read_choice("A or B", ["blur", "noise"]).index is None
    True
    """
    named = letters(text, len(options))
    if named:
        told = _bare(_behind_letter(text))
        other = [i for i, option in enumerate(options) if _bare(option) == told and i not in named]
        named = tuple(sorted({*named, *other}))
        return Choice(named[0] if len(named) == 1 else None, "letter", named)
    named, denied = _by_text(text, options)
    return Choice(named[0] if len(named) == 1 and not denied else None, "text" if named else None, named)


def letters(text: str, count: int) -> tuple[int, ...]:
    """Return the options that a text names by letter, without those that it denies; an article is no letter.

    Args:
        text: What was said.
        count: Number of options.
    """
    bare = re.fullmatch(rf"\W*([A-Za-z])\W*(?:{_MARK})?", text.strip())
    if bare and "A" <= bare[1].upper() <= LETTERS[count - 1]:
        return (LETTERS.index(bare[1].upper()),)
    found = set()
    for pattern in _forms(LETTERS[:count]):
        for match in pattern.finditer(text):
            if not _NEGATION.search(text[: match.start()]):
                found |= {LETTERS.index(letter) for group in match.groups() if group for letter in _single(group)}
    return tuple(sorted(found))


def most_likely(logprobs: Mapping[str, float | None]) -> Choice:
    """Return the option whose letter is most probable; unparsed where two are, or none was reported.

    Args:
        logprobs: Letter → natural logarithm of its probability, in the order of the options.
    """
    values = [-math.inf if value is None else value for value in logprobs.values()]
    most = max(values, default=-math.inf)
    best = tuple(i for i, value in enumerate(values) if value == most and most > -math.inf)
    return Choice(best[0] if len(best) == 1 else None, "likelihood", best)


# ------------------------------------------------------------------ letters


@cache
def _forms(among: str) -> tuple[re.Pattern[str], ...]:
    one = f"[{among}]"
    several = rf"{one}(?:(?:\s*,\s*|\s*/\s*|\s+(?:and|or)\s+|\s*,\s*(?:and|or)\s+){one}\b)+"
    return (
        re.compile(rf"^\s*{_MARK}({one}){_MARK}\s*(?:[.):,;\]]|-\s|$)", re.MULTILINE),  # "B. text", alone on a line
        re.compile(rf"[(\[{{]\s*{_MARK}({one}){_MARK}\s*[)\]}}]"),  # (B) anywhere
        re.compile(
            rf"\b(?i:{_WORD})\s*(?i:is|:|=|are|would be|must be|should be)?\s*:?\s*{_MARK}({one}){_MARK}\b(?!')"
        ),
        re.compile(rf"\b({several})"),  # "A or B"
        re.compile(rf"\b({one}) (?:is|are) (?!not\b|wrong\b|incorrect\b|false\b|n't)"),
        re.compile(rf"\b(?i:choose|pick|select|prefer|say|chose|is)\s+{_MARK}({one}){_MARK}\s*(?:[.,;!]|$)"),
        re.compile(rf"\b(?i:image|picture|video|photo|clip)\s+({one})\s*[.!]?\s*$"),
    )


def _single(group: str) -> list[str]:
    return re.findall(r"\b[A-Z]\b", group)


def _behind_letter(text: str) -> str:
    return re.sub(rf"^\s*{_MARK}[(\[]?[A-Z][)\]]?{_MARK}\s*[.):,;]?", "", text, count=1)


# ------------------------------------------------------------------ texts


def _by_text(text: str, options: Sequence[str]) -> tuple[tuple[int, ...], bool]:
    """Return the options whose texts a text holds as whole words, and whether one of them is denied there."""
    said = _bare(text)
    whole = [i for i, option in enumerate(options) if _bare(option) == said]
    if whole:
        return tuple(whole), False
    taken: list[tuple[int, int]] = []
    named, denied = set(), False
    for i in sorted(range(len(options)), key=lambda i: len(options[i]), reverse=True):  # "blur" in "motion blur"
        words = _bare(options[i])
        if not words:
            continue
        for match in re.finditer(rf"(?<![\w-]){re.escape(words)}(?![\w-])", said):
            if any(start < match.end() and match.start() < end for start, end in taken):
                continue
            taken.append(match.span())
            named.add(i)
            denied |= words not in ("yes", "no") and _NEGATION.search(said[: match.start()]) is not None
    return tuple(sorted(named)), denied


def _bare(text: str) -> str:
    """Lower case, single spaces, no marks at the ends."""
    return " ".join(text.lower().split()).strip(" .,;:!?*_`'\"()[]")
