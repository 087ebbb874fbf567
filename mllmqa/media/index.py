"""When the frames of a video appear, by demultiplexing; of the pictures only the first is decoded.

Times are presentation times in seconds, counted from the start of the container, so the first frame of a
video whose sound starts earlier is later than 0. Packets outside an edit list are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mllmqa.errors import MediaCorruptError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

EPSILON_S = 1e-6


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video in presentation order.

    Attributes:
        timestamps_s: float64, N ≥ 1 values, ascending.
        keyframes: bool, N values: decoding can start here.
        fps: Average frames per second; None where there is only one frame without a rate.
        duration_s: End of the last frame.
        pts: int64, N presentation stamps in units of the container, or None where frames are to be counted:
            raw streams (whose times are number ÷ fps) and AVI.
    """

    timestamps_s: NDArray[np.float64]
    keyframes: NDArray[np.bool_]
    fps: float | None
    duration_s: float
    pts: NDArray[np.int64] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.timestamps_s)

    def at(self, timestamp_s: float) -> int:
        """Return the number of the frame shown at a time: the last with time stamp ≤ t, else the first."""
        found = int(np.searchsorted(self.timestamps_s, timestamp_s + EPSILON_S, side="right")) - 1
        return max(found, 0)


@dataclass
class _Packets:
    """What the packets of the video stream tell, in stored order."""

    pts: list[int | None] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    n_read: int = 0
    last_is_corrupt: bool = False
    first: VideoFrame | None = None


def decoded(packet: Packet[VideoStream]) -> tuple[list[VideoFrame], bool]:
    """Decode one packet; the flag is True where the decoder refused it."""
    from av.error import FFmpegError

    try:
        return packet.decode(), False
    except FFmpegError:
        return [], True


def _scan(container: InputContainer, stream: VideoStream) -> _Packets:
    """Read all packets; decode until the first frame is out: what it is, only it can tell for sure."""
    from av.error import FFmpegError

    found = _Packets()
    stream.thread_type = "NONE"
    try:
        for packet in container.demux(stream):
            if found.first is None:
                frames, _ = decoded(packet)
                found.first = frames[0] if frames else None
            if not packet.size:
                continue
            found.n_read, found.last_is_corrupt = found.n_read + 1, packet.is_corrupt
            if packet.is_discard or _is_hidden(packet, stream.codec_context.name):
                continue
            found.pts.append(packet.pts)
            found.keys.append(packet.is_keyframe)
            found.durations.append(packet.duration or 0)
    except FFmpegError:
        found.last_is_corrupt = True
    return found


def _is_hidden(packet: Packet[VideoStream], codec: str) -> bool:
    """Tell the reference frames of VP8 that are never shown: bit 4 of the frame tag is 0."""
    return codec == "vp8" and not (bytes(packet)[0] >> 4) & 1


def _is_cut_off(container: InputContainer, stream: VideoStream, packets: _Packets, end_s: float) -> bool:
    """Tell whether the file ends before what its header promises."""
    if packets.last_is_corrupt:
        return True
    names = container.format.name.split(",")
    if "mov" in names or "avi" in names:
        return packets.n_read < len(stream.index_entries)
    declared_s = (container.duration or 0) / 1e6
    end_s += max(0, container.start_time or 0) / 1e6
    if "matroska" not in names or end_s > declared_s - max(0.5, 0.02 * declared_s):
        return False
    return _end_of_all_streams_s(container) < declared_s - max(0.5, 0.02 * declared_s)


def _end_of_all_streams_s(container: InputContainer) -> float:
    """Return the end of the longest stream, counted from 0 as Matroska's declared duration is."""
    end = 0.0
    container.seek(0)
    for packet in container.demux():
        if packet.pts is not None and packet.time_base is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return end


def build_index(
    container: InputContainer, stream: VideoStream, name: str, *, is_short: bool = False
) -> tuple[VideoIndex, VideoFrame]:
    """Index a freshly opened container and return its first frame with it.

    Packets before the first frame that the decoder gives (a stream that starts between key frames) are left
    out: they are never shown.

    Args:
        container: At its start.
        stream: The video stream to index.
        name: For messages.
        is_short: The file is known to have fewer bytes than its header says.

    Raises:
        MediaCorruptError: No frame can be decoded, or the file is cut off in the middle.
    """
    packets = _scan(container, stream)
    if not packets.pts or packets.first is None:
        raise MediaCorruptError("no frame can be decoded", where=name, expected="a complete video")
    index = _by_count(packets, stream.average_rate or stream.base_rate)
    if None not in packets.pts:
        avi = container.format.name == "avi"  # its stamps are in stored order: only their set is right
        index = _by_pts(packets, stream, container.start_time, None if avi else packets.first.pts)
        index = replace(index, pts=None) if avi else index
    if is_short or _is_cut_off(container, stream, packets, index.duration_s):
        declared = len(stream.index_entries) or stream.frames
        of = f" of {declared}" if declared > len(index) else ""
        raise MediaCorruptError(
            f"is cut off in the middle: {len(index)}{of} frames are readable",
            where=name,
            expected="a complete file",
        )
    return index, packets.first


def _by_count(packets: _Packets, rate: Fraction | None) -> VideoIndex:
    n, fps = len(packets.pts), float(rate or 25)
    keys = np.array(packets.keys)
    return VideoIndex(np.arange(n) / fps, keys, fps, n / fps)


def _by_pts(packets: _Packets, stream: VideoStream, start_us: int | None, first_pts: int | None) -> VideoIndex:
    pts = np.array(packets.pts, np.int64)
    order = np.argsort(pts, kind="stable")
    shown = order[pts[order] >= first_pts] if first_pts is not None else order
    shown = shown if len(shown) else order
    base = stream.time_base or Fraction(1, 90_000)
    stamps = pts[shown]
    seconds = stamps.astype(np.float64) * float(base)
    seconds = seconds - _start_s(seconds[0], start_us)
    last_s = packets.durations[shown[-1]] * float(base)
    fps = float(stream.average_rate) if stream.average_rate else None
    if not fps and len(stamps) > 1 and seconds[-1] > seconds[0]:
        fps = float((len(stamps) - 1) / (seconds[-1] - seconds[0]))
    end = float(seconds[-1]) + (last_s or (1 / fps if fps else 0.0))
    return VideoIndex(seconds, np.array(packets.keys)[shown], fps, end, stamps)


def _start_s(first_s: float, start_us: int | None) -> float:
    """Return the time that counts as 0: the start of the container, whose value is rounded to µs.

    A negative start is the run-up of a sound codec and does not count, unless the video is there as well.
    """
    start = first_s if start_us is None else start_us / 1e6
    start = max(start, min(0.0, first_s))
    return first_s if abs(first_s - start) < 1e-3 else start


def index_of_times(starts_s: Any, duration_s: float) -> VideoIndex:
    """Return the index of frames that can all be reached directly (animated pictures, arrays)."""
    times = np.asarray(starts_s, np.float64)
    fps = len(times) / duration_s if duration_s > 0 else None
    return VideoIndex(times, np.ones(len(times), np.bool_), fps, float(duration_s))
