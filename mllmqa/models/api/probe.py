"""What an endpoint can do, found out once with a tiny picture: decisions, log-probabilities, or words only.

A failure that says nothing about abilities (no connection, too many requests, a wrong key) ends the probe: it is
never taken for "cannot".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mllmqa.errors import ApiAnswerError, ApiAuthError, ApiError, ApiModelError, ApiRefusedError, ApiRejectedError
from mllmqa.models.api.messages import Dialect
from mllmqa.models.api.readout import has_logprobs, of_chat, of_decision
from mllmqa.models.base import LevelLogits

Ask = Callable[[Dialect], dict[str, Any]]
"""Asks the probe's question in a dialect."""

PREFILL_MASS = 0.5
"""Of the level words after our start of the answer: with less, the endpoint did not continue it."""

SMALLER_TOP = 5


def find_dialect(ask: Ask, wanted: str, words: Sequence[str], where: str) -> Dialect:
    """Find out how an endpoint is best asked for levels.

    Args:
        ask: Sends the probe.
        wanted: ``auto``, or the only readout that will do.
        words: Level words, best first.
        where: Endpoint, for messages.

    Raises:
        ApiRejectedError: The wanted readout is not to be had.
        ApiError: The endpoint cannot be used at all.
    """
    if wanted in ("auto", "decisions") and (found := _decisions(ask, words, where)) is not None:
        return found
    dialect = Dialect("text")
    if wanted in ("auto", "logprobs"):
        found, dialect = _logprobs(ask, words, where)
        if found is not None:
            return found
    if wanted in ("decisions", "logprobs"):
        raise ApiRejectedError(
            f"offers no {wanted}", where=where, expected="an endpoint that does", hint="or leave out --readout"
        )
    answer, dialect = _adapted(ask, dialect)
    return replace(dialect, served=_served(answer))


def _decisions(ask: Ask, words: Sequence[str], where: str) -> Dialect | None:
    dialect = Dialect("decisions")
    try:
        answer = ask(dialect)
        of_decision(answer, words, where)
    except ApiRefusedError:  # it declines this picture, in the way that a decision is declined
        return dialect
    except ApiAuthError as error:
        if error.status != 403:  # a key may be barred from this path alone; the chat path will tell
            raise
        return None
    except (ApiModelError, ApiRejectedError, ApiAnswerError):
        return None
    return replace(dialect, served=_served(answer))


def _logprobs(ask: Ask, words: Sequence[str], where: str) -> tuple[Dialect | None, Dialect]:
    """Return the dialect for log-probabilities, if they are offered, and what was learnt for a text readout."""
    learnt = Dialect("logprobs")
    for prefill in (True, False):
        try:
            answer, dialect = _adapted(ask, replace(learnt, prefill=prefill))
        except ApiRejectedError:
            continue
        learnt = replace(dialect, prefill=False)
        if has_logprobs(answer) and (not prefill or _mass(answer, words, where) >= PREFILL_MASS):
            return replace(dialect, served=_served(answer)), learnt
    return None, replace(learnt, readout="text")


def _mass(answer: dict[str, Any], words: Sequence[str], where: str) -> float:
    try:
        found: LevelLogits = of_chat(answer, words, where, logprobs=True)
    except ApiError:  # any useless answer: the level words have no mass there
        return 0.0
    return math.exp(float(np.logaddexp.reduce(found.logits))) if found.readout == "logprobs" else 0.0


def _adapted(ask: Ask, dialect: Dialect) -> tuple[dict[str, Any], Dialect]:
    """Ask; where the endpoint rejects a parameter that has a substitute, ask again with that."""
    while True:
        try:
            return ask(dialect), dialect
        except ApiRejectedError as error:
            changed = _substitute(dialect, error.what)
            if changed is None:
                raise
            dialect = changed


def _substitute(dialect: Dialect, complaint: str) -> Dialect | None:
    if dialect.token_field in complaint and dialect.token_field == "max_completion_tokens":  # noqa: S105
        return replace(dialect, token_field="max_tokens")  # noqa: S106
    if "temperature" in complaint and dialect.temperature:
        return replace(dialect, temperature=False)
    if "top_logprobs" in complaint and dialect.readout == "logprobs" and dialect.top > SMALLER_TOP:
        return replace(dialect, top=SMALLER_TOP)
    return None


def _served(answer: dict[str, Any]) -> str | None:
    model = answer.get("model")
    return model[:200] if isinstance(model, str) and model.isprintable() else None
