"""What the model sees of a frame: named views, pure functions of uint8 RGB HWC.

=====================  ===============================================================================
``native``             the frame itself
``pad-square:N``       padded to a square with CLIP's mean colour, then N×N (Q-Align)
``resize:N``           short side N, aspect kept
``resize:WxH``         W×H, aspect ignored
``fit:N``              long side at most N, never enlarged (Q-ReAlign's frames)
``fit-short:N``        short side at most N, never enlarged (nano)
``center-crop:N``      N×N from the centre; a smaller frame is first enlarged to short side N
``random-crop:N``      N×N from a random place; needs a Generator
``fragments:GxF``      G×G patches of F×F raw pixels, one from the centre of every cell of a G×G grid, side
                       by side (FAST-VQA); random places with a Generator
``tiles:RxC``          R rows × C columns that cover the frame, row by row
``square-tiles:N``     squares of the short side, evenly along the long side, each N×N
=====================  ===============================================================================

All resizing is Pillow's bicubic filter, but that of nano's ``fit-short`` to 32 pixels or more: there torch computes
the same filter, up to two grey levels off; with AVX2 it takes a sixth of the time. A frame that has the size
already is not touched.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil

import numpy as np

from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.media.pixels import MEAN_COLOR, Color, Frame
from mllmqa.media.sample import IntegerSource

VIEWS = (
    "native",
    "pad-square:N",
    "resize:N",
    "resize:WxH",
    "fit:N",
    "fit-short:N",
    "center-crop:N",
    "random-crop:N",
    "fragments:GxF",
    "tiles:RxC",
    "square-tiles:N",
)
MAX_TILES = 4
MAX_THREADS = 4
"""That resize the frames of one clip."""
MAX_SIDE_PX = 16_384
LEAST_OF_TORCH_PX = 32
"""Below, torch's filter on bytes departs from Pillow's by more than two grey levels."""


@dataclass(frozen=True)
class View:
    """A view.

    Attributes:
        name: Canonical; parsing it gives the same view.
        kind: The word before the colon.
        numbers: The values after it.
        pad_color: RGB of padding, also the background of transparent pixels.
    """

    name: str
    kind: str
    numbers: tuple[int, ...] = ()
    pad_color: Color = MEAN_COLOR

    @property
    def is_random(self) -> bool:
        """Whether the view needs a Generator."""
        return self.kind == "random-crop"

    def __call__(self, frame_HWC: Frame, rng: IntegerSource | None = None) -> list[Frame]:
        """Return what the model sees: one or more uint8 HWC arrays.

        Raises:
            UsageError: Not uint8 RGB HWC, or a random view without a Generator.
        """
        if frame_HWC.dtype != np.uint8 or frame_HWC.ndim != 3 or frame_HWC.shape[2] != 3 or 0 in frame_HWC.shape:
            raise UsageError(f"a view takes uint8 RGB HWC, not {frame_HWC.dtype} of shape {frame_HWC.shape}")
        if self.kind == "native":
            return [frame_HWC]
        if self.kind in _MANY:
            return _MANY[self.kind](frame_HWC, *self.numbers)
        if self.kind == "pad-square":
            return [resize(pad_square(frame_HWC, self.pad_color), self.numbers[0], self.numbers[0])]
        if self.kind == "resize":
            one = len(self.numbers) == 1
            return [resize_short(frame_HWC, *self.numbers) if one else resize(frame_HWC, *self.numbers)]
        if self.kind in _ONE:
            return [_ONE[self.kind](frame_HWC, *self.numbers)]
        if self.kind == "fragments":
            return [fragments(frame_HWC, self.numbers[0], self.numbers[1], rng)]
        if self.is_random and rng is None:
            raise UsageError(f"the view {self.name} is random", hint="pass a numpy Generator")
        return [crop(frame_HWC, self.numbers[0], rng if self.is_random else None)]

    def each(self, frames: Sequence[Frame], rng: IntegerSource | None = None) -> list[tuple[Frame, ...]]:
        """Return copies of what the model sees of several frames, in order.

        Frames are resized side by side (Pillow lets go of Python meanwhile), except where places are drawn: their
        order is that of the frames.

        Raises:
            UsageError: As for one frame.
        """
        if self.is_random or self.kind == "fragments" or len(frames) == 1:
            return [_copied(self(frame, rng)) for frame in frames]
        with ThreadPoolExecutor(min(len(frames), os.cpu_count() or 1, MAX_THREADS)) as pool:
            return list(pool.map(lambda frame: _copied(self(frame)), frames))


def _copied(views: list[Frame]) -> tuple[Frame, ...]:
    return tuple(view.copy() for view in views)


def parse_view(text: str) -> View:
    """Read a view.

    Raises:
        UnknownNameError: No such view, or a value out of range; lists the views.

    >>> parse_view("square-tiles:512").name
    'square-tiles:512'
    """
    kind, _, values = text.strip().lower().partition(":")
    if kind == "native" and ":" not in text:
        return View(kind, kind)
    one = kind in ("pad-square", "resize", "fit", "fit-short", "center-crop", "random-crop", "square-tiles")
    two = kind in ("resize", "fragments", "tiles")
    value = r"[1-9]\d{0,4}"
    if (one and re.fullmatch(value, values)) or (two and re.fullmatch(f"{value}x{value}", values)):
        numbers = tuple(int(v) for v in values.split("x"))
        span = numbers[0] * numbers[1] if kind == "fragments" else max(numbers)
        if span <= MAX_SIDE_PX:
            return View(f"{kind}:{values}", kind, numbers)
    raise UnknownNameError(f"no view is called {text!r}", expected="one of " + ", ".join(VIEWS))


def resize(frame_HWC: Frame, width: int, height: int) -> Frame:
    """Resize with Pillow's bicubic filter; the same array where the size is right already."""
    from PIL import Image

    if frame_HWC.shape[:2] == (height, width):
        return frame_HWC
    return np.array(Image.fromarray(frame_HWC).resize((width, height), Image.Resampling.BICUBIC))


