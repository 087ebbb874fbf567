"""What a model in training is shown of a medium: the views and frames that it will be shown when it scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mllmqa import media
from mllmqa.data.sample import Medium
from mllmqa.errors import MediaFormatError, UsageError
from mllmqa.models.base import Clip, ImageHWC
from mllmqa.models.presets import Preset


@dataclass(frozen=True)
class Look:
    """How media are looked at.

    Attributes:
        view: Of pictures.
        video_view: Of frames.
        rule: Which frames.
        native: Whether the model has a video input of its own; else frames are pictures of one prompt.
    """

    view: media.View
    video_view: media.View
    rule: media.FrameRule
    native: bool

    @classmethod
    def of(cls, preset: Preset, native_video: bool, *, view: str | None = None, frames: str | None = None) -> Look:
        """Resolve the wishes of a stage against a preset.

        A preset that scores frame by frame learns from clips with the frames in one prompt.

        Raises:
            UnknownNameError: Unknown view or frame rule.
            UsageError: The preset wants a video input that the model does not have, or cannot take the view.
        """
        if preset.video.mode == "native" and not native_video:
            raise UsageError("the preset wants the model's own video input, but it has none", where=preset.name)
        native = native_video and preset.video.mode in ("native", "auto")
        of_pictures = media.parse_view(view or preset.view)
        of_frames = media.parse_view(view or preset.video.view or preset.view)
        for one in (of_pictures, of_frames):
            if preset.views is not None and one.name not in preset.views:
                raise UsageError(
                    f"{preset.name} cannot take the view {one.name}", expected=" | ".join(preset.views)
                )
        return cls(of_pictures, of_frames, media.parse_rule(frames or preset.video.frames), native)


@dataclass(frozen=True)
class Shown:
    """One medium as the model sees it.

    Attributes:
        images: Views, uint8 RGB (H, W, 3): of the picture, or of the frames in order.
        clip: Given when they are frames for the model's own video input.
    """

    images: tuple[ImageHWC, ...]
    clip: Clip | None = None


def show(medium: Medium, path: Path, look: Look, chance: np.random.Generator) -> Shown:
    """Open, decode and view one medium.

    Args:
        medium: Its kind must be that of the file; with ``span_s`` only frames of that part are shown.
        path: The file.
        look: How.
        chance: For random views and frame rules.

    Raises:
        MediaError: It cannot be used.
    """
    opened = media.open_media(path, name=str(path))
    if opened.info.kind != medium.kind:
        raise MediaFormatError(
            f"its content is of the kind {opened.info.kind} ({opened.info.format})", where=path, expected=medium.kind
        )
    if medium.kind == "image":
        shown = media.decode_frames(opened, background=look.view.pad_color)
        return Shown(tuple(look.view(shown.frames_THWC[0], chance)))
    index = _within(media.video_index(opened), medium, path)
    times = look.rule.times(index, chance)
    frames = media.decode_frames(opened, times, background=look.video_view.pad_color)
    views = [tuple(look.video_view(frame, chance)) for frame in frames.frames_THWC]
    images = tuple(image for view in views for image in view)
    if not look.native:
        return Shown(images)
    if len(images) != len(views):
        raise UsageError(f"the view {look.video_view.name} cuts frames into parts, which a video input cannot take")
    return Shown(images, Clip(frames.timestamps_s, index.duration_s))


def _within(index: media.VideoIndex, medium: Medium, path: Path) -> media.VideoIndex:
    """Keep the frames of the part that is meant."""
    if medium.span_s is None:
        return index
    start_s, end_s = medium.span_s
    inside = (index.timestamps_s >= start_s) & (index.timestamps_s < end_s)
    if not inside.any():
        raise MediaFormatError(f"has no frame from {start_s:g} to {end_s:g} s", where=path)
    return replace(
        index,
        timestamps_s=index.timestamps_s[inside],
        keyframes=index.keyframes[inside],
        pts=None if index.pts is None else index.pts[inside],
    )
