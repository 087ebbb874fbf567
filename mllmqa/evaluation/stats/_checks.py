"""Input checks that all statistics share, and the late import of scipy."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mllmqa.errors import DataError, MissingExtraError, UsageError

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

LARGEST = 1e100
MIN_ITEMS = 3
"""Items below which no correlation is given: two points always lie on a line."""


def scipy(module: str) -> Any:
    """Import and return ``scipy.<module>``.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        return importlib.import_module(f"scipy.{module}")
    except ImportError as error:
        raise MissingExtraError("scipy", extra="eval", purpose="the statistics of an evaluation") from error


def vector(values: ArrayLike, what: str, *, nan: bool = False) -> Float:
    """Return a float64 array of shape (N,).

    Args:
        values: Numbers.
        what: Their name, for the message.
        nan: Whether NaN is allowed; infinity never is.

    Raises:
        DataError: Not one-dimensional, not numbers, not finite, or beyond 1e100 in size, where squares overflow.
    """
    found = numbers(values, what, "shape (N,)")
    if found.ndim != 1:
        raise DataError(f"{what} have shape {found.shape}", expected="(N,)")
    far = np.flatnonzero(np.isfinite(found) & (np.abs(np.nan_to_num(found)) > LARGEST))
    if len(far):
        raise DataError(f"{what}: {found[far[0]]:g} at index {far[0]}", expected=f"at most {LARGEST:g} in size")
    bad = np.isinf(found) if nan else ~np.isfinite(found)
    if bad.any():
        at = int(np.argmax(bad))
        raise DataError(
            f"{int(bad.sum())} of {len(found)} {what} are not finite, the first is {found[at]} at index {at}",
            expected="finite numbers" + (", NaN for what was not scored" if nan else ""),
        )
    return found


def numbers(values: ArrayLike, what: str, expected: str) -> Float:
    """Return a float64 array of any shape and content, or raise DataError where these are no numbers."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{what} are no numbers ({error})", expected=expected) from error


def pair(x: ArrayLike, y: ArrayLike) -> tuple[Float, Float]:
    """Return finite scores and opinions as two float64 arrays of the same shape (N,), else raise DataError."""
    scores, mos = vector(x, "scores"), vector(y, "opinions")
    same_length(scores, mos)
    return scores, mos


def judged(scores: ArrayLike, mos: ArrayLike) -> tuple[Float, Float, Bool]:
    """Return scores, opinions and which items are scored, each of shape (N,).

    A NaN score means that the item was not scored. Opinions must all be there: an item without an opinion is
    no item of the evaluation.

    Raises:
        DataError: Different lengths, an infinite score, or an opinion that is NaN or infinite.
    """
    x, y = vector(scores, "scores", nan=True), vector(mos, "opinions")
    same_length(x, y)
    return x, y, ~np.isnan(x)


def same_length(scores: Float, mos: Float, what: str = "opinions") -> None:
    """Raise DataError unless both have the same length."""
    if len(scores) != len(mos):
        raise DataError(f"{len(scores)} scores for {len(mos)} {what}")


def positive(values: ArrayLike, what: str, n: int, *, zero: bool = False) -> Float:
    """Return values as shape (n,), a single number being repeated, else raise DataError."""
    found = numbers(values, what, "shape (N,) or one number")
    found = np.full(n, float(found)) if found.ndim == 0 else vector(found, what)
    if len(found) != n:
        raise DataError(f"{len(found)} {what} for {n} opinions")
    bad = ~(np.isfinite(found) & ((found >= 0) if zero else (found > 0)))
    if bad.any():
        at = int(np.argmax(bad))
        raise DataError(f"{what}: {found[at]} at index {at}", expected="at least 0" if zero else "more than 0")
    return found


def share(value: float, what: str) -> float:
    """Return a number strictly between 0 and 1, else raise UsageError."""
    if not 0 < value < 1:
        raise UsageError(f"{what} {value}", expected="a number between 0 and 1")
    return float(value)


def ranks(values: Float) -> Float:
    """Return mid-ranks, 1..N, of shape (N,)."""
    return np.asarray(scipy("stats").rankdata(values), dtype=np.float64)


def centred(values: Float) -> Float | None:
    """Return values minus their mean, scaled to norm 1; None if they are constant up to rounding.

    Constant means a spread of at most 1e-13 of the largest absolute value (or 1e-100): below it, a correlation of
    float64 numbers would be one of rounding errors.
    """
    size = float(np.abs(values).max(initial=0.0))
    if not len(values) or float(np.ptp(values)) <= 1 / LARGEST:
        return None
    small = values / math.ldexp(1.0, math.frexp(size)[1] - 1)  # a power of two loses no digit
    if float(np.ptp(small)) <= 1e-13:
        return None
    off = small - small.mean()
    return np.asarray(off / np.sqrt(off @ off), dtype=np.float64)
