"""VMAF through an ffmpeg with libvmaf, as a program of its own.

Such an ffmpeg comes with the package ``imageio-ffmpeg`` (extra ``vmaf``; its binary is under the GPL and is only
started, never linked); those of Debian have no libvmaf.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mllmqa.errors import DataError, MissingExtraError, UsageError

MODEL = "vmaf_v0.6.1"
TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Vmaf:
    """VMAF of a video.

    Attributes:
        value: Mean over the frames, 0..100. Equal videos have about 97..99.
        per_frame: One value for each frame of the reference.
        model: Name of the model.
        ffmpeg: First line of what ``ffmpeg -version`` says.
    """

    value: float
    per_frame: tuple[float, ...]
    model: str
    ffmpeg: str


def _candidates() -> Iterator[str]:
    if (found := shutil.which("ffmpeg")) is not None:
        yield found
    try:
        import imageio_ffmpeg

        found = str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # not installed, or without a program for this system
        return
    yield found


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"did not end within {TIMEOUT_S:g} s", where=command[0]) from error
    except OSError as error:
        raise UsageError(f"cannot be started: {error.strerror}", where=command[0]) from error


def has_libvmaf(ffmpeg: str) -> bool:
    """Whether an ffmpeg was built with libvmaf.

    Raises:
        UsageError: It cannot be started.
    """
    return " libvmaf " in _run([ffmpeg, "-hide_banner", "-filters"]).stdout


def find_ffmpeg(path: str | None = None) -> str:
    """Return an ffmpeg with libvmaf: the one given, that on the PATH, or that of imageio-ffmpeg.

    Raises:
        UsageError: The given one has none.
        MissingExtraError: None was found.
    """
    if path is not None:
        if not has_libvmaf(path):
            raise UsageError("has no filter libvmaf", where=path, expected="an ffmpeg built with --enable-libvmaf")
        return path
    for candidate in _candidates():
        if has_libvmaf(candidate):
            return candidate
    raise MissingExtraError(
        "imageio-ffmpeg", extra="vmaf", purpose="VMAF without an ffmpeg with libvmaf on the PATH"
    )


def vmaf(
    reference: str | Path, distorted: str | Path, *, fps: Fraction, model: str = MODEL, ffmpeg: str | None = None
) -> Vmaf:
    """Compare two video files of one size.

    Both are brought to a constant rate first (each frame is repeated while it is shown, times rounded to the
    nearest frame), so that videos with dropped frames are paired by time, and dropped frames count.

    Args:
        reference: A file.
        distorted: A file of the same size in pixels.
        fps: Rate of the reference.
        model: A model built into libvmaf.
        ffmpeg: Path of the program; searched if None.

    Raises:
        MissingExtraError, UsageError: No ffmpeg with libvmaf.
        DataError: It refuses the files; its last line is quoted.
    """
    program = find_ffmpeg(ffmpeg)
    rate = f"fps={fps.numerator}/{fps.denominator}:start_time=0"
    with tempfile.TemporaryDirectory() as folder:
        chain = (
            f"[0:v]settb=AVTB,setpts=PTS-STARTPTS,{rate}[d];[1:v]settb=AVTB,setpts=PTS-STARTPTS,{rate}[r];"
            f"[d][r]libvmaf=model=version={model}:log_fmt=json:log_path=vmaf.json:shortest=1"
        )
        command = [program, "-hide_banner", "-nostats", "-loglevel", "error"]
        for path in (distorted, reference):
            command += ["-i", f"file:{Path(path).absolute()}"]
        done = _in_folder([*command, "-lavfi", chain, "-f", "null", "-"], folder)
        log = Path(folder) / "vmaf.json"
        if done.returncode or not log.is_file():
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise DataError(f"ffmpeg cannot compare it with {reference}: {lines[0]}", where=distorted)
        return _read(json.loads(log.read_text(encoding="utf-8")), model, program)


def _in_folder(command: list[str], folder: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, so that no path needs quoting in a filter."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
            check=False, cwd=folder,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"did not end within {TIMEOUT_S:g} s", where=command[0]) from error


def _read(log: dict[str, Any], model: str, program: str) -> Vmaf:
    frames = tuple(float(frame["metrics"]["vmaf"]) for frame in log["frames"])
    first_line = (_run([program, "-version"]).stdout.splitlines() or [""])[0]
    return Vmaf(float(log["pooled_metrics"]["vmaf"]["mean"]), frames, model, first_line)
