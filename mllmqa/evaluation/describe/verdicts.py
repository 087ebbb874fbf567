"""Is a model's answer about a labelled sample right? One function for each task; what cannot be read is unparsed.

Built answers and free ones are read by the same words (:mod:`mllmqa.data.tasks.extract`,
:mod:`mllmqa.data.named`); a text that says two things about the point in question says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mllmqa.data.named import named, named_by_side
from mllmqa.data.sample import Sample
from mllmqa.data.tasks import extract, extract_several, readers, subject
from mllmqa.data.tasks.opinion import number_text
from mllmqa.data.tasks.truth import Finding, Side, only_key_with
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.errors import DataError
from mllmqa.evaluation.boxes import matched
from mllmqa.evaluation.choice.grade import letters, read_choice
from mllmqa.evaluation.describe.sets import overlap

Outcome = Literal["right", "wrong", "unparsed"]


@dataclass(frozen=True)
class Verdict:
    """What is found about one answer.

    Attributes:
        outcome: Whether it is right as a whole.
        truth: What the labels say, for people.
        said: What was read; None where nothing was.
        figures: Finer measures of this answer; their mean over the answers that have them is reported.
        sets: Categories that are there, and those that were named; for tasks that name categories, where read.
    """

    outcome: Outcome
    truth: str
    said: str | None
    figures: Mapping[str, float] = field(default_factory=dict)
    sets: tuple[frozenset[str], frozenset[str]] | None = None


Grade = Callable[[Sample, str, str, str], Verdict]
"""Sample, question, its true answer, the model's answer → verdict."""


