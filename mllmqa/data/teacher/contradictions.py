"""Does a free text say what the labels say? Claims are read back and compared, and nothing else is believed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from mllmqa import prompts
from mllmqa.data.tasks import extract
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.data.teacher.claims import Mention, Where, clean_claims, mentions
from mllmqa.data.teacher.form import Fault, joined
from mllmqa.data.teacher.prompt import TeachFile
from mllmqa.data.teacher.truth import Truth

FAR = 2
"""By how many grades another word for a strength may not be off; our own words have to be right."""

_SIDE = r"\b(?P<side>[AB])\b"
_GOOD = r"better|best|superior|preferable|preferred|higher(?= (?:\w+ )?quality)|cleaner|the winner|stronger"
_POOR = r"worse|worst|inferior|lower(?= (?:\w+ )?quality)|weaker|the loser"
_MEDIUM = r"(?:(?i:image|video|picture|clip|photo) )?"
_VERDICTS = (
    re.compile(
        rf"{_SIDE}(?:, [^,.;]{{0,80}},)? (?:is|looks|appears|seems|remains|has|offers|shows|comes out as) "
        rf"(?P<between>(?:[\w'-]+ ){{0,3}}?)(?:(?P<good>{_GOOD})|(?P<poor>{_POOR}))\b"
    ),
    re.compile(rf"{_SIDE} (?P<between>)(?:(?P<good>wins|outperforms|surpasses|beats)|(?P<poor>loses))\b"),
    re.compile(
        r"\b(?P<between>)(?:(?P<good>prefer|preferable is|winner is|better (?:\w+ )?is)"
        rf"|(?P<poor>worse (?:\w+ )?is)) {_MEDIUM}{_SIDE}"
    ),
)
_NEGATIVE = re.compile(r"\b(?:not|no|never|hardly|barely)\b|n't\b")


def contradictions(parts: Mapping[str, str], truth: Truth, file: TeachFile) -> Iterator[Fault]:
    """Yield what an answer says differently from the labels.

    Args:
        parts: Of the answer; what stands under the key of a medium is about that medium.
        truth: Labels.
        file: What the task has to name.
    """
    pair = len(truth.keys) > 1
    found: list[Mention] = []
    clean: list[Where] = []
    for key, part in parts.items():
        start: Where = ("A" if key == "A" else "B") if pair and key in truth.keys else None
        found += mentions(part, start)
        clean += clean_claims(part, start)
    if truth.findings is None:
        for one in found:
            yield Fault("extra-distortion", one.words, "no distortion: the labels of this task say nothing of any")
    else:
        yield from _distortions(found, truth, file)
        yield from _clean(clean, truth, file)
    yield from _level(joined(parts), truth)
    yield from _side(joined(parts), truth)


# ------------------------------------------------------------------ distortions


def _distortions(found: list[Mention], truth: Truth, file: TeachFile) -> Iterator[Fault]:
    per_key = {key: list(many) for key, many in (truth.findings or {}).items()}
    for one in found:
        if len(per_key) > 1 and one.side == "other":
            yield Fault("unclear-side", f"{one.words} of the other one", "image A or image B by its name")
            continue
        yield from _mention(one, per_key)
    for key, many in per_key.items():
        side = key if len(per_key) > 1 else None
        own = [one for one in found if side is None or one.side in (side, "both")]
        if file.distortions == "must":
            yield from _told(own, many, side, file)


def _clean(said: list[Where], truth: Truth, file: TeachFile) -> Iterator[Fault]:
    """Compare of which sides a text says that nothing is wrong with the labels."""
    per_key = truth.findings or {}
    pair, word = len(per_key) > 1, vocabulary().clean
    for key, many in per_key.items():
        own = [side for side in said if not pair or side in (key, "both")]
        if many and own:
            yield Fault("missing-distortion", _of(word, key if pair else None), _labels(many))
        if not many and not own and file.distortions == "must":
            yield Fault("missing-distortion", _of("nothing said", key if pair else None), word)
    if pair and "other" in said:
        yield Fault("unclear-side", f"{word} of the other one", "image A or image B by its name")
    if pair and None in said and any(per_key.values()):
        yield Fault("unclear-side", word, "image A or image B by its name")


def _mention(one: Mention, per_key: Mapping[str, list[Finding]]) -> Iterator[Fault]:
    """Compare one mention with the labels of the media that it can be about."""
    wanted = [many for key, many in per_key.items() if one.side in (None, "both", key) or len(per_key) == 1]
    having = [[x for x in many if x.category == one.category] for many in wanted]
    label = vocabulary().categories.get(one.category, one.category)
    there = all(having) if one.side == "both" else any(having)
    where = one.side if len(per_key) > 1 else None
    if not there:
        if one.polarity != "denied":
            yield Fault("extra-distortion", _of(one.words, where), _labels(x for many in wanted for x in many))
        return
    if one.polarity != "claimed":
        certain = "is denied" if one.polarity == "denied" else "may be denied"
        yield Fault("missing-distortion", _of(f"{label} {certain}", where), label)
        return
    grades = {int(x.severity) for many in having for x in many}
    words = vocabulary().severities
    wrong = [words[k - 1] for k in one.grades if k not in grades]
    wrong += [f"strength {k}" for k in one.other_grades if min(abs(k - g) for g in grades) >= FAR]
    if one.side == "both" and one.grades and any({int(x.severity) for x in many} != grades for many in having):
        wrong = wrong or ["one grade for both"]
    if wrong:
        expected = " or ".join(words[k - 1] for k in sorted(grades))
        yield Fault("wrong-grade", _of(f"{wrong[0]} {label}", where), f"{expected} {label}")


def _told(own: list[Mention], many: list[Finding], side: str | None, file: TeachFile) -> Iterator[Fault]:
    """Yield what has to be told of a medium and is not: each name literally, and each grade."""
    words = vocabulary()
    for category in dict.fromkeys(one.category for one in many):
        label = words.label(category)
        said = [one for one in own if one.category == category and one.polarity == "claimed"]
        if not any(" ".join(one.words.lower().split()) == label for one in said):
            yield Fault("missing-distortion", _of("not named", side), label)
        elif file.grades == "must":
            labelled = {int(x.severity) for x in many if x.category == category}
            for grade in sorted(labelled - {g for one in said for g in one.grades}):
                expected = f"{words.severities[grade - 1]} {label}"
                yield Fault("wrong-grade", _of(f"no grade of {label}", side), expected)


def _labels(found: Iterable[Finding]) -> str:
    names = dict.fromkeys(vocabulary().label(one.category) for one in found)
    return ", ".join(names) or vocabulary().clean


def _of(what: str, side: str | None) -> str:
    return f"{what} ({side})" if side else what


# ------------------------------------------------------------------ level and side


def _level(text: str, truth: Truth) -> Iterator[Fault]:
    scale = truth.scale or prompts.level_scale().words
    words = "|".join(map(re.escape, scale))
    claims = re.compile(
        rf"\bquality\b(?P<between>[^.;!?]{{0,80}}?)\b(?P<word>{words})\b"
        rf"|(?P<no>\w+ )?\b(?P<adjective>{words}) (?:\w+ )?quality\b"
        rf"|\b(?:image|picture|video|clip|photo|impression)(?: [AB])? (?:is|looks|appears|seems|remains) "
        rf"(?P<adverb>\w+ )?(?P<look>{words})\b",
        re.IGNORECASE,
    )
    for said in claims.finditer(text):
        word = (said["word"] or said["adjective"] or said["look"]).lower()
        denied = _NEGATIVE.search(said["between"] or said["no"] or said["adverb"] or "") is not None
        if denied or word != (truth.level or "").lower():
            expected = truth.level or "none: the labels of this task say nothing of it"
            yield Fault("wrong-level", f"{'not ' if denied else ''}{word}", expected)
    if truth.level is not None and (end := extract.level(text, scale)) != truth.level.lower():
        yield Fault("wrong-level", f"{end or 'no level'} at the end", truth.level)


def _side(text: str, truth: Truth) -> Iterator[Fault]:
    if truth.better is None:
        return
    named = set()
    for pattern in _VERDICTS:
        for said in pattern.finditer(text):
            if _NEGATIVE.search(said["between"]):
                yield Fault("wrong-side", f"unclear: {said[0]}", f"{truth.better} is better")
                return
            good = said["good"] is not None
            named.add(said["side"] if good else {"A": "B", "B": "A"}[said["side"]])
    if named != {truth.better}:
        found = " and ".join(f"{one} is better" for one in sorted(named)) or "no side"
        yield Fault("wrong-side", found, f"{truth.better} is better")
