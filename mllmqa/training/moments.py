"""What nano's heads for the time of a clip learn from: slices of clips that are distorted in time.

Clips are parts of real ones (also mirrored, backwards, twice as fast) and windows that move over photos. A row is a
picture of slices with the severity of each category at each of its moments; clip i is a function of (seed, i).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from mllmqa.data.build import draw
from mllmqa.data.build.pictures import Video, moving
from mllmqa.data.distortions import to_short_side
from mllmqa.data.video_distortions import IN_TIME, NAMES, Clip, Step, random_span, read_clip
from mllmqa.data.video_distortions.registry import category_of_video
from mllmqa.errors import DataError
from mllmqa.media.slices import STRIP, held, moments, runs, slices
from mllmqa.models.nano.timing import TimeHeads
from mllmqa.training.loop import Losses, absent_parts, save_atomically
from mllmqa.training.samples import Pixels, read_rgb

log = logging.getLogger(__name__)

PART = 50
"""Clips of a file."""
UNDISTURBED, TWO = 0.3, 0.07
"""Shares of clips with none and with two distortions in time; the others have one."""
SECONDS = (2.5, 6.0)
OFTEN = {
    "freeze": 3.0,
    "frame_drop": 3.0,
    "flicker": 3.0,
    "shake": 1.5,
    "stutter": 1.5,
    "jitter": 1.5,
    "stall": 1.5,
}
"""How often distortions are drawn; the others 0.7."""
MOST_GRAIN = 2.5
"""Grey levels of the noise that is put on windows over photos, which have none between frames."""

Slices = tuple[Pixels, npt.NDArray[np.float32]]
"""A picture (T, W, 3) uint8 and the severities (T, K), 0: not there."""


@dataclass(frozen=True)
class Clips:
    """Which clips are drawn.

    Attributes:
        paths: Real clips, read once.
        photos: For windows that move over them.
        real_share: Of the draws.
        short_px: Short side at which clips are distorted.
        seed: Root of all randomness.
    """

    paths: Sequence[Path]
    photos: Sequence[Path]
    real_share: float
    short_px: int
    seed: int
    _read: dict[Path, Clip] = field(default_factory=dict, repr=False)

    def __getitem__(self, index: int) -> list[Slices]:
        """Return the slices of a clip; none where the draws do not fit it."""
        rng = np.random.default_rng([self.seed, index])
        real = self.paths and rng.random() < self.real_share
        clip, path = self._real(rng) if real else self._moving(rng)
        try:
            video = _disturbed(Video(clip, path, "train"), rng)
        except DataError:
            return []
        return list(_sliced(video))

    def _real(self, rng: np.random.Generator) -> tuple[Clip, Path]:
        path = self.paths[int(rng.integers(len(self.paths)))]
        if path not in self._read:
            self._read[path] = read_clip(path, short_side=self.short_px)
        whole = self._read[path]
        speed = 1 if rng.random() < 0.7 else 2
        count = min(len(whole), round(float(rng.uniform(*SECONDS)) * whole.fps * speed))
        start = int(rng.integers(len(whole) - count + 1))
        frames = whole.frames_THWC[start : start + count : speed]
        if rng.random() < 0.3:
            frames = frames[::-1]
        if rng.random() < 0.5:
            frames = frames[:, :, ::-1]
        height, width = (side // 2 * 2 for side in frames.shape[1:3])
        return Clip.of(np.ascontiguousarray(frames[:, :height, :width]), whole.fps), path

    def _moving(self, rng: np.random.Generator) -> tuple[Clip, Path]:
        path = self.photos[int(rng.integers(len(self.photos)))]
        photo = np.asarray(read_rgb(path))
        short = min(round(self.short_px * 4 / 3), *photo.shape[:2])
        clip = moving(
            to_short_side(photo, short), rng, float(rng.uniform(*SECONDS)), float(rng.choice([24, 25, 30]))
        )
        grain = rng.normal(0, rng.uniform(0, MOST_GRAIN), (8, *clip.frames_THWC.shape[1:3], 1))
        frames = [np.clip(f + grain[k % 8], 0, 255).astype(np.uint8) for k, f in enumerate(clip.frames_THWC)]
        return clip.with_frames(np.stack(frames)), path


def _disturbed(video: Video, rng: np.random.Generator) -> Video:
    share = rng.random()
    count = 0 if share < UNDISTURBED else 2 if share > 1 - TWO else 1
    names = [name for name in NAMES if category_of_video(name) in IN_TIME]
    weights = np.array([OFTEN.get(name, 0.7) for name in names])
    steps = []
    for name in rng.choice(names, count, replace=False, p=weights / weights.sum()):
        severity = int(rng.integers(1, 6))
        within = random_span(video.clip, rng) if name in draw.PLACED and rng.random() < 0.8 else None
        steps.append(Step(str(name), severity, within))
    return video.distorted(steps, rng)  # in one chain: a stall moves what was done before it


def _sliced(video: Video) -> Iterator[Slices]:
    clip = video.clip
    lasting = held(clip.timestamps_s)
    for run, times in zip(runs(len(clip)), moments(clip.timestamps_s), strict=True):
        severity = np.zeros((len(times), len(IN_TIME)), np.float32)
        for one in video.distortions:
            start, end = one.span_s or clip.whole
            inside = (times >= start - 1e-6) & (times < end - 1e-6)
            severity[inside, IN_TIME.index(one.category)] = one.severity
        yield slices(clip.frames_THWC[run.start : run.stop], lasting[run.start : run.stop]), severity


def write_clips(clips: Clips, count: int, folder: Path, process: int, of: int) -> None:
    """Distort `count` clips and write their slices, in parts; those that are there already are left.

    Args:
        clips: What is drawn.
        count: How many; rounded up to whole parts.
        folder: Where the parts go.
        process: This one makes every `of`-th part.
        of: Processes.
    """
    for part, path in absent_parts(folder, -(-count // PART), process, of):
        found = [one for index in range(part * PART, (part + 1) * PART) for one in clips[index]]
        pictures, severities = ([torch.from_numpy(values) for values in each] for each in zip(*found, strict=True))
        save_atomically({"slices": pictures, "severity": severities}, path)
        log.info("%s: %d pictures of slices", path.name, len(found))


@dataclass(frozen=True)
class Moments:
    """`slices` (B, T, W, 3) uint8, `severity` (B, T, K) float32, 0: not there."""

    slices: Tensor
    severity: Tensor


def read_clips(folder: Path) -> list[Moments]:
    """Read all parts; entries of one picture each, without the first dimension."""
    parts = [torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pt"))]
    return [Moments(*pair) for part in parts for pair in zip(part["slices"], part["severity"], strict=True)]


def batches(
    rows: Sequence[Moments], size: int, lengths: tuple[int, int], seed: tuple[int, ...], steps: range
) -> Iterator[Moments]:
    """Draw pieces of equal length of pictures, half of them with mirrored lines; a function of (seed, step)."""
    for step in steps:
        rng = np.random.default_rng([*seed, step])
        length = int(rng.integers(lengths[0], lengths[1] + 1))
        long_enough = [row for row in rows if len(row.slices) >= length] or [max(rows, key=lambda r: len(r.slices))]
        length = min(length, *(len(row.slices) for row in long_enough))
        pieces = []
        for place in rng.integers(len(long_enough), size=size):
            row = long_enough[int(place)]
            start = int(rng.integers(len(row.slices) - length + 1))
            piece = row.slices[start : start + length]
            if rng.random() < 0.5:
                piece = piece.reshape(length, -1, STRIP, 3).flip(2).flatten(1, 2)
            pieces.append((piece, row.severity[start : start + length]))
        yield Moments(*(torch.stack(parts) for parts in zip(*pieces, strict=True)))


def time_losses(heads: TimeHeads, batch: Moments, drop: float) -> Losses:
    """Losses of a batch: presence in the whole and at each moment, severity of what is there.

    A piece that holds one moment of a distortion is not asked whether it has it.
    """
    there = (batch.severity > 0).sum(1)
    sure = (there == 0) | (there >= 2)
    strongest = batch.severity.amax(1)
    presence, severity, rows = heads(batch.slices, drop)
    whole = F.binary_cross_entropy_with_logits(presence, (there >= 2).float(), reduction="none")
    wrong = F.smooth_l1_loss(severity, strongest, reduction="none") * (there >= 2)
    return {
        "presence": (whole * sure).sum() / sure.sum().clamp(min=1),
        "moments": F.binary_cross_entropy_with_logits(rows, (batch.severity > 0).float()),
        "severity": wrong.sum() / (there >= 2).sum().clamp(min=1),
    }
