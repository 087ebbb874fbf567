"""Questions about distortions without options: which dominates, what follows, what, how, whether."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mllmqa.data.tasks.phrases import Turn, found, graded, turn
from mllmqa.data.tasks.truth import Finding, strongest_category
from mllmqa.data.tasks.wording import join, vocabulary, wording
from mllmqa.errors import DataError


def dominant(finding: Finding, medium: str, rng: np.random.Generator) -> Turn:
    """Name the distortion that dominates (VQA², stage 1); half of the questions give the possible names.

    Temporal categories (``temporal`` of the vocabulary) are asked for among their like, all others among those
    that single frames of this medium can show. That the finding dominates is for the caller to know.

    Raises:
        DataError: The category has no word, or the medium cannot have it.
    """
    pools, words = wording("dominant"), vocabulary()
    label = words.label(finding.category)
    temporal = finding.category in words.temporal
    possible = [c for c in words.possible(medium) if (c in words.temporal) is temporal]
    if finding.category not in possible:
        raise DataError(f"{label} in a medium called {medium!r}", expected=" | ".join(words.possible(medium)))
    question = pools.pick(f"question_{'temporal' if temporal else 'spatial'}", rng, medium=medium)
    if rng.random() < 0.5:
        names = join([words.label(possible[int(k)]) for k in rng.permutation(len(possible))])
        question = f"{question} {pools.pick('among', rng, names=names)}"
    return turn("dominant", question, pools.pick("answer", rng, label=label), pools)


def causal(findings: Sequence[Finding], word: str, medium: str, rng: np.random.Generator) -> Turn:
    """Conclude the level from a depiction that the question gives: each distortion with grade, place and span."""
    pools = wording("causal")
    depiction = join([found(finding) for finding in findings]) if findings else vocabulary().clean
    question = pools.pick("question", rng, medium=medium, depiction=depiction)
    return turn("causal", question, pools.pick("answer", rng, medium=medium, level=word), pools)


def what(findings: Sequence[Finding], medium: str, rng: np.random.Generator) -> Turn:
    """Name the most visible distortion.

    Raises:
        DataError: There is none, or several categories have the highest severity.
    """
    category = strongest_category(findings)
    if category is None:
        raise DataError(f"no single strongest of {len(findings)} distortions", expected="one category above all")
    pools = wording("open")
    question = pools.pick("question_what", rng, medium=medium)
    return turn("what", question, pools.pick("answer_what", rng, label=vocabulary().label(category)), pools)


def how(finding: Finding, medium: str, rng: np.random.Generator) -> Turn:
    """Grade a distortion that the question names."""
    pools, variables = wording("open"), graded(finding)
    question = pools.pick("question_how", rng, medium=medium, label=variables["label"])
    return turn("how", question, pools.pick("answer_how", rng, medium=medium, **variables), pools)


def yes_no_open(category: str, present: bool, medium: str, rng: np.random.Generator) -> Turn:
    """Say in a sentence whether a distortion is there."""
    pools, label = wording("open"), vocabulary().label(category)
    question = pools.pick("question_yes_no", rng, medium=medium, label=label)
    answer = pools.pick("answer_yes" if present else "answer_no", rng, medium=medium, label=label)
    return turn("yes_no_open", question, answer, pools)
