"""Probabilities of preference that are exact opposites of each other, however the two are named.

From two scores: Thurstone (Psychol. Rev. 34, 1927), case III, independent normal opinions with deviations of their
own. With means m and deviations s of the two distributions over the level words ::

    P(A better) = Φ((m_A − m_B) / √(s_A² + s_B²))

It is the chance that one opinion on A is higher than one on B. The deviations are those of single opinions, so it
is far from 0 and 1 where opinions spread, even if the means would be known exactly. DeQA-Score (You et al., CVPR
2025) is trained with it. Two distributions without any spread (answers read from a word) give 0, 0.5 or 1.
"""

from __future__ import annotations

import math

from mllmqa.schema import Distribution


def thurstone(a: Distribution, b: Distribution) -> float:
    """Return the probability that A is better, 0..1, from the distributions of two scores."""
    gap, spread = a.value - b.value, spread_of_gap(a, b)
    if spread == 0:
        return 0.5 if gap == 0 else float(gap > 0)
    return _mirrored(0.5 * math.erfc(abs(gap) / spread / math.sqrt(2)), gap)


def spread_of_gap(a: Distribution, b: Distribution) -> float:
    """Return the standard deviation of the difference of two independent scores."""
    return math.sqrt(a.std * a.std + b.std * b.std)


def both_orders(a_first: float, b_first: float) -> float:
    """Return the probability that A is better, averaged over both orders.

    Args:
        a_first: Preference for the picture shown first, 0..1, where that is A.
        b_first: The same where it is B.
    """
    lead = a_first - b_first
    return _mirrored(0.5 - abs(lead) / 2, lead)


def joined(p: float, weight: float, lead: float) -> float:
    """Return the probability that A is better from what was answered and what was read.

    Its log-odds are ``weight`` · log(p / (1 − p)) + ``lead``.

    Args:
        p: Of the answers; kept 1e-6 away from 0 and 1.
        weight: Of the answers, at least 0.
        lead: Log-odds for A by other readings; mirrored if A and B are swapped.
    """
    lower = max(min(p, 1.0 - p), 1e-6)
    odds = math.copysign(math.log((1.0 - lower) / lower), p - 0.5) if p != 0.5 else 0.0
    total = weight * odds + lead
    return _mirrored(1.0 / (1.0 + math.exp(min(abs(total), 700.0))), total)


def _mirrored(lower: float, lead: float) -> float:
    """Return ``lower`` (at most 0.5) or its opposite, so that swapping the sides gives exactly 1 minus it."""
    upper = 1.0 - lower
    return upper if lead > 0 else 1.0 - upper
