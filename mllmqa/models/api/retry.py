"""When to try again: Retry-After in both of its forms, and exponential backoff with jitter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

FIRST_S = 0.5
LONGEST_S = 30.0
MAX_RETRY_AFTER_S = 120.0
"""An endpoint that wants a longer pause is not waited for: its inputs become records, --resume goes on later."""

LOST_RETRIES = 2
"""Further tries after answers that were lost on the way: each of them may be paid for."""

RETRIED = frozenset({408, 409, 425, 429})
"""Besides all from 500 on, without 501."""

TOO_MANY = frozenset({429, 503, 529})
"""An endpoint with more calls than it bears (529: as some name it)."""


def is_retried(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether a status means "later"; the endpoint's own ``x-should-retry`` has the last word."""
    said = headers.get("x-should-retry", "").lower()
    if said in ("true", "false"):
        return said == "true"
    return status in RETRIED or (status >= 500 and status != 501)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the pause that an endpoint asks for.

    Args:
        headers: Of its response, names in lower case or case-insensitive.
        now_s: Seconds since 1970, against which a date is taken.

    Returns:
        Seconds ≥ 0 from ``retry-after-ms`` or ``Retry-After`` (seconds or an HTTP date, RFC 9110 §10.2.3); None
        where there is none that makes sense.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        try:
            seconds = float(text) * unit
        except ValueError:
            seconds = _until(text, now_s)
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def _until(date: str, now_s: float) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return math.nan
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_s)


def backoff_s(failed: int, jitter: float) -> float:
    """Return the pause after the ``failed``-th failure (from 1), shortened by up to a quarter.

    >>> [backoff_s(n, 0.0) for n in (1, 2, 3, 9)]
    [0.5, 1.0, 2.0, 30.0]
    """
    return float(min(FIRST_S * 2.0 ** min(failed - 1, 30), LONGEST_S) * (1 - 0.25 * jitter))
