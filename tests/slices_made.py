"""Slices of made-up clips, some frozen and some flickering for a while, and heads that have learnt them."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from mllmqa.data.video_distortions import IN_TIME
from mllmqa.media.slices import WIDTH, slices
from mllmqa.models.nano.timing import TimeHeads
from mllmqa.training.loop import weighted
from mllmqa.training.moments import Moments, batches, time_losses
from tests.conftest import photo_pixels

CHANNELS = 16
FREEZE, FLICKER = IN_TIME.index("freeze"), IN_TIME.index("flicker")
STEPS = 150
WEIGHTS = {"presence": 3.0, "moments": 10.0, "severity": 0.3}


def frames(seed: int, count: int, freeze: range = range(0), flicker: range = range(0)) -> np.ndarray:
    """A window that moves over a picture, (count, 48, 64, 3); flicker adds and takes 40 grey levels in turn."""
    speed = 1 + seed % 3
    wide = photo_pixels(64 + speed * count, 48, seed)
    made = np.stack([wide[:, speed * k : speed * k + 64] for k in range(count)]).astype(int)
    for k in freeze:
        made[k] = made[freeze.start - 1]
    for k in flicker:
        made[k] += 40 if k % 2 else -40
    return np.clip(made, 0, 255).astype(np.uint8)


def moments(seed: int, count: int, freeze: range = range(0), flicker: range = range(0)) -> Moments:
    """The slices of :func:`frames` (T, W, 3) and what is there at each moment (T, K)."""
    severity = torch.zeros(count, len(IN_TIME))
    severity[list(freeze), FREEZE] = 4.0
    severity[list(flicker), FLICKER] = 2.0
    picture = slices(frames(seed, count, freeze, flicker), [1] * count)
    return Moments(torch.from_numpy(picture), severity)


@cache
def table() -> tuple[Moments, ...]:
    """Clips of 30 frames: a third frozen, a third flickering, a third undisturbed."""
    made = []
    for seed in range(9):
        some = range(4 + seed // 3 * 7, 12 + seed // 3 * 7)
        made.append(moments(seed, 30, **({}, {"freeze": some}, {"flicker": some})[seed % 3]))
    return tuple(made)


@cache
def trained() -> TimeHeads:
    """Heads that have seen :func:`table` for a few dozen steps; not to be changed."""
    torch.manual_seed(0)
    heads = TimeHeads(WIDTH, CHANNELS, len(IN_TIME))
    optimizer = torch.optim.AdamW(heads.parameters(), lr=4e-3)
    for batch in batches(table(), 4, (24, 30), (0,), range(STEPS)):
        loss = torch.stack(list(weighted(time_losses(heads, batch, 0.0), WEIGHTS).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(heads.parameters(), 1.0)
        optimizer.step()
    return heads.eval()
