"""Opening video containers with PyAV, from bytes alone, with a fixed list of formats and no network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from mllmqa.errors import MediaCorruptError, MediaError, MediaFormatError
from mllmqa.media.index import VideoIndex, build_index
from mllmqa.media.pixels import orientation_of_matrix
from mllmqa.media.source import Encoded, Limits

if TYPE_CHECKING:
    from av.buffer import Buffer
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

CONTAINERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,ivf,h264,hevc,m4v,obu,av1,mxf,nut,"
    "yuv4mpegpipe,dv,wtv,rm,vc1,h261,h263"
)
"""Formats of libav that may be opened. Play lists (HLS, DASH, concat) are left out: they open other files."""

HDR_TRANSFER = {16: "PQ", 18: "HLG"}


@dataclass(frozen=True)
class VideoHead:
    """What is known of a video stream. Width and height are as stored."""

    format: str
    codec: str
    pixel_format: str
    width: int
    height: int
    orientation: int
    index: VideoIndex


@contextmanager
def open_container(encoded: Encoded) -> Iterator[InputContainer]:
    """Open a container.

    Raises:
        av.error.FFmpegError: Not a container that libav knows.
        MediaError: The file cannot be opened.
    """
    import av

    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": ""}
    with (
        encoded.open() as file,
        av.open(file, options=options, metadata_errors="replace", buffer_size=1 << 17) as container,
    ):
        yield cast("InputContainer", container)


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the first video stream that is not a cover picture.

    Raises:
        MediaFormatError: There is none.
    """
    from av.stream import Disposition

    for stream in container.streams.video:
        if stream.codec_context is None:
            raise MediaFormatError("has a video stream in an unknown codec", where=name)
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise MediaFormatError(
        "has no video stream" + (", only sound" if container.streams.audio else ""),
        where=name,
        expected="an image or a video",
    )


def orientation_of_frame(frame: VideoFrame) -> int:
    """Return the EXIF orientation that the display matrix of a frame amounts to."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return 1 if matrix is None else orientation_of_matrix(bytes(cast("Buffer", matrix)))


def inspect(encoded: Encoded, limits: Limits, known: str | None) -> VideoHead:
    """Open a video, decode its first frame and index it, in one pass.

    Args:
        encoded: The bytes.
        limits: Checked before a frame is decoded.
        known: Name of the format if the first bytes tell one; decides between corrupt and unknown.

    Raises:
        MediaError: Not a video, broken, cut off, or beyond the limits.
    """
    from av.error import FFmpegError

    try:
        with open_container(encoded) as container:
            stream = video_stream(container, encoded.name)
            if stream.codec_context.width and stream.codec_context.height:
                limits.check(stream.codec_context.width, stream.codec_context.height, encoded.name)
            index, frame = build_index(container, stream, encoded.name, is_short=_riff_is_short(encoded))
            head = _head(container, stream, frame)
        limits.check(frame.width, frame.height, encoded.name)
        return VideoHead(*head, frame.width, frame.height, orientation_of_frame(frame), index)
    except (FFmpegError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise _unreadable(encoded.name, known, error) from error


def _riff_is_short(encoded: Encoded) -> bool:
    """Tell whether an AVI file has fewer bytes than its first RIFF chunk says (0: written live, unknown)."""
    declared = int.from_bytes(encoded.head[4:8], "little") if encoded.head[:4] == b"RIFF" else 0
    return declared not in (0, 0xFFFFFFFF) and declared + 8 > encoded.size_bytes


def _head(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> tuple[str, str, str]:
    names = container.format.name.split(",")
    brand = container.metadata.get("major_brand", "")
    family = {"mov": "mov" if brand.startswith("qt") else "mp4", "matroska": "matroska"}.get(names[0], names[0])
    notes = []
    if int(frame.color_range) == 2 or "yuvj" in frame.format.name:
        notes.append("full range")
    if int(frame.color_trc) in HDR_TRANSFER:
        notes.append(f"HDR {HDR_TRANSFER[int(frame.color_trc)]}, not tone-mapped")
    pixel_format = frame.format.name + (f" ({', '.join(notes)})" if notes else "")
    return family, stream.codec_context.codec.canonical_name, pixel_format


def _unreadable(name: str, known: str | None, error: Exception) -> MediaError:
    if known is None:
        return MediaFormatError("is neither an image nor a video that mllmqa reads", where=name)
    reason = getattr(error, "strerror", None) or str(error)
    return MediaCorruptError(
        f"is a broken or cut-off {known} file ({reason})", where=name, expected="a complete file"
    )
