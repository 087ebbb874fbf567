"""Read back what texts say of three or four media: which is best or worst, their order, what each shows."""

from __future__ import annotations

import re

from mllmqa.data.tasks import extract
from mllmqa.data.tasks.several import KEYS
from mllmqa.data.tasks.truth import Finding

_KEY = rf"([{KEYS}])"
_ALONE = rf"(?<![{KEYS}] and )(?<![{KEYS}] or )\b"
"""Before a key: it is not the last of those that a question lists ("Which of A, B and C is best?")."""
_EXTREME = {
    which: re.compile(rf"{_ALONE}{_KEY} is (?:the )?{which}\b|\b{which} one is {_KEY}\b")
    for which in ("best", "worst")
}
_SHOWS = re.compile(
    rf"{_ALONE}{_KEY} (?:that )?(?:shows|has) (?!no\b)|\bone that (?:shows|has) [a-z ]+ is {_KEY}\b"
)
_ORDER = re.compile(rf"{_ALONE}[{KEYS}](?:, [{KEYS}])+\b(?!,? (?:and|or)\b|, [{KEYS}]\b)")
_PART = re.compile(rf"\s*{_KEY} (?:has|shows) ")


def best(text: str) -> str | None:
    """Return the key that a text calls best; a bare letter counts; None where it names none, or several."""
    return _single(_EXTREME["best"], text)


def worst(text: str) -> str | None:
    """Return the key that a text calls worst; a bare letter counts; None where it names none, or several."""
    return _single(_EXTREME["worst"], text)


def shown_by(text: str) -> str | None:
    """Return the only key that a text says shows something; a bare letter counts. What: `extract.categories`."""
    return _single(_SHOWS, text)


def ranking(text: str) -> list[str] | None:
    """Return the keys from best to worst ("B, A, C"); None where a text has no such list, two, or a repeat in it.

    A list "from worst to best" is turned round.
    """
    lists = [found[0].split(", ") for found in _ORDER.finditer(text)]
    if len(lists) != 1 or len(set(lists[0])) != len(lists[0]):
        return None
    upwards = "worst to best" in text.lower() and "best to worst" not in text.lower()
    return lists[0][::-1] if upwards else lists[0]


def each(text: str) -> dict[str, list[Finding]]:
    """Return by key what a text says of each medium in its parts between semicolons; grades as severities."""
    said: dict[str, list[Finding]] = {}
    for part in text.split(";"):
        if found := _PART.match(part):
            said.setdefault(found[1], []).extend(extract.findings(part))
    return said


def _single(pattern: re.Pattern[str], text: str) -> str | None:
    named = {next(filter(None, found.groups())) for found in pattern.finditer(text)}
    if not named and (letter := extract.letter(text)) and letter in KEYS:
        named = {letter}
    return named.pop() if len(named) == 1 else None
