"""torchcodec and decord, for those who ask for them by name. Both must agree with our index, or they refuse."""

from __future__ import annotations

import io
from importlib.metadata import version
from typing import Any, cast

import numpy as np

from mllmqa.errors import MediaCorruptError, MediaError, MediaFormatError, MissingExtraError
from mllmqa.media.pixels import Frame
from mllmqa.media.probe import OpenMedia, encoded_bytes, video_index

TOLERANCE_S = 2e-3
DECORD_FORMATS = ("mp4", "mov", "matroska", "webm", "avi")
"""In others, transport streams for one, decord 0.6 fills in neighbouring frames without an error."""


def torchcodec_name() -> str:
    """Return name and version as they stand in results."""
    return f"torchcodec {version('torchcodec')}"


def decord_name() -> str:
    """Return name and version as they stand in results."""
    return f"decord {version('decord')}"


def torchcodec_loads() -> bool:
    """Tell whether torchcodec is installed and finds the shared libraries of FFmpeg."""
    try:
        from torchcodec.decoders import VideoDecoder  # noqa: F401
    except (ImportError, RuntimeError, OSError):
        return False
    return True


def decode_with_torchcodec(media: OpenMedia, wanted: list[int], threads: int) -> Frame:
    """Decode frames by number with torchcodec in its exact mode.

    Returns:
        uint8 THWC.

    Raises:
        MissingExtraError: torchcodec is not installed or does not load.
        MediaError: It cannot decode the file, or counts other frames than the index.
    """
    if not torchcodec_loads():
        raise MissingExtraError("torchcodec", extra="torchcodec", purpose="decoding with torchcodec")
    from torchcodec.decoders import VideoDecoder

    encoded = encoded_bytes(media)
    source = encoded.path or encoded.data
    try:
        decoder = VideoDecoder(source, dimension_order="NHWC", num_ffmpeg_threads=threads, seek_mode="exact")
        _check_count("torchcodec", len(decoder), media)
        batch = decoder.get_frames_at(indices=wanted)
    except (RuntimeError, ValueError, IndexError, OSError) as error:
        raise _failed("torchcodec", media) from error
    _check_times("torchcodec", batch.pts_seconds.numpy(), wanted, media)
    return _checked_shape("torchcodec", batch.data.numpy(), media)


def decode_with_decord(media: OpenMedia, wanted: list[int], threads: int) -> Frame:
    """Decode frames by number with decord.

    Returns:
        uint8 THWC.

    Raises:
        MissingExtraError: decord is not installed or does not load.
        MediaError: It cannot decode the file, or counts other frames than the index.
    """
    try:
        import decord
    except (ImportError, OSError) as error:
        raise MissingExtraError("decord", extra="decord", purpose="decoding with decord") from error

    encoded = encoded_bytes(media)
    if media.info.format not in DECORD_FORMATS:
        raise MediaFormatError(
            f"decord is not exact on {media.info.format} files", where=media.info.name, hint="use the decoder auto"
        )
    decord.logging.set_level(decord.logging.QUIET)
    source: Any = encoded.path or io.BytesIO(encoded.data or b"")
    try:
        reader = decord.VideoReader(source, num_threads=threads)
        _check_count("decord", len(reader), media)
        times = reader.get_frame_timestamp(range(len(reader)))[:, 0]
        frames = reader.get_batch(wanted).asnumpy()
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise _failed("decord", media) from error
    _check_times("decord", times[wanted], wanted, media)
    return _checked_shape("decord", frames, media)


def _check_count(decoder: str, count: int, media: OpenMedia) -> None:
    shown = len(video_index(media))
    if count != shown:
        raise MediaFormatError(
            f"{decoder} counts {count} frames where {shown} are shown",
            where=media.info.name,
            hint="use the decoder auto",
        )


def _check_times(decoder: str, found_s: Any, wanted: list[int], media: OpenMedia) -> None:
    """Compare the times between frames; their common offset is a matter of convention."""
    expected = video_index(media).timestamps_s[wanted]
    shift = np.asarray(found_s, np.float64) - expected
    if np.abs(shift - shift[0]).max() > TOLERANCE_S:
        raise MediaFormatError(
            f"{decoder} gives frames at other times than the file states",
            where=media.info.name,
            hint="use the decoder auto",
        )


def _checked_shape(decoder: str, frames: Any, media: OpenMedia) -> Frame:
    if frames.shape[1:] != (media.info.height, media.info.width, 3):
        raise MediaFormatError(
            f"{decoder} gives frames of shape {frames.shape[1:]}",
            where=media.info.name,
            hint="use the decoder auto",
        )
    return cast("Frame", frames)


def _failed(decoder: str, media: OpenMedia) -> MediaError:
    return MediaCorruptError(f"{decoder} cannot decode it", where=media.info.name, hint="use the decoder auto")
