"""Which pictures are compared: balanced designs, in which no place of display favours a picture.

Every draw has its own named stream (:mod:`mllmqa.data.streams`), so that a further mode or reference moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mllmqa.data.streams import stream

Group = tuple[int, ...]


def pairs(members: Sequence[int], per_item: float, seed: int, *words: str) -> list[Group]:
    """Return pairs so that each picture is in ``2 · per_item`` of the questions, half of them as the first.

    The pictures stand in a random circle; each is paired with those at some random distances, one step among them,
    so that all are connected. Every pair comes twice, in both orders: the number of questions is about
    ``per_item · len(members)``, and no more than all ordered pairs.

    Args:
        members: Places of the pictures.
        per_item: Questions per picture, > 0.
        seed: Root seed.
        words: Name of the stream.
    """
    n = len(members)
    if n < 2:
        return []
    rng = stream(seed, "pairs", *words)
    circle = rng.permutation(n)
    wanted = min(max(round(per_item * n / 2), n - 1), n * (n - 1) // 2)
    distances = [1, *(2 + rng.permutation(n // 2 - 1)).tolist()] if n > 3 else list(range(1, n // 2 + 1))
    drawn: list[tuple[int, int]] = []
    for distance in distances:
        steps = n // 2 if 2 * distance == n else n
        ring = [(int(circle[i]), int(circle[(i + distance) % n])) for i in range(steps)]
        left = wanted - len(drawn)
        if left < steps:  # spread what is left over the circle
            ring = [ring[i] for i in np.unique((np.arange(left) * steps) // max(left, 1)).tolist()]
        drawn += ring
        if len(drawn) >= wanted:
            break
    ordered = [pair for a, b in drawn for pair in ((a, b), (b, a))]
    return [(members[a], members[b]) for a, b in ordered]


def groups(members: Sequence[int], size: int, per_item: int, seed: int, *words: str) -> list[Group]:
    """Return ``per_item · len(members)`` groups, in which each picture stands ``per_item`` times in every place.

    The pictures stand in a random circle, and each group is the same pattern of distances turned by one step.

    Args:
        members: Places of the pictures.
        size: Pictures of a group; all of them, where there are fewer.
        per_item: Groups that each picture leads.
        seed: Root seed.
        words: Name of the stream.
    """
    n = len(members)
    size = min(size, n)
    if size < 2:
        return []
    rng = stream(seed, "groups", *words)
    made: list[Group] = []
    for _ in range(per_item):
        circle = rng.permutation(n)
        pattern = np.concatenate([[0], 1 + rng.permutation(n - 1)[: size - 1]])
        made += [tuple(members[int(circle[(i + d) % n])] for d in pattern) for i in range(n)]
    return made


def coarse_to_fine(opinions: np.ndarray, rounds: int, bands: int, seed: int) -> list[Group]:
    """Return the pairs of 2AFC prompting (Zhu et al., 2024): over the whole range, then inside bands.

    Each round pairs the neighbours of a shuffled order; half of the rounds (rounded up) shuffle all pictures, the
    others those of equal parts of the sorted opinions. Every pair comes in both orders; one that an earlier round
    drew is not asked again: the same question would get the same answer, and count twice.

    Args:
        opinions: Shape (N,).
        rounds: In all, at least 1.
        bands: Parts of the sorted opinions.
        seed: Root seed.
    """
    order = np.argsort(opinions, kind="stable")
    made: dict[Group, None] = {}
    for r in range(rounds):
        fine = r >= (rounds + 1) // 2
        parts = np.array_split(order, bands) if fine else [order]
        for b, part in enumerate(parts):
            mixed = stream(seed, "2afc", str(r), str(b)).permutation(part).tolist()
            for a, c in zip(mixed[::2], mixed[1::2], strict=False):
                if (c, a) not in made:
                    made |= {(a, c): None, (c, a): None}
    return list(made)
