"""Greedy answers in batches: requests of equal shape share one, so that nothing is padded.

A batch without padding gives each request the answer that it gets alone, up to float noise, in every family.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from mllmqa.models.batches import TEXT


def equal_shapes(encoded: Sequence[dict[str, Any]]) -> list[list[int]]:
    """Return the groups of requests that may share a batch: equal numbers of tokens, pictures of equal shape.

    Args:
        encoded: What the processor made of each request by itself.
    """
    groups: dict[Any, list[int]] = defaultdict(list)
    for i, one in enumerate(encoded):
        groups[tuple(sorted((key, _shape(key, value, i)) for key, value in one.items()))].append(i)
    return list(groups.values())


def _shape(key: str, value: Any, alone: int) -> tuple[Any, ...]:
    """The axes in which the rows of a batch must agree; what is no tensor is joined with nothing."""
    import torch

    if not isinstance(value, torch.Tensor):
        return ("alone", alone)
    return tuple(value.shape) if key in TEXT else tuple(value.shape[1:])


def stacked(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join encoded requests of one group along their first axis: texts (B, T), pictures behind one another."""
    import torch

    if len(rows) == 1:
        return rows[0]
    return {key: torch.cat([row[key] for row in rows]) for key in rows[0]}


def until_end(tokens: Sequence[int], end: int | Sequence[int] | None) -> list[int]:
    """Return an answer's tokens up to the first end token: rows that end early are filled up behind it.

    >>> until_end([5, 6, 2, 0, 0], 2)
    [5, 6]
    """
    ends = {end} if isinstance(end, int) else set(end or ())
    stop = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
    return list(tokens[:stop])