def resize_short(frame_HWC: Frame, short_px: int) -> Frame:
    """Resize so that the short side has ``short_px`` pixels; the long side is cut to a whole number."""
    height, width = _short_size(frame_HWC, short_px)
    return resize(frame_HWC, width, height)


def _short_size(frame_HWC: Frame, short_px: int) -> tuple[int, int]:
    """Return height and width of the frame when its short side is brought to ``short_px`` pixels."""
    height, width = frame_HWC.shape[:2]
    if width <= height:
        return max(1, short_px * height // width), short_px
    return short_px, max(1, short_px * width // height)


def fit(frame_HWC: Frame, long_px: int) -> Frame:
    """Shrink so that the long side has ``long_px`` pixels; both sides are cut to whole numbers, at least 1."""
    height, width = frame_HWC.shape[:2]
    factor = long_px / max(height, width)
    if factor >= 1:
        return frame_HWC
    return resize(frame_HWC, max(1, int(width * factor)), max(1, int(height * factor)))


def fit_short(frame_HWC: Frame, short_px: int) -> Frame:
    """Shrink uint8 RGB so that the short side has at most ``short_px`` pixels."""
    if min(frame_HWC.shape[:2]) <= short_px:
        return frame_HWC
    if short_px < LEAST_OF_TORCH_PX:
        return resize_short(frame_HWC, short_px)
    import torch
    from torch.nn.functional import interpolate

    size = _short_size(frame_HWC, short_px)
    planes = torch.from_numpy(np.require(frame_HWC, requirements=["C", "W"])).permute(2, 0, 1)[None]
    shrunk = interpolate(planes, size, mode="bicubic", antialias=True)
    return np.ascontiguousarray(shrunk[0].permute(1, 2, 0).numpy())


def pad_square(frame_HWC: Frame, color: Color) -> Frame:
    """Pad to a square, the frame centred (offsets rounded down)."""
    height, width = frame_HWC.shape[:2]
    if height == width:
        return frame_HWC
    side = max(height, width)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = color
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = frame_HWC
    return square


def crop(frame_HWC: Frame, side_px: int, rng: IntegerSource | None = None) -> Frame:
    """Cut a square from the centre, or with ``rng`` from a random place; enlarge a smaller frame first."""
    if min(frame_HWC.shape[:2]) < side_px:
        frame_HWC = resize_short(frame_HWC, side_px)
    room = [frame_HWC.shape[0] - side_px, frame_HWC.shape[1] - side_px]
    top, left = (r // 2 if rng is None else int(rng.integers(0, r + 1, size=1)[0]) for r in room)
    return np.ascontiguousarray(frame_HWC[top : top + side_px, left : left + side_px])


def fragment_corners(length: int, grid: int, patch: int) -> tuple[list[int], int]:
    """Return the anchor of every cell along one side and the exclusive upper bound of the shift in a cell.

    >>> fragment_corners(540, 7, 32)
    ([0, 77, 154, 231, 308, 385, 462], 45)
    """
    cell = length // grid
    return [min(cell * i, length - patch) for i in range(grid)], max(cell - patch, 0)


def fragments(frame_HWC: Frame, grid: int, patch: int, rng: IntegerSource | None = None) -> Frame:
    """Sample raw patches on a grid (Grid Mini-patch Sampling of FAST-VQA).

    Args:
        frame_HWC: A frame whose short side is below grid × patch is first enlarged to it.
        grid: Cells per side.
        patch: Side of a patch in pixels.
        rng: Random shift in every cell; without it the patch lies in the centre of its cell.

    Returns:
        uint8, (grid·patch)² × 3.
    """
    side = grid * patch
    if min(frame_HWC.shape[:2]) < side:
        frame_HWC = resize_short(frame_HWC, side)
    tops, room_y = fragment_corners(frame_HWC.shape[0], grid, patch)
    lefts, room_x = fragment_corners(frame_HWC.shape[1], grid, patch)
    shift_y, shift_x = (_shifts(room, grid * grid, rng) for room in (room_y, room_x))
    out = np.empty((side, side, 3), np.uint8)
    for cell in range(grid * grid):
        row, column = divmod(cell, grid)
        top, left = tops[row] + shift_y[cell], lefts[column] + shift_x[cell]
        here = out[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
        here[:] = frame_HWC[top : top + patch, left : left + patch]
    return out


def _shifts(room: int, cells: int, rng: IntegerSource | None) -> list[int]:
    """Return the shift of every patch in its cell; ``room`` is exclusive, as in the original."""
    if rng is None or not room:
        return [room // 2] * cells
    return [int(shift) for shift in rng.integers(0, room, size=cells)]


def tiles(frame_HWC: Frame, rows: int, columns: int) -> list[Frame]:
    """Cut into rows × columns tiles that cover every pixel once; their sizes differ by at most one pixel."""
    height, width = frame_HWC.shape[:2]
    rows, columns = min(rows, height), min(columns, width)
    ys, xs = [height * i // rows for i in range(rows + 1)], [width * i // columns for i in range(columns + 1)]
    return [
        np.ascontiguousarray(frame_HWC[ys[r] : ys[r + 1], xs[c] : xs[c + 1]])
        for r in range(rows)
        for c in range(columns)
    ]


def square_tiles(frame_HWC: Frame, side_px: int) -> list[Frame]:
    """Cut squares of the short side, evenly spaced along the long side, and resize each.

    There are ceil(aspect − 0.05) of them, at most 4; the first and the last touch the borders.
    """
    height, width = frame_HWC.shape[:2]
    short, long = min(height, width), max(height, width)
    count = min(MAX_TILES, max(1, ceil(long / short - 0.05)))
    room = long - short
    starts = [room // 2] if count == 1 else [round(room * i / (count - 1)) for i in range(count)]
    cut = [frame_HWC[s : s + short] if height > width else frame_HWC[:, s : s + short] for s in starts]
    return [resize(np.ascontiguousarray(square), side_px, side_px) for square in cut]


_ONE: dict[str, Callable[..., Frame]] = {"fit": fit, "fit-short": fit_short}
_MANY: dict[str, Callable[..., list[Frame]]] = {"tiles": tiles, "square-tiles": square_tiles}
