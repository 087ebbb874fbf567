"""What a question is about, or why it is refused. Rules, not a model: the same question is always taken alike.

A question belongs here if it holds a word of ``prompts/answer/scope.yaml`` (or the name of a distortion, a level, a
severity) and none of its patterns of other things. What it is about follows from its words, the first that fits:
a comparison, a place or time, one distortion (is it there, how strong), a level, all distortions, an assessment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from mllmqa import prompts
from mllmqa.asking.texts import say, scope
from mllmqa.data.tasks.wording import join, vocabulary
from mllmqa.data.teacher.claims import mentions

Kind = Literal["compare", "place", "yes_no", "how", "level", "identify", "assess"]
MOST_FILES = 8
MOST_CHARACTERS = 2000
"""Of a question; what is longer is cut."""

_KEY = re.compile(r"(?<![\w'.-])[A-H](?='s\b|(?![\w'-]|\.\w))")
_AFTER_A = re.compile(
    r"'s\b|\s*[,;?!.:]|\s*$|\s(?:is|has|or|and|vs|versus|than|to|with|looks?|better|worse|best|worst|so|suffers|shows)\b"
)
_COMPARES = re.compile(
    r"(?i)\b(?:better|worse|best|worst|prefer\w*|compar\w+|differ\w*|rank\w*|beats?|wins?|winner|sharper|cleaner"
    r"|nois(?:i|y)er|blurrier|brighter|darker)\b"
)
_TWO = re.compile(
    r"(?i)\b(?:which (?:is|one|image|video|picture|clip|photo|file|of)|both|than|of the two|compar\w+)\b"
)
_PLACE = re.compile(
    r"(?i)\b(?:where|when|locate\w*|at (?:what|which) time|which (?:part|region|area|place|corner|second|moment)"
    r"|what (?:part|region|area|time))\b"
)
_HOW = re.compile(r"(?i)\bhow (?:much|strong\w*|bad\w*|severe\w*|heavy|visible|noticeable)\b|\bgrade the\b")
_LEVEL = re.compile(r"(?i)\b(?:how good|how bad|rate|rating|score|grade|level|acceptable|usable|good enough)\b")
_IDENTIFY = re.compile(
    r"(?i)\b(?:which|what|name|find|list)\b.{0,40}\b(?:distort\w*|degrad\w*|damage\w*|art[ie]fact\w*|flaws?|defects?"
    r"|wrong|problems?|issues?)\b"
)


@dataclass(frozen=True)
class Asked:
    """What a question is about.

    Attributes:
        kind: Of the question.
        keys: The files that it is about, in order.
        category: The distortion that it names; of ``yes_no`` and ``how``.
    """

    kind: Kind
    keys: tuple[str, ...]
    category: str | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a question is not answered.

    Attributes:
        reason: Short stable name: ``no-question``, ``no-media``, ``outside``, ``needs-two``, ``unknown-file``,
            ``kinds-differ``, ``too-many``, ``unreadable``.
        text: For people.
    """

    reason: str
    text: str


def refused(reason: str, **variables: object) -> Refusal:
    """Return a refusal with its text of ``prompts/answer/refuse.yaml``."""
    return Refusal(reason, say("refuse", reason, **variables))


def understand(question: str, keys: Sequence[str], *, follows: bool = False) -> Asked | Refusal:
    """Tell what a question is about, before any file is opened.

    Args:
        question: As the user asked it.
        keys: Of the files that are given: A, B, C …
        follows: Whether it stands behind an answer, so that "and why?" does.
    """
    question = " ".join(question.split())[:MOST_CHARACTERS]
    if not question:
        return refused("no-question")
    if not keys:
        return refused("no-media")
    if len(keys) > MOST_FILES:
        return refused("too-many", most=MOST_FILES, given=len(keys))
    if not about_quality(question, follows=follows):
        return refused("outside", medium="image or video" if len(keys) == 1 else "files")
    named = named_files(question)
    if unknown := [key for key in named if key not in keys]:
        if len(keys) == 1 and len(named) > 1:
            return refused("needs-two")
        return refused("unknown-file", key=unknown[0], given=f"given {_are(len(keys))} {join(list(keys))}")
    compares = _COMPARES.search(question) is not None
    if len(keys) == 1:
        return refused("needs-two") if compares and _TWO.search(question) else _about_one(question, tuple(keys))
    if (compares and len(named) != 1) or len(named) > 1 or (not named and re.search(r"(?i)\bwhy\b", question)):
        return Asked("compare", tuple(k for k in keys if k in named) if len(named) > 1 else tuple(keys))
    if compares and _superlative_of_all(question):
        return Asked("compare", tuple(keys))
    return _about_one(question, tuple(named or keys))


def named_files(question: str) -> list[str]:
    """Return the files that a question names, in order, each once; "A" that begins a sentence may be an article.

    >>> named_files("A blurry one: is B's noise worse than A?")
    ['B', 'A']
    """
    found = []
    for match in _KEY.finditer(question):
        begins = re.search(r"(?:^|[.!?:]\s)$", question[: match.start()]) is not None
        if match[0] != "A" or not begins or _AFTER_A.match(question, match.end()):
            found.append(match[0])
    return list(dict.fromkeys(found))


def kinds_differ(kinds: dict[str, str]) -> Refusal | None:
    """Refuse to compare images with videos.

    Args:
        kinds: Key → ``image`` or ``video``.
    """
    images, videos = ([key for key, kind in kinds.items() if kind == which] for which in ("image", "video"))
    return refused("kinds-differ", images=join(images), videos=join(videos)) if images and videos else None


def about_quality(question: str, *, follows: bool = False) -> bool:
    """Tell whether a question is about the quality of pictures."""
    rules = scope()
    if any(re.search(pattern, question, re.IGNORECASE) for pattern in rules.outside):
        return False
    if _words().search(question) or mentions(question):
        return True
    short = "|".join(map(re.escape, rules.follow_up))
    return follows and re.search(rf"\b(?:{short})\b", question, re.IGNORECASE) is not None


def _superlative_of_all(question: str) -> bool:
    """Tell whether one file is named only to be held against all others: "why is A better?"."""
    return re.search(r"(?i)\b(?:better|worse|best|worst|prefer\w*|beats?|wins?)\b", question) is not None


def _about_one(question: str, keys: tuple[str, ...]) -> Asked:
    named = [one.category for one in mentions(question)]
    if _PLACE.search(question):
        return Asked("place", keys, named[0] if named else None)
    if named:
        return Asked("how" if _HOW.search(question) else "yes_no", keys, named[0])
    if _IDENTIFY.search(question):
        return Asked("identify", keys)
    return Asked("level" if _LEVEL.search(question) else "assess", keys)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


@cache
def _words() -> re.Pattern[str]:
    listed = [*scope().quality, *prompts.level_scale().words, *vocabulary().severities]
    patterns = "|".join(re.escape(word).replace(r"\*", r"\w*") for word in listed)
    return re.compile(rf"\b(?:{patterns})\b", re.IGNORECASE)
