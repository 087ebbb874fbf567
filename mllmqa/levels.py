"""From level words to a score: checked token ids, closed-set softmax, moments.

Level scoring as in Q-Align (Wu et al., ICML 2024, eq. 3–4): softmax over the logits of the level words
at the answer position, then the expectation of their values. Softmax and moments are in float64: in
float16 the score has steps of 0.0039 and 4,000 images collapse to about 1,600 values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import InferenceError, LevelTokenError
from mllmqa.prompts import LevelFile
from mllmqa.schema import Distribution, Readout

Encode = Callable[[str], list[int]]
"""Text → token ids, with the special tokens that the model's prompt has."""


def token_ids(
    encode: Encode, prefix: str, words: Sequence[str], *, model: str = "model", alone: Encode | None = None
) -> list[int]:
    """Return the id of each level word as the next token after ``prefix``.

    The ids are found by tokenising ``prefix`` and ``prefix + " " + word``: the second must be the first
    plus exactly one token, and the words' tokens must differ.

    Args:
        encode: Tokenizer, text → ids.
        prefix: The prompt up to and including the start of the answer, without trailing space.
        words: Level words.
        model: Name for the error message.
        alone: Tokenises the words by themselves instead, without special tokens: for models that were trained
            with a word's token right after an answer start that ends in a space (Q-SiT).

    Raises:
        LevelTokenError: A word is not one token there, or two words share their token.
    """
    start = encode(prefix)
    found: dict[str, int] = {}
    for word in words:
        full = start + alone(word) if alone else encode(f"{prefix} {word}")
        pieces = full[len(start) :]
        if full[: len(start)] != start or len(pieces) != 1:
            raise LevelTokenError(
                f"the level word {word!r} is {len(pieces)} tokens after the answer start, not one",
                where=model,
                hint="choose a model or prompt whose tokenizer has the words "
                + ", ".join(words)
                + " as single tokens",
            )
        found[word] = pieces[0]
    if len(set(found.values())) != len(words):
        raise LevelTokenError(
            f"level words share tokens: {found}", where=model, expected="a different token for each word"
        )
    return [found[word] for word in words]


def distribution(
    logits: NDArray[np.float32], log_z: float | None, scale: LevelFile, readout: Readout = "logits"
) -> Distribution:
    """Turn the logits of the level words into a distribution with its moments.

    Args:
        logits: Float32, shape (L,): logit of each level word at the answer position, in the scale's order;
            ``-inf`` for a word that was not reported, if at least one is finite.
        log_z: Log of the sum of exponentials of *all* logits there, the open-vocabulary normaliser; None where
            it is not known.
        scale: Words and values.
        readout: How they were read.

    Returns:
        Closed-set probabilities, mean (1..5), standard deviation, and coverage = the words' mass in the
        open vocabulary (None without ``log_z``).

    Raises:
        InferenceError: A logit is NaN or +inf, none is finite, or the normaliser is not finite.
    """
    p, coverage = _closed_set(logits, log_z, scale)
    reported = zip(scale.words, np.asarray(logits), strict=True)
    absent = tuple(word for word, x in reported if x == -np.inf and readout == "logprobs")
    return _moments(p, coverage, scale, readout, absent)


def expectation(
    logits: NDArray[np.float32], log_z: float | None, scale: LevelFile, temperature: float
) -> tuple[float, float | None]:
    """Return the expected value of the words and their coverage, on any scale of words.

    Args:
        logits: Float32, shape (L,), in the scale's order.
        log_z: As for :func:`distribution`.
        scale: Words and values, e.g. the comparison words with 0..1.
        temperature: Divides the logits before the closed-set softmax; the coverage is that of the undivided ones.

    Raises:
        InferenceError: A logit or the normaliser is not finite.
    """
    p, coverage = _closed_set(logits, log_z, scale, temperature)
    low, high = scale.range
    return min(high, max(low, float(p @ np.asarray(scale.values, dtype=np.float64)))), coverage


def _closed_set(
    logits: NDArray[np.float32], log_z: float | None, scale: LevelFile, temperature: float = 1.0
) -> tuple[NDArray[np.float64], float | None]:
    """Return closed-set probabilities (L,) and coverage."""
    z = np.asarray(logits, dtype=np.float64)
    if z.shape != (len(scale.levels),):
        raise InferenceError(f"got logits of shape {z.shape}", expected=f"({len(scale.levels)},)")
    usable = not (np.isnan(z).any() or np.isposinf(z).any()) and np.isfinite(z).any()
    if not (usable and (log_z is None or math.isfinite(log_z))):
        raise InferenceError("the model gave logits that are not finite", hint="try --dtype float32")
    weights = np.exp((z - z.max()) / temperature)
    mass = float(z.max() + np.log(np.exp(z - z.max()).sum()))
    return weights / weights.sum(), None if log_z is None else min(1.0, math.exp(mass - log_z))


def average(parts: Sequence[Distribution], scale: LevelFile) -> Distribution:
    """Return the equal mixture of several distributions (frames of one clip), with its moments.

    Raises:
        InferenceError: There is nothing to average.
    """
    if not parts:
        raise InferenceError("no frame was scored")
    p = np.mean([[part.levels[word] for word in scale.words] for part in parts], axis=0)
    known = [part.coverage for part in parts if part.coverage is not None]
    coverage = float(np.mean(known)) if len(known) == len(parts) else None
    readouts = {part.readout for part in parts}
    absent = tuple(word for word in scale.words if any(word in part.absent for part in parts))
    return _moments(p, coverage, scale, readouts.pop() if len(readouts) == 1 else "mixed", absent)


def _moments(
    p: NDArray[np.float64], coverage: float | None, scale: LevelFile, readout: Readout, absent: tuple[str, ...]
) -> Distribution:
    values = np.asarray(scale.values, dtype=np.float64)
    mean = float(p @ values)
    variance = float(p @ (values - mean) ** 2)
    low, high = scale.range
    return Distribution(
        value=min(high, max(low, mean)),  # float noise only: a convex combination lies inside
        std=math.sqrt(max(0.0, variance)),
        levels={word: float(x) for word, x in zip(scale.words, p, strict=True)},
        coverage=coverage,
        readout=readout,
        absent=absent,
    )


def nearest_level(value: float, scale: LevelFile) -> str:
    """Return the word whose value is nearest to ``value``; the better one at a tie."""
    return min(scale.levels, key=lambda level: (abs(level.value - value), -level.value)).word


def on_display_scale(value: float, scale_max: int) -> float:
    """Convert a value on the ACR scale 1..5 for display.

    ``5`` leaves it, ``100`` maps 1..5 linearly to 0..100 (ITU-R BT.500 scales).

    >>> on_display_scale(3.0, 100)
    50.0
    """
    return (value - 1.0) * 25.0 if scale_max == 100 else value


def from_display_scale(shown: float, scale_max: int) -> float:
    """Convert a displayed value to the ACR scale 1..5: the inverse of :func:`on_display_scale`.

    >>> from_display_scale(50.0, 100)
    3.0
    """
    return 1.0 + shown / 25.0 if scale_max == 100 else shown
