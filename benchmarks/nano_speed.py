"""Latency of nano on this machine: a 1080p picture and eight frames of a 1080p clip, decoded already.

    python -m benchmarks.nano_speed [CLIP] [--threads 2] [--rounds 20]

Timed is what scoring does behind decoding: views, processor, tower, decoder. One line of JSON with medians and
minima in milliseconds. Lone figures of shared machines say little, so a yardstick is timed before, between and
after, a matrix times itself in single precision: what it takes on quiet cores is known (nano's model card), and
so how busy the machine was.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

import mllmqa
from mllmqa.media import decode_frames, open_media, video_index
from mllmqa.media.views import View
from mllmqa.models.base import Request
from mllmqa.prepare import ScoreOptions, make_plan

SAMPLE = Path(__file__).parents[1] / "docs" / "samples" / "flower.mp4"
FRAMES = 8
YARDSTICK = 1536
"""Rows and columns of the matrix."""


def timed(run: Callable[[], object], rounds: int) -> dict[str, float]:
    """Run once unmeasured, then `rounds` times; milliseconds."""
    run()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - start))
    return {"median_ms": round(statistics.median(taken), 1), "least_ms": round(min(taken), 1)}


def main() -> None:
    """Time all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    scorer = mllmqa.load("nano", device="cpu")
    backend = scorer.backend
    plan = make_plan(scorer.preset, backend.info, backend.native_video, ScoreOptions())
    media = open_media(args.clip)
    times = tuple(np.linspace(0.02, 0.98, FRAMES) * video_index(media).duration_s)
    frames = decode_frames(media, times).frames_THWC
    large = [cv2.resize(frame, (1920, 1080), interpolation=cv2.INTER_CUBIC) for frame in frames]

    def scored(view: View, shown: Sequence[np.ndarray]) -> None:
        requests = [Request(plan.image_prompt, seen) for seen in view.each(shown)]
        for start in range(0, len(requests), scorer.default_batch_size):
            backend.level_logits(requests[start : start + scorer.default_batch_size], scorer.scale.words)

    matrix = torch.rand(YARDSTICK, YARDSTICK)
    runs: dict[str, Callable[[], object]] = {
        "yardstick before": lambda: matrix @ matrix,
        "picture": lambda: scored(plan.view, large[:1]),
        "yardstick between": lambda: matrix @ matrix,
        f"{FRAMES} frames": lambda: scored(plan.video_view, large),
        "yardstick after": lambda: matrix @ matrix,
    }
    found = {name: timed(run, args.rounds) for name, run in runs.items()}
    print(json.dumps({**found, "threads": args.threads, "dtype": backend.info.dtype}))


if __name__ == "__main__":
    main()
