"""What a model reads of distortions that are made here, on photos and clips that it never saw: readings, no texts.

    python -m benchmarks.synthetic --photos HELD_OUT [--clips HELD_OUT] [--model nano] [--n 200] [--seed 0]

| figure | what counts |
|---|---|
| category named | one distortion of 12 categories: the one with the highest probability of "Yes" |
| severity error | of these, expected severity against the true one, mean absolute, in steps |
| both of two named | the two highest are the true ones, in any order |
| clean called clean | no category reaches the threshold of texts (`mllmqa.asking.thresholds.PRESENT`) |
| two severities | of one photo and distortion, one or more steps apart (0: clean): the lighter one scores higher |
| clear gap | two versions of one photo whose pseudo-MOS differ by 0.75 levels: the better one scores higher |
| SRCC to the pseudo-MOS | over all versions whose pseudo-MOS was taken |
| … by fidelity | the last three by the fidelity that heads read instead of the score, where a model has such |
| …, compared | two severities and clear gap by `mllmqa compare` of both versions |
| distortion in time named | freeze, flicker, drops in a clip: the highest of the three is the true one |
| undisturbed clip | none of the three reaches the threshold |

Severities are whole in what is made, not in what is read; of what cannot be seen slight without a reference they
begin at 2 (`mllmqa.training.samples.lightest`). Photos are brought to a short side of 512. Shares come with
Wilson's 95 % interval, SRCC and severity error with that of the bootstrap. Figures of nano are in its model card.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import mllmqa
from benchmarks.answers import CLIP_SHORT_PX, Tally, photos_of, read, report
from mllmqa.asking import thresholds
from mllmqa.asking.evidence import Depth, read_file
from mllmqa.asking.records import FileEvidence
from mllmqa.data import video_distortions
from mllmqa.data.build import draw
from mllmqa.data.distortions import category_of, to_short_side
from mllmqa.data.fullref import PseudoMos, measure
from mllmqa.data.streams import stream
from mllmqa.data.video_distortions.clip import Clip
from mllmqa.data.video_distortions.files import read_clip, write_clip
from mllmqa.errors import DataError
from mllmqa.evaluation.stats import srcc
from mllmqa.scoring import Scorer
from mllmqa.training.samples import Recipe, drawn, lightest, made

SHORT_PX = 512
GAP = 0.75
IN_TIME = {"freeze": "freeze", "flicker": "flicker", "frame_drop": "drop"}
"""Distortion → category."""
CLIP_S = 4.0

Pixels = np.ndarray


def probabilities(found: FileEvidence) -> dict[str, float]:
    """Return category → probability that it is there; none where the model cannot be asked."""
    return {one.category: one.probability for one in found.presence}


def look(scorer: Scorer, source: Pixels | Path) -> FileEvidence:
    """Read a picture or a clip."""
    return read_file(scorer, source, "A", Depth()).evidence


def one_distortion(scorer: Scorer, photo: Pixels, rng: np.random.Generator, tally: Tally) -> float | None:
    """Name it and grade it; return the error of the severity."""
    name = draw.one_name(rng)
    grade = int(rng.integers(int(lightest(name)), 6))
    found = look(scorer, made(photo, ((name, grade),), int(rng.integers(2**31)))[0])
    there, category = probabilities(found), category_of(name)
    tally.count("category named", bool(there) and max(there, key=there.__getitem__) == category)
    tally.records.append({"name": name, "grade": grade, "there": there})
    severity = found.severity(category)
    return None if severity is None else abs(severity.value - grade)


def two_distortions(scorer: Scorer, photo: Pixels, rng: np.random.Generator, tally: Tally) -> None:
    """Name both."""
    recipe: Recipe = ()
    while len(recipe) != 2:
        recipe = drawn(rng)
    grades = tuple((name, float(round(severity))) for name, severity in recipe)
    there = probabilities(look(scorer, made(photo, grades, int(rng.integers(2**31)))[0]))
    first = sorted(there, key=there.__getitem__)[-2:]
    tally.count("both of two named", set(first) == {category_of(name) for name, _ in recipe})


def clean(scorer: Scorer, photo: Pixels, tally: Tally) -> None:
    """Name nothing."""
    there = probabilities(look(scorer, photo))
    tally.count("clean called clean", bool(there) and max(there.values()) < thresholds.PRESENT)
    tally.records.append({"name": "clean", "there": there})


def two_severities(scorer: Scorer, photo: Pixels, rng: np.random.Generator, tally: Tally) -> None:
    """Score the lighter one higher."""
    name, seed = draw.one_name(rng, ordered=True), int(rng.integers(2**31))
    low = int(rng.choice([0, *range(int(lightest(name)), 5)]))
    high = int(rng.integers(max(low + 1, int(lightest(name))), 6))
    light: Recipe = ((name, low),) if low else ()
    pictures = [made(photo, recipe, seed)[0] for recipe in (light, ((name, high),))]
    found = [look(scorer, picture) for picture in pictures]
    for how, values in both_ways(found).items():
        tally.count(f"two severities{how}", values[0] > values[1])
    tally.count("two severities, compared", prefers_first(scorer, *pictures))


def prefers_first(scorer: Scorer, a: Pixels, b: Pixels) -> bool:
    """Tell whether the model's comparison of two pictures prefers the first."""
    found = mllmqa.compare(scorer, a, b)
    return isinstance(found, mllmqa.Comparison) and found.p_a_better > 0.5


