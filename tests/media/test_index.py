"""Frame times: the arithmetic of an index, and what the containers that libav writes make of the same frames."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import MediaCorruptError
from mllmqa.media import open_media, video_index
from mllmqa.media.index import EPSILON_S, VideoIndex, build_index, index_of_times
from mllmqa.media.probe import encoded_bytes
from tests.media.made import make_video

TIMES = st.lists(st.integers(0, 100_000), min_size=1, max_size=30, unique=True).map(sorted)


def index_of(milliseconds: list[int]) -> VideoIndex:
    return index_of_times(np.array(milliseconds) / 1000, milliseconds[-1] / 1000 + 0.04)


@given(stamps=TIMES, asked=st.integers(-1000, 101_000))
def test_at_is_the_last_frame_that_has_appeared(stamps: list[int], asked: int) -> None:
    index = index_of(stamps)
    appeared = [number for number, stamp in enumerate(stamps) if stamp <= asked]
    assert index.at(asked / 1000) == (appeared[-1] if appeared else 0)


@given(stamps=TIMES)
def test_asking_for_a_time_stamp_gives_its_frame(stamps: list[int]) -> None:
    index = index_of(stamps)
    assert [index.at(t) for t in index.timestamps_s] == list(range(len(index)))
    assert [index.at(t - EPSILON_S / 2) for t in index.timestamps_s] == list(range(len(index)))
    assert index.at(stamps[0] / 1000 - 1) == 0
    assert index.at(1e9) == len(stamps) - 1


def test_an_index_of_given_times_by_hand() -> None:
    index = index_of_times([0.0, 0.5, 1.5], 2.0)
    assert len(index) == 3
    assert index.fps == 1.5
    assert index.duration_s == 2.0
    assert index.keyframes.tolist() == [True, True, True]
    assert index.pts is None
    assert index_of_times([0.0], 0.0).fps is None


CONTAINERS = {
    "a.mp4": "libx264", "a.mov": "libx264", "a.mkv": "libx264", "a.ts": "libx264", "a.flv": "libx264",
    "a.nut": "libx264", "a.webm": "libvpx-vp9", "a.ivf": "libvpx-vp9", "a.avi": "mpeg4", "a.h264": "libx264",
}  # fmt: skip


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_ten_frames_per_second(tmp_path: Path, name: str) -> None:
    codec = CONTAINERS[name]
    options = {"bf": "0", "g": "4"} if codec == "libx264" else {}  # a raw stream with B frames has no times at all
    index = video_index(open_media(make_video(tmp_path / name, 12, codec=codec, options=options)))
    step = 0.1 if name != "a.h264" else 1 / index.fps  # type: ignore[operator]  # a raw stream has no times
    assert index.timestamps_s == pytest.approx(np.arange(12) * step, abs=1e-3)
    assert index.duration_s == pytest.approx(12 * step, abs=0.11)
    assert index.keyframes[0]
    assert (index.pts is None) == (name in ("a.avi", "a.h264"))
    if codec == "libx264":
        assert np.flatnonzero(index.keyframes).tolist() == [0, 4, 8]


OPEN_GOP = "open-gop=1:keyint=6:bframes=3:b-adapt=0:scenecut=0"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_reordered_frames_are_indexed_in_the_order_of_showing(tmp_path: Path, name: str) -> None:
    """With B frames the stored order is another one: stamps must be sorted, key frames stay with their stamps."""
    path = make_video(tmp_path / name, 16, options={"x264-params": OPEN_GOP})
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    stored = [p.pts for p in packets]
    assert stored != sorted(stored)  # type: ignore[type-var]  # the clip is one that can show the fault
    index = video_index(open_media(path))
    assert index.pts is not None
    assert [p.is_keyframe for p in packets] != index.keyframes.tolist()  # pictures are shown before their key frame
    assert index.pts.tolist() == sorted(stored)  # type: ignore[type-var]
    assert set(index.pts[index.keyframes].tolist()) == {p.pts for p in packets if p.is_keyframe}
    assert (np.diff(index.timestamps_s) > 0).all()


def test_a_single_frame_has_a_duration_and_no_false_rate(tmp_path: Path) -> None:
    index = video_index(open_media(make_video(tmp_path / "one.mp4", 1)))
    assert index.timestamps_s.tolist() == [0.0]
    assert 0 < index.duration_s <= 0.2
    assert index.at(5.0) == 0


def test_uneven_times_are_kept_to_the_millisecond(tmp_path: Path) -> None:
    stamps = [0, 10, 20, 420, 450, 900, 1601, 3000]
    index = video_index(open_media(make_video(tmp_path / "vfr.mkv", pts_ms=stamps)))
    assert (index.timestamps_s * 1000).round().astype(int).tolist() == stamps
    assert index.duration_s >= 3.0
    assert index.at(0.899) == 4
    assert index.at(0.9) == 5


@pytest.mark.parametrize("name", ["silent.ts", "silent.nut", "silent.flv"])
def test_a_late_start_counts_as_zero_without_sound(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, pts_ms=[9000 + 100 * i for i in range(5)], options={"bf": "0"})
    with av.open(str(path)) as container:
        first = next(p for p in container.demux(video=0) if p.size)
        assert float(first.pts * first.time_base) >= 9  # type: ignore[operator]  # the clip can show the fault
    index = video_index(open_media(path))
    assert index.timestamps_s == pytest.approx(np.arange(5) / 10, abs=2e-3)
    assert index.duration_s == pytest.approx(0.5, abs=0.11)


@pytest.mark.parametrize("start_ms", [700, 90_000])
def test_a_late_start_in_matroska_is_not_taken_for_a_cut(tmp_path: Path, start_ms: int) -> None:
    path = make_video(tmp_path / "silent.mkv", pts_ms=[start_ms + 100 * i for i in range(5)])
    assert video_index(open_media(path)).timestamps_s == pytest.approx(np.arange(5) / 10, abs=2e-3)


@pytest.mark.parametrize("start_ms", [200, 3000])
def test_a_late_start_beside_sound_stays_late(tmp_path: Path, start_ms: int) -> None:
    path = make_video(tmp_path / "a.mkv", pts_ms=[start_ms + 100 * i for i in range(5)], sound_from_s=0.0)
    index = video_index(open_media(path))
    assert index.timestamps_s == pytest.approx(start_ms / 1000 + np.arange(5) / 10, abs=0.03)
    assert index.at(0.0) == 0


def test_rates_that_are_no_decimal_do_not_drift(tmp_path: Path) -> None:
    path = tmp_path / "ntsc.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(30000, 1001), options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"  # type: ignore[union-attr]
        for number in range(60):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number * 4, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1001, 30000)
            out.mux(stream.encode(frame))  # type: ignore[union-attr]
        out.mux(stream.encode(None))  # type: ignore[union-attr]
    index = video_index(open_media(path))
    assert index.fps == pytest.approx(30000 / 1001)
    assert index.timestamps_s == pytest.approx(np.arange(60) * 1001 / 30000, abs=1e-9)
    assert index.duration_s == pytest.approx(60 * 1001 / 30000, abs=1e-6)


def test_a_file_that_is_shorter_than_it_says_is_refused_by_name(tmp_path: Path) -> None:
    path = make_video(tmp_path / "whole.mkv", 5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        with pytest.raises(
            MediaCorruptError, match=r"clip: is cut off in the middle: 5 frames are readable; expected"
        ):
            build_index(container, stream, "clip", is_short=True)


def test_a_video_without_a_decodable_frame_says_so(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", 6)
    data = bytearray(path.read_bytes())
    start = (
        data.index(b"\x1f\x43\xb6\x75") + 20
    )  # the first cluster: its pictures are overwritten, its frame is not
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size and packet.pos is not None and packet.pos >= 0:
                at = data.find(bytes(packet), start)
                data[at : at + packet.size] = os.urandom(1) * packet.size
    path.write_bytes(bytes(data))
    with pytest.raises(MediaCorruptError, match=r"no frame can be decoded; expected a complete video") as caught:
        open_media(path)
    assert str(path) in str(caught.value)


def test_an_avi_that_was_written_live_is_not_called_short(tmp_path: Path) -> None:
    """A recorder that was never closed leaves the size of the RIFF chunk 0: unknown, not short."""
    path = make_video(tmp_path / "a.avi", 8, codec="mpeg4")
    data = bytearray(path.read_bytes())
    declared = int.from_bytes(data[4:8], "little")
    assert declared + 8 == len(data)
    for size, fine in ((0, True), (0xFFFFFFFF, True), (declared, True), (declared + 2, False)):
        data[4:8] = size.to_bytes(4, "little")
        if fine:
            assert len(video_index(open_media(bytes(data)))) == 8
            continue
        with pytest.raises(MediaCorruptError, match="cut off in the middle"):
            open_media(bytes(data))
    assert encoded_bytes(open_media(path)).size_bytes == len(data)
