"""What a text claims of the files, and which of that their readings do not bear out.

Names of distortions, their other words, denials and words of strength are found as in the check of teachers' texts
(:mod:`mllmqa.data.teacher.claims`); level words and verdicts here. What is not understood is not claimed: a text is
never read kindly or unkindly, but by these patterns alone. Thresholds: :mod:`mllmqa.asking.thresholds`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mllmqa import prompts
from mllmqa.asking import thresholds as at
from mllmqa.asking.records import Claim, Contradiction, Evidence
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.data.teacher.claims import Mention, Where, clean_claims, mentions

_MEDIUM = r"(?i:image|video|picture|clip|photo|file)"
_KEY = rf"(?:(?i:the )?{_MEDIUM} )?(?P<{{name}}>[A-H])\b"
_GOOD = r"better|best|superior|preferable|preferred|cleaner|the winner|(?:of (?:the )?)?higher quality"
_POOR = r"worse|worst|inferior|(?:of (?:the )?)?(?:lower|poorer) quality"
_IS = r"(?:is|looks|appears|seems|remains|has|shows|offers|comes out as)"
_THAN = rf"(?: (?:\w+ ){{0,3}}?than {_KEY.format(name='than')})?"
_VERDICTS = (
    re.compile(
        rf"{_KEY.format(name='key')}(?:, [^,.;]{{0,80}},)? {_IS} (?P<between>(?:[\w'-]+ ){{0,3}}?)"
        rf"(?:(?P<good>{_GOOD})|(?P<poor>{_POOR}))\b{_THAN}"
    ),
    re.compile(
        rf"{_KEY.format(name='key')} (?P<between>)(?:(?P<good>wins|outperforms|surpasses|beats)|(?P<poor>loses))\b"
        rf"(?: (?:to )?{_KEY.format(name='than')})?"
    ),
    re.compile(
        rf"\b(?P<between>)(?i:(?P<good>better|best|winner|preferable)|(?P<poor>worse|worst))"
        rf"(?: (?!than\b)\w+){{0,2}}? (?:is|remains|:) {_KEY.format(name='key')}{_THAN}"
    ),
    re.compile(rf"\b(?P<between>)(?P<good>(?i:prefer))(?P<poor>)? {_KEY.format(name='key')}{_THAN}"),
)
_EQUAL = re.compile(
    r"(?i:\babout (?:equal|the same)\b|\bequally (?:good|bad|poor)\b|\bof (?:equal|similar|the same) quality\b"
    r"|\bno (?:visible |clear )?difference\b|\bequal in quality\b)"
)
_ALIKE = re.compile(rf"{_KEY.format(name='key')} and {_KEY.format(name='than')} (?:are|look|seem)\b")
_NEGATIVE = re.compile(r"(?i:\b(?:not|no|never|hardly|barely|neither)\b|n't\b)")


def claims_of(text: str, keys: Sequence[str]) -> list[Claim]:
    """Return what a text claims, in the order of kinds: distortions, cleanness, levels, verdicts.

    Args:
        text: An answer.
        keys: Of the files that it is about.
    """
    return [*_distortions(text, keys), *_levels(text, keys), *_verdicts(text, keys)]


def contradictions(claims: Sequence[Claim], evidence: Evidence) -> list[Contradiction]:
    """Return the claims that the evidence does not bear out, each with what was read."""
    return [Contradiction(claim=c, reading=r, threshold=t) for c in claims for r, t in _against(c, evidence)]


# ------------------------------------------------------------------ distortions and cleanness


def _distortions(text: str, keys: Sequence[str]) -> Iterator[Claim]:
    for key in keys:
        own = _from_view_of(key, text, keys)
        start: Where = "A" if len(keys) == 1 else None
        for one in mentions(own, start):
            if one.side in ("A", "both") or (one.side is None and key == keys[0]):
                yield from _of_mention(one, key if one.side else None)
        for side in clean_claims(own, start):
            if side in ("A", "both") or (side is None and key == keys[0]):
                yield Claim(kind="clean", key=key if side else None, words=vocabulary().clean)


def _of_mention(one: Mention, key: str | None) -> Iterator[Claim]:
    if one.polarity == "unclear":
        return
    denied = one.polarity == "denied"
    yield Claim(kind="distortion", key=key, denied=denied, category=one.category, words=one.words)
    if denied:
        return
    for grade, exact in (*((g, True) for g in one.grades), *((g, False) for g in one.other_grades)):
        word = f"{vocabulary().severities[grade - 1]} {one.words}"
        yield Claim(kind="severity", key=key, category=one.category, value=grade, exact=exact, words=word)


def _from_view_of(key: str, text: str, keys: Sequence[str]) -> str:
    """Call one file A and all others B: the patterns for sides know two."""
    if list(keys) in (["A"], ["A", "B"]) and key == "A":
        return text
    names = "".join(keys)
    return re.sub(rf"(?<![\w'])[{names}]\b(?!-)", lambda m: "A" if m[0] == key else "B", text)


# ------------------------------------------------------------------ levels


def _levels(text: str, keys: Sequence[str]) -> Iterator[Claim]:
    scale = prompts.level_scale()
    words = "|".join(scale.words)
    pattern = re.compile(
        rf"\bquality\b(?P<between>[^.;!?]{{0,60}}?)\b(?P<word>{words})\b"
        rf"|(?P<no>\b(?:no|not|of)\s+)?\b(?P<adjective>{words}) (?:\w+ )?quality\b",
        re.IGNORECASE,
    )
    for said in pattern.finditer(text):
        word = (said["word"] or said["adjective"]).lower()
        denied = _NEGATIVE.search(said["between"] or said["no"] or "") is not None
        key = keys[0] if len(keys) == 1 else _key_before(text, said.end(), keys)
        value = scale.values[scale.words.index(word)]
        yield Claim(kind="level", key=key, denied=denied, value=value, words=said[0])


def _key_before(text: str, end: int, keys: Sequence[str]) -> str | None:
    """Return the file that a sentence names last before a place."""
    start = max(text.rfind(mark, 0, end) for mark in ".;!?\n") + 1
    named = re.findall(rf"(?<![\w'])([{''.join(keys)}])\b(?!-)", text[start:end])
    return named[-1] if named else None


# ------------------------------------------------------------------ verdicts


def _verdicts(text: str, keys: Sequence[str]) -> Iterator[Claim]:
    if len(keys) < 2:
        return
    seen: set[tuple[int, int]] = set()
    for pattern in _VERDICTS:
        for said in pattern.finditer(text):
            key, than = said["key"], said.groupdict().get("than")
            if key not in keys or (than is not None and than not in keys) or said.span("key") in seen:
                continue
            seen.add(said.span("key"))
            yield from _verdict(said, key, than, keys)
    for said in _EQUAL.finditer(text):
        pair = next((m for m in _ALIKE.finditer(text) if m.end() <= said.start() + 1), None)
        one, other = (pair["key"], pair["than"]) if pair else (keys[0], keys[1] if len(keys) == 2 else None)
        yield Claim(kind="equal", key=one, other=other, words=said[0])


def _verdict(said: re.Match[str], key: str, than: str | None, keys: Sequence[str]) -> Iterator[Claim]:
    other = than or (next(k for k in keys if k != key) if len(keys) == 2 else None)
    good = bool(said["good"])
    denied = _NEGATIVE.search(said["between"]) is not None
    if good:
        yield Claim(kind="better", key=key, other=other, denied=denied, words=said[0])
    elif other is not None:  # "A is worse than B" is "B is better than A"
        yield Claim(kind="better", key=other, other=key, denied=denied, words=said[0])


# ------------------------------------------------------------------ against the readings


def _against(claim: Claim, evidence: Evidence) -> Iterator[tuple[str, str]]:
    if claim.kind in ("better", "equal"):
        yield from _against_verdict(claim, evidence)
        return
    keys = [claim.key] if claim.key else [one.key for one in evidence.files]
    found = [list(_against_one(claim, key, evidence)) for key in keys]
    if all(found):  # a claim of no file by name holds if it holds of one
        yield found[0][0]


def _against_one(claim: Claim, key: str, evidence: Evidence) -> Iterator[tuple[str, str]]:
    file, words = evidence.of(key), vocabulary()
    if claim.kind == "level":
        gap = abs((claim.value or 0) - file.score.value)
        name, wrong = ("LEVEL_IS", gap < at.LEVEL_IS) if claim.denied else ("LEVEL_SLACK", gap > at.LEVEL_SLACK)
        if wrong:
            yield f"{key} scores {file.score.value:.2f} ({file.level})", name
    elif claim.kind == "clean":
        worst = max(file.presence, key=lambda one: evidence.probability(key, one.category) or 0, default=None)
        if worst is None:
            yield f"{key}: {file.why_unread}", "not read"
        elif (p := evidence.probability(key, worst.category) or 0) > at.DENIED_ABOVE:
            yield f"{words.label(worst.category)} in {key} has probability {p:.2f}", "DENIED_ABOVE"
    elif claim.category is not None:
        yield from _against_category(claim, claim.category, key, evidence)


def _against_category(claim: Claim, category: str, key: str, evidence: Evidence) -> Iterator[tuple[str, str]]:
    label, p = vocabulary().label(category), evidence.probability(key, category)
    if p is None:
        yield f"{label} was not read in {key}", "not read"
    elif claim.kind == "severity":
        severity = evidence.of(key).severity(category)
        name = "SEVERITY_SLACK" if claim.exact else "OTHER_WORD_SLACK"
        slack = at.SEVERITY_SLACK if claim.exact else at.OTHER_WORD_SLACK
        if severity is None:
            yield f"the strength of {label} was not read in {key}", "not read"
        elif abs((claim.value or 0) - severity.value) > slack:
            grade = vocabulary().grade(severity.value)
            yield f"{label} in {key} is {grade} ({severity.value:.1f} of 5)", name
    elif claim.denied and p > at.DENIED_ABOVE:
        yield f"{label} in {key} has probability {p:.2f}", "DENIED_ABOVE"
    elif not claim.denied and p < at.ABSENT_BELOW:
        yield f"{label} in {key} has probability {p:.2f}", "ABSENT_BELOW"


def _against_verdict(claim: Claim, evidence: Evidence) -> Iterator[tuple[str, str]]:
    key = claim.key or ""
    others = [claim.other] if claim.other else [one.key for one in evidence.files if one.key != key]
    for other in others:
        pair = evidence.pair(key, other)
        if pair is None:
            continue
        p = pair.better(key)
        reading = f"{key} is better than {other} with probability {p:.2f}"
        if claim.kind == "equal":
            if abs(p - 0.5) > at.EQUAL_MARGIN:
                yield reading, "EQUAL_MARGIN"
                return
        elif (p > 0.5 + at.EVEN_MARGIN) if claim.denied else (p < 0.5 + at.EVEN_MARGIN):
            yield reading, "EVEN_MARGIN"
            return
