"""Answers in numbered steps, as ViDA reasons: about the whole in five, about one kind of distortion in three."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mllmqa.data.tasks.phrases import Turn, capital, found, one_kind, turn, written
from mllmqa.data.tasks.truth import Finding, extent, grouped, key_categories
from mllmqa.data.tasks.wording import Wording, join, vocabulary, wording
from mllmqa.errors import DataError


def orientation(width: int, height: int, medium: str) -> str:
    """Return what is true of any picture, for want of a caption: "a landscape image".

    Raises:
        DataError: A side is not positive.
    """
    if min(width, height) < 1:
        raise DataError(f"a size of {width}×{height}", expected="positive sides")
    form = "square" if width == height else "landscape" if width > height else "portrait"
    return f"a {form} {medium}"


def reason_five(
    findings: Sequence[Finding],
    word: str,
    medium: str,
    rng: np.random.Generator,
    content: str,
    *,
    duration_s: float | None = None,
) -> Turn:
    """Reason about the whole: content, each type with places and grades, key distortions, overall view, level.

    The key distortions are those of the greatest sum of severity × extent, and all of them where several are equal
    (:func:`~mllmqa.data.tasks.truth.key_categories`). The overall view says how many kinds there are, the worst
    grade, and whether any finding covers more of the medium than a *large* part.

    Args:
        findings: Of the whole; none: clean. Step 2 has them by category, in the order in which these first come.
        word: The level.
        medium: ``image`` or ``video``.
        rng: Draws the wordings.
        content: A caption, or :func:`orientation`; written in one line, without its final stop.
        duration_s: Of the video; needed where a finding has a span.

    Raises:
        DataError: The content is empty, a finding has no word, or a span is there without a duration.
    """
    told = " ".join(content.split()).rstrip(" .!?;,:")
    if not told:
        raise DataError("no content to begin with", expected="a caption, or the orientation of the picture")
    pools = wording("reason_five")
    steps = [
        pools.pick("content", rng, medium=medium, content=told),
        _types(findings, pools, rng),
        _key(findings, pools, rng, duration_s),
        _overall(findings, medium, pools, rng, duration_s),
        pools.pick("level", rng, medium=medium, level=word),
    ]
    return turn("reason_five", pools.pick("question", rng, medium=medium), _numbered(steps), pools)


def reason_three(findings: Sequence[Finding], medium: str, rng: np.random.Generator) -> Turn:
    """Reason about one kind of distortion: how many, each with its place and grade, the worst grade.

    A box has a position (of its center on a grid of 3 × 3) and an extent (of its area) in words, both those of the
    box as it is written; a finding with a span only is a passage.

    Raises:
        DataError: No finding, several categories, or one without a place.
    """
    if not one_kind(findings):
        raise DataError(f"{len(findings)} findings to reason about", expected="at least one, all of one category")
    pools, words = wording("reason_three"), vocabulary()
    label, count = words.label(findings[0].category), len(findings)
    if any(one.box is None and one.span_s is None for one in findings):
        raise DataError(f"a finding of {label} has no place", expected="a box or a span each")
    boxed = any(one.box is not None for one in findings)
    noun, plural, be = "region" if boxed else "passage", "" if count == 1 else "s", "is" if count == 1 else "are"
    number = {"number": words.number(count), "noun": noun, "plural": plural, "be": be}
    worst = words.grade(max(one.severity for one in findings))
    steps = [
        pools.pick("count", rng, medium=medium, label=label, **number),
        f"{capital('; '.join(_placed(one, pools, rng) for one in findings))}.",
        pools.pick("summary", rng, label=label, severity=worst),
    ]
    question = pools.pick(f"question_{'box' if boxed else 'span'}", rng, medium=medium, label=label)
    return turn("reason_three", question, _numbered(steps), pools)


def _types(findings: Sequence[Finding], pools: Wording, rng: np.random.Generator) -> str:
    words = vocabulary()
    parts = [
        pools.pick("kind", rng, label=words.label(category), listed=join([found(one) for one in group]))
        for category, group in grouped(findings).items()
    ]
    return f"{capital('; '.join(parts or [pools.pick('kind_none', rng)]))}."


def _key(findings: Sequence[Finding], pools: Wording, rng: np.random.Generator, duration_s: float | None) -> str:
    labels = [vocabulary().label(category) for category in key_categories(findings, duration_s)]
    if not labels:
        return pools.pick("key_none", rng)
    several = len(labels) > 1
    variables = {"plural": "s" if several else "", "be": "are" if several else "is"}
    return pools.pick("key", rng, labels=join(labels), **variables)


def _overall(
    findings: Sequence[Finding], medium: str, pools: Wording, rng: np.random.Generator, duration_s: float | None
) -> str:
    if not findings:
        return pools.pick("overall_none", rng, medium=medium)
    words, kinds = vocabulary(), len(grouped(findings))
    everywhere = any(extent(one, duration_s) > words.large for one in findings)
    reach = pools.pick("reach_global" if everywhere else "reach_local", rng, medium=medium)
    worst = words.grade(max(one.severity for one in findings))
    number = {"number": words.number(kinds), "plural": "" if kinds == 1 else "s"}
    return pools.pick("overall", rng, medium=medium, severity=worst, reach=reach, **number)


def _placed(finding: Finding, pools: Wording, rng: np.random.Generator) -> str:
    box, words = written(finding).box, vocabulary()
    if box is None:
        return pools.pick("passage", rng, found=found(finding))
    place = {"position": words.position(box), "extent": words.extent(box)}
    return pools.pick("place", rng, found=found(finding), **place)


def _numbered(steps: Sequence[str]) -> str:
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
