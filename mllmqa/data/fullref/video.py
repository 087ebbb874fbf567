"""Full-reference metrics of videos: frames are paired by time, values are averaged over frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mllmqa.data.fullref.metrics import NAMES, known, measure
from mllmqa.data.video_distortions.clip import EPSILON_S, Clip, Span
from mllmqa.errors import DataError

ROUNDING_S = 0.001
"""Matroska files round time stamps to this, so frames of the distorted clip are looked up that much later."""


@dataclass(frozen=True)
class VideoMeasure:
    """Values of a video.

    Attributes:
        values: Mean over the frames, by metric. (The mean of the PSNR in dB, as libvmaf has it; ffmpeg's "average"
            pools the squared errors instead and is lower.)
        per_frame: float64, one value for each time, by metric.
        times_s: At which the clips were compared.
    """

    values: dict[str, float]
    per_frame: dict[str, npt.NDArray[np.float64]]
    times_s: npt.NDArray[np.float64]


def measure_video(
    reference: Clip,
    distorted: Clip,
    names: Iterable[str] = NAMES,
    *,
    fps: float | None = None,
    within: Span | None = None,
) -> VideoMeasure:
    """Compare a video with its reference, frame by frame, in the memory of one pair.

    At each time the frames shown in both are compared, so a frozen or dropped frame counts as long as it is seen.

    Args:
        reference: Gives the times: those of its frames.
        distorted: As long as the reference to half a frame: a stalled video shows other moments at other times, and
            is measured before the stall is put in.
        names: Metrics.
        fps: Compare only so many times per second, from the first on.
        within: Compare only inside a span.

    Raises:
        UnknownNameError, MissingExtraError: See :func:`mllmqa.data.fullref.metrics.measure`.
        DataError: Durations or sizes differ, or no frame lies in the span.
    """
    wanted = known(names)
    if abs(reference.duration_s - distorted.duration_s) > 0.5 / reference.fps + EPSILON_S:
        raise DataError(
            f"the reference lasts {reference.duration_s:g} s, the distorted clip {distorted.duration_s:g} s",
            expected="the same duration",
            hint="measure before stalls are put in",
        )
    times = reference.timestamps_s[reference.numbers(within or reference.whole)]
    if not len(times):
        raise DataError(f"no frame of the reference lies in {within}", expected="a span inside the clip")
    if fps is not None:
        times = _thinned(times, fps)
    late = min(ROUNDING_S, 0.25 / reference.fps)
    rows = [
        measure(reference.frames_THWC[reference.at(t)], distorted.frames_THWC[distorted.at(t + late)], wanted)
        for t in times
    ]
    per_frame = {name: np.array([row[name] for row in rows]) for name in wanted}
    return VideoMeasure({name: float(v.mean()) for name, v in per_frame.items()}, per_frame, times)


def _thinned(times: npt.NDArray[np.float64], fps: float) -> npt.NDArray[np.float64]:
    if not 0 < fps < float("inf"):
        raise DataError(f"{fps:g} comparisons per second", expected="a positive number")
    slots = np.floor((times - times[0]) * fps + EPSILON_S).astype(np.int64)
    return times[np.unique(slots, return_index=True)[1]]
