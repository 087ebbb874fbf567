"""Decoding few frames of a real clip: the same pictures as a full decode, whatever is wanted, seeked or broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mllmqa.errors import MediaCorruptError
from mllmqa.media import OpenMedia, decode_frames, open_media, video_index
from mllmqa.media.pixels import MEAN_COLOR
from mllmqa.media.pyav_decoder import SEEKABLE, _Walk, decode_with_pyav, to_rgb
from tests.media.made import make_video, number_of

COUNT = 60
CLIPS = {
    "short_gop.mp4": {"options": {"g": "5", "bf": "2", "sc_threshold": "0"}},
    "open_gop.mkv": {"options": {"x264-params": "open-gop=1:keyint=7:bframes=3:b-pyramid=normal"}},
    "one_gop.mp4": {"options": {"g": "250", "bf": "4"}},
    "a.ts": {"options": {"g": "5"}},
    "counted.avi": {"codec": "mpeg4"},
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, OpenMedia]:
    folder = tmp_path_factory.mktemp("walks")
    return {name: open_media(make_video(folder / name, COUNT, **how)) for name, how in CLIPS.items()}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(clips: dict[str, OpenMedia]) -> dict[str, np.ndarray]:
    return {name: pictures(media, range(COUNT)) for name, media in clips.items()}


def pictures(media: OpenMedia, wanted: object, threads: int = 1) -> np.ndarray:
    numbers = list(cast("range", wanted))
    found = list(decode_with_pyav(media, numbers, background=MEAN_COLOR, threads=threads))
    assert [number for number, _ in found] == numbers
    return np.stack([frame for _, frame in found])


def test_every_frame_carries_its_number(whole: dict[str, np.ndarray]) -> None:
    for name, frames in whole.items():
        assert [number_of(frame) for frame in frames] == list(range(COUNT)), name


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(CLIPS)),
    wanted=st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=6, unique=True).map(sorted),
    threads=st.sampled_from([1, 2, 3]),
)
def test_any_few_frames_are_those_of_the_whole(
    clips: dict[str, OpenMedia], whole: dict[str, np.ndarray], name: str, wanted: list[int], threads: int
) -> None:
    assert np.array_equal(pictures(clips[name], wanted, threads), whole[name][wanted])


def test_order_and_repetition_are_those_that_were_asked_for(clips: dict[str, OpenMedia]) -> None:
    shown = decode_frames(clips["short_gop.mp4"], [4.1, 0.3, 4.1, 0.3, 2.0])
    assert [number_of(f) for f in shown.frames_THWC] == [41, 3, 41, 3, 20]
    assert shown.timestamps_s == pytest.approx((4.1, 0.3, 4.1, 0.3, 2.0))


def test_times_between_frames_show_the_one_before(clips: dict[str, OpenMedia]) -> None:
    shown = decode_frames(clips["open_gop.mkv"], [-5.0, 0.05, 1.999, 99.0])
    assert [number_of(f) for f in shown.frames_THWC] == [0, 0, 19, COUNT - 1]
    assert shown.timestamps_s == pytest.approx((0.0, 0.0, 1.9, 5.9))


def walk(media: OpenMedia, worth_it: int | None) -> _Walk:
    index = video_index(media)
    assert index.pts is not None
    return _Walk(
        cast("av.container.InputContainer", None),
        cast("av.VideoStream", None),
        index.pts,
        index.keyframes,
        worth_it,
    )


def test_a_seek_pays_only_beyond_the_key_frames_that_threads_hold(clips: dict[str, OpenMedia]) -> None:
    """Key frames at 0, 5, 10 …: from frame 3, frame 12 is reached over the key frame 10 or not at all."""
    media = clips["short_gop.mp4"]
    stamps = video_index(media).pts
    assert stamps is not None
    assert np.flatnonzero(video_index(media).keyframes).tolist() == list(range(0, COUNT, 5))
    eager, patient, never = walk(media, 2), walk(media, 7), walk(media, None)
    assert eager._seek_before(12, 3) == stamps[10]
    assert eager._seek_before(10, 3) == stamps[10]
    assert eager._seek_before(9, 3) is None  # key frame 5 is only 2 frames on
    assert patient._seek_before(12, 3) is None
    assert patient._seek_before(16, 3) == stamps[15]
    assert never._seek_before(59, 0) is None


def test_a_packet_without_a_picture_may_show_the_one_before_but_a_lost_picture_may_not(
    clips: dict[str, OpenMedia],
) -> None:
    media = clips["short_gop.mp4"]
    stamps, one = video_index(media).pts, walk(media, 2)
    assert stamps is not None
    assert one._substitute(7, int(stamps[6])) == 6
    assert one._substitute(7, int(stamps[5])) == -1
    assert one._substitute(0, int(stamps[0]) - 1) == -1
    one.failed = True
    assert one._substitute(7, int(stamps[6])) == -1


@pytest.mark.parametrize("name", ["short_gop.mp4", "counted.avi"])
def test_a_frame_that_the_index_promises_and_the_file_lacks_is_an_error(
    clips: dict[str, OpenMedia], name: str
) -> None:
    media = clips[name]
    index = video_index(media)
    times = np.append(index.timestamps_s, [7.0, 7.1])
    longer = replace(
        index,
        timestamps_s=times,
        keyframes=np.append(index.keyframes, [False, False]),
        pts=None if index.pts is None else np.append(index.pts, index.pts[-1] + np.array([999_999, 1_999_999])),
    )
    lying = replace(media, index=longer)
    assert len(pictures(lying, [1, COUNT - 1])) == 2
    with pytest.raises(MediaCorruptError) as caught:
        pictures(lying, [1, 2, COUNT + 1])
    assert str(caught.value) == (
        f"{media.info.name}: 2 of 3 wanted frames could be decoded, the next one is broken or missing; "
        "expected a complete video"
    )


def test_an_index_whose_key_frames_are_all_wrong_still_gives_the_right_frames(
    clips: dict[str, OpenMedia], whole: dict[str, np.ndarray]
) -> None:
    media = clips["open_gop.mkv"]
    index = video_index(media)
    lying = replace(media, index=replace(index, keyframes=np.roll(index.keyframes, 3)))
    wanted = [4, 24, 31, 58]
    assert np.array_equal(pictures(lying, wanted), whole["open_gop.mkv"][wanted])


def test_only_containers_with_an_index_are_seeked(clips: dict[str, OpenMedia]) -> None:
    assert {clips[name].info.format in SEEKABLE for name in ("a.ts", "counted.avi")} == {False}
    assert {clips[name].info.format in SEEKABLE for name in ("short_gop.mp4", "open_gop.mkv")} == {True}


@pytest.mark.parametrize(
    "format", ["rgb24", "gray", "yuv420p", "yuvj420p", "yuv444p", "rgba", "yuva420p", "gbrp", "ya8"]
)
def test_every_pixel_format_becomes_rgb(format: str) -> None:
    """A flat opaque grey is the same grey in every format, to the rounding of swscale."""
    source = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 150, np.uint8), format="rgb24")
    pixels = to_rgb(source.reformat(format=format), VideoReformatter(), (1, 2, 3))
    assert pixels.shape == (32, 48, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - 150).max() <= 2


def test_transparent_pixels_of_a_frame_show_the_background() -> None:
    rgba = np.full((32, 32, 4), 200, np.uint8)
    rgba[:, :, 3] = np.repeat(np.array([0, 255], np.uint8), 16)[None, :]
    pixels = to_rgb(av.VideoFrame.from_ndarray(rgba, format="rgba"), VideoReformatter(), (10, 20, 30))
    assert np.unique(pixels[:, :16].reshape(-1, 3), axis=0).tolist() == [[10, 20, 30]]
    assert np.unique(pixels[:, 16:].reshape(-1, 3), axis=0).tolist() == [[200, 200, 200]]


def test_a_broken_picture_between_good_ones_is_never_replaced_by_a_neighbour(tmp_path: Path) -> None:
    """Intra-only video with one picture overwritten: the rest decodes, the broken one is an error or missing."""
    path = make_video(
        tmp_path / "intra.mkv", 12, codec="mjpeg", pix_fmt="yuvj420p", options={"qmin": "2", "qmax": "3"}
    )
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    at = data.index(packets[6])
    data[at : at + len(packets[6])] = b"\xff" * len(packets[6])
    path.write_bytes(bytes(data))
    media = open_media(path)
    assert [number_of(f) for f in pictures(media, [0, 5, 7, 11])] == [0, 5, 7, 11]
    with pytest.raises(MediaCorruptError, match="1 of 3 wanted frames could be decoded"):
        pictures(media, [5, 6, 7])


def test_cues_that_point_behind_the_wanted_frame_cost_time_but_no_frame(tmp_path: Path) -> None:
    """Every entry of the index of a Matroska file is made to name the last cluster: each seek misses."""
    path = make_video(
        tmp_path / "cues.mkv", COUNT, options={"g": "10", "bf": "0", "sc_threshold": "0"},
        container={"cluster_time_limit": "900", "write_crc32": "0"},
    )  # fmt: skip
    data = bytearray(path.read_bytes())
    cues = data.index(b"\x1c\x53\xbb\x6b")
    places, at = [], cues
    while (at := data.find(b"\xf7\x81\x01\xf1", at + 1)) >= 0:  # track 1, position of its cluster
        places.append((at + 5, data[at + 4] & 0x7F))
    assert len(places) >= 5
    start, size = places[-1]
    last = int.from_bytes(data[start : start + size], "big")
    for start, size in places[:-1]:
        if last < 256**size:
            data[start : start + size] = last.to_bytes(size, "big")
    path.write_bytes(bytes(data))
    assert [number_of(f) for f in pictures(open_media(path), [3, 25, 34, 47])] == [3, 25, 34, 47]


@pytest.mark.parametrize("threads", [1, 2])
def test_what_an_old_encoder_wrote_is_right_after_a_seek(threads: int) -> None:
    """x264 before build 151 wrote 4:4:4 in its own way; FFmpeg knows by its name, which is in the first frame only.

    The clip is imageio's cockatoo.mp4 (CC0). Without its first frame all is green after a seek, in another pattern
    each time with two threads.
    """
    media = open_media(Path(__file__).parents[1] / "fixtures" / "media" / "cockatoo.mp4")
    whole = pictures(media, range(100, 154), threads)  # key frames are 0, 76 and 145
    every = list(decode_with_pyav(media, range(154), background=MEAN_COLOR, threads=1))[100:]
    assert np.array_equal(whole, np.stack([frame for _, frame in every]))
    assert np.array_equal(pictures(media, range(150, 154), threads), whole[50:])
