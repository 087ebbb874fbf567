"""How far answers and explanations can be trusted: truth tests on files that are made here, so that truth is known.

    python benchmarks/answers.py --photos FOLDER [--clips FOLDER] [--model nano] [--pairs 200] [--seed 0]
                                 [--out answers.jsonl]

`--photos` must be photos that the model never saw. Each pair is one photo twice, distorted by the same function at
severities more than one step apart (a clean copy counts as 0), so that which side is better is known; each single
is a photo with one distortion, or clean. Clips are real ones, one span of which is distorted. All draws follow from
the seed. One line per figure: share, its Wilson 95 % interval, n; then one JSON line with the same.

| figure | what counts |
|---|---|
| better side right | the answer's claim names the better side (an answer without one is wrong) |
| names the true distortion | of the worse file of a pair, in the answer's claims |
| named distortions are true | of all that are named of the worse file of a pair: naming many does not help |
| contradictions after the check | claims of the text that is shown that its readings do not bear out |
| order changes the verdict | the claimed better file differs between (A, B) and (B, A) |
| distortion named | of a distorted single, in the answer to "what is wrong" |
| clean called clean | of a clean single: no distortion claimed |
| severity within one | of the singles whose distortion was found: expected severity at most one from the true one |
| worst span found | the span named as worst overlaps the distorted one |
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mllmqa.asking import Answer, ask
from mllmqa.asking.claims import claims_of, contradictions
from mllmqa.asking.compose import worst_places
from mllmqa.cli.loading import LoadingWishes
from mllmqa.data import distortions
from mllmqa.data.distortions import NAMES, category_of, to_short_side
from mllmqa.data.streams import stream
from mllmqa.data.video_distortions.files import read_clip, write_clip
from mllmqa.scoring import Scorer

WHY, WRONG, WHEN = "Which is better, A or B, and why?", "What is wrong with this image?", "Which part is worst?"
LEAST_STEPS = 2
"""More than one severity step apart."""
SHORT_PX = 512
CLIP_SHORT_PX, CLIP_S = 360, 8.0
SPAN_DISTORTIONS = ("blur_gaussian", "noise_gaussian_rgb", "compression_jpeg", "pixelate")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass
class Tally:
    """Hits and trials by figure.

    Attributes:
        hits: Figure → hits.
        n: Figure → trials.
        records: One per question, for `--out`.
    """

    hits: Counter[str] = field(default_factory=Counter)
    n: Counter[str] = field(default_factory=Counter)
    records: list[dict[str, Any]] = field(default_factory=list)

    def count(self, figure: str, hit: bool, trials: int = 1) -> None:
        """Count one hit at most, in one trial or several."""
        self.hits[figure] += hit
        self.n[figure] += trials

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each figure with its interval."""
        for figure, n in self.n.items():
            low, high = wilson(self.hits[figure], n)
            share = self.hits[figure] / n if n else math.nan
            yield {"figure": figure, "share": share, "low": low, "high": high, "n": n}


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson 95 % interval of a share (JASA 22, 1927); 0..1 where there is no trial."""
    if n == 0:
        return 0.0, 1.0
    p, scale = hits / n, 1 + z * z / n
    middle = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


# ------------------------------------------------------------------ pairs


def one_pair(scorer: Scorer, photo: np.ndarray, rng: np.random.Generator, tally: Tally) -> None:
    """Ask about a pair in both orders."""
    name = NAMES[int(rng.integers(len(NAMES)))]
    low = int(rng.integers(0, 6 - LEAST_STEPS))
    high = int(rng.integers(low + LEAST_STEPS, 6))
    made = {grade: distorted(photo, name, grade, rng) for grade in (low, high)}
    worse_first = bool(rng.random() < 0.5)
    grades = (high, low) if worse_first else (low, high)
    category = category_of(name)
    found = ask(scorer, WHY, [made[grade] for grade in grades])
    turned = ask(scorer, WHY, [made[grade] for grade in grades[::-1]])
    better, other = better_side(found), better_side(turned)
    right = "B" if worse_first else "A"
    worse = "A" if worse_first else "B"
    tally.count("better side right", better == right)
    claimed = [c for c in found.claims if c.kind == "distortion" and not c.denied and c.key == worse]
    named = {claim.category for claim in claimed}
    tally.count("names the true distortion", category in named)
    tally.count("named distortions are true", category in named, len(named))
    count_contradictions(found, tally)
    tally.count("order changes the verdict", better != {"A": "B", "B": "A"}.get(other or ""))
    tally.count("written by the model", found.source == "model")
    record = {"pair": name, "grades": grades, "better": right, "text": found.text, "source": found.source}
    tally.records.append({**record, "turned": turned.text, "reason": found.reason, "model_text": found.model_text})


def better_side(found: Answer) -> str | None:
    """Return the side that an answer calls better; None where it names none, or both."""
    named = {claim.key for claim in found.claims if claim.kind == "better" and not claim.denied}
    return named.pop() if len(named) == 1 else None


def count_contradictions(found: Answer, tally: Tally) -> None:
    """Read the text that is shown again, and count each of its claims."""
    if found.evidence is None:
        return
    keys = [one.key for one in found.evidence.files]
    claims = claims_of(found.text, keys)
    wrong = contradictions(claims, found.evidence)
    tally.hits["contradictions after the check"] += len(wrong)
    tally.n["contradictions after the check"] += len(claims)


# ------------------------------------------------------------------ singles


def one_single(scorer: Scorer, photo: np.ndarray, rng: np.random.Generator, tally: Tally) -> None:
    """Ask what is wrong with a distorted photo, and with the photo itself."""
    name, grade = NAMES[int(rng.integers(len(NAMES)))], int(rng.integers(1, 6))
    category = category_of(name)
    found = ask(scorer, WRONG, [distorted(photo, name, grade, rng)])
    named = {c.category for c in found.claims if c.kind == "distortion" and not c.denied}
    tally.count("distortion named", category in named)
    count_contradictions(found, tally)
    severity = found.evidence.files[0].severity(category) if found.evidence else None
    if category in named and severity is not None:
        tally.count("severity within one", abs(severity.value - grade) <= 1)
    clean = ask(scorer, WRONG, [photo])
    said = [c for c in clean.claims if c.kind == "distortion" and not c.denied]
    tally.count("clean called clean", not said and any(c.kind == "clean" for c in clean.claims))
    tally.records.append({"single": name, "grade": grade, "text": found.text, "clean": clean.text})


def distorted(photo: np.ndarray, name: str, grade: int, rng: np.random.Generator) -> np.ndarray:
    """Return a photo distorted at a severity; 0: itself."""
    return photo if grade == 0 else distortions.apply(photo, name, grade, rng).pixels


# ------------------------------------------------------------------ clips


def one_clip(scorer: Scorer, path: Path, rng: np.random.Generator, tally: Tally) -> None:
    """Distort one span of a clip, ask which part is worst, and see whether the answer overlaps it."""
    clip = read_clip(path, short_side=CLIP_SHORT_PX, span_s=(0.0, CLIP_S))
    share = float(rng.uniform(0.2, 0.35))
    start = float(rng.uniform(0.05, 0.95 - share)) * clip.duration_s
    span = (start, start + share * clip.duration_s)
    name = SPAN_DISTORTIONS[int(rng.integers(len(SPAN_DISTORTIONS)))]
    frames = clip.frames_THWC.copy()
    for k, time_s in enumerate(clip.timestamps_s):
        if span[0] <= time_s < span[1]:
            frames[k] = distortions.apply(frames[k], name, 4, rng).pixels
    with tempfile.TemporaryDirectory() as folder:
        made = write_clip(clip.with_frames(frames), Path(folder) / "clip.mp4")
        found = ask(scorer, WHEN, [made])
    named = worst_places(found.evidence.files[0])[1] if found.evidence else []
    tally.count("worst span found", any(a < span[1] and span[0] < b for a, b in named))
    covered = sum(b - a for a, b in named) / clip.duration_s
    record = {"clip": path.name, "distortion": name, "true_s": span, "named_s": named, "share": covered}
    tally.records.append({**record, "duration_s": clip.duration_s, "text": found.text})


# ------------------------------------------------------------------ all


def photos_of(folder: Path, seed: int, count: int) -> list[Path]:
    """Return so many photos of a folder, drawn by the seed, again from the start where there are fewer."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    if not found:
        sys.exit(f"{folder}: no photos")
    order = stream(seed, "photos").permutation(len(found))
    return [found[int(order[k % len(found)])] for k in range(count)]


