"""Speed of `mllmqa score` on a 10 s 1080p H.264 clip with nano, as ratios measured side by side in one run.

    python benchmarks/score_speed.py --repeats 5

The clip is made from docs/samples/flower.mp4: enlarged to 1920×1080, played twice, 300 frames, x264 with its
default GOP. Parts are timed in turn, warm, and the minimum of the repeats is shown, so that a busy moment
of the machine spoils no single part.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import torch

import mllmqa
from mllmqa import media
from mllmqa.prepare import Prepared, prepare

SAMPLE = Path(__file__).resolve().parents[1] / "docs" / "samples" / "flower.mp4"


def sample_frames() -> Iterator[av.VideoFrame]:
    """Yield the sample twice, at 1920×1080."""
    for _ in range(2):
        with av.open(str(SAMPLE)) as source:
            for frame in source.decode(video=0):
                yield frame.reformat(width=1920, height=1080, format="yuv420p")


def make_clip(path: Path) -> Path:
    """Write the 1080p clip."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30), options={"crf": "23", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for number, frame in enumerate(sample_frames()):
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def full_decode(path: Path) -> None:
    """Decode every frame to RGB, one after another."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            frame.to_ndarray(format="rgb24")


def interleaved(parts: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Time every part once per round; return the minimum of each, in seconds."""
    best = dict.fromkeys(parts, float("inf"))
    for _ in range(repeats + 1):  # the first round warms caches and is counted like any other
        for name, part in parts.items():
            start = time.perf_counter()
            part()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    """Run the recipe; see the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4")
        scorer = mllmqa.load("nano", device="cpu")
        plan = scorer.plan()
        opened = media.open_media(clip)
        times = plan.rule.times(media.video_index(opened))
        ready = prepare(clip, "clip", plan)
        if not isinstance(ready, Prepared):
            sys.exit(str(ready.error))
        command = [sys.executable, "-m", "mllmqa", "score", str(clip)]
        load = [sys.executable, "-c", "import mllmqa; mllmqa.load('nano').plan()"]
        parts: dict[str, Callable[[], object]] = {
            "(a) decode the frames used": lambda: media.decode_frames(opened, times),
            "(b) decode all 300 frames": lambda: full_decode(clip),
            "(m) model": lambda: scorer.backend.level_logits(ready.requests, scorer.scale.words),
            "(s) score, warm": lambda: scorer.score(clip),
            "(c) `mllmqa score`, new process": lambda: subprocess.run(command, check=True, capture_output=True),
            "(l) start and load only, new process": lambda: subprocess.run(load, check=True, capture_output=True),
        }
        best = interleaved(parts, repeats)
    a, b, m, s = (best[name] for name in list(parts)[:4])
    whole, start = (best[name] for name in list(parts)[4:])
    print(f"torch threads {torch.get_num_threads()}, {len(times)} frames, minimum of {repeats + 1} rounds\n")
    print("| part | ÷ (a) |\n|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {seconds / a:.2f} |")
    print(f"\n(s) = {s / (1.5 * a + m):.2f} × [1.5 (a) + (m)]; (a) takes {a * 1000:.0f} ms here")
    print(f"(s) = {s / b:.2f} × (b)")
    print(f"(c) − (l) = {(whole - start) / (1.5 * a + m):.2f} × [1.5 (a) + (m)]")


if __name__ == "__main__":
    main()
