"""Questions about three or four pictures or videos at once (Co-Instruct's task), called A, B, C and D."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from mllmqa.data.tasks.phrases import Turn, found, turn
from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.wording import Wording, join, vocabulary, wording
from mllmqa.errors import DataError

KEYS = "ABCD"


def best_of(order: Sequence[str], medium: str, rng: np.random.Generator) -> Turn:
    """Name the best one; half of the questions ask for a letter only.

    Args:
        order: Keys from best to worst.
        medium: ``image`` or ``video``.
        rng: Draws the wording.

    Raises:
        DataError: The keys are not A, B, C or A, B, C, D in some order.
    """
    return _extreme("best", order, order[:1], medium, rng)


def worst_of(order: Sequence[str], medium: str, rng: np.random.Generator) -> Turn:
    """Name the worst one, as :func:`best_of`."""
    return _extreme("worst", order, order[-1:], medium, rng)


def rank(order: Sequence[str], medium: str, rng: np.random.Generator) -> Turn:
    """Put all in order, from best to worst.

    Raises:
        DataError: As :func:`best_of`.
    """
    pools = wording("several")
    question = pools.pick("question_rank", rng, **_asked(order, medium))
    return turn("rank", question, pools.pick("answer_rank", rng, order=", ".join(order)), pools)


def which_has(category: str, key: str, keys: Collection[str], medium: str, rng: np.random.Generator) -> Turn:
    """Name the one that shows a distortion; half of the questions ask for a letter only.

    That no other shows it is for the caller to know (:func:`~mllmqa.data.tasks.truth.only_key_with`).

    Raises:
        DataError: As :func:`best_of`, or the key is none of them.
    """
    pools, label = wording("several"), vocabulary().label(category)
    if key not in keys:
        raise DataError(f"{label} in {key!r}", expected=f"one of {', '.join(keys)}")
    question = pools.pick("question_has", rng, **_asked(keys, medium), label=label)
    return _letter_or("which_has", question, key, pools.pick("answer_has", rng, key=key, label=label), (pools, rng))


def describe_several(
    findings: Mapping[str, Sequence[Finding]], best: str, medium: str, rng: np.random.Generator
) -> Turn:
    """Say what each shows, with grades and places, then which is best.

    Args:
        findings: By key; none: clean.
        best: The key of the best one.
        medium: ``image`` or ``video``.
        rng: Draws the wording.

    Raises:
        DataError: As :func:`best_of`, or the best is none of them.
    """
    if best not in findings:
        raise DataError(f"{best!r} is best", expected=f"one of {', '.join(findings)}")
    pools = wording("several")
    parts = [
        pools.pick("describe", rng, key=key, listed=join([found(f) for f in findings[key]] or [vocabulary().clean]))
        for key in sorted(findings)
    ]
    parts.append(pools.pick("conclusion", rng, key=best))
    question = pools.pick("question_describe", rng, **_asked(findings, medium))
    return turn("describe_several", question, f"{'; '.join(parts)}.", pools)


def _extreme(
    which: str, order: Sequence[str], chosen: Sequence[str], medium: str, rng: np.random.Generator
) -> Turn:
    pools = wording("several")
    question = pools.pick(f"question_{which}", rng, **_asked(order, medium))
    (key,) = chosen
    return _letter_or(f"{which}_of", question, key, pools.pick(f"answer_{which}", rng, key=key), (pools, rng))


def _letter_or(
    task: str, question: str, key: str, answer: str, drawn_from: tuple[Wording, np.random.Generator]
) -> Turn:
    """In half of the draws, ask for the letter only, and answer so."""
    pools, rng = drawn_from
    if rng.random() < 0.5:
        return turn(task, f"{question} {pools.pick('short', rng)}", key, pools)
    return turn(task, question, answer, pools)


def _asked(keys: Collection[str], medium: str) -> dict[str, str]:
    """Return the variables ``keys``, ``number`` and ``medium`` of questions; keys in the order of the alphabet."""
    if not 3 <= len(keys) <= len(KEYS) or sorted(keys) != list(KEYS[: len(keys)]):
        raise DataError(f"media {', '.join(keys) or 'none'}", expected="A, B, C or A, B, C, D, each once")
    return {"keys": join(sorted(keys)), "number": vocabulary().number(len(keys)), "medium": medium}
