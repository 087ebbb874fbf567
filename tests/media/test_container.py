"""Opening containers: which stream counts, what is written down of it, and one line for what is none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mllmqa.errors import MediaCorruptError, MediaFormatError, MediaLimitError
from mllmqa.media import Limits, decode_frames, open_media
from mllmqa.media import container as containers
from mllmqa.media.source import read_path
from tests.media.made import make_video, number_of, png_bytes, scene


def add_cover(out: Any) -> None:
    """Put a poster into a file: a video stream of one picture, marked as such."""
    poster: Any = out.add_stream("png", rate=1)
    poster.width, poster.height, poster.pix_fmt, poster.disposition = 64, 64, "rgb24", 0x400
    packet = av.Packet(png_bytes(np.full((64, 64, 3), 250, np.uint8), 2))
    packet.stream, packet.pts, packet.dts, packet.time_base = poster, 0, 0, Fraction(1, 1)
    out.mux(packet)


def sound_only(path: Path, *, cover: bool = False) -> Path:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("aac", rate=16000)
        stream.layout = "mono"
        if cover:
            add_cover(out)
        for number in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, number * 1024, Fraction(1, 16000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "cover"), [("a.mp4", False), ("a.mkv", False), ("a.mov", False), ("a.mp4", True)])
def test_sound_alone_is_named_with_and_without_a_cover(tmp_path: Path, name: str, cover: bool) -> None:
    path = sound_only(tmp_path / name, cover=cover)
    with av.open(str(path)) as check:
        assert len(check.streams.video) == cover
    with pytest.raises(MediaFormatError) as caught:
        open_media(path)
    assert str(caught.value) == f"{path}: has no video stream, only sound; expected an image or a video"


def test_a_cover_picture_is_not_the_video(tmp_path: Path) -> None:
    """A film with a poster: the moving stream is the video, and the poster is none of its frames."""
    film, path = make_video(tmp_path / "film.mp4", 6), tmp_path / "poster.mp4"
    with av.open(str(film)) as source, av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        add_cover(out)
        for moving in source.demux(video=0):
            if moving.size:
                moving.stream = copy
                out.mux(moving)
    with av.open(str(path)) as check:
        kinds = [bool(s.disposition & 0x400) for s in check.streams.video]
    assert True in kinds
    media = open_media(path)
    assert (media.info.codec, media.info.width, media.info.n_frames) == ("h264", 96, 6)
    assert [number_of(f) for f in decode_frames(media, [0.0, 0.5]).frames_THWC] == [0, 5]


@pytest.mark.parametrize(
    ("pix_fmt", "tags", "expected"),
    [
        ("yuv420p", {}, "yuv420p"),
        ("yuv420p", {"color_range": 2}, "yuvj420p (full range)"),
        ("yuv422p", {"color_range": 1}, "yuv422p"),
        ("yuv420p10le", {"color_trc": 18}, "yuv420p10le (HDR HLG, not tone-mapped)"),
        ("yuv420p10le", {"color_trc": 16, "color_range": 2}, "yuv420p10le (full range, HDR PQ, not tone-mapped)"),
        ("yuv420p10le", {"color_trc": 14}, "yuv420p10le"),
    ],
)
def test_range_and_transfer_stand_in_the_record(
    tmp_path: Path, pix_fmt: str, tags: dict[str, int], expected: str
) -> None:
    path = make_video(tmp_path / "a.mkv", 2, pix_fmt=pix_fmt, tags=tags)
    assert (open_media(path).info.pixel_format or "").replace("yuvj", "yuv") == expected.replace("yuvj", "yuv")


@pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90])
def test_rotation_exchanges_the_sides_in_the_record(tmp_path: Path, rotation: int) -> None:
    """set_display_rotation turns counter-clockwise; what is written down is the clockwise turn that was made."""
    info = open_media(make_video(tmp_path / "a.mp4", 2, rotation=rotation)).info
    assert (info.width, info.height) == ((64, 96) if rotation % 180 else (96, 64))
    assert info.rotation_deg == -rotation % 360


def test_sizes_are_checked_before_a_frame_is_decoded(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 3)
    assert open_media(path, limits=Limits(max_pixels=96 * 64)).info.width == 96
    with pytest.raises(MediaLimitError, match=r"96×64 pixels is too large; expected at most 6,143 pixels"):
        open_media(path, limits=Limits(max_pixels=96 * 64 - 1))
    with pytest.raises(MediaLimitError, match=r"too small; expected at least 65 pixels"):
        open_media(path, limits=Limits(min_side_px=65))
    with pytest.raises(MediaLimitError, match=r"too narrow; expected at most 1\.4:1"):
        open_media(path, limits=Limits(max_aspect=1.4))
    assert open_media(path, limits=Limits(max_aspect=1.5)).info.height == 64


def test_unknown_and_broken_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"plain words and no more" * 40)
    encoded = read_path(path)
    with pytest.raises(MediaFormatError, match="is neither an image nor a video that mllmqa reads"):
        containers.inspect(encoded, Limits(), None)
    with pytest.raises(
        MediaCorruptError, match=r"is a broken or cut-off flv file \(.+\); expected a complete file"
    ):
        containers.inspect(encoded, Limits(), "flv")


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile a.mp4\n", "#EXTM3U\n#EXTINF:1,\na.mp4\n"])
def test_play_lists_open_no_other_file(tmp_path: Path, text: str) -> None:
    make_video(tmp_path / "a.mp4", 2)
    listed = tmp_path / "list.mp4"
    listed.write_text(text)
    with pytest.raises(MediaFormatError):
        open_media(listed)
    with pytest.raises(av.error.FFmpegError), containers.open_container(read_path(listed)):
        pass


def test_quicktime_and_mp4_have_their_own_names_whatever_the_extension(tmp_path: Path) -> None:
    for made, expected in (("a.mov", "mov"), ("a.mp4", "mp4"), ("a.3gp", "mp4")):
        path = make_video(tmp_path / made, 2)
        other = path.rename(tmp_path / f"{made}.jpg")
        assert open_media(other).info.format == expected


def test_the_frames_of_a_file_are_read_through_a_nameless_reader(tmp_path: Path) -> None:
    """A name that libav would take for a protocol or a pattern is only a name."""
    path = make_video(tmp_path / "%03d.mp4", 2)
    for name in ("concat:a|b.mp4", "frame%d.mp4", "pipe:0"):
        other = path.rename(tmp_path / name)
        assert np.abs(decode_frames(open_media(other), [0]).frames_THWC[0].astype(int) - scene(0)).mean() < 4
        path = other
