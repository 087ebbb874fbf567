"""A clip as pictures in which time runs downwards: a freeze, a flicker, a jump is seen at a glance.

Spatiotemporal slices, after ViS3 (Vu & Chandler, Journal of Electronic Imaging, 2014): one line of each frame, put
under one another. A picture has one row per frame (of a frame that is shown longer than most, as many as it lasts)
and eight strips of 64 pixels side by side:

=====  ==============================================================================================
1–3    rows of the frame, at 1/4, 1/2 and 3/4 of its height, from left to right
4–6    columns, at 1/4, 1/2 and 3/4 of its width, from top to bottom
7, 8   how much luma changed since the frame before, by columns and by rows: 32·log2(1 + grey levels)
=====  ==============================================================================================

Frames are shrunk to 256×256 by averaging, lines to 64 pixels. Equal frames give equal rows and black in the strips
of change, a flicker stripes, dropped frames one bright line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mllmqa.media.decode import decode_frames
from mllmqa.media.index import VideoIndex
from mllmqa.media.pixels import Frame
from mllmqa.media.probe import OpenMedia

SIDE, STRIP = 256, 64
WIDTH = 8 * STRIP
"""Of a picture."""
PLACES = (STRIP // 4, STRIP // 2, 3 * STRIP // 4)
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
CHANGE_GAIN = 32.0
RUN_FRAMES = 256
"""Most rows of a picture."""
RUNS = 2
"""Most pictures of a clip; of a longer one they show parts of RUN_FRAMES frames, evenly spread."""
CHUNK_BYTES = 128 << 20
"""Raw frames that are decoded at a time."""
LONGEST_HOLD = 16
"""Most rows of a frame."""


def runs(count: int) -> list[range]:
    """Return the numbers of the frames of each picture of a clip of `count` frames, at least one.

    >>> runs(100), runs(300), runs(1000)
    ([range(0, 100)], [range(0, 150), range(150, 300)], [range(122, 378), range(622, 878)])
    """
    pictures = min(RUNS, max(1, -(-count // RUN_FRAMES)))
    parts = [(count * i // pictures, count * (i + 1) // pictures) for i in range(pictures)]
    cut = [(start + max(0, end - start - RUN_FRAMES) // 2, min(RUN_FRAMES, end - start)) for start, end in parts]
    return [range(start, start + length) for start, length in cut]


def slice_pictures(opened: OpenMedia, index: VideoIndex, *, decoder: str = "auto") -> list[Frame]:
    """Decode all frames of a clip's runs and slice them.

    Args:
        opened: The clip.
        index: Its frames, or those of a part of it.
        decoder: As for :func:`~mllmqa.media.decode_frames`.

    Returns:
        One to RUNS pictures, uint8 (T, 512, 3).

    Raises:
        MediaError: A frame cannot be decoded.
    """
    step = max(1, CHUNK_BYTES // (3 * opened.info.width * opened.info.height))

    def frames(run: range) -> Iterator[Frame]:
        for start in range(run.start, run.stop, step):
            times = index.timestamps_s[start : min(start + step, run.stop)]
            yield from decode_frames(opened, tuple(map(float, times)), decoder=decoder).frames_THWC

    lasting = held(index.timestamps_s)
    return [slices(frames(run), lasting[run.start : run.stop]) for run in runs(len(index))]


def held(timestamps_s: NDArray[np.float64]) -> list[int]:
    """Return for how many of the usual intervals each frame is shown; of the last one it is not known: 1.

    >>> held(np.array([0, 0.04, 0.08, 0.16, 0.2]))
    [1, 1, 2, 1, 1]
    """
    steps = np.diff(timestamps_s)
    usual = float(np.median(steps)) if len(steps) else 0.0
    if usual <= 0:
        return [1] * len(timestamps_s)
    return [*np.clip(np.rint(steps / usual), 1, LONGEST_HOLD).astype(int).tolist(), 1]


def moments(timestamps_s: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return when each row of each picture of a clip is shown, in seconds; a row lasts until the next one.

    The rows of a frame share its time equally: of one that is held longer than LONGEST_HOLD rows, too.

    Args:
        timestamps_s: Of all frames of the clip.

    >>> [m.tolist() for m in moments(np.array([0, 0.25, 0.5, 1.0, 1.25]))]
    [[0.0, 0.25, 0.5, 0.75, 1.0, 1.25]]
    """
    steps = [*np.diff(timestamps_s).tolist(), 0.0]
    frames = zip(timestamps_s.tolist(), steps, held(timestamps_s), strict=True)
    rows = [[start + step * k / n for k in range(n)] for start, step, n in frames]
    return [np.array([time for frame in rows[run.start : run.stop] for time in frame]) for run in runs(len(rows))]


def slices(frames: Iterable[Frame], lasting: Sequence[int]) -> Frame:
    """Put the lines of frames under one another.

    Args:
        frames: uint8 RGB (H, W, 3), at least one.
        lasting: How many rows each fills; in those behind its first nothing changes.

    Returns:
        uint8 (T, 512, 3), T the sum of `lasting`.
    """
    rows: list[NDArray[np.uint8]] = []
    before: NDArray[np.float32] | None = None
    for frame, n in zip(frames, lasting, strict=True):
        small = _shrunk(frame)
        luma = small @ LUMA
        change = np.zeros_like(luma) if before is None else np.abs(luma - before)
        lines = _lines(small)
        rows.append(np.concatenate([*lines, *_changes(change)]))
        rows += [np.concatenate([*lines, *_changes(np.zeros_like(change))])] * (n - 1)
        before = luma
    picture = np.stack(rows)
    picture[0, 6 * STRIP :] = picture[min(lasting[0], len(rows) - 1), 6 * STRIP :]  # nothing came before the first
    return picture


def _shrunk(frame: Frame) -> NDArray[np.float32]:
    from PIL import Image

    small = Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)


def _lines(small: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """Three rows and three columns, (64, 3) each."""
    fold = SIDE // STRIP
    thumbnail = small.reshape(STRIP, fold, STRIP, fold, 3).mean((1, 3)).round().astype(np.uint8)
    return [*(thumbnail[place] for place in PLACES), *(thumbnail[:, place] for place in PLACES)]


def _changes(change: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """How much changed in each of 64 columns and 64 rows, (64, 3) each, grey."""
    found = []
    for axis in (0, 1):
        mean = change.mean(axis).reshape(STRIP, -1).mean(1)
        grey = np.minimum(255, CHANGE_GAIN * np.log2(1 + mean)).round().astype(np.uint8)
        found.append(np.repeat(grey[:, None], 3, axis=1))
    return found
