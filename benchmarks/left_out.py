"""How well opinions carry over to photos of another source: BIQ2021 has three, each is left out of training once.

    python -m benchmarks.left_out RUN --data BIQ2021 [--stage synthetic] [--features FILE.npz] [--seeds 2]

`RUN` is the folder of `train/nano.py`. Its tower after the stage `synthetic` has seen no opinion, only which photos
were rated 4 and above (they served as undistorted ones). It looks at every photo once; a small network on the
statistics of its maps learns the opinions of two sources and is asked about the third. That is not nano itself,
whose tower and words learn from all sources, but its way in small: minutes instead of hours per source.

| figure | what it is |
|---|---|
| left_out | SRCC on the test rows of a source after training on the train rows of the others |
| known | the same after training on the train rows of all sources |

Sources are told apart by the names of files (`ss01` .. `ss03`). Intervals are 95 %, of the bootstrap.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.synthetic import interval
from mllmqa.data import registry
from mllmqa.errors import DataError
from mllmqa.evaluation.items import sha256_of
from mllmqa.media.views import fit_short
from mllmqa.models.nano.blocks import HALF_RANGE, mean_and_std
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.vision import NanoVisionModel
from mllmqa.training.loop import load_state
from mllmqa.training.losses import plcc_loss
from mllmqa.training.samples import read_rgb

RECIPE = Path(__file__).parents[1] / "train" / "nano.yaml"
HIDDEN, STEPS, BATCH, RATE, DECAY, NOISE, DROP = 256, 1500, 128, 1e-3, 0.1, 0.1, 0.3
VIEW_PX = 448
"""As in mllmqa/models/presets/nano.yaml."""
TILES, RANK = 6, 3
SOURCE = slice(0, 4)
"""Of a file's name."""


@dataclass(frozen=True)
class Photos:
    """`seen` (N, S) statistics, `level` (N,) 1..5, `source` and `test` (N,)."""

    seen: Tensor
    level: Tensor
    source: np.ndarray
    test: np.ndarray


def tower_of(checkpoint: Path) -> NanoVisionModel:
    """Return the tower as it was after a stage."""
    config = NanoVisionConfig(**yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["tower"])
    kept = {name.removeprefix("tower."): value for name, value in load_state(checkpoint)["model"].items()}
    tower = NanoVisionModel(config)
    tower.load_state_dict({name: kept[name] for name in tower.state_dict()})
    return tower.eval()


@torch.inference_mode()
def look(tower: NanoVisionModel, path: Path, view_px: int) -> np.ndarray:
    """The statistics of all maps but the deepest of a photo, (S,) float16."""
    pixels = torch.from_numpy(fit_short(np.array(read_rgb(path)), view_px).transpose(2, 0, 1).copy())
    found, maps = [], tower.stem(pixels.float()[None] / HALF_RANGE - 1)
    for stage in tower.stages[:-1]:
        maps = stage(maps)
        found.append(statistics_of(maps)[0])
    seen: np.ndarray = torch.cat(found).half().numpy()
    return seen


def statistics_of(maps: Tensor) -> Tensor:
    """(B, C, H, W) → (B, 4C): mean, deviation, and the fourth lowest and highest mean of 6×6 tiles."""
    tiles = F.adaptive_avg_pool2d(maps, TILES).flatten(2).sort(dim=2).values
    return torch.cat([mean_and_std(maps), tiles[..., RANK], tiles[..., -1 - RANK]], dim=1)


def seen_of(paths: list[Path], checkpoint: Path, kept: Path) -> Tensor:
    """Look at all photos, or read what was seen of them by the same tower, (N, S).

    Raises:
        DataError: The file is of other photos or of another tower.
    """
    names, by = [path.name for path in paths], f"{sha256_of(checkpoint)} {VIEW_PX} float32"
    if not kept.exists():
        tower = tower_of(checkpoint)
        np.savez(kept, seen=np.stack([look(tower, path, VIEW_PX) for path in paths]), names=names, by=by)
    with np.load(kept) as file:
        if str(file["by"]) != by or file["names"].tolist() != names:
            raise DataError("holds what another tower saw, or other photos", where=kept, hint="name another file")
        return torch.from_numpy(file["seen"]).float()


def photos_of(data: Path, checkpoint: Path, kept: Path) -> Photos:
    """All photos of BIQ2021 as the tower sees them."""
    train, test = (registry.read(data, "biq2021", part=part).levelled() for part in ("train", "test"))
    rows = [*train, *test]
    return Photos(
        seen_of([row.path for row in rows], checkpoint, kept),
        torch.tensor([row.level for row in rows]),
        np.array([row.path.name[SOURCE].lower() for row in rows]),
        np.arange(len(rows)) >= len(train),
    )


def learnt(photos: Photos, rows: np.ndarray, asked: np.ndarray, seed: int) -> np.ndarray:
    """Train on some photos and return what is said of others."""
    torch.manual_seed(seed)
    known, level = photos.seen[rows], photos.level[rows]
    centre, spread = known.mean(0), known.std(0) + 1e-3
    network = nn.Sequential(nn.Linear(known.shape[1], HIDDEN), nn.GELU(), nn.Dropout(DROP), nn.Linear(HIDDEN, 1))
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS)
    known, wanted = ((known - centre) / spread).clamp(-8, 8), (level - level.mean()) / level.std()
    for _ in range(STEPS):
        chosen = torch.randint(len(known), (BATCH,))
        told = network(known[chosen] + NOISE * torch.randn(BATCH, known.shape[1]))[:, 0]
        loss = F.smooth_l1_loss(told, wanted[chosen]) + plcc_loss(told, wanted[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.inference_mode():
        said: np.ndarray = network.eval()(((photos.seen[asked] - centre) / spread).clamp(-8, 8))[:, 0].numpy()
    return said


def main() -> None:
    """Leave out each source once and print one line of JSON for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--stage", default="synthetic")
    parser.add_argument("--features", type=Path, help="what was seen is kept here")
    parser.add_argument("--seeds", type=int, default=2, help="networks whose answers are averaged")
    args = parser.parse_args()
    kept = (args.features or args.run / f"{args.stage}_seen").with_suffix(".npz")
    photos = photos_of(args.data, args.run / f"{args.stage}.pt", kept)
    for source in sorted(set(photos.source)):
        asked = np.flatnonzero(photos.test & (photos.source == source))
        found = {}
        for name, rows in (("left_out", ~photos.test & (photos.source != source)), ("known", ~photos.test)):
            said = sum(learnt(photos, np.flatnonzero(rows), asked, seed) for seed in range(args.seeds))
            pairs = list(zip(np.asarray(said).tolist(), photos.level[asked].tolist(), strict=True))
            found[name] = {**interval(pairs, seed=0), "trained_on": int(rows.sum())}
        print(json.dumps({"source": source, **found}), flush=True)


if __name__ == "__main__":
    main()
