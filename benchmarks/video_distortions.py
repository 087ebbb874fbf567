"""Freeze, flicker, rate factor and drop spans in real clips: written to files, confirmed from the decoded frames.

    python -m benchmarks.video_distortions ../shared/media/video --out /tmp/distorted

Every video of a folder is read (scaled to a short side, cut to some seconds), each distortion is put into a random
span at a random severity, the result is written and read back through `mllmqa.media`, and the reader of the tests
(tests/data/video_distortions/confirm.py) looks for what the record says, and at all that must not have changed.
Prints one line for each file and the counts; exit code 1 if a record is not confirmed.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mllmqa.data.video_distortions import TABLE, Clip, DistortedClip, apply, random_span, read_clip, write_clip
from mllmqa.errors import MllmqaError, error_line
from tests.data.video_distortions import confirm

NAMES = ("freeze", "flicker", "h264", "frame_drop")
NOISE = {"ffv1": 0.0, "h264": 2.0}
"""What the writer itself may change, as mean absolute difference in grey levels."""
VISIBLE = 0.3
"""Effects below (or below the noise of the writer), in grey levels, are no label: nothing is to be seen."""


@dataclass
class Tally:
    """What became of the records and the clips."""

    confirmed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    invisible: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)
    frames: int = 0


def distorted(clip: Clip, name: str, rng: np.random.Generator) -> DistortedClip:
    """Put one distortion into a clip: random span and severity; a freeze no longer than a third of the clip."""
    severities = [1, 2, 3, 4, 5]
    if name == "freeze":
        lengths = TABLE["freeze"]["length_s"]
        severities = [s for s in severities if lengths[s - 1] < clip.duration_s / 3]
    if not severities:
        severities = [1]
    within = None if name == "freeze" else random_span(clip, rng, share=(0.3, 0.6))
    return apply(clip, name, int(rng.choice(severities)), rng, within=within)


def one_clip(path: Path, args: argparse.Namespace, folder: Path, tally: Tally) -> Iterator[dict[str, object]]:
    """Distort, write, read and confirm; yields one row for each distortion."""
    start = time.perf_counter()
    clip = read_clip(path, short_side=args.short_side, span_s=(0.0, args.seconds))
    tally.seconds["read"] += time.perf_counter() - start
    tally.frames += len(clip)
    for number, name in enumerate(NAMES):
        rng = np.random.default_rng([args.seed, *path.name.encode(), number])
        start = time.perf_counter()
        try:
            done = distorted(clip, name, rng)
        except MllmqaError as error:
            yield {"file": path.name, "name": name, "state": "does not fit", "why": error_line(error)}
            continue
        middle = time.perf_counter()
        target = write_clip(done.clip, folder / f"{path.stem}.{name}.mp4", writer=args.writer)
        written = time.perf_counter()
        seen = replace(read_clip(target), fps=clip.fps)
        (record,) = done.applied
        problems = confirm.problems(clip, seen, record, noise=NOISE[args.writer])
        tally.seconds["distort"] += middle - start
        tally.seconds["write"] += written - middle
        tally.seconds["read back, confirm"] += time.perf_counter() - written
        state = "confirmed" if not problems else "not confirmed"
        if (record.effect or 0.0) < max(VISIBLE, NOISE[args.writer]):
            state = "invisible"
        counts = {"confirmed": tally.confirmed, "not confirmed": tally.refused, "invisible": tally.invisible}
        counts[state][name] += 1
        shown = {k: v for k, v in record.as_dict().items() if k != "events_s"}
        yield {"file": target.name, "state": state, "why": "; ".join(problems), **shown}
        if not args.out:
            target.unlink()


def run(args: argparse.Namespace, folder: Path) -> Tally:
    """Go through a folder, print and log."""
    tally = Tally()
    with (folder / "records.jsonl").open("w", encoding="utf-8") as log:
        for path in sorted(args.folder.iterdir()):
            if path.suffix == ".csv":
                continue
            try:
                for row in one_clip(path, args, folder, tally):
                    log.write(json.dumps(row, ensure_ascii=False) + "\n")
                    effect = str(row.get("effect", ""))
                    print(f"{path.name:32} {row['name']:11} {row['state']:14} {effect:8} {row['why']}")
            except MllmqaError as error:
                tally.unread.append(error_line(error))
                print(f"{path.name:32} {'-':11} unread         {error_line(error)}")
    return tally


def main() -> int:
    """Parse, run, sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="keep the files here")
    parser.add_argument("--writer", choices=sorted(NOISE), default="h264")
    parser.add_argument("--short-side", type=int, default=240)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        tally = run(args, folder)
    for name in NAMES:
        total = tally.confirmed[name] + tally.refused[name]
        print(f"{name}: {tally.confirmed[name]} of {total} confirmed, {tally.invisible[name]} more invisible")
    total = tally.confirmed.total() + tally.refused.total()
    print(f"all: {tally.confirmed.total()} of {total} confirmed; {len(tally.unread)} files unread")
    spent = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in tally.seconds.items())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{tally.frames} source frames; {spent}; peak memory {peak:.0f} MB")
    return int(tally.refused.total() > 0)


if __name__ == "__main__":
    sys.exit(main())