def verdict(task: str, sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    """Grade one answer.

    Args:
        task: A key of :data:`GRADED`.
        sample: With labels.
        question: As it was asked.
        truth: As the sample answers it.
        answer: As the model did.

    Raises:
        DataError: No such task, or labels that it needs are missing.
    """
    if task not in GRADED:
        raise DataError(f"answers to the task {task!r} cannot be graded", expected=", ".join(GRADED))
    return GRADED[task](sample, question, truth, answer)


def _plain(truth: object, said: object | None, **figures: float) -> Verdict:
    """A verdict on one thing that is said or not."""
    if said is None:
        return Verdict("unparsed", _shown(truth), None)
    return Verdict("right" if said == truth else "wrong", _shown(truth), _shown(said), figures)


def _shown(what: object) -> str:
    if isinstance(what, frozenset):
        return ", ".join(sorted(what)) or vocabulary().clean
    return ", ".join(map(str, what)) if isinstance(what, list | tuple) else str(what)


# ------------------------------------------------------------------ categories


def _categories(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    """Which distortions: right where the sets are equal."""
    return _of_sets(frozenset(readers.unique(_found(sample))), named(answer).answer)


def _of_sets(there: frozenset[str], said: frozenset[str] | None) -> Verdict:
    if said is None:
        return Verdict("unparsed", _shown(there), None)
    return Verdict(
        "right" if said == there else "wrong", _shown(there), _shown(said), overlap(there, said), (there, said)
    )


def _found(sample: Sample) -> tuple[Finding, ...]:
    return subject.findings(sample, subject.the_one(sample))


def _yes_no(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    """Whether one category is there."""
    asked = _asked(question)
    there = asked in readers.unique(_found(sample))
    said = says_yes(answer, asked)
    return _plain("yes" if there else "no", None if said is None else ("yes" if said else "no"))


def says_yes(answer: str, category: str) -> bool | None:
    """Tell whether an answer says that a category is there: by its first word, or by naming or denying it.

    None where it says neither, or both ("Yes, there is no blur").
    """
    first = re.match(r"\W*(yes|no)\b(?!\s+(?:and|or)\b)", answer, re.IGNORECASE)
    read = named(answer)
    by_name = True if category in read.claimed else False if category in read.denied else None
    if category in read.unclear:
        return None
    if first is None:
        return False if read.clean and by_name is None else by_name
    word = first[1].lower() == "yes"
    if read.clean and word:
        return None
    return word if by_name in (None, word) else None


def _asked(question: str) -> str:
    """The only category that a question names.

    Raises:
        DataError: It names none, or several.
    """
    found = extract.categories(question)
    if len(found) != 1:
        raise DataError(f"{len(found)} distortions in a question about one: {question!r}")
    return found[0]


# ------------------------------------------------------------------ grades


def _how(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    """How strong one category is: by a word for a severity."""
    asked = _asked(question)
    labelled = [one for one in readers.as_written(_found(sample)) if one.category == asked]
    if len(labelled) != 1:
        raise DataError(f"{len(labelled)} labels of {asked}", where=f"sample {sample.id}", expected="one")
    read = named(answer)
    others = [*read.claimed, *read.denied, *read.unclear]
    words = vocabulary().severities
    there = int(labelled[0].severity)
    said = None if any(name != asked for name in others) else _only_word(answer, words)
    if said is None:
        return Verdict("unparsed", words[there - 1], None)
    return _plain(words[there - 1], said, **_steps(words.index(said) + 1 - there))


def _only_word(text: str, words: tuple[str, ...]) -> str | None:
    """The word of a scale that a text says, if it is one only."""
    said = {found.lower() for found in re.findall(rf"\b({'|'.join(words)})\b", text, re.IGNORECASE)}
    return said.pop() if len(said) == 1 else None


def _steps(off: int) -> dict[str, float]:
    return {"error_steps": float(abs(off)), "bias_steps": float(off), "within_one": float(abs(off) <= 1)}


def _level(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    """The level word; 1 step is one word of the scale."""
    label = subject.level(sample, subject.the_one(sample))
    scale = tuple(word.lower() for word in label.scale)
    said = extract.level(answer, scale) or _only_word(answer, scale)
    if said is None:
        return Verdict("unparsed", label.word, None)
    off = scale.index(label.word.lower()) - scale.index(said)  # best first: above 0 is too good
    return _plain(label.word.lower(), said, **_steps(off))


def _score(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    value, low, high = subject.score(sample, subject.the_one(sample))
    labelled, said = float(number_text(value, low, high)), extract.number(answer)
    if said is None or not low <= said <= high:
        return Verdict("unparsed", str(labelled), None if said is None else f"{said:g}, off the scale")
    return _plain(labelled, said, error=abs(said - labelled), error_share=abs(said - labelled) / (high - low))


# ------------------------------------------------------------------ options


def _mcq(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    """One of the options of the question."""
    options = readers.offered(question)
    right, _ = readers.options(question, truth)
    if right is None:
        raise DataError("its answer is no letter of an option", where=f"sample {sample.id}")
    choice = read_choice(answer, options)
    return _plain(right, None if choice.index is None else options[choice.index], chance=1 / len(options))


# ------------------------------------------------------------------ two media


def _rate(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    return _plain(subject.better_side(sample), better(answer))


def better(answer: str) -> Side | None:
    """Return the side that an answer prefers, in a sentence or by a letter; None where it names none, or both."""
    said = extract.better(answer)
    if said is None:
        named_letters = letters(answer, 2)
        said = None if len(named_letters) != 1 else ("A", "B")[named_letters[0]]
    return said


def _compare(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    """Which is better, and what both suffer from: right where the side is; the sets are measured beside it."""
    side, said = subject.better_side(sample), named_by_side(answer)
    graded = extract.sides(answer)
    figures: dict[str, float] = {}
    exact, overlaps, errors = [], [], []
    for key in ("A", "B"):
        found = readers.as_written(subject.findings(sample, key))
        there, read = frozenset(one.category for one in found), said[key].answer
        exact.append(read == there)
        overlaps.append(0.0 if read is None else overlap(there, read)["jaccard"])
        grades = {one.category: int(one.severity) for one in found}
        errors += [abs(grades[name] - grade) for name, grade in graded[_side(key)] if name in grades]
    figures |= {"both_sides_exact": float(all(exact)), "jaccard": sum(overlaps) / 2}
    if errors:
        figures["error_steps"] = sum(errors) / len(errors)
    found_side = better_in_reasons(answer)
    outcome = _plain(side, found_side)
    return Verdict(outcome.outcome, outcome.truth, outcome.said, figures)


def better_in_reasons(answer: str) -> Side | None:
    """Return the side that an answer with reasons prefers: letters that name the sides of reasons are no choice."""
    return extract.better(answer) or (better(answer) if len(answer.split()) <= 3 else None)


def _side(key: str) -> Side:
    return "A" if key == "A" else "B"


def _comparative(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    return _plain(subject.preference(sample).strength, extract.comparative(answer))


# ------------------------------------------------------------------ three or four media


def _best_of(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    return _plain(subject.order(sample)[0], extract_several.best(answer))


def _worst_of(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    return _plain(subject.order(sample)[-1], extract_several.worst(answer))


def _rank(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    order, said = list(subject.order(sample)), extract_several.ranking(answer)
    if said is None or sorted(said) != sorted(order):
        return Verdict("unparsed", _shown(order), None)
    pairs = [(i, j) for i in range(len(order)) for j in range(i + 1, len(order))]
    agreeing = sum(said.index(order[i]) < said.index(order[j]) for i, j in pairs)
    return _plain(order, said, pairs_right=agreeing / len(pairs))


def _which_has(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    labelled = only_key_with(_asked(question), subject.all_findings(sample))
    return _plain(labelled, extract_several.shown_by(answer))


# ------------------------------------------------------------------ descriptions


def _assess(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    """A description that ends in a level: right where the level is; the sets are measured beside it."""
    made = _level(sample, question, truth, answer)
    sets = _of_sets(frozenset(readers.unique(_found(sample))), named(answer).answer)
    beside = dict(sets.figures) or {"exact": 0.0, "jaccard": 0.0}
    return Verdict(made.outcome, made.truth, made.said, {**made.figures, **beside}, sets.sets)


def _ground(sample: Sample, question: str, truth: str, answer: str) -> Verdict:
    """Where one category is: right where each box (or span) is met with an IoU of 0.5, and no more are said."""
    asked = _asked(question)
    found = [one for one in readers.as_written(_found(sample)) if one.category == asked]
    there: list[tuple[float, ...]] = [one.box for one in found if one.box]
    said: list[tuple[float, ...]] = list(extract.boxes(answer))
    if not there:
        there, said = [one.span_s for one in found if one.span_s], list(extract.spans_s(answer))
    there = [_widened(one) for one in there]
    said = [_widened(one) for one in said]
    if not said or any(not _holds(one) for one in said):
        return Verdict("unparsed", _shown(there), None)
    overlaps = matched(there, said)
    right = len(said) == len(there) and min(overlaps, default=0.0) >= LEAST_IOU
    figures = {"mean_iou": sum(overlaps) / len(overlaps), "n_said_over_there": len(said) / len(there)}
    return Verdict("right" if right else "wrong", _shown(there), _shown(said), figures)


LEAST_IOU = 0.5
_STEP_S = 0.1
"""Spans are written in tenths of a second: one that begins and ends in the same is that long."""


def _widened(place: tuple[float, ...]) -> tuple[float, ...]:
    return (place[0], place[1] + _STEP_S) if len(place) == 2 else place


def _holds(place: tuple[float, ...]) -> bool:
    half = len(place) // 2
    return all(place[i] < place[i + half] for i in range(half))


GRADED: Mapping[str, Grade] = {
    "identify": _categories,
    "dominant": _categories,
    "what": _categories,
    "yes_no": _yes_no,
    "how": _how,
    "level": _level,
    "streaming_level": _level,
    "causal": _level,
    "score": _score,
    "assess": _assess,
    "ground": _ground,
    "mcq_category": _mcq,
    "mcq_severity": _mcq,
    "mcq_level": _mcq,
    "mcq_yes_no": _mcq,
    "rate": _rate,
    "compare": _compare,
    "comparative": _comparative,
    "best_of": _best_of,
    "worst_of": _worst_of,
    "rank": _rank,
    "which_has": _which_has,
}
"""Task → how its answers are graded."""
