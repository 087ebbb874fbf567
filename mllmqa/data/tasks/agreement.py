"""Do the texts of a sample say what its labels say? Labels are read back from the texts and compared.

This looks at the texts only, not at how they were made: it also judges texts that a teacher rewrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from mllmqa.data.flaws import Flaw, shown
from mllmqa.data.sample import Sample
from mllmqa.data.tasks import extract, subject
from mllmqa.data.tasks.compose import AND
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.turns import GRID, LETTERS
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.errors import DataError

Check = Callable[[Sample, str, str], Iterator[Flaw]]
_OPTION = re.compile(rf"^([{LETTERS}])\. (.+)$", re.MULTILINE)


def disagreements(sample: Sample) -> list[Flaw]:
    """Return what the answers of a sample say differently from its labels; empty: they agree.

    Raises:
        DataError: The sample does not say which task it is, it is none of :data:`CHECKS`, or labels that the
            task needs are missing.
    """
    tasks = (sample.task or "").split(AND)
    texts = [message.text for message in sample.messages if message.role != "system"]
    where = f"sample {sample.id}"
    if unknown := [name for name in tasks if name not in CHECKS]:
        raise DataError(
            f"task {unknown[0]!r} cannot be checked", where=where, expected="one of " + ", ".join(CHECKS)
        )
    if len(texts) != 2 * len(tasks):
        raise DataError(f"{len(texts)} messages for {sample.task}", where=where, expected=f"{2 * len(tasks)}")
    found: list[Flaw] = []
    for k, name in enumerate(tasks):
        question, answer = texts[2 * k], texts[2 * k + 1]
        for flaw in CHECKS[name](sample, question, answer):
            found.append(
                Flaw(f"messages.{len(sample.messages) - len(texts) + 2 * k + 1}", flaw.found, flaw.expected)
            )
    return found


def same(what: str, said: object, labelled: object) -> Iterator[Flaw]:
    """Yield a flaw if both differ."""
    if said != labelled:
        yield Flaw("", f"{what} {shown(said)}", f"{shown(labelled)}, as labelled")


def grades(found: tuple[Finding, ...]) -> list[tuple[str, int]]:
    """Return (category, severity 1..5) of distortions, as words can say them."""
    words = vocabulary()
    return [(one.category, words.severities.index(words.grade(one.severity)) + 1) for one in found]


def places(found: tuple[Finding, ...]) -> list[tuple[float, ...]]:
    """Return boxes and spans of distortions as texts write them: on a grid of 1000, to a tenth of a second."""
    boxes = [tuple(round(GRID * x) / GRID for x in one.box) for one in found if one.box]
    return sorted(boxes) + sorted(tuple(float(f"{t:.1f}") for t in one.span_s) for one in found if one.span_s)


def said_places(text: str) -> list[tuple[float, ...]]:
    """Return the boxes and spans that a text names."""
    return sorted(map(tuple, extract.boxes(text))) + sorted(map(tuple, extract.spans_s(text)))


def unique(found: tuple[Finding, ...]) -> list[str]:
    """Return the categories, in order, each once."""
    return list(dict.fromkeys(one.category for one in found))


# ------------------------------------------------------------------ one medium


def _level(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from same("level", extract.level(answer), subject.level(sample, subject.the_one(sample)).word)


def _identify(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    found = _findings(sample)
    yield from same("distortions", extract.categories(answer), unique(found))
    if not found:
        yield from same("clean", extract.says_clean(answer), True)


def _assess(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    found = _findings(sample)
    yield from same("distortions", extract.graded(answer), grades(found))
    yield from same("places", said_places(answer), places(found))
    yield from _level(sample, question, answer)
    if not found:
        yield from same("clean", extract.says_clean(answer), True)


def _ground(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    named = extract.categories(answer)
    found = tuple(one for one in _findings(sample) if [one.category] == named and (one.box or one.span_s))
    yield from same("asked distortion", extract.categories(question), named)
    yield from same("places", said_places(answer), places(found))
    if not found:
        yield Flaw("", f"distortion {shown(named)}", "one that has a place")


def _findings(sample: Sample) -> tuple[Finding, ...]:
    return subject.findings(sample, subject.the_one(sample))


def options(question: str, answer: str) -> tuple[str | None, list[str]]:
    """Return the option that a letter chooses, and the others."""
    offered = dict(_OPTION.findall(question))
    chosen = offered.pop(extract.letter(answer) or "", None)
    return chosen, list(offered.values())


def _mcq_category(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    words, found = vocabulary(), _findings(sample)
    chosen, others = options(question, answer)
    strongest = max((one.severity for one in found), default=0.0)
    labels = [words.label(one.category) for one in found if one.severity == strongest]
    yield from same("chosen", chosen, labels[0] if len(labels) == 1 else None)
    there = {words.label(one.category) for one in found}
    yield from same("wrong options that are there", sorted(there & set(others)), [])


def _mcq_severity(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    asked = extract.categories(_stem(question))
    found = tuple(one for one in _findings(sample) if [one.category] == asked)
    labelled = [vocabulary().severities[grade - 1] for _, grade in grades(found)]
    yield from same("severity", [options(question, answer)[0]], labelled)


def _mcq_level(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    word = subject.level(sample, subject.the_one(sample)).word
    yield from same("level", options(question, answer)[0], word)


def _mcq_yes_no(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    asked, there = extract.categories(_stem(question)), unique(_findings(sample))
    labelled = "yes" if asked and asked[0] in there else "no"
    yield from same("answer", options(question, answer)[0], labelled if len(asked) == 1 else None)


def _stem(question: str) -> str:
    """Return the question without its options."""
    return _OPTION.sub("", question)


# ------------------------------------------------------------------ two media


def _rate(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from same("better", extract.better(answer), subject.better_side(sample))


def _compare(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from _rate(sample, question, answer)
    said = extract.sides(answer)
    yield from same("distortions of A", said["A"], grades(subject.findings(sample, "A")))
    yield from same("distortions of B", said["B"], grades(subject.findings(sample, "B")))


def _comparative(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from same("comparison", extract.comparative(answer), subject.preference(sample).strength)


CHECKS: Mapping[str, Check] = {
    "level": _level,
    "identify": _identify,
    "assess": _assess,
    "ground": _ground,
    "mcq_category": _mcq_category,
    "mcq_severity": _mcq_severity,
    "mcq_level": _mcq_level,
    "mcq_yes_no": _mcq_yes_no,
    "rate": _rate,
    "compare": _compare,
    "comparative": _comparative,
}
"""Task → the reader of its texts. The tasks of :data:`mllmqa.data.tasks.compose.TASKS`."""