def main() -> None:
    """Ask, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--clips", type=Path, help="a folder of real clips")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--clip-count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="one JSON line per question")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop early, between questions")
    args = parser.parse_args()
    scorer, tally, begun = LoadingWishes(device=args.device).load(args.model), Tally(), time.monotonic()
    for task, count, ask_one in (("pair", args.pairs, one_pair), ("single", args.singles, one_single)):
        for k, path in enumerate(photos_of(args.photos, args.seed, count)):
            if time.monotonic() - begun < args.seconds:
                photo = to_short_side(read(path), SHORT_PX)
                ask_one(scorer, photo, stream(args.seed, f"{task}-{k}", task), tally)
    clips = sorted(path for path in args.clips.iterdir() if path.is_file()) if args.clips else []
    for k, path in enumerate(clips[: args.clip_count]):
        if time.monotonic() - begun < args.seconds:
            one_clip(scorer, path, stream(args.seed, f"clip-{k}", "clip"), tally)
    report(tally, args.out)


def read(path: Path) -> np.ndarray:
    """Return a photo as uint8 RGB (H, W, 3), upright."""
    from mllmqa import media

    return media.decode_image(media.open_media(path))


def report(tally: Tally, out: Path | None) -> None:
    """Print the figures, and write the records."""
    rows = list(tally.rows())
    for row in rows:
        print(f"{row['figure']:32} {row['share']:7.3f}  [{row['low']:.3f}, {row['high']:.3f}]  n {row['n']}")
    print(json.dumps(rows))
    if out is not None:
        out.write_text("".join(json.dumps(record) + "\n" for record in tally.records), encoding="utf-8")


if __name__ == "__main__":
    main()
