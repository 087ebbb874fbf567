"""Questions and answers from labels, one function per task.

Each takes the labels, what the medium is called (``image`` or ``video``), and a generator; it returns one
:class:`Turn`. The same labels and the same state of the generator give the same texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mllmqa import prompts
from mllmqa.data.tasks.phrases import GRID as GRID
from mllmqa.data.tasks.phrases import LETTERS as LETTERS
from mllmqa.data.tasks.phrases import Turn as Turn
from mllmqa.data.tasks.phrases import box_text, capital, graded, one_kind, span_text, turn, where
from mllmqa.data.tasks.truth import Finding, Side
from mllmqa.data.tasks.wording import join, vocabulary, wording
from mllmqa.errors import DataError


def level(word: str, medium: str, rng: np.random.Generator, aspect: str = "quality") -> Turn:
    """Rate with a level word."""
    pools = wording("level")
    question = pools.pick("question", rng, medium=medium, aspect=aspect)
    return turn("level", question, pools.pick("answer", rng, medium=medium, aspect=aspect, level=word), pools)


def comparative(word: str, medium: str, rng: np.random.Generator) -> Turn:
    """Compare the second with the first in one word (:func:`~mllmqa.data.tasks.truth.comparative_word`)."""
    pools = wording("comparative")
    question = pools.pick("question", rng, medium=medium)
    return turn("comparative", question, pools.pick("answer", rng, medium=medium, word=word), pools)


def identify(
    findings: Sequence[Finding], medium: str, rng: np.random.Generator, *, reference: bool = False
) -> Turn:
    """Name the distortions, in the order in which they were applied.

    As in DepictQA, two coin flips decide whether the question states their number and whether a short answer
    is asked for. A clean picture is never asked for a number.
    """
    pools, words = wording("identify"), vocabulary()
    numbered, short = bool(findings) and rng.random() < 0.5, rng.random() < 0.5
    pool = f"question{'_numbered' if numbered else ''}{'_reference' if reference else ''}"
    plural = "s" if len(findings) > 1 else ""
    number = words.number(len(findings))
    question = pools.pick(pool, rng, medium=medium, number=number, plural=plural)
    labels = join([words.label(finding.category) for finding in findings]) if findings else words.clean
    if short:
        answer = capital(labels)
        question = f"{question} {pools.pick('short', rng)}"
    elif findings:
        answer = pools.pick("answer", rng, medium=medium, labels=labels)
    else:
        answer = pools.pick("answer_clean", rng, medium=medium)
    return turn("identify", question, answer, pools)


def assess(findings: Sequence[Finding], word: str, medium: str, rng: np.random.Generator) -> Turn:
    """Describe each distortion with its grade and place, and conclude with the level word ("hence …")."""
    pools = wording("assess")
    parts = []
    for index, finding in enumerate(findings):
        pool = "further" if index else "finding"
        parts.append(pools.pick(pool, rng, **graded(finding), where=where(finding)))
    parts = parts or [pools.pick("clean", rng)]
    parts.append(pools.pick("conclusion", rng, medium=medium, level=word))
    return turn("assess", pools.pick("question", rng, medium=medium), f"{'; '.join(parts)}.", pools)


def rate(better: Side, medium: str, rng: np.random.Generator, *, reference: bool = False) -> Turn:
    """Say which of two is better; half of the questions ask for a letter only."""
    pools = wording("rate")
    question = pools.pick("question_reference" if reference else "question", rng, medium=medium)
    if rng.random() < 0.5:
        return turn("rate", f"{question} {pools.pick('short', rng)}", better, pools)
    return turn("rate", question, pools.pick("answer", rng, better=better), pools)


def compare(
    better: Side, a: Sequence[Finding], b: Sequence[Finding], medium: str, rng: np.random.Generator
) -> Turn:
    """Say what is wrong with A and with B, and which is better for that."""
    pools = wording("rate")
    parts = []
    for side, findings in (("A", a), ("B", b)):
        if not findings:
            parts.append(pools.pick("clean", rng, side=side))
        parts += [pools.pick("finding", rng, side=side, **graded(finding)) for finding in findings]
    parts.append(pools.pick("conclusion", rng, better=better))
    return turn("compare", pools.pick("question_why", rng, medium=medium), f"{'; '.join(parts)}.", pools)


def ground(findings: Sequence[Finding], medium: str, rng: np.random.Generator) -> Turn:
    """Say where (boxes) or when (spans) one kind of distortion is.

    Raises:
        DataError: No finding, several categories, or one without a place.
    """
    if not one_kind(findings):
        raise DataError(f"{len(findings)} findings to locate", expected="at least one, all of one category")
    pools, label = wording("ground"), vocabulary().label(findings[0].category)
    boxes = [box_text(f.box) for f in findings if f.box is not None]
    spans = [span_text(f.span_s) for f in findings if f.span_s is not None]
    kind, places = ("box", boxes) if boxes else ("span", spans)
    if len(places) != len(findings):
        raise DataError(f"a finding of {label} has no place", expected="a box or a span each")
    question = pools.pick(f"question_{kind}", rng, medium=medium, label=label)
    return turn("ground", question, pools.pick(f"answer_{kind}", rng, label=label, places=join(places)), pools)


def choice(
    about: str, right: str, wrong: Sequence[str], medium: str, rng: np.random.Generator, label: str = ""
) -> Turn:
    """Ask with options; the order is drawn, the answer is a letter.

    Args:
        about: ``category``, ``severity``, ``level`` or ``yes_no``: pool of the question.
        right: The right option.
        wrong: The others, at most seven.
        medium: ``image`` or ``video``.
        rng: Draws wording and order.
        label: Name of the distortion that the question is about, where it is about one.

    Raises:
        DataError: An option is there twice, or there are too many.
    """
    options = [right, *wrong]
    if len(set(options)) != len(options) or not 2 <= len(options) <= len(LETTERS):
        raise DataError(f"options {options}", expected=f"2 to {len(LETTERS)} different ones")
    pools = wording("mcq")
    order = rng.permutation(len(options))
    lines = [f"{LETTERS[i]}. {options[k]}" for i, k in enumerate(order)]
    question = pools.pick(f"question_{about}", rng, medium=medium, label=label)
    text = "\n".join([question, *lines, pools.pick("suffix", rng)])
    return turn("mcq", text, LETTERS[int(np.flatnonzero(order == 0)[0])], pools)


def category_choice(findings: Sequence[Finding], medium: str, rng: np.random.Generator, options: int = 4) -> Turn:
    """Ask which distortion is the most visible, among others that are drawn and not there.

    Raises:
        DataError: There is none, or no single strongest one.
    """
    words = vocabulary()
    strongest = max((finding.severity for finding in findings), default=0.0)
    right = [finding for finding in findings if finding.severity == strongest]
    if len(right) != 1:
        raise DataError(f"{len(right)} distortions of the highest severity", expected="one")
    there = {finding.category for finding in findings}
    others = [words.label(category) for category in words.possible(medium) if category not in there]
    drawn = rng.choice(len(others), size=options - 1, replace=False)
    return choice("category", words.label(right[0].category), [others[int(k)] for k in drawn], medium, rng)


def severity_choice(finding: Finding, medium: str, rng: np.random.Generator) -> Turn:
    """Ask how strong a distortion is."""
    words = vocabulary()
    right = words.grade(finding.severity)
    others = [word for word in words.severities if word != right]
    return choice("severity", right, others, medium, rng, words.label(finding.category))


def level_choice(word: str, medium: str, rng: np.random.Generator) -> Turn:
    """Ask for the level."""
    others = [other for other in prompts.level_scale().words if other != word]
    return choice("level", word, others, medium, rng)


def yes_no(category: str, present: bool, medium: str, rng: np.random.Generator) -> Turn:
    """Ask whether a distortion is visible."""
    right, wrong = ("yes", "no") if present else ("no", "yes")
    return choice("yes_no", right, [wrong], medium, rng, vocabulary().label(category))
