"""What a model in training is shown of a medium: the views and frames that it will be shown when it scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mllmqa import media
from mllmqa.data.sample import Medium, Sample, path_of
from mllmqa.errors import DataError, MediaFormatError, MediaLimitError, UsageError
from mllmqa.models.base import Clip, ImageHWC
from mllmqa.models.presets import Preset
from mllmqa.prepare import CHUNK_BYTES, MAX_VIEW_BYTES

CUTTING = frozenset({"tiles", "square-tiles"})
"""Kinds of views that give several pictures of one."""


@dataclass(frozen=True)
class Look:
    """How media are looked at.

    Attributes:
        view: Of pictures.
        video_view: Of frames.
        rule: Which frames.
        native: Whether the model has a video input of its own; else frames are pictures of one prompt.
        slices: Whether slices of the whole clip stand behind its frames.
    """

    view: media.View
    video_view: media.View
    rule: media.FrameRule
    native: bool
    slices: bool = False

    @classmethod
    def of(cls, preset: Preset, native_video: bool, *, view: str | None = None, frames: str | None = None) -> Look:
        """Resolve the wishes of a stage against a preset.

        A preset that scores frame by frame learns from clips with the frames in one prompt.

        Raises:
            UnknownNameError: Unknown view or frame rule.
            UsageError: The preset wants a video input that the model does not have.
        """
        if preset.video.mode == "native" and not native_video:
            raise UsageError("the preset wants the model's own video input, but it has none", where=preset.name)
        native = native_video and preset.video.mode in ("native", "auto")
        of_pictures = media.parse_view(view or preset.view)
        of_frames = media.parse_view(view or preset.video.view or preset.view)
        rule = media.parse_rule(frames or preset.video.frames)
        slices = preset.video.slices and not native
        return cls(of_pictures, of_frames, rule, native, slices)

    def check_clips(self) -> None:
        """Raise a UsageError where clips cannot be shown: a video input takes whole frames only."""
        if self.native and self.video_view.kind in CUTTING:
            raise UsageError(
                f"the view {self.video_view.name} cuts frames into parts, which a video input cannot take",
                hint="choose another with `view`",
            )


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
        UsageError: See :meth:`Look.check_clips`.
    """
    opened = media.open_media(path, name=str(path))
    if opened.info.kind != medium.kind:
        raise MediaFormatError(
            f"its content is of the kind {opened.info.kind} ({opened.info.format})",
            where=path,
            expected=medium.kind,
        )
    if medium.kind == "image":
        shown = media.decode_frames(opened, background=look.view.pad_color)
        return Shown(tuple(look.view(shown.frames_THWC[0], chance)))
    look.check_clips()
    index = _within(media.video_index(opened), medium, path)
    views, times = _frames(opened, look.rule.times(index, chance), look, chance)
    if look.slices:
        views += media.slice_pictures(opened, index)
    return Shown(tuple(views), Clip(tuple(times), index.duration_s) if look.native else None)


def show_all(
    sample: Sample, folder: Path, look: Look, chance: Callable[[str], np.random.Generator]
) -> dict[str, Shown]:
    """Return what is shown of each medium that the messages of a sample show, by its key.

    Args:
        sample: Paths of its media are relative to ``folder``.
        folder: Of the sample file.
        look: How media are looked at.
        chance: Key of a medium → its stream for random views and frame rules.

    Raises:
        DataError: A medium has no path.
        MediaError: One cannot be used.
    """
    used = [p.media for m in sample.messages for p in m.content if p.media is not None]
    seen: dict[str, Shown] = {}
    for key in dict.fromkeys(used):
        medium = sample.medium(key)
        path = path_of(medium, folder)
        if path is None:
            raise DataError(f"medium {key} has no path", where=f"sample {sample.id}")
        seen[key] = show(medium, path, look, chance(key))
    return seen


def tags_of(seen: Mapping[str, Shown]) -> dict[str, tuple[str, ...]]:
    """Return what stands for each medium in a conversation: ``video``, or ``image`` for each of its pictures."""
    return {key: ("video",) if one.clip else ("image",) * len(one.images) for key, one in seen.items()}


def _frames(
    opened: media.OpenMedia, wanted: tuple[float, ...], look: Look, chance: np.random.Generator
) -> tuple[list[ImageHWC], list[float]]:
    """Decode some frames at a time and keep only what is seen of them, as scoring does."""
    views: list[ImageHWC] = []
    times: list[float] = []
    step = max(1, CHUNK_BYTES // (3 * opened.info.width * opened.info.height))
    for start in range(0, len(wanted), step):
        frames = media.decode_frames(opened, wanted[start : start + step], background=look.video_view.pad_color)
        views += [image.copy() for frame in frames.frames_THWC for image in look.video_view(frame, chance)]
        times += frames.timestamps_s
        if sum(image.nbytes for image in views) > MAX_VIEW_BYTES:
            raise MediaLimitError(
                f"the frame rule {look.rule.name} takes {len(wanted)} frames, too many for {look.video_view.name}",
                where=opened.info.name, expected=f"views of at most {MAX_VIEW_BYTES >> 20} MiB in total",
                hint="use a rule with fewer frames, e.g. frames=uniform:32",
            )  # fmt: skip
    return views, times


def _within(index: media.VideoIndex, medium: Medium, path: Path) -> media.VideoIndex:
    """Keep the frames of the part that is meant; it ends where the part ends. Times stay those of the file."""
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
        duration_s=min(index.duration_s, end_s),
        pts=None if index.pts is None else index.pts[inside],
    )
