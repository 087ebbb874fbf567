"""Near-duplicate photos by a 64-bit perceptual hash (the DCT hash of Zauner, thesis 2010, "pHash").

Two uses: choose a validation set that does not repeat training photos, and list the test photos that do.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mllmqa.errors import DataError

SIDE = 32
KEPT = 8
DEFAULT_THRESHOLD = 10  # of 64 bits; unrelated photos differ in 32 ± 4

Hashes = npt.NDArray[np.uint64]


def _dct_matrix() -> npt.NDArray[np.float64]:
    k = np.arange(SIDE)
    return np.asarray(np.cos(np.pi / SIDE * (k[None, :] + 0.5) * k[:KEPT, None]), dtype=np.float64)


def perceptual_hash(image: Image.Image) -> int:
    """64-bit hash: signs, about their median, of the 8×8 lowest DCT coefficients of the 32×32 grey image."""
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    basis = _dct_matrix()
    low = (basis @ grey @ basis.T).ravel()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hash_files(paths: Iterable[Path]) -> Hashes:
    """Hash every file, in order: (n,) uint64.

    Raises:
        DataError: A file is missing or no picture.
    """
    values = []
    for path in paths:
        try:
            with Image.open(path) as image:
                image.draft("L", (SIDE * 4, SIDE * 4))
                values.append(perceptual_hash(image))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError("cannot be read as a picture", where=path) from error
    return np.array(values, dtype=np.uint64)


def nearest(queries: Hashes, others: Hashes, *, same_set: bool = False, rows: int = 256) -> npt.NDArray[np.int64]:
    """Hamming distance (0..64 bits) of each query to its nearest neighbour in `others`; (n,) int64.

    With `same_set` both arrays are the same list and an item is not its own neighbour.
    An empty `others` gives 65, larger than any distance.
    """
    result = np.full(len(queries), 65, dtype=np.int64)
    if not len(others):
        return result
    for start in range(0, len(queries), rows):
        block = queries[start : start + rows]
        distance = np.bitwise_count(block[:, None] ^ others[None, :]).astype(np.int64)
        if same_set:
            index = np.arange(len(block))
            distance[index, start + index] = 65
        result[start : start + rows] = distance.min(axis=1)
    return result


def near_duplicates(
    queries: Hashes, others: Hashes, *, threshold: int = DEFAULT_THRESHOLD, same_set: bool = False
) -> npt.NDArray[np.bool_]:
    """Which queries have a neighbour at `threshold` bits or fewer; (n,) bool."""
    return nearest(queries, others, same_set=same_set) <= threshold
