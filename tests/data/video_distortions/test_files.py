"""Reading and writing clips: pixels, time stamps and durations come back, and so do the recorded spans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.data.video_distortions import Clip, apply, read_clip, write_clip
from mllmqa.errors import DataError, MediaNotFoundError, UsageError
from tests.data.video_distortions import confirm
from tests.data.video_distortions.clips import generator, moving
from tests.media.made import make_video, number_of

CLIP = moving(60)
LOSSY = 2.0
"""More than x264 changes at crf 4, as mean absolute difference in grey levels."""
FORMS = [("h264", ".mp4"), ("h264", ".mov"), ("h264", ".mkv"), ("ffv1", ".mp4"), ("ffv1", ".mkv")]


@pytest.mark.parametrize(("writer", "ending"), FORMS)
@pytest.mark.parametrize("name", ["frame_drop", "stall", "stall_spinner", "jitter", "freeze"])
def test_what_is_written_is_read_back(writer: str, ending: str, name: str, tmp_path: Path) -> None:
    clip = apply(CLIP, name, 2, generator()).clip
    path = write_clip(clip, tmp_path / f"a{ending}", writer=writer)  # type: ignore[arg-type]
    again = read_clip(path)
    exact = 0.00051 if ending == ".mkv" else 1.2e-5
    assert again.timestamps_s == pytest.approx(clip.timestamps_s, abs=exact)
    assert again.duration_s == pytest.approx(clip.duration_s, abs=2 * exact)
    apart = np.abs(again.frames_THWC.astype(int) - clip.frames_THWC)
    assert apart.max() == 0 if writer == "ffv1" else apart.mean() < LOSSY
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a{ending}"]


@pytest.mark.parametrize(("writer", "noise"), [("ffv1", 0.0), ("h264", LOSSY)])
@pytest.mark.parametrize("name", ["freeze", "frame_drop", "flicker", "h264"])
def test_recorded_spans_are_seen_in_the_decoded_file(writer: str, noise: float, name: str, tmp_path: Path) -> None:
    done = apply(CLIP, name, 2, generator(), within=(0.5, 2.5))
    seen = read_clip(write_clip(done.clip, tmp_path / "a.mkv", writer=writer))  # type: ignore[arg-type]
    assert len(done.applied) == 1
    seen = Clip(seen.frames_THWC, seen.timestamps_s, CLIP.fps, seen.duration_s)
    assert confirm.problems(CLIP, seen, done.applied[0], noise=noise) == []


def test_reading_a_part_and_smaller(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", 24, size=(96, 64))
    whole = read_clip(path)
    assert whole.frames_THWC.shape == (24, 64, 96, 3)
    assert whole.fps == pytest.approx(10)
    assert whole.duration_s == pytest.approx(2.4)
    part = read_clip(path, short_side=32, span_s=(0.5, 1.0))
    assert part.frames_THWC.shape == (5, 32, 48, 3)
    assert part.timestamps_s == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert part.duration_s == pytest.approx(0.5)
    assert [number_of(f) for f in read_clip(path, span_s=(0.5, 1.0)).frames_THWC] == [5, 6, 7, 8, 9]
    assert read_clip(path, short_side=500).frames_THWC.shape == (24, 64, 96, 3)


def test_variable_rate_is_kept(tmp_path: Path) -> None:
    stamps = [0, 100, 150, 400, 420]
    clip = read_clip(make_video(tmp_path / "v.mp4", 5, pts_ms=stamps))
    assert clip.timestamps_s == pytest.approx(np.array(stamps) / 1000, abs=1e-4)


def test_one_frame(tmp_path: Path) -> None:
    one = Clip.of(CLIP.frames_THWC[:1], 25)
    again = read_clip(write_clip(one, tmp_path / "one.mkv", writer="ffv1"))
    assert np.array_equal(again.frames_THWC, one.frames_THWC)
    assert again.duration_s == pytest.approx(0.04, abs=0.001)


def test_odd_sides(tmp_path: Path) -> None:
    clip = moving(4, width=51, height=37)
    for writer, ending in (("h264", ".mp4"), ("ffv1", ".mkv")):
        again = read_clip(write_clip(clip, tmp_path / f"odd{ending}", writer=writer))  # type: ignore[arg-type]
        assert again.frames_THWC.shape == clip.frames_THWC.shape


def test_refusals_of_the_reader(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "p.png")
    with pytest.raises(DataError, match="no video in a container"):
        read_clip(tmp_path / "p.png")
    with pytest.raises(MediaNotFoundError):
        read_clip(tmp_path / "none.mp4")
    with pytest.raises(DataError, match="no frame lies between 7 and 8 s"):
        read_clip(make_video(tmp_path / "v.mp4", 5), span_s=(7.0, 8.0))


def test_refusals_of_the_writer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no writer 'vp8'; expected h264 \| ffv1"):
        write_clip(CLIP, tmp_path / "a.mkv", writer="vp8")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"a.mov: ffv1 is not written to it; expected .mp4 or .mkv"):
        write_clip(CLIP, tmp_path / "a.mov", writer="ffv1")
    with pytest.raises(UsageError, match="cannot be written"):
        write_clip(CLIP, tmp_path / "none" / "a.mp4")
    close = Clip(CLIP.frames_THWC[:3], np.array([0, 0.0001, 0.5]), 20, 1.0)
    with pytest.raises(DataError, match=r"closer than 1/1000 s; write .mp4"):
        write_clip(close, tmp_path / "a.mkv")
    assert list(tmp_path.iterdir()) == []
    assert len(read_clip(write_clip(close, tmp_path / "a.mp4"))) == 3


def test_an_existing_file_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    path.write_bytes(b"kept")
    with pytest.raises(DataError):
        write_clip(Clip(CLIP.frames_THWC[:2], np.array([0, 0.0001]), 20, 1.0), path)
    assert path.read_bytes() == b"kept"
