"""VMAF through ffmpeg: real where an ffmpeg with libvmaf is, clear errors where not."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from mllmqa.data.fullref import vmaf
from mllmqa.data.fullref.vmaf import find_ffmpeg, has_libvmaf
from mllmqa.data.video_distortions import apply, write_clip
from mllmqa.errors import DataError, MissingExtraError, UsageError
from tests.data.video_distortions.clips import generator, moving

CLIP = moving(20, width=192, height=128)
RATE = Fraction(20)


@pytest.fixture(scope="module")
def ffmpeg() -> str:
    try:
        return find_ffmpeg()
    except MissingExtraError:
        pytest.skip('needs an ffmpeg with libvmaf: pip install "mllmqa[vmaf]"')


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write_clip(CLIP, tmp_path / "it's a: [reference].mkv", writer="ffv1")


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_equal_videos(ffmpeg: str, reference: Path) -> None:
    found = vmaf(reference, reference, fps=RATE, ffmpeg=ffmpeg)
    assert len(found.per_frame) == 20
    assert found.value > 95
    assert found.value == pytest.approx(sum(found.per_frame) / 20, abs=1e-3)
    assert found.model == "vmaf_v0.6.1"
    assert found.ffmpeg.startswith("ffmpeg version")


def test_more_compression_is_worse(ffmpeg: str, reference: Path, tmp_path: Path) -> None:
    values = []
    for severity in (1, 3, 5):
        clip = apply(CLIP, "h264", severity, generator()).clip
        path = write_clip(clip, tmp_path / f"{severity}.mkv", writer="ffv1")
        values.append(vmaf(reference, path, fps=RATE, ffmpeg=ffmpeg).value)
    assert values == sorted(values, reverse=True)
    assert values[0] - values[2] > 10


def test_dropped_frames_are_paired_by_time(ffmpeg: str, reference: Path, tmp_path: Path) -> None:
    path = write_clip(apply(CLIP, "frame_drop", 4, generator()).clip, tmp_path / "d.mkv", writer="ffv1")
    found = vmaf(reference, path, fps=RATE, ffmpeg=ffmpeg)
    assert len(found.per_frame) == 20
    assert found.value < vmaf(reference, reference, fps=RATE, ffmpeg=ffmpeg).value - 3


def test_files_that_cannot_be_compared(ffmpeg: str, reference: Path, tmp_path: Path) -> None:
    other = write_clip(moving(20), tmp_path / "small.mkv", writer="ffv1")
    with pytest.raises(DataError, match=r"small.mkv: ffmpeg cannot compare it with"):
        vmaf(reference, other, fps=RATE, ffmpeg=ffmpeg)
    with pytest.raises(DataError, match=r"none.mkv: ffmpeg cannot compare"):
        vmaf(reference, tmp_path / "none.mkv", fps=RATE, ffmpeg=ffmpeg)
    with pytest.raises(DataError, match="ffmpeg cannot compare"):
        vmaf(reference, reference, fps=RATE, model="no_such_model", ffmpeg=ffmpeg)


def test_an_ffmpeg_without_libvmaf_is_refused(tmp_path: Path) -> None:
    poor = script(tmp_path / "ffmpeg", "echo ' ... psnr VV->V psnr'")
    assert not has_libvmaf(poor)
    with pytest.raises(UsageError, match="has no filter libvmaf; expected an ffmpeg built with"):
        find_ffmpeg(poor)


def test_no_ffmpeg_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "ffmpeg", "echo ' ... psnr VV->V psnr'")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtraError, match=r'imageio-ffmpeg.*pip install "mllmqa\[vmaf\]"'):
        find_ffmpeg()


def test_what_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be started"):
        has_libvmaf(str(tmp_path / "none"))


def test_the_one_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rich = script(tmp_path / "ffmpeg", "echo ' ... libvmaf VV->V VMAF'")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert find_ffmpeg() == rich
    assert find_ffmpeg(rich) == rich
