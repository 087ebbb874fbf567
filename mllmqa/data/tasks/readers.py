"""Read the labels back from a question and its answer: one function for each task.

Each yields what the texts say differently from the labels. They look at texts and labels only: also answers that a
teacher rewrote are judged by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from mllmqa.data.flaws import Flaw, shown
from mllmqa.data.sample import Sample
from mllmqa.data.tasks import extract, extract_reasons, extract_several, subject
from mllmqa.data.tasks.opinion import number_text
from mllmqa.data.tasks.phrases import LETTERS, written
from mllmqa.data.tasks.truth import Finding, grouped, key_categories, only_key_with
from mllmqa.data.tasks.wording import vocabulary

Check = Callable[[Sample, str, str], Iterator[Flaw]]
_OPTION = re.compile(rf"^([{LETTERS}])\. (.+)$", re.MULTILINE)


def same(what: str, said: object, labelled: object) -> Iterator[Flaw]:
    """Yield a flaw if both differ."""
    if said != labelled:
        yield Flaw("", f"{what} {shown(said)}", f"{shown(labelled)}, as labelled")


def as_written(found: Sequence[Finding]) -> list[Finding]:
    """Return findings as a text can say them."""
    return [written(one) for one in found]


def unique(found: Sequence[Finding]) -> list[str]:
    """Return the categories, in order, each once."""
    return list(dict.fromkeys(one.category for one in found))


# ------------------------------------------------------------------ one medium


def _score(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    value, low, high = subject.score(sample, subject.the_one(sample))
    yield from same("score", extract.number(answer), float(number_text(value, low, high)))
    yield from same("scale", extract.scale(question), (low, high))


def _level(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    label = subject.level(sample, subject.the_one(sample))
    yield from same("level", extract.level(answer, label.scale), label.word.lower())


def _streaming_level(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    stalls, _ = subject.stalls(sample, subject.the_one(sample))
    labelled = [(float(f"{start:.1f}"), float(f"{length:.1f}")) for start, length in stalls]
    yield from same("stalls", extract.stalls(question), labelled)
    yield from _level(sample, question, answer)


def _identify(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    found = _findings(sample)
    yield from same("distortions", extract.categories(answer), unique(found))
    if not found:
        yield from same("clean", extract.says_clean(answer), True)


def _one(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from same("distortion", extract.categories(answer), unique(_findings(sample)))


def _how(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    asked = extract.categories(question)
    labelled = [
        (one.category, int(one.severity)) for one in as_written(_findings(sample)) if [one.category] == asked
    ]
    yield from same("strength", [extract.strength(answer)], labelled)


def _yes_no(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    asked, there = extract.categories(question), unique(_findings(sample))
    labelled = (asked[0], asked[0] in there) if len(asked) == 1 else None
    yield from same("presence", extract.presence(answer), labelled)


def _assess(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from _depicted(sample, answer)
    yield from _level(sample, question, answer)


def _causal(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from _depicted(sample, question)
    yield from _level(sample, question, answer)


def _depicted(sample: Sample, text: str) -> Iterator[Flaw]:
    found = _findings(sample)
    yield from same("distortions", extract.findings(text), as_written(found))
    if not found:
        yield from same("clean", extract.says_clean(text), True)


def _ground(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    found = _asked(sample, question, extract.categories(answer))
    yield from same("boxes", sorted(extract.boxes(answer)), sorted(one.box for one in found if one.box))
    if not any(one.box for one in found):
        yield from same("spans", sorted(extract.spans_s(answer)), sorted(one.span_s for one in found if one.span_s))
    if not any(one.box or one.span_s for one in found):
        yield Flaw("", f"distortion {shown(extract.categories(question))}", "one that has a place")


def _reason_five(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    key, said = subject.the_one(sample), extract_reasons.five(answer)
    if said is None:
        yield Flaw("", "not in five steps", "five numbered steps")
        return
    found = subject.findings(sample, key)
    groups = grouped(found)
    yield from same("distortions", said.findings, [written(one) for many in groups.values() for one in many])
    yield from same("clean", said.clean, not found)
    yield from same("key", said.key, key_categories(found, sample.medium(key).duration_s))
    yield from same("kinds", said.kinds or 0, len(groups))
    _, types, _, overall, conclusion = extract_reasons.steps(answer)
    by_kind = [extract.categories(part) for part in types.split(";")]
    yield from same("distortions by kind", by_kind, [[name] for name in groups] or [[]])
    worst = max((one.severity for one in as_written(found)), default=None)
    yield from same("worst", extract_reasons.worst(overall), worst)
    yield from _level(sample, question, conclusion)


def _reason_three(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    said = extract_reasons.three(answer)
    if said is None:
        yield Flaw("", "not in three steps", "three numbered steps")
        return
    found = _asked(sample, question, [said.category] if said.category else [])
    yield from same("count", said.count, len(found))
    yield from same("places", said.regions, [extract_reasons.placed(one) for one in found])
    yield from same("worst", said.worst, max((one.severity for one in found), default=None))


def _asked(sample: Sample, question: str, answered: list[str]) -> list[Finding]:
    """Return the findings of the category that question and answer name, as written; none where they differ."""
    asked = extract.categories(question)
    return [one for one in as_written(_findings(sample)) if [one.category] == asked == answered]


def _findings(sample: Sample) -> tuple[Finding, ...]:
    return subject.findings(sample, subject.the_one(sample))


def options(question: str, answer: str) -> tuple[str | None, list[str]]:
    """Return the option that a letter chooses, and the others."""
    offered = dict(_OPTION.findall(question))
    chosen = offered.pop(extract.letter(answer) or "", None)
    return chosen, list(offered.values())


def offered(question: str) -> list[str]:
    """Return the options of a question, in the order of their letters."""
    return [text for _, text in _OPTION.findall(question)]


def _mcq_category(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    there = [vocabulary().label(category) for category in unique(_findings(sample))]
    chosen, others = options(question, answer)
    yield from same("chosen", [chosen], there)
    yield from same("wrong options that are there", sorted(set(there) & set(others)), [])


def _mcq_severity(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    asked = extract.categories(_stem(question))
    found = [one for one in as_written(_findings(sample)) if [one.category] == asked]
    labelled = [vocabulary().severities[int(one.severity) - 1] for one in found]
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
    for key, said in extract.sides(answer).items():
        found = as_written(subject.findings(sample, key))
        yield from same(f"distortions of {key}", said, [(one.category, int(one.severity)) for one in found])
    clean = [key for key, found in subject.all_findings(sample).items() if not found]
    yield from same("clean", extract.clean_sides(answer), clean)


def _comparative(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from same("comparison", extract.comparative(answer), subject.preference(sample).strength)


# ------------------------------------------------------------------ three or four media


def _best_of(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from same("best", extract_several.best(answer), subject.order(sample)[0])


def _worst_of(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from same("worst", extract_several.worst(answer), subject.order(sample)[-1])


def _rank(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    yield from same("order", extract_several.ranking(answer), list(subject.order(sample)))


def _which_has(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    asked, found = extract.categories(question), subject.all_findings(sample)
    labelled = only_key_with(asked[0], found) if len(asked) == 1 else None
    yield from same("medium", extract_several.shown_by(answer), labelled)
    yield from same("distortion", extract.categories(answer) or asked, asked)


def _describe_several(sample: Sample, question: str, answer: str) -> Iterator[Flaw]:
    labelled = {key: as_written(found) for key, found in subject.all_findings(sample).items()}
    yield from same("distortions", extract_several.each(answer), labelled)
    yield from _best_of(sample, question, answer)


CHECKS: Mapping[str, Check] = {
    "score": _score,
    "level": _level,
    "streaming_level": _streaming_level,
    "identify": _identify,
    "dominant": _one,
    "what": _one,
    "how": _how,
    "yes_no": _yes_no,
    "assess": _assess,
    "causal": _causal,
    "ground": _ground,
    "reason_five": _reason_five,
    "reason_three": _reason_three,
    "mcq_category": _mcq_category,
    "mcq_severity": _mcq_severity,
    "mcq_level": _mcq_level,
    "mcq_yes_no": _mcq_yes_no,
    "rate": _rate,
    "compare": _compare,
    "comparative": _comparative,
    "best_of": _best_of,
    "worst_of": _worst_of,
    "rank": _rank,
    "which_has": _which_has,
    "describe_several": _describe_several,
}
"""Task → the reader of its texts. The tasks of :data:`mllmqa.data.tasks.makers.TASKS`."""
