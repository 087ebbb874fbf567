"""Is an answer usable at all? JSON of the right keys, length, repetition, refusals, leaks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mllmqa.data.teacher.prompt import TeachFile
from mllmqa.data.teacher.truth import Truth

TOLERANCE = 1.15
"""Answers may be longer than their cap by this factor: models count words badly."""
PHRASE, TIMES = 8, 3
"""A phrase of that many words that is there that often is an endless repetition."""

_FENCE = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)
_REFUSAL = re.compile(
    r"\bsorry\b|\bapologi[sz]e\b|\bas an ai\b"
    r"|\bi(?: am|'m) (?:unable|not able) to\b"
    r"|\bi (?:can(?:no|')t|can not|could not|couldn't|won't|will not|do not|don't) "
    r"(?:\w+ ){0,2}(?:see|view|assist|help|access|provide|judge|assess|comply|answer|do|have|describe|evaluate)\b"
)
_PICTURE = r"(?:image|picture|photo|photograph|video|clip|version|frame|scene|footage|one|counterpart|source)s?"
_REFERENCE = re.compile(
    rf"\breferences?\b|\bthe originals?\b|\b(?:original|pristine|undistorted|undegraded|unmodified|unaltered"
    rf"|untouched|unprocessed|source|ground[- ]truth) {_PICTURE}\b"
    r"|\bclean (?:image|picture|version|counterpart)s?\b"
    r"|\b(?:compared|comparison|relative|next|similar|close|closer|identical|true) (?:to|with) the "
    r"(?:clean|pristine|undistorted)\b"
)
_LABELS = re.compile(
    r"\baccording to the (?:labels?|facts?|truth|information|prompt|instructions?|annotations?)\b"
    r"|\bthe (?:facts|labels?|annotations?|metadata|prompt|instructions?|plain answer|given answer|hints?) "
    r"(?:say|says|state|states|stated|indicate|indicates|given|provided|is|are|tell|tells|note|notes|list|lists)\b"
    r"|\b(?:as|was|is|are|been) (?:labell?ed|annotated|graded|stated|instructed|provided)\b|\bground[- ]truth\b"
    r"|\b(?:provided|given) (?:facts|labels?|information|hints?|metadata|annotations?)\b|\bplain answer\b|\bmos\b"
    r"|\b(?:severity|grade|level|strength|rank|score|rating)(?: \w+){0,2} \d|\b\d(?:\.\d+)? ?(?:/|out of) ?\d"
    r"|\b[a-z]+_[a-z_]+\b"
)


class Fault(NamedTuple):
    """Why an answer is not used.

    Attributes:
        code: One of :data:`mllmqa.data.teacher.outcomes.REASONS`.
        found: What the answer says.
        expected: What would be right.
    """

    code: str
    found: str
    expected: str


def parts_of(text: str, file: TeachFile) -> dict[str, str] | Fault:
    """Return the parts of an answer by their keys, in order; strictly: one JSON object, nothing but strings.

    One code fence around it all is no fault.
    """
    fenced = _FENCE.fullmatch(text.strip())
    wanted = f"a JSON object with {', '.join(file.parts)}"
    try:
        found = json.loads(fenced[1] if fenced else text, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        code = "refusal" if _REFUSAL.search(_plain(text)) else "not-json"
        return Fault(code, _short(text), wanted)
    if not isinstance(found, dict):
        return Fault("schema", f"a JSON {type(found).__name__}", wanted)
    if set(found) != set(file.parts):
        return Fault("schema", f"the keys {', '.join(map(str, found)) or 'none'}", wanted)
    if wrong := [key for key in file.parts if not isinstance(found[key], str)]:
        return Fault("schema", f"{wrong[0]} is a {type(found[wrong[0]]).__name__}", "strings")
    return {key: " ".join(found[key].split()) for key in file.parts}


def form_faults(parts: Mapping[str, str], words: int) -> Iterator[Fault]:
    """Yield what is wrong with an answer whatever its truth is.

    Args:
        parts: From :func:`parts_of`.
        words: Most words.
    """
    text = joined(parts)
    if empty := [key for key, part in parts.items() if not re.search(r"\w", part)]:
        yield Fault("empty", f"nothing in {', '.join(empty)}", "a text in each part")
    if found := _REFUSAL.search(_plain(text)):
        yield Fault("refusal", _around(text, found), "an answer")
    if (count := len(text.split())) > round(words * TOLERANCE):
        yield Fault("too-long", f"{count} words", f"at most {words}, and {TOLERANCE - 1:.0%} more")
    if phrase := _repeated(text):
        yield Fault("repetition", f"{phrase!r} {TIMES} times", "no phrase again and again")


def leaks(parts: Mapping[str, str], truth: Truth) -> Iterator[Fault]:
    """Yield what an answer gives away: a reference that its reader does not have, or what the teacher was told."""
    text = joined(parts)
    if truth.reference != "shown" and (found := _REFERENCE.search(_plain(text))):
        yield Fault("leaks-reference", _around(text, found), "no word of a reference: the question has none")
    if found := _LABELS.search(_plain(text)):
        yield Fault("leaks-labels", _around(text, found), "no word of labels, instructions or numbers of severity")


def joined(parts: Mapping[str, str]) -> str:
    """Return the whole answer."""
    return " ".join(part for part in parts.values() if part)


def _plain(text: str) -> str:
    return text.lower().replace("’", "'")


def _repeated(text: str) -> str | None:
    words = re.findall(r"\w+", text.lower())
    seen: dict[tuple[str, ...], int] = {}
    for k in range(len(words) - PHRASE + 1):
        phrase = tuple(words[k : k + PHRASE])
        seen[phrase] = seen.get(phrase, 0) + 1
        if seen[phrase] == TIMES:
            return " ".join(phrase)
    return None


def _around(text: str, found: re.Match[str]) -> str:
    return text[max(0, found.start() - 20) : found.end() + 20].strip()


def _short(text: str) -> str:
    return " ".join(text.split())[:80] or "nothing"


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)
