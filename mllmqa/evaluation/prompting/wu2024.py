"""The published protocol of the nine modes, flaws and all, to compare with old numbers; never the default.

Wu, Ma, Liang, Yang & Zhang, "A Comprehensive Study of Multimodal Large Language Models for Image Quality
Assessment", ECCV 2024 (arXiv 2403.10854). Written from a description of what their program does; the texts of our
prompts are our own here, too, and pictures stand in front of the text. What differs from our protocol:

* pairs and groups are drawn with Python's generator, seed 20; each picture leads its pairs, always shown first;
* inside a reference the others are drawn with replacement, so that a group can hold a picture twice;
* any numbers behind a literal ``Score:`` are an answer, also off the scale; what cannot be read is replaced by a
  random answer there. Here it stays a failure: a model that refuses all gets no SRCC (0.28 on average there);
* a tie counts as a win for both sides; scores are min-max scaled to 0..100, inside each reference with a reference;
* both correlations are taken after a four-parameter fit that may turn an inverted model around.

2AFC: 12 rounds of neighbours in an order that is shuffled with seed 1234 + round (Zhu et al., 2024).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import UsageError
from mllmqa.evaluation.prompting.answers import Answer, Failure, Shape
from mllmqa.ranking import rank

SEED = 20
ROUNDS, ROUND_SEED = 12, 1234
Pairs = list[tuple[int, ...]]
_NUMBERS = re.compile(r"-?\d*\.\d+|\d+")


def pairs(n: int, opponents: int = 5) -> Pairs:
    """Return for each of n pictures the pairs that it leads; an opponent may come twice."""
    return _led(n, range(n), 1, opponents, random.Random(SEED), distinct=True)  # noqa: S311 - as published


def groups(n: int, per_item: int = 2, size: int = 4) -> Pairs:
    """Return for each of n pictures the groups that it leads; inside a group no picture comes twice."""
    return _led(n, range(n), size - 1, per_item, random.Random(SEED), distinct=True)  # noqa: S311 - as published


def pairs_inside(references: Sequence[Sequence[int]], opponents: int = 5) -> Pairs:
    """Return the pairs inside each reference, whose pictures are given by their places."""
    return _inside(references, 1, opponents)


def groups_inside(references: Sequence[Sequence[int]], per_item: int = 2, size: int = 4) -> Pairs:
    """Return the groups inside each reference; the others are drawn with replacement, as published."""
    return _inside(references, size - 1, per_item)


def rounds(n: int, count: int = ROUNDS) -> list[list[tuple[int, int]]]:
    """Return the pairs of each round of 2AFC; with an odd number of pictures one sits out."""
    made = []
    for r in range(count):
        order = np.random.RandomState(ROUND_SEED + r).permutation(n).tolist()
        made.append([(order[i], order[i + 1]) for i in range(0, n - 1, 2)])
    return made


def read(text: str, shape: Shape, n: int = 1) -> Answer | Failure:
    """Read an answer as published: a literal marker, then exactly one number, or n of a ranking; no range check."""
    parts = text.split("Score:")
    if len(parts) < 2:
        return Failure("format", "no marker")
    found = numbers(text)
    wanted = n if shape == "ranking" else 1
    if len(found) != wanted:
        return Failure("format", f"{len(found)} numbers, {wanted} are needed")
    return Answer(tuple(found))


def numbers(text: str) -> list[float]:
    """Return the numbers after the first marker, up to the next; decimals keep their sign, whole numbers do not.

    Raises:
        IndexError: There is no marker.
    """
    return [float(found) for found in _NUMBERS.findall(text.split("Score:")[1])]


def scaled(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the published scores 0..100 of a matrix of wins, shape (N,); NaN where all latents are equal.

    Thurstone case V with a unit normal prior, solved exactly: within 0.02 of the published solver, which stops
    early.
    """
    latent = rank(wins, "normal").scores
    spread = float(np.ptp(latent))
    if spread <= 1e-12:
        return np.full(len(latent), np.nan)
    made: NDArray[np.float64] = 100 * (latent - latent.min()) / spread
    return made


def _led(
    n: int, members: Sequence[int], others: int, times: int, chance: random.Random, *, distinct: bool
) -> Pairs:
    """Draw ``others`` companions for each member, ``times`` times."""
    if len(members) < 2 or (distinct and len(members) <= others):
        raise UsageError(
            f"{len(members)} pictures for groups of {others + 1}",
            expected="more pictures (the published sampler would never end)",
        )
    made: Pairs = []
    for leader in range(n):
        for _ in range(times):
            drawn = [leader]
            while len(drawn) <= others:
                one = chance.randint(0, n - 1)
                if one != leader and not (distinct and one in drawn):
                    drawn.append(one)
            made.append(tuple(members[i] for i in drawn))
    return made


def _inside(references: Sequence[Sequence[int]], others: int, times: int) -> Pairs:
    chance = random.Random(SEED)  # noqa: S311 - as published
    return [
        group
        for members in references
        for group in _led(len(members), members, others, times, chance, distinct=False)
    ]
