"""Speed of `mllmqa.compare` on two 1080p images beside scoring both, as ratios measured side by side in one run.

    python benchmarks/compare_speed.py --repeats 7 --model nano

The images are two frames of docs/samples/flower.mp4, enlarged to 1920×1080 and saved as JPEG, one at quality 90 and
one at 10. Parts are timed in turn, warm, and the minimum of the repeats is shown. "two scorings" are two calls of
`score`, one after another, as a user would make them; "both in one call" is `score` of the list.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

import mllmqa
from mllmqa import media

SAMPLE = Path(__file__).resolve().parents[1] / "docs" / "samples" / "flower.mp4"


def make_images(folder: Path) -> tuple[str, str]:
    """Write the two images; return their paths."""
    frames = media.decode_frames(media.open_media(SAMPLE), (0.5, 2.0)).frames_THWC
    paths = []
    for frame, quality in zip(frames, (90, 10), strict=True):
        paths.append(str(folder / f"q{quality}.jpg"))
        Image.fromarray(frame).resize((1920, 1080), Image.Resampling.BICUBIC).save(paths[-1], quality=quality)
    return paths[0], paths[1]


def interleaved(parts: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Time every part once per round; return the minimum of each, in seconds."""
    best = dict.fromkeys(parts, float("inf"))
    for _ in range(repeats + 1):
        for name, part in parts.items():
            start = time.perf_counter()
            part()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    scorer = mllmqa.load(options.model)
    with tempfile.TemporaryDirectory() as folder:
        a, b = make_images(Path(folder))
        found = mllmqa.compare(scorer, a, b)
        if not isinstance(found, mllmqa.Comparison):
            raise SystemExit(found.message)
        best = interleaved(
            {
                "two scorings": lambda: (scorer.score(a), scorer.score(b)),
                "both in one call": lambda: scorer.score([a, b]),
                "one comparison": lambda: mllmqa.compare(scorer, a, b),
            },
            options.repeats,
        )
    print(f"{options.model}: by {found.method}: {found.text()}")
    for name, seconds in best.items():
        print(f"{name:<18} {seconds * 1000:8.1f} ms   {seconds / best['two scorings']:5.2f} of two scorings")


if __name__ == "__main__":
    main()
