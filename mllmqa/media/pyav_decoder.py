"""The required video decoder: PyAV with as few seeks and as few decoded frames as exactness allows.

A seek happens only when a key frame lies between the current place and the wanted frame; otherwise decoding
goes on. After a seek the key frame itself must show up before the wanted frame; if it does not (inexact
index), the file is decoded from its start instead. Containers without an index are never seeked.
Before the first seek the first frame is decoded: only there do x264 and others write their version, by which
FFmpeg decodes what old versions wrote against the standard (4:4:4 by x264 before build 151 turns green else).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import MediaCorruptError
from mllmqa.media import container as containers
from mllmqa.media.index import VideoIndex, decoded
from mllmqa.media.pixels import Color, Frame, flatten_alpha, upright
from mllmqa.media.probe import OpenMedia, encoded_bytes, video_index

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

SEEKABLE = ("mov", "mp4", "matroska", "webm")
MAX_REORDER = 16
_ALPHA = ("yuva", "rgba", "argb", "bgra", "abgr", "ya8", "ya16", "gbrap")


class _SeekMissed(Exception):
    """The key frame that was asked for did not come first."""


def decode_with_pyav(
    media: OpenMedia, wanted: Sequence[int], *, background: Color, threads: int
) -> Iterator[tuple[int, Frame]]:
    """Decode frames by number.

    Args:
        media: A video in a container.
        wanted: Frame numbers of ``media.index``, ascending, without repetition.
        background: Laid under transparent pixels.
        threads: Of the decoder.

    Yields:
        Number of the frame shown (one less than wanted where a packet has no picture of its own) and
        uint8 HWC RGB, upright.

    Raises:
        MediaCorruptError: A wanted frame cannot be decoded.
    """
    from av.error import FFmpegError
    from av.video.reformatter import VideoReformatter

    index = video_index(media)
    reformatter, done = VideoReformatter(), 0
    seek = media.info.format in SEEKABLE
    while done < len(wanted):
        try:
            for number, frame in _shown(media, index, wanted[done:], seek, threads):
                done += 1
                yield number, to_rgb(frame, reformatter, background)
        except _SeekMissed:
            seek = False
            continue
        except FFmpegError as error:
            raise _undecodable(media, done, len(wanted)) from error
        if done < len(wanted):
            raise _undecodable(media, done, len(wanted))


def _undecodable(media: OpenMedia, done: int, count: int) -> MediaCorruptError:
    return MediaCorruptError(
        f"{done} of {count} wanted frames could be decoded, the next one is broken or missing",
        where=media.info.name,
        expected="a complete video",
    )


def to_rgb(frame: VideoFrame, reformatter: VideoReformatter, background: Color) -> Frame:
    """Convert a decoded frame to upright RGB.

    Matrix and range follow the tags of the frame (no tag: BT.601, limited, as swscale and decord do for
    every size). Chroma is upsampled by swscale's bicubic filter. HDR values are not tone-mapped.

    Returns:
        uint8 HWC.
    """
    from av.video.reformatter import Interpolation

    alpha = frame.format.name.startswith(_ALPHA)
    converted = reformatter.reformat(
        frame, format="rgba" if alpha else "rgb24", interpolation=Interpolation.BICUBIC, threads=1
    )
    pixels = cast("Frame", converted.to_ndarray())
    if alpha:
        pixels = flatten_alpha(pixels, background)
    return upright(pixels, containers.orientation_of_frame(frame))


def _shown(
    media: OpenMedia, index: VideoIndex, wanted: Sequence[int], seek: bool, threads: int
) -> Iterator[tuple[int, VideoFrame]]:
    with containers.open_container(encoded_bytes(media)) as container:
        stream = containers.video_stream(container, media.info.name)
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        if index.pts is None:
            yield from _by_count(container, stream, wanted)
        else:
            yield from _Walk(container, stream, index.pts, index.keyframes, threads + 1 if seek else None).frames(
                wanted
            )


def _by_count(
    container: InputContainer, stream: VideoStream, wanted: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """Count frames, in containers without presentation times."""
    left, number = list(wanted), 0
    for packet in container.demux(stream):
        frames, failed = decoded(packet)
        if failed:
            return
        for frame in frames:
            if left and number == left[0]:
                yield left.pop(0), frame
            number += 1
        if not left:
            return


class _Walk:
    """One pass through a container, forwards, with seeks where they pay."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        pts: NDArray[np.int64],
        keyframes: NDArray[np.bool_],
        worth_it: int | None,
    ) -> None:
        self.container, self.stream = container, stream
        self.pts = pts
        self.key_numbers = np.flatnonzero(keyframes)
        self.worth_it = worth_it
        """Frames to be skipped before a seek pays (it empties the decoder's threads); None for never."""
        self.awaited: int | None = None
        self.failed = False

    def frames(self, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yield the wanted frames; end early when one cannot be had."""
        seen: dict[int, VideoFrame] = {}
        first = self._seek_before(wanted[0], -1)
        if first is not None:
            next(self._decoded(None), None)  # the decoder learns there which encoder it was: see the module
        stream = self._decoded(first)
        for place, number in enumerate(wanted):
            target = int(self.pts[number])
            key = self._seek_before(number, wanted[place - 1]) if place else None
            if key is not None:
                stream, seen = self._decoded(key), {}
            self._read_until(target, stream, seen)
            if self.awaited is not None:
                raise _SeekMissed
            shown = max((pts for pts in seen if pts <= target), default=None)
            if shown is None:
                return
            shown_number = number if shown == target else self._substitute(number, shown)
            if shown_number < 0:
                return
            yield shown_number, seen[shown]

    def _read_until(self, target: int, stream: Iterator[VideoFrame], seen: dict[int, VideoFrame]) -> None:
        """Decode until the wanted frame is seen, or surely will not come.

        Decoders may let a few frames out too early until they know the depth of reordering, so up to 16 later
        frames (the limit of H.264 and HEVC) are looked at. Of earlier frames only the last is kept.
        """
        later = sum(pts > target for pts in seen)
        while target not in seen and later <= MAX_REORDER:
            frame = next(stream, None)
            if frame is None or frame.pts is None:
                break
            later += frame.pts > target
            seen[frame.pts] = frame
            for old in sorted(pts for pts in seen if pts <= target)[:-1]:
                del seen[old]

    def _substitute(self, number: int, shown_pts: int) -> int:
        """Return the number before, if that frame is what the decoder shows instead, else -1.

        Some streams have packets without a picture of their own (second fields, hidden frames). A decoder
        error on the way means that the frame was there and is lost.
        """
        allowed = not self.failed and number > 0 and shown_pts == self.pts[number - 1]
        return number - 1 if allowed else -1

    def _seek_before(self, number: int, current: int) -> int | None:
        """Return the stamp of the key frame to seek to, or None to go on decoding."""
        if self.worth_it is None:
            return None
        place = int(np.searchsorted(self.key_numbers, number, side="right")) - 1
        if place < 0 or self.key_numbers[place] <= current + self.worth_it:
            return None
        return int(self.pts[self.key_numbers[place]])

    def _decoded(self, key: int | None) -> Iterator[VideoFrame]:
        """Yield frames with presentation stamps, from a key frame on or from where the container stands."""
        self.awaited, self.failed = key, False
        if key is not None:
            self.container.seek(key, stream=self.stream)
        for packet in self.container.demux(self.stream):
            frames, failed = decoded(packet)
            self.failed |= failed
            for frame in frames:
                if frame.pts is None:
                    continue
                if frame.pts == self.awaited:
                    self.awaited = None
                yield frame
