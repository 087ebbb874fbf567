"""How sure an answer is: from the probabilities of its own tokens, or of the readings that it is composed of.

**A model's text.** DepictQA (facts: ``instruct.md`` §1.10) takes, of a short answer, the mean probability of the
tokens that name a distortion or a side, and of a long one a mean weighted by how much each token matters to a
sentence encoder. Here, without one: the tokens that matter are those of names of distortions, severities, levels,
files, yes and no; the confidence is

    c = (1/n) · Σ exp(log p_i)   over the n tokens that touch such a word,

and over all tokens where there is none, or where the pieces of text cannot be told apart by token.

**A composed text.** c is the mean of what it states: of a verdict max(p, 1 − p), of each named distortion its
probability, of cleanness one minus the largest; of a level alone the mass of the levels next to the score.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache

from mllmqa import prompts
from mllmqa.asking import thresholds
from mllmqa.asking.records import Evidence
from mllmqa.data.tasks.wording import vocabulary
from mllmqa.data.teacher.prompt import free_words


def of_tokens(pieces: Sequence[str], logprobs: Sequence[float] | None) -> float | None:
    """Return the confidence of a text that a model said.

    Args:
        pieces: What each token added, in order.
        logprobs: Natural log-probability of each token; None where an endpoint does not tell.

    Returns:
        0..1; None without log-probabilities, or without a token.
    """
    if not logprobs:
        return None
    chosen = list(range(len(logprobs)))
    if len(pieces) == len(logprobs):
        chosen = _touching("".join(pieces), pieces) or chosen
    return min(1.0, sum(math.exp(logprobs[k]) for k in chosen) / len(chosen))


def of_evidence(evidence: Evidence, keys: Sequence[str], *, verdict: bool) -> float | None:
    """Return the confidence of a text composed from readings.

    Args:
        evidence: The readings.
        keys: Files that it is about.
        verdict: Whether it says which of two is better.

    Returns:
        0..1.
    """
    stated: list[float] = []
    if verdict and len(keys) == 2 and (pair := evidence.pair(keys[0], keys[1])) is not None:
        stated.append(max(pair.first_better, 1 - pair.first_better))
    for key in keys:
        named = evidence.found(key)[: thresholds.MOST_NAMED]
        values = [evidence.probability(key, one.category) or 0.0 for one in evidence.of(key).presence]
        if named:
            stated += [evidence.probability(key, category) or 0.0 for category in named]
        elif values:
            stated.append(1 - max(values))
    if not stated:
        stated = [_of_level(evidence, key) for key in keys]
    return sum(stated) / len(stated) if stated else None


def _of_level(evidence: Evidence, key: str) -> float:
    """Return the mass of the level words within one level of the score."""
    score, scale = evidence.of(key).score, prompts.level_scale()
    near = [word for word, value in zip(scale.words, scale.values, strict=True) if abs(value - score.value) <= 1]
    return min(1.0, sum(score.levels.get(word, 0.0) for word in near))


def _touching(text: str, pieces: Sequence[str]) -> list[int]:
    """Return the numbers of the pieces that share a character with a word that matters."""
    spans = [match.span() for match in _matters().finditer(text)]
    found, start = [], 0
    for k, piece in enumerate(pieces):
        end = start + len(piece)
        if any(a < end and start < b for a, b in spans):
            found.append(k)
        start = end
    return found


@cache
def _matters() -> re.Pattern[str]:
    words = vocabulary()
    named = [*words.categories.values(), *(alias for many in free_words().aliases.values() for alias in many)]
    named += [words.clean, *words.severities, *prompts.level_scale().words, "better", "worse", "best", "worst"]
    listed = "|".join(re.escape(name) for name in sorted(named, key=len, reverse=True))
    return re.compile(rf"(?i:\b(?:{listed}|yes|no)\b)|\b[A-H]\b")
