"""A reader that knows nothing of how distortions are made: it looks at decoded frames and says what it sees.

`problems` compares what it sees with one record. It is shared by the tests and by benchmarks/video_distortions.py.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from mllmqa.data.video_distortions import TABLE, Applied, Clip, Rate, Span, recode

SLACK_S = 0.0011
"""Matroska rounds time stamps to 1 ms: frames are looked up that much later."""

Curve = npt.NDArray[np.float64]


def differences(source: Clip, seen: Clip) -> Curve:
    """Mean absolute difference, in grey levels, of what is shown at the time of each source frame."""
    return np.array(
        [
            np.abs(frame.astype(np.int16) - seen.frames_THWC[seen.at(float(time) + SLACK_S)]).mean()
            for frame, time in zip(source.frames_THWC, source.timestamps_s, strict=True)
        ]
    )


def steps(clip: Clip) -> Curve:
    """Mean absolute difference of each frame to the one before; T − 1 values."""
    frames = clip.frames_THWC
    return np.array([np.abs(b.astype(np.int16) - a).mean() for a, b in itertools.pairwise(frames)])


def held(clip: Clip, limit: float) -> list[Span]:
    """Spans in which the picture stands for two frames or more."""
    still = np.concatenate([[False], steps(clip) <= limit, [False]])
    starts = np.flatnonzero(~still[:-1] & still[1:])
    stops = np.flatnonzero(still[:-1] & ~still[1:])
    return [(float(clip.timestamps_s[a]), float(clip.ends_s[b])) for a, b in zip(starts, stops, strict=True)]


def long_shown(clip: Clip) -> list[Span]:
    """Parts in which a frame is shown longer than one nominal interval, less that interval."""
    interval = 1 / clip.fps
    return [
        (float(start) + interval, float(end))
        for start, end in zip(clip.timestamps_s, clip.ends_s, strict=True)
        if end - start > 1.5 * interval
    ]


def missing(source: Clip, seen: Clip, slack_s: float = SLACK_S) -> list[float]:
    """Times of the source at which no frame of the decoded clip begins."""
    return [float(t) for t in source.timestamps_s if np.abs(seen.timestamps_s - t).min() > slack_s]


def changed(source: Clip, seen: Clip, limit: float) -> Span | None:
    """From the first to the end of the last source frame that looks different."""
    numbers = np.flatnonzero(differences(source, seen) > limit)
    if not len(numbers):
        return None
    return (float(source.timestamps_s[numbers[0]]), float(source.ends_s[numbers[-1]]))


def gains(source: Clip, seen: Clip, span: Span) -> Curve:
    """Mean luminance of what is shown over that of the source, for the source frames of a span."""
    return np.array(
        [
            seen.frames_THWC[seen.at(float(source.timestamps_s[n]) + SLACK_S)].mean()
            / max(source.frames_THWC[n].mean(), 1.0)
            for n in source.numbers(span)
        ]
    )


def strongest_frequency(values: Curve, fps: float) -> float:
    """The frequency in Hz of the sine that explains most of a curve (least squares on a fine grid)."""
    times = np.arange(len(values)) / fps
    grid = np.linspace(0.5, fps / 2 * 0.95, 400)
    left = []
    for frequency in grid:
        wave = 2 * np.pi * frequency * times
        basis = np.stack([np.ones_like(times), np.sin(wave), np.cos(wave)], axis=1)
        solved = np.linalg.lstsq(basis, values, rcond=None)[0]
        left.append(float(np.square(values - basis @ solved).sum()))
    return float(grid[int(np.argmin(left))])


def rate_factor(source: Clip, seen: Clip, record: Applied) -> float:
    """The rate factor of the severity table that gives pictures nearest to what is seen (analysis by synthesis)."""
    numbers = source.numbers(record.span_s)
    shown = np.stack([seen.frames_THWC[seen.at(float(source.timestamps_s[n]) + SLACK_S)] for n in numbers])
    apart = {}
    for crf in TABLE[record.name]["crf"]:
        again, _ = recode(source.frames_THWC[numbers], source.fps, record.name, Rate(crf=crf))
        apart[crf] = float(
            np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in zip(again, shown, strict=True)])
        )
    return min(apart, key=lambda crf: apart[crf])


def near(found: Span | None, wanted: Span, slack_s: float) -> bool:
    """Whether both ends agree."""
    return found is not None and abs(found[0] - wanted[0]) <= slack_s and abs(found[1] - wanted[1]) <= slack_s


def problems(source: Clip, seen: Clip, record: Applied, *, noise: float = 0.0) -> list[str]:
    """What in the decoded clip speaks against a record; an empty list confirms it.

    Args:
        source: The undistorted clip.
        seen: Decoded from the written file.
        record: Of one distortion, the only one.
        noise: What the writer itself may change, as mean absolute difference in grey levels; 0 for lossless.
    """
    found = []
    inside = np.isin(np.arange(len(source)), source.numbers(record.span_s))
    apart = differences(source, seen)
    if record.name not in ("stall", "stall_spinner") and np.any(apart[~inside] > noise):
        found.append(f"changed outside its span by {apart[~inside].max():.2f} grey levels")
    found += _signature(source, seen, record, noise)
    return found


def _signature(source: Clip, seen: Clip, record: Applied, noise: float) -> list[str]:
    frame_s, span = 1.05 / source.fps + 0.001, record.span_s
    if record.name == "freeze":
        return _standing(source, seen, span, 0.5 * noise)
    if record.name == "frame_drop":
        starts = [start for start, _ in record.events_s]
        gone = missing(source, seen)
        right = len(gone) == len(starts) and np.allclose(gone, starts, atol=0.001)
        return [] if right else [f"{len(gone)} frames are missing: {gone[:3]} …"]
    if record.name == "flicker":
        curve = gains(source, seen, span)
        seconds = span[1] - span[0]
        frequency = strongest_frequency(curve, source.fps)
        bad = []
        if abs(frequency - record.parameters["frequency_hz"]) > max(0.6 / seconds, 0.3):
            bad.append(f"it flickers at {frequency:.2f} Hz")
        if np.ptp(curve) < 0.4 * record.parameters["amplitude"]:
            bad.append(f"luminance swings by {np.ptp(curve):.3f}")
        return bad
    if record.name in ("h264", "hevc", "vp9", "av1"):
        edge = changed(source, seen, max(noise, 0.05))
        bad = [] if near(edge, span, frame_s) else [f"changed from {edge}"]
        crf = rate_factor(source, seen, record)
        return bad if crf == record.parameters["crf"] else [*bad, f"it looks like a rate factor of {crf:g}"]
    raise ValueError(f"no reader for {record.name}")


def _standing(source: Clip, seen: Clip, span: Span, limit: float) -> list[str]:
    """The picture stands over the span, and no longer than the source itself stands before and after."""
    if len(source) != len(seen):
        return [f"{len(seen)} of {len(source)} frames"]
    inside = source.numbers(span)
    still, was_still = steps(seen) <= limit, steps(source) <= limit
    if not np.all(still[inside[0] : inside[-1]]):
        return [f"the picture moves between {span[0]:.2f} and {span[1]:.2f} s"]
    if np.all(was_still[inside[0] : inside[-1]]):
        return ["the source stands there, too"]
    for beside in (inside[0] - 1, inside[-1]):
        if 0 <= beside < len(still) and still[beside] and not was_still[beside]:
            return [f"the picture also stands at {source.timestamps_s[beside]:.2f} s"]
    return []
