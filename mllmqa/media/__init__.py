"""Media: open, index, sample, decode, view. Heavy libraries are imported on first use.

>>> from mllmqa.media import decode_frames, open_media, parse_rule    # doctest: +SKIP
>>> media = open_media("clip.mp4")                                    # doctest: +SKIP
>>> times = parse_rule("uniform:8").times(media.index)                # doctest: +SKIP
>>> decode_frames(media, times).frames_THWC.shape                     # doctest: +SKIP
(8, 1080, 1920, 3)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mllmqa.media.gather import Item, gather

if TYPE_CHECKING:
    from mllmqa.media.decode import DECODERS, Frames, decode_frames, decode_image
    from mllmqa.media.index import VideoIndex
    from mllmqa.media.pixels import MEAN_COLOR
    from mllmqa.media.probe import OpenMedia, open_media, video_index
    from mllmqa.media.sample import FrameRule, parse_rule
    from mllmqa.media.slices import slice_pictures
    from mllmqa.media.source import DEFAULT_LIMITS, Limits
    from mllmqa.media.views import View, parse_view

__all__ = [
    "DECODERS",
    "DEFAULT_LIMITS",
    "MEAN_COLOR",
    "FrameRule",
    "Frames",
    "Item",
    "Limits",
    "OpenMedia",
    "VideoIndex",
    "View",
    "decode_frames",
    "decode_image",
    "gather",
    "open_media",
    "parse_rule",
    "parse_view",
    "slice_pictures",
    "video_index",
]

_HOME = {
    "DECODERS": "decode",
    "DEFAULT_LIMITS": "source",
    "MEAN_COLOR": "pixels",
    "FrameRule": "sample",
    "Frames": "decode",
    "Limits": "source",
    "OpenMedia": "probe",
    "VideoIndex": "index",
    "View": "views",
    "decode_frames": "decode",
    "decode_image": "decode",
    "open_media": "probe",
    "parse_rule": "sample",
    "parse_view": "views",
    "slice_pictures": "slices",
    "video_index": "probe",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name in _HOME:
        return getattr(import_module(f"mllmqa.media.{_HOME[name]}"), name)
    raise AttributeError(f"module 'mllmqa.media' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
