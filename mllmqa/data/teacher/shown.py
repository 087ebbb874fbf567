"""The media of a sample as the API client sends them: own bytes or lossless PNG, frames of videos by a rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mllmqa.data.sample import Medium, Sample, path_of
from mllmqa.errors import DataError, MediaNotFoundError
from mllmqa.media import FrameRule, VideoIndex
from mllmqa.media.sample import IntegerSource
from mllmqa.models.base import ModelInfo, Request
from mllmqa.models.presets import API_PRESET, presets
from mllmqa.prepare import Plan, Refused, ScoreOptions, make_plan, prepare


@dataclass(frozen=True)
class Shown:
    """One medium, ready to be sent.

    Attributes:
        key: Of the medium.
        role: Of the medium.
        request: With its pictures as files, and the times of frames.
    """

    key: str
    role: str
    request: Request


@dataclass(frozen=True)
class SpanRule(FrameRule):
    """A frame rule inside a part of a video.

    Attributes:
        span_s: From and to.
    """

    span_s: tuple[float, float] = (0.0, 0.0)

    def times(self, index: VideoIndex, rng: IntegerSource | None = None) -> tuple[float, ...]:
        """Return the presentation times of the chosen frames, in seconds."""
        stamps = index.timestamps_s
        inside = np.flatnonzero((stamps >= self.span_s[0]) & (stamps < self.span_s[1]))
        if not len(inside):
            what = f"no frame from {self.span_s[0]:g} to {self.span_s[1]:g} s"
            raise DataError(what, expected="a span with frames")
        among = slice(int(inside[0]), int(inside[-1]) + 1)
        part = VideoIndex(stamps[among], index.keyframes[among], index.fps, min(self.span_s[1], index.duration_s))
        return super().times(part, rng)


def sending_plan(model: str, base_url: str, frames: str | None) -> Plan:
    """Return how media are prepared for a teacher.

    Args:
        model: With ``api:``.
        base_url: Of the endpoint.
        frames: Frame rule for videos; None: that of models behind an endpoint.

    Raises:
        UnknownNameError: No such frame rule.
    """
    info = ModelInfo(model, None, None, None, "unknown", "api", base_url=base_url)
    return make_plan(presets()[API_PRESET], info, native_video=True, options=ScoreOptions(frames=frames))


def shown_media(sample: Sample, folder: Path, plan: Plan) -> list[Shown]:
    """Return all media of a sample, in its order.

    Args:
        sample: The sample.
        folder: Where its file lies.
        plan: From :func:`sending_plan`.

    Raises:
        MediaError: A file cannot be used.
        DataError: A file is not the one that was labelled.
    """
    return [Shown(medium.key, medium.role, _request(medium, folder, plan)) for medium in sample.media]


def _request(medium: Medium, folder: Path, plan: Plan) -> Request:
    path = path_of(medium, folder)
    if path is None:
        raise MediaNotFoundError(f"medium {medium.key} has no path", expected="a file")
    if medium.span_s is not None:
        rule = plan.rule
        plan = replace(plan, rule=SpanRule(rule.name, rule.kind, rule.numbers, medium.span_s))
    found = prepare(str(path), str(path), plan, medium.kind)
    if isinstance(found, Refused):
        raise found.error
    if found is None:
        raise MediaNotFoundError("gave nothing to look at", where=path)
    if medium.sha256 is not None and found.media.sha256 != medium.sha256:
        raise DataError(
            "is not the file that was labelled (another SHA-256)",
            where=path, expected=medium.sha256[:12], hint="build the set again, or bring the file back",
        )  # fmt: skip
    return found.requests[0]