def both_ways(found: Sequence[FileEvidence]) -> dict[str, list[float]]:
    """Return the scores of files and, where the model has heads for it, their fidelity."""
    near = [one.fidelity for one in found if one.fidelity is not None]
    ways = {"": [one.score.value for one in found]}
    return ways | ({" by fidelity": near} if len(near) == len(found) else {})


def clear_gap(
    scorer: Scorer, photo: Pixels, rng: np.random.Generator, tally: Tally
) -> dict[str, list[tuple[float, float]]]:
    """Score the better one higher; return, by score and by fidelity, the value and the pseudo-MOS of both."""
    scale = PseudoMos.default()
    versions = [made(photo, drawn(rng), int(rng.integers(2**31)))[0] for _ in range(2)]
    truth = [scale.score(measure(photo, one, scale.names)) for one in versions]
    ways = both_ways([look(scorer, one) for one in versions])
    for how, values in ways.items():
        if abs(truth[0] - truth[1]) >= GAP:
            tally.count(f"clear gap{how}", (values[0] > values[1]) == (truth[0] > truth[1]))
    if abs(truth[0] - truth[1]) >= GAP:
        tally.count("clear gap, compared", prefers_first(scorer, *versions) == (truth[0] > truth[1]))
    return {how: list(zip(values, truth, strict=True)) for how, values in ways.items()}


def in_time(scorer: Scorer, path: Path, rng: np.random.Generator, tally: Tally) -> None:
    """Name what happens in a clip, and nothing in the clip itself."""
    clip = read_clip(path, short_side=CLIP_SHORT_PX, span_s=(0.0, CLIP_S))
    versions: dict[str | None, Clip] = {None: clip}
    for name in IN_TIME:
        within = video_distortions.random_span(clip, rng) if name in draw.PLACED else None
        try:
            versions[name] = video_distortions.apply(clip, name, int(rng.integers(2, 6)), rng, within=within).clip
        except DataError as error:
            print(f"{path.name}: {name}: {error}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        for what, version in versions.items():
            file = write_clip(version, Path(folder) / "clip.mp4")
            there = {c: p for c, p in probabilities(look(scorer, file)).items() if c in IN_TIME.values()}
            tally.records.append({"clip": path.name, "name": what, "there": there})
            if what is None:
                tally.count("undisturbed clip", bool(there) and max(there.values()) < thresholds.PRESENT)
            else:
                named = bool(there) and max(there, key=there.__getitem__) == IN_TIME[what]
                tally.count("distortion in time named", named)


def interval(pairs: Sequence[tuple[float, float]], seed: int) -> dict[str, float]:
    """Return SRCC with the 95 % interval of 2,000 bootstrap samples."""
    both, rng = np.array(pairs), np.random.default_rng(seed)
    drawn_ = [srcc(*both[rng.integers(len(both), size=len(both))].T) for _ in range(2000)]
    low, high = np.nanpercentile(drawn_, [2.5, 97.5])
    return {"srcc": srcc(*both.T), "low": float(low), "high": float(high), "n": len(both)}


def main() -> None:
    """Look, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--clips", type=Path, help="a folder of real clips")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--n", type=int, default=200, help="photos of each kind")
    parser.add_argument("--rounds", type=int, default=5, help="through the clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="one JSON line per reading")
    args = parser.parse_args()
    scorer, tally = mllmqa.load(args.model, device="cpu"), Tally()
    errors: list[float | None] = []
    judged: dict[str, list[tuple[float, float]]] = {}
    photos = photos_of(args.photos, args.seed, args.n)
    for k, path in enumerate(photos):
        rng = stream(args.seed, "synthetic", str(k))
        photo = to_short_side(read(path), SHORT_PX)
        errors.append(one_distortion(scorer, photo, rng, tally))
        two_distortions(scorer, photo, rng, tally)
        two_severities(scorer, photo, rng, tally)
        for how, pairs in clear_gap(scorer, photo, rng, tally).items():
            judged.setdefault(how, []).extend(pairs)
    for path in dict.fromkeys(photos):
        clean(scorer, to_short_side(read(path), SHORT_PX), tally)
    for k in range(args.rounds if args.clips else 0):
        for path in sorted(args.clips.iterdir()):
            in_time(scorer, path, stream(args.seed, "time", str(k), path.name), tally)
    known = [error for error in errors if error is not None]
    rng = np.random.default_rng(args.seed)
    means = [float(np.mean(rng.choice(known, len(known)))) for _ in range(2000)]
    low, high = np.percentile(means, [2.5, 97.5])
    told = {"mean": float(np.mean(known)), "low": float(low), "high": float(high), "n": len(known)}
    print(json.dumps({"figure": "severity error", **told, "asked": len(errors)}))
    for how, pairs in judged.items():
        print(json.dumps({"figure": f"SRCC to the pseudo-MOS{how}", **interval(pairs, args.seed)}))
    report(tally, args.out)


if __name__ == "__main__":
    main()
