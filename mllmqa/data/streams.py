"""Named streams of chance: every draw of a data set is a function of its seed and of what it is drawn for."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *words: str) -> np.random.Generator:
    """The generator of a seed and some words, whoever asks, when, and in which order.

    PCG64, seeded by a hash of 128 bits. Draws are those of the installed numpy (its policy allows a release to
    change a distribution's algorithm, NEP 19), so that a record names versions.

    Args:
        seed: Root seed of the whole set.
        words: What is drawn, e.g. the id of a sample and its task; ``("a", "b")`` is not ``("ab",)``.
    """
    text = "\0".join((str(int(seed)), *words)).encode()
    digest = hashlib.blake2b(text, digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
