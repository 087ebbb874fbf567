"""Pictures of an assessment, as PNG: a heat map over an image, a timeline of a video."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mllmqa import media
from mllmqa.asking.compose import duration_of
from mllmqa.asking.records import Box, FileEvidence, Span, TileMap
from mllmqa.data.tasks.phrases import GRID
from mllmqa.media.pixels import Frame
from mllmqa.media.views import fit

if TYPE_CHECKING:
    from mllmqa.prepare import Source

LONG_PX = 960
"""Long side of a heat map, width of a timeline."""
THUMBNAILS = 8
_PLOT_PX, _LEGEND_PX, _MARGIN_PX = 220, 34, 34
_WORST, _MIDDLE, _BEST = (178, 24, 43), (247, 221, 120), (33, 122, 75)
_INK, _SOFT, _PAPER, _SPAN = (28, 32, 36), (120, 126, 134), (255, 255, 255), (250, 214, 208)
_OPACITY = 0.42


def picture_of(source: Source, file: FileEvidence, places: tuple[Sequence[Box], Sequence[Span]]) -> bytes:
    """Return the heat map of an image or the timeline of a video, as PNG.

    Args:
        source: The file.
        file: Its readings, with tiles or frames.
        places: Boxes and spans where quality is lowest.

    Raises:
        MediaError: It cannot be decoded any more.
    """
    opened = media.open_media(source)
    if file.tiles is not None:
        return heat_map(media.decode_frames(opened).frames_THWC[0], file.tiles, places[0])
    frames = file.score.frames or ()
    times = [frame.timestamp_s for frame in frames]
    shown = [times[k] for k in _spread(len(times), THUMBNAILS)]
    pictures = media.decode_frames(opened, shown).frames_THWC
    values = [frame.value for frame in frames]
    return timeline(list(pictures), times, values, places[1], duration_of(file))


def heat_map(picture_HWC: Frame, tiles: TileMap, boxes: Sequence[Box] = ()) -> bytes:
    """Lay the scores of the tiles over a picture: red is bad, green is excellent; the worst places are framed.

    Args:
        picture_HWC: uint8 RGB.
        tiles: Scores on 1..5.
        boxes: On a scale of 0 to 1000.
    """
    from PIL import Image, ImageDraw

    small = fit(picture_HWC, LONG_PX)
    height, width = small.shape[:2]
    ys = [height * r // tiles.rows for r in range(tiles.rows + 1)]
    xs = [width * c // tiles.columns for c in range(tiles.columns + 1)]
    over = small.astype(np.float64)
    for k, value in enumerate(tiles.values):
        row, column = divmod(k, tiles.columns)
        part = over[ys[row] : ys[row + 1], xs[column] : xs[column + 1]]
        part[:] = (1 - _OPACITY) * part + _OPACITY * np.asarray(colour(value))
    canvas = Image.new("RGB", (width, height + _LEGEND_PX), _PAPER)
    canvas.paste(Image.fromarray(over.round().astype(np.uint8)), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for k, value in enumerate(tiles.values):
        row, column = divmod(k, tiles.columns)
        middle = ((xs[column] + xs[column + 1]) / 2, (ys[row] + ys[row + 1]) / 2)
        _text(draw, middle, f"{value:.1f}", 15, anchor="mm", halo=True)
    for box in boxes:
        corners = [round(x * side / GRID) for x, side in zip(box, (width, height, width, height), strict=True)]
        draw.rectangle((corners[0], corners[1], corners[2] - 1, corners[3] - 1), outline=_WORST, width=3)
    _legend(draw, width, height)
    return _png(canvas)


def timeline(
    pictures: Sequence[Frame], times_s: Sequence[float], values: Sequence[float], spans: Sequence[Span],
    duration_s: float,
) -> bytes:  # fmt: skip
    """Draw the scores of a video's frames over time, under some of its frames; the worst spans are shaded.

    Args:
        pictures: uint8 RGB, evenly spread over the frames.
        times_s: When each scored frame is shown.
        values: Its score, 1..5.
        spans: Where quality is lowest, in seconds.
        duration_s: Of the video.
    """
    from PIL import Image, ImageDraw

    each = (LONG_PX - 2 * _MARGIN_PX) // max(1, len(pictures))
    small = [fit(picture, each - 4) for picture in pictures]
    top = max(p.shape[0] for p in small) + 16
    canvas = Image.new("RGB", (LONG_PX, top + _PLOT_PX + _MARGIN_PX), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for k, picture in enumerate(small):
        canvas.paste(Image.fromarray(picture), (_MARGIN_PX + k * each, 8))
    length = max(duration_s, *times_s, 1e-6)

    def x_of(time_s: float) -> float:
        return _MARGIN_PX + (LONG_PX - 2 * _MARGIN_PX) * time_s / length

    def y_of(value: float) -> float:
        return float(top + _PLOT_PX - 12 - (_PLOT_PX - 24) * (value - 1) / 4)

    for start, end in spans:
        draw.rectangle((x_of(start), y_of(5), x_of(end), y_of(1)), fill=_SPAN)
    for level in range(1, 6):
        draw.line((_MARGIN_PX, y_of(level), LONG_PX - _MARGIN_PX, y_of(level)), fill=(222, 225, 230))
        _text(draw, (_MARGIN_PX - 8, y_of(level)), str(level), 13, anchor="rm", fill=_SOFT)
    points = [(x_of(t), y_of(v)) for t, v in zip(times_s, values, strict=True)]
    if len(points) > 1:
        draw.line(points, fill=_SOFT, width=2)
    for (x, y), value in zip(points, values, strict=True):
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour(value), outline=_INK)
    for tick in np.linspace(0, length, 6):
        _text(draw, (x_of(float(tick)), top + _PLOT_PX + 4), f"{tick:.1f} s", 13, anchor="ma", fill=_SOFT)
    return _png(canvas)


def colour(value: float) -> tuple[int, int, int]:
    """Return the colour of a score: from red (1) over yellow (3) to green (5)."""
    share = min(1.0, max(0.0, (value - 1) / 4))
    low, high, at = (_WORST, _MIDDLE, 2 * share) if share < 0.5 else (_MIDDLE, _BEST, 2 * share - 1)
    red, green, blue = (round(a + (b - a) * at) for a, b in zip(low, high, strict=True))
    return red, green, blue


def _legend(draw: Any, width: int, height: int) -> None:
    bar = min(240, width // 2)
    for x in range(bar):
        draw.line((8 + x, height + 8, 8 + x, height + 18), fill=colour(1 + 4 * x / max(1, bar - 1)))
    _text(draw, (8, height + 19), "1 bad", 12, anchor="la", fill=_SOFT)
    _text(draw, (8 + bar, height + 19), "5 excellent", 12, anchor="ra", fill=_SOFT)


def _text(draw: Any, at: tuple[float, float], text: str, size: int, **how: Any) -> None:
    from PIL import ImageFont

    halo = {"stroke_width": 2, "stroke_fill": _PAPER} if how.pop("halo", False) else {}
    draw.text(at, text, font=ImageFont.load_default(size=size), **{"fill": _INK, **halo, **how})


def _spread(count: int, most: int) -> list[int]:
    """Return at most so many numbers below ``count``, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def _png(canvas: Any) -> bytes:
    out = io.BytesIO()
    canvas.save(out, "PNG", optimize=True)
    return out.getvalue()
