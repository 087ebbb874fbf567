"""What a free text claims of distortions: which, how strong, on which side, or whether it denies them.

Names of distortions are those of :mod:`mllmqa.data.tasks.extract` and, to find what a text says without them, the
other words of ``prompts/teach/words.yaml``. Denials are understood in their plain forms only ("no visible blur or
noise", "free of noise", "noise is absent"); where a denial may be meant, the mention is unclear, and such a text is
not used. A text that is dropped costs an answer; one that says something wrong costs trust.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from mllmqa.data.tasks.wording import vocabulary
from mllmqa.data.teacher.prompt import free_words

Polarity = Literal["claimed", "denied", "unclear"]
Where = Literal["A", "B", "both", "other"] | None
"""Side of a mention; ``other``: it cannot be told; None: no side was mentioned before."""

_STOP = re.compile(r"[.;:!?()]|\b(?:but|however|though|although|yet|while|whereas|except)\b", re.IGNORECASE)
_MEDIUM = r"(?i:image|picture|photo|photograph|video|clip)"
_SIDE = re.compile(
    rf"\b{_MEDIUM} (?P<named>[AB])\b(?! and)"
    r"|(?<![\w'])(?P<bare>A|B)"
    r"(?= (?:is|has|shows|looks|suffers|exhibits|contains|appears|also|only|itself)\b|'s\b|,)"
    r"|(?P<both>\b(?i:both)\b|\bA and B\b)"
    rf"|(?P<other>\b(?i:the other|the former|the latter|the first {_MEDIUM}|the second {_MEDIUM})\b)"
)
_ASIDE = re.compile(
    r"\b(?:than|unlike|to|with|against|over|from|beside|versus)(?: (?:that|those) (?:of|in))? $", re.I
)
_BELONGS = re.compile(rf"\s+(?:of|in|on|from|throughout) (?:{_MEDIUM} )?(?P<key>[AB])\b")


@dataclass(frozen=True)
class Mention:
    """One place where a text speaks of a distortion.

    Attributes:
        category: Of the distortion engine.
        polarity: Whether the text says that it is there.
        grades: Whole grades 1..5 that stand with it, in our words.
        other_grades: Ranks 1..5 of other words for its strength that stand with it.
        side: Which of a pair it is about.
        words: The words themselves.
    """

    category: str
    polarity: Polarity
    grades: tuple[int, ...]
    other_grades: tuple[int, ...]
    side: Where
    words: str


def mentions(text: str, side: Where = None) -> list[Mention]:
    """Return all mentions of distortions in a text, in order.

    Args:
        text: Free text.
        side: The one that it is about until it names one.
    """
    found: list[Mention] = []
    last_end, last = 0, None
    for match in _names().finditer(text):
        start = max(last_end, _clause_start(text, match.start()))
        before = text[start : match.start()]
        category = _category(match[0])
        polarity = _polarity(before, text[match.end() :], last if start == last_end and last_end else None)
        plain, other = _grades_of(before, text[match.end() :])
        found.append(Mention(category, polarity, plain, other, _side(text, match, side), match[0]))
        last_end, last = match.end(), polarity
    return found


def clean_claims(text: str, side: Where = None) -> list[Where]:
    """Return of which sides a text says that there is no distortion, in order; ``side`` as in :func:`mentions`."""
    said = re.finditer(rf"\b(?:{_any(free_words().clean)})\b", text, re.IGNORECASE)
    return [_side(text, match, side) for match in said]


def _clause_start(text: str, end: int) -> int:
    return max((stop.end() for stop in _STOP.finditer(text, 0, end)), default=0)


# ------------------------------------------------------------------ there, or not


def _polarity(before: str, after: str, previous: Polarity | None) -> Polarity:
    """Tell what is said of a mention.

    Args:
        before: The clause up to it, from the mention before on.
        after: The rest of the text.
        previous: Polarity of the mention before in the same clause, if any.
    """
    words = _patterns()
    before = words["harmless"].sub(" ", before.lower())
    after = after.lower()
    if after.startswith("-free") or re.match(r"\s+(?:is|are|was|were) absent\b", after):
        return "denied"
    if words["after"].match(words["harmless"].sub(" ", after)):
        return "unclear"
    if denial := words["denied"].search(before):
        return "unclear" if words["negative"].search(before[: denial.start()]) else "denied"
    if previous == "denied" and (joint := words["joint"].fullmatch(before)):
        if joint["by"] in ("or", "nor"):
            return "denied"
        return "denied" if joint["by"] == "," and words["list"].match(after) else "unclear"
    return "unclear" if words["unclear"].search(before) else "claimed"


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    free = free_words()
    deny, unclear, harmless = (_any(words) for words in (free.deny, free.unclear, free.harmless))
    grades = _any((*vocabulary().severities, *free.grades))
    fillers = rf"(?:\s+(?:{_any(free.fillers)}|{grades}))*\s+"
    plain = _any(free.fillers)
    return {
        "harmless": re.compile(rf"\b(?:{harmless})\b"),
        "denied": re.compile(rf"\b(?:{deny}){fillers}$"),
        "negative": re.compile(rf"(?:\b(?:{deny}|{unclear})|n't)\s+(?:\w+\s+)?$"),
        "joint": re.compile(rf"\s*,?\s*(?P<by>,|\bor\b|\bnor\b|\band\b)(?:\s+(?:{plain}))*\s*"),
        "list": re.compile(rf"(?:\s*,\s*(?:{_names().pattern}))*\s*,?\s*(?:or|nor)\b"),
        "unclear": re.compile(rf"(?:\b(?:{unclear})|n't)\s+(?:[\w-]+,?\s+){{0,4}}$"),
        "after": re.compile(
            r"\s+(?:(?:is|are|was|were|can|could|does|do|has|have|looks|seems)\s+)?(?:\w+\s+)?"
            r"(?:not|never|cannot|absent|missing|nowhere|hardly|barely|scarcely)\b|\s+\w+n't\b"
        ),
    }


def _any(words: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


# ------------------------------------------------------------------ how strong


def _grades_of(before: str, after: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the grades that stand up to three words before a mention, or behind its "is"."""
    near = re.search(r"(?:[\w'-]+,?\s+){0,3}$", before)
    behind = re.match(
        r"\s+(?:is|are|looks|appears|remains|seems|being)\s+(?:\w+ly\s+|quite\s+|rather\s+)?(\w+)", after
    )
    text = f"{near[0] if near else ''} {behind[1] if behind else ''}".lower()
    ours = {word: k for k, word in enumerate(vocabulary().severities, 1)}
    free = free_words().grades
    said = [(m[1], m[0]) for m in re.finditer(rf"\b({_any((*ours, *free))})(?:ly|ally)?\b", text)]
    return tuple(ours[w] for w, _ in said if w in ours), tuple(free[w] for w, _ in said if w in free)


# ------------------------------------------------------------------ of which side


def _side(text: str, match: re.Match[str], first: Where) -> Where:
    if found := _BELONGS.match(text, match.end()):
        return "A" if found["key"] == "A" else "B"
    side = first
    for one in _SIDE.finditer(text, 0, match.start()):
        if _ASIDE.search(text[: one.start()]):
            continue  # "unlike image A", "more than that of B": the sentence is about the other
        kind = one.lastgroup
        side = "both" if kind == "both" else "other" if kind == "other" else "A" if one[kind or 0] == "A" else "B"
    return side


# ------------------------------------------------------------------ names


@cache
def _by_name() -> dict[str, str]:
    names = {alias: category for category, many in free_words().aliases.items() for alias in many}
    return names | {label: category for category, label in vocabulary().categories.items()}


def _category(words: str) -> str:
    return _by_name()[" ".join(words.lower().split())]


@cache
def _names() -> re.Pattern[str]:
    names = (re.escape(name).replace(r"\ ", r"\s+") for name in sorted(_by_name(), key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(names)})\b", re.IGNORECASE)
