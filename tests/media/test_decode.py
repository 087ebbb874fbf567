"""Frames: the right ones, the same from every decoder, upright, in the right colours."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from mllmqa.errors import MediaCorruptError, MediaError, MediaFormatError, UnknownNameError, UsageError
from mllmqa.media import OpenMedia, decode_frames, open_media, parse_rule, video_index
from mllmqa.media.optional_decoders import torchcodec_loads
from mllmqa.media.pixels import upright
from tests.media.made import SHARED, make_video, number_of, scene

TORCHCODEC = pytest.mark.skipif(
    not torchcodec_loads(), reason="torchcodec does not load here (needs FFmpeg libraries)"
)

CLIPS = {
    "h264.mp4": {},
    "h264_long_gop.mp4": {"options": {"g": "250", "bf": "3"}},
    "h264_open_gop.mkv": {"options": {"x264-params": "open-gop=1:keyint=6:bframes=3"}},
    "hevc.mp4": {"codec": "libx265"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vfr.mp4": {"pts_ms": [0, 10, 20, 420, 450, 900, 1000, 1015, 1600, 1601, 2000, 3000]},
    "rotated.mp4": {"rotation": 90},
    "odd.webm": {"codec": "libvpx-vp9", "size": (161, 121)},
    "mpeg4.avi": {"codec": "mpeg4"},
    "late.mkv": {"pts_ms": [500, 600, 700, 800], "sound_from_s": 0.0},
}


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, how in CLIPS.items():
        make_video(folder / name, **how)  # type: ignore[arg-type]
    return folder


def every_frame(media: OpenMedia, decoder: str) -> np.ndarray:
    frames = decode_frames(media, parse_rule("all").times(video_index(media)), decoder=decoder)
    assert frames.decoder.startswith(decoder)
    return frames.frames_THWC


@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_is_the_one_that_was_encoded(clips: Path, name: str) -> None:
    media = open_media(clips / name)
    frames = every_frame(media, "pyav")
    turned = np.rot90(frames, -1, axes=(1, 2)) if name.startswith("rotated") else frames
    assert [number_of(f) for f in turned] == list(range(len(frames)))
    expected = np.stack([scene(i, *turned.shape[2:0:-1]) for i in range(len(frames))])
    assert np.abs(turned.astype(int) - expected).mean() < 4


@TORCHCODEC
@pytest.mark.parametrize("name", CLIPS)
def test_torchcodec_gives_the_same_frames(clips: Path, name: str) -> None:
    media = open_media(clips / name)
    ours, theirs = every_frame(media, "pyav"), every_frame(media, "torchcodec")
    assert np.abs(ours.astype(int) - theirs).max() <= 2


@pytest.mark.parametrize("name", CLIPS)
def test_decord_gives_the_same_frames(clips: Path, name: str) -> None:
    pytest.importorskip("decord", reason="decord has no wheel here")
    if name == "odd.webm":
        pytest.skip("decord's old swscale interpolates the chroma of odd sizes differently: see the next test")
    media = open_media(clips / name)
    ours, theirs = every_frame(media, "pyav"), every_frame(media, "decord")
    assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_decord_on_odd_sizes_differs_in_chroma_only(clips: Path) -> None:
    pytest.importorskip("decord", reason="decord has no wheel here")
    media = open_media(clips / "odd.webm")
    weights = np.array([0.299, 0.587, 0.114])
    luma = [every_frame(media, d).astype(float) @ weights for d in ("pyav", "decord")]
    assert np.abs(luma[0] - luma[1]).max() <= 2


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("wanted", [(0,), (3,), (1, 2), (0, 2, 3), (2, 3), (3, 0, 3)])
def test_few_frames_equal_those_of_a_full_decode(clips: Path, name: str, wanted: tuple[int, ...]) -> None:
    media = open_media(clips / name)
    index = video_index(media)
    spread = [w * (len(index) - 1) // 3 for w in wanted]
    got = decode_frames(media, index.timestamps_s[spread])
    assert got.timestamps_s == tuple(index.timestamps_s[spread])
    np.testing.assert_array_equal(got.frames_THWC, every_frame(media, "pyav")[spread])


def test_the_frame_shown_is_the_last_one_that_has_appeared(clips: Path) -> None:
    media = open_media(clips / "vfr.mp4")
    got = decode_frames(media, [-1, 0.019, 0.02, 0.41, 1.7, 99])
    assert got.timestamps_s == pytest.approx((0, 0.01, 0.02, 0.02, 1.601, 3.0))
    assert [number_of(f) for f in got.frames_THWC] == [0, 1, 2, 2, 9, 11]


def test_a_first_frame_that_comes_late_keeps_its_time(clips: Path) -> None:
    index = video_index(open_media(clips / "late.mkv"))
    assert index.timestamps_s == pytest.approx([0.5, 0.6, 0.7, 0.8], abs=0.03)
    media = open_media(clips / "late.mkv")
    assert number_of(decode_frames(media, [0.0]).frames_THWC[0]) == 0


@pytest.mark.parametrize(("rotation", "orientation"), [(0, 1), (90, 8), (-90, 6), (180, 3), (270, 6)])
@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_rotation_metadata_is_applied(tmp_path: Path, rotation: int, orientation: int, container: str) -> None:
    media = open_media(make_video(tmp_path / f"r.{container}", 2, rotation=rotation))
    plain = open_media(make_video(tmp_path / f"p.{container}", 2))
    turned = decode_frames(media, [0]).frames_THWC[0]
    np.testing.assert_array_equal(turned, upright(decode_frames(plain, [0]).frames_THWC[0], orientation))
    assert (media.info.height, media.info.width) == turned.shape[:2]
    assert media.info.rotation_deg == {1: 0, 8: 270, 6: 90, 3: 180}[orientation]


COLORS = [
    ({"colorspace": 1, "color_range": 1}, 0.2126, 0.0722, False),
    ({"colorspace": 1, "color_range": 2}, 0.2126, 0.0722, True),
    ({"colorspace": 6, "color_range": 1}, 0.299, 0.114, False),
    ({"colorspace": 6, "color_range": 2}, 0.299, 0.114, True),
    ({"colorspace": 9, "color_range": 1}, 0.2627, 0.0593, False),
    ({}, 0.299, 0.114, False),
]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize(("tags", "kr", "kb", "full"), COLORS)
def test_matrix_and_range_follow_the_tags(
    tmp_path: Path, pix_fmt: str, tags: dict[str, int], kr: float, kb: float, full: bool
) -> None:
    shift, path = (2 if "10" in pix_fmt else 0), tmp_path / "flat.mkv"
    luma, blue, red = 150, 100, 180
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt  # type: ignore[union-attr]
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(64, 64, pix_fmt)
        for plane, value in zip(frame.planes, (luma, blue, red), strict=True):
            dtype = np.uint16 if shift else np.uint8
            plane.update(np.full(plane.buffer_size // dtype().itemsize, value << shift, dtype).tobytes())
        for name, value in tags.items():
            setattr(frame, name, value)
        out.mux(stream.encode(frame))  # type: ignore[union-attr]
        out.mux(stream.encode(None))  # type: ignore[union-attr]
    y, u, v = (
        (luma, blue - 128, red - 128)
        if full
        else ((luma - 16) * 255 / 219, (blue - 128) * 255 / 224, (red - 128) * 255 / 224)
    )
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    media = open_media(path)
    shown = decode_frames(media, [0]).frames_THWC[0, 32, 32].astype(float)
    assert shown == pytest.approx([r, g, b], abs=3 if shift else 2)  # swscale rounds down
    assert ("full range" in (media.info.pixel_format or "")) == full


def test_hdr_is_named_and_not_tone_mapped(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "hdr.mkv",
        12,
        codec="libx265",
        pix_fmt="yuv420p10le",
        tags={"color_trc": 16, "color_primaries": 9, "colorspace": 9},
    )
    assert open_media(path).info.pixel_format == "yuv420p10le (HDR PQ, not tone-mapped)"


def test_transparent_video_lies_over_the_background(tmp_path: Path) -> None:
    path = tmp_path / "alpha.mov"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("qtrle", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "argb"  # type: ignore[union-attr]
        pixels = np.full((32, 32, 4), 255, np.uint8)
        pixels[:, 16:, 0] = 0
        out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="argb")))  # type: ignore[union-attr]
        out.mux(stream.encode(None))  # type: ignore[union-attr]
    frame = decode_frames(open_media(path), [0], background=(1, 2, 3)).frames_THWC[0]
    assert frame[5, 5].tolist() == [255, 255, 255]
    assert frame[5, 25].tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "hevc.mp4"])
def test_bytes_streams_and_paths_are_the_same(clips: Path, name: str) -> None:
    data = (clips / name).read_bytes()
    opened = [open_media(s) for s in (clips / name, str(clips / name), data, io.BytesIO(data))]
    assert len({m.info.sha256 for m in opened}) == 1
    frames = [decode_frames(m, [0.5, 1.5]).frames_THWC for m in opened]
    assert all(np.array_equal(frames[0], f) for f in frames)


def test_a_stream_without_times_is_counted(tmp_path: Path) -> None:
    media = open_media(make_video(tmp_path / "raw.h264", 20, options={"bf": "2"}))
    index = video_index(media)
    assert len(index) == 20
    assert [number_of(f) for f in decode_frames(media, index.timestamps_s[[0, 7, 19]]).frames_THWC] == [0, 7, 19]


def test_a_transport_stream_starts_at_zero(tmp_path: Path) -> None:
    media = open_media(make_video(tmp_path / "a.ts", 20))
    index = video_index(media)
    assert index.timestamps_s[0] == 0
    picked = decode_frames(media, index.timestamps_s[[1, 9, 19]])
    assert [number_of(f) for f in picked.frames_THWC] == [1, 9, 19]


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["fast.mp4", "cut.mkv", "cut.webm", "cut.avi"])
def test_a_video_that_is_cut_off_is_refused(tmp_path: Path, name: str, cut: float) -> None:
    codec = {"webm": "libvpx-vp9", "avi": "mpeg4"}.get(name[-4:].strip("."), "libx264")
    whole = make_video(
        tmp_path / name, 40, codec=codec, container={"movflags": "faststart"} if name == "fast.mp4" else None
    )
    data = whole.read_bytes()
    start = data.find(b"mdat") if name == "fast.mp4" else 0
    whole.write_bytes(data[: start + int((len(data) - start) * cut)])
    with pytest.raises(MediaCorruptError, match=r"cut off in the middle: \d+( of \d+)? frames are readable"):
        open_media(whole)


def test_frames_outside_an_edit_list_are_not_shown(clips: Path, tmp_path: Path) -> None:
    """A stream copy that starts between key frames: libav writes an edit list that hides the run-up."""
    path = tmp_path / "cut.mp4"
    with av.open(str(clips / "h264.mp4")) as source, av.open(str(path), "w") as out:
        video = source.streams.video[0]
        copy = out.add_stream_from_template(video)
        source.seek(800 * video.time_base.denominator // 1000, stream=video)  # type: ignore[union-attr]
        hidden = 1200 * video.time_base.denominator // 1000  # type: ignore[union-attr]
        for packet in source.demux(video):
            if packet.size and packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - hidden, packet.dts - hidden, copy
                out.mux(packet)
    media = open_media(path)
    frames = every_frame(media, "pyav")
    assert [number_of(f) for f in frames] == list(range(12, 24))
    assert video_index(media).timestamps_s == pytest.approx(np.arange(12) / 10)
    few = decode_frames(media, [0.0, 0.55, 1.1]).frames_THWC
    assert [number_of(f) for f in few] == [12, 17, 23]
    if torchcodec_loads():
        np.testing.assert_array_equal(frames, every_frame(media, "torchcodec"))


def test_a_hole_in_the_middle_gives_frames_or_one_clear_error(tmp_path: Path) -> None:
    path = make_video(tmp_path / "hole.mp4", 40)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(bytes(data))
    try:
        media = open_media(path)
        frames = decode_frames(media, parse_rule("all").times(video_index(media)))
        assert len(frames.frames_THWC) == 40
    except MediaError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)


def test_a_seek_that_misses_falls_back_to_the_start(clips: Path) -> None:
    from dataclasses import replace

    media = open_media(clips / "h264.mp4")
    index = video_index(media)
    lying = replace(media, index=replace(index, keyframes=np.ones(len(index), np.bool_)))
    got = decode_frames(lying, index.timestamps_s[[5, 13, 22]])
    assert [number_of(f) for f in got.frames_THWC] == [5, 13, 22]


def test_only_the_wanted_frames_are_held(clips: Path) -> None:
    frames = decode_frames(open_media(clips / "h264.mp4"), [0.1, 2.2]).frames_THWC
    assert frames.base is None
    assert frames.shape == (2, 64, 96, 3)
    assert frames.dtype == np.uint8


def test_decoders_that_would_be_wrong_refuse() -> None:
    path = SHARED / "media/video/dolbyvision.mov"
    if not path.exists():
        pytest.skip("shared media are not on this machine")
    pytest.importorskip("decord", reason="decord has no wheel here")
    with pytest.raises(MediaFormatError, match="decord counts 5 frames where 4 are shown"):
        decode_frames(open_media(path), [0], decoder="decord")


def test_wrong_calls_are_named(clips: Path) -> None:
    media = open_media(clips / "h264.mp4")
    with pytest.raises(UnknownNameError, match="auto or pyav or torchcodec or decord"):
        decode_frames(media, [0], decoder="ffmpeg")
    with pytest.raises(UsageError, match="no times were given"):
        decode_frames(media)
    with pytest.raises(UsageError, match="has no frame times"):
        video_index(open_media(np.zeros((32, 32, 3), np.uint8)))


def test_arrays_are_videos_of_one_frame_per_second() -> None:
    frames = np.stack([scene(i) for i in range(5)])
    media = open_media(frames)
    assert (media.info.kind, media.info.n_frames, media.info.fps, media.info.duration_s) == ("video", 5, None, None)
    got = decode_frames(media, [0, 1.5, 4])
    assert got.timestamps_s == (0, 1, 4)
    np.testing.assert_array_equal(got.frames_THWC, frames[[0, 1, 4]])


@pytest.mark.parametrize(
    "path", sorted((SHARED / "media/video").glob("*.[!c]*")) or [None], ids=lambda p: p.name if p else "none"
)
def test_real_clips_agree_between_decoders(path: Path | None) -> None:
    if path is None:
        pytest.skip("shared media are not on this machine")
    media = open_media(path)
    times = parse_rule("uniform:2").times(video_index(media))
    ours = decode_frames(media, times, decoder="pyav").frames_THWC.astype(int)
    assert ours.shape[1:] == (media.info.height, media.info.width, 3)
    even = media.info.width % 2 == media.info.height % 2 == 0
    if not even or "10" in (media.info.pixel_format or ""):
        return  # conversions of old swscale versions differ there, see docs/media.md
    for decoder in ("torchcodec", "decord"):
        try:
            theirs = decode_frames(media, times, decoder=decoder).frames_THWC
        except (MediaError, UsageError):
            continue
        assert np.abs(ours - theirs).max() <= 2, decoder
