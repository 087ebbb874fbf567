"""Train the vision tower of nano, the model that ships inside mllmqa, from nothing. Read from top to bottom.

    torchrun --nproc_per_node 2 train/nano.py --data BIQ2021 --pristine PHOTOS --clips CLIPS/* \\
        --samples SET/samples.jsonl --out OUT

`--data` is a checkout of github.com/nisarahmedrana/BIQ2021, `--pristine` a folder of undistorted *.jpg photos.
Every stage saves as it goes: a killed run goes on with the same command. One process per core; without torchrun it
is one.

Stages: 1 `synthetic`: the tower learns to name, grade and rank distortions. 2 `quality`: it learns mean opinions,
distortions mixed in. 3 `refine`, 4 `finish`: the same on larger crops. Then the tower is frozen; a branch for
distortions is trained beside it, and heads that read slices of clips. `--out` ends with `base/`: the tower in
front of an untrained decoder, where `mllmqa train nano-words` goes on. train/README.md has the whole way,
docs/nano.md tells what was tried. All numbers are in nano.yaml.
`python train/smoke.py` runs the whole way in small.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch.nn import functional as F
from torch.utils.data import DataLoader

from mllmqa import prompts
from mllmqa.data import distortions, duplicates, registry, video_distortions
from mllmqa.data.sample import parse_sample
from mllmqa.errors import TrainingError
from mllmqa.models.nano import build
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.heads import TowerWithHeads
from mllmqa.models.nano.vision import NanoVisionModel
from mllmqa.training import branch, loop, losses, moments, wholes
from mllmqa.training.loop import Losses, Plan, fit, is_done, load_state, weighted
from mllmqa.training.samples import Batch, Mixture, MixtureBatches

log = logging.getLogger("nano")
WORST_FIRST = sorted(prompts.level_scale().levels, key=lambda level: level.value)
SCORES = torch.tensor([level.value for level in WORST_FIRST])
Rows = list[registry.Levelled]
Config = dict[str, Any]


# ---------------------------------------------------------------- rows


def choose_rows(data: Path, out: Path, config: Config) -> Rows:
    """Official train rows without those to validate on: a seeded draw among those that have no near-duplicate.

    Both go to tables, `fit.csv` and `validation.csv`, for the builders and `mllmqa eval`.
    """
    rows = registry.read(data, "biq2021", part="train").levelled()
    cache = out / "train_hashes.npy"
    if not cache.exists():
        np.save(cache, duplicates.hash_files(row.path for row in rows))
    hashes = np.load(cache)
    alone = ~duplicates.near_duplicates(hashes, hashes, same_set=True, threshold=config["duplicate_threshold"])
    order = np.random.default_rng(config["seed"]).permutation(np.flatnonzero(alone))
    held = set(order[: config["validation_rows"]].tolist())
    log.info("%d of %d train rows have no near-duplicate; %d held out", alone.sum(), len(rows), len(held))
    fit_rows, validation = [[r for i, r in enumerate(rows) if (i in held) == apart] for apart in (False, True)]
    for name, chosen in (("fit", fit_rows), ("validation", validation)):
        with (out / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("path", "level", "part"))
            table.writerows((row.path.resolve(), row.level, "train") for row in chosen)
    return fit_rows


# ---------------------------------------------------------------- stages 1 and 2: the vision tower


def build_tower(config: Config) -> TowerWithHeads:
    """The tower with its training heads, random weights."""
    torch.manual_seed(config["seed"])
    tower = NanoVisionModel(NanoVisionConfig(**config["tower"]))
    return TowerWithHeads(tower, categories=len(distortions.CATEGORIES), levels=len(SCORES)).train()


def tower_losses(model: TowerWithHeads, batch: Batch, config: Config) -> Losses:
    """Losses on the distortion pairs and on the rated photos; those of a part that the batch lacks are left out."""
    pixels = batch.pixels.float() / 127.5 - 1
    out = model(pixels.contiguous(memory_format=torch.channels_last))
    rated, pairs = len(batch.level), len(batch.gap)
    score = losses.expectation(out.levels.float(), SCORES)
    result = {}
    if pairs:
        there = batch.severity > 0
        result["presence"] = F.binary_cross_entropy_with_logits(out.presence[rated:].float(), there.float())
        wrong = F.smooth_l1_loss(out.severity[rated:].float(), batch.severity, reduction="none")
        result["severity"] = wrong[there].sum() / there.sum().clamp(min=1)
        ladder = batch.gap.isfinite()
        lighter, heavier = score[rated:-pairs][ladder], score[-pairs:][ladder]
        result["rank"] = losses.rank_hinge(lighter, heavier, config["margin"] * batch.gap[ladder])
        clean = ~there.any(1)
        short = F.relu(config["clean_level"] - score[rated:][clean])
        result["clean"] = short.sum() / clean.sum().clamp(min=1)
    if rated:
        target = losses.soft_levels(batch.level, config["opinion_sigma"], SCORES)
        result["levels"] = losses.soft_cross_entropy(out.levels[:rated].float(), target)
        result["local"] = losses.soft_cross_entropy(out.local_levels[:rated].float(), target)
        result["distance"] = F.smooth_l1_loss(score[:rated], batch.level, beta=0.5)
        result["plcc"] = losses.plcc_loss(score[:rated], batch.level)
    return result


def train_tower(name: str, rows: Rows, pristine: list[Path], config: Config, out: Path) -> None:
    """One of the stages `tower_stages`; each starts from the end of the one before."""
    stage, place = config[name], config["tower_stages"].index(name)
    good = [row.path for row in rows if row.level >= config["source_min_level"]]
    repeat = max(1, len(good) // (3 * len(pristine)))  # about a quarter of the sources are pristine photos
    crops = [(int(side), int(steps)) for side, steps in stage["crops"]]
    rated = [(row.path, row.level) for row in rows]
    seed = config["seed"] + len(name)
    data = MixtureBatches(
        Mixture(
            rated, good + pristine * repeat, stage["rated_rows"], stage["pairs"], crops, seed, *share(),
            zoom=stage.get("zoom", False),
        )
    )  # fmt: skip
    plan = Plan(name, out, len(data), bf16=config["bf16"], average=stage["average"])
    if is_done(plan):
        return
    model = build_tower(config)
    if place:
        model.load_state_dict(load_state(out / f"{config['tower_stages'][place - 1]}.pt")["model"])

    def batches(start: int) -> DataLoader[Batch]:
        steps = range(start, len(data))
        return DataLoader(data, batch_size=None, sampler=steps, num_workers=1, prefetch_factor=4)

    fit(
        plan,
        model,
        adam(model, stage, config),
        batches,
        lambda b: weighted(tower_losses(model, b, config), stage["weights"]),
    )


# ---------------------------------------------------------------- the heads that ship, on the frozen tower


def whole_tower(config: Config, out: Path) -> NanoVisionModel:
    """The trained tower with places for the branch and the heads that ship; their weights are random."""
    encoder = build_tower(config)
    encoder.load_state_dict(load_state(out / f"{config['tower_stages'][-1]}.pt")["model"])
    torch.manual_seed(config["seed"])
    parts = {
        "category_tokens": len(distortions.CATEGORIES), "heads_hidden": config["heads"]["hidden"],
        "branch_channels": config["heads"]["branch"],
        "time_categories": len(video_distortions.IN_TIME), "time_channels": config["in_time"]["channels"],
    }  # fmt: skip
    tower = NanoVisionModel(NanoVisionConfig(**{**config["tower"], **parts}))
    absent, unknown = tower.load_state_dict(encoder.tower.state_dict(), strict=False)
    if unknown or any(not name.startswith(("categories.", "in_time.")) for name in absent):
        raise TrainingError(f"the tower does not fit: {[*absent, *unknown]}")
    tower.eval()
    return tower


def fit_heads(tower: NanoVisionModel, rows: Rows, pristine: list[Path], config: Config, out: Path) -> None:
    """Train the branch for distortions and its heads on the tower's stem; each process makes its own lots."""
    how = config["heads"]
    good, shrunk = ([row.path for row in rows if row.level >= how[f"{k}_min_level"]] for k in ("good", "shrunk"))
    dark = how["dark"]
    pristine, good, shrunk = (
        wholes.dark_more_often(photos, dark["below"], dark[kind])
        for kind, photos in zip(wholes.KINDS, (pristine, good, shrunk), strict=True)
    )
    formats = [wholes.Format(**one) for one in how["formats"]]
    drawn = {name: how[name] for name in ("lot", "zoom", "judged")}
    lots = wholes.Wholes(pristine, good, shrunk, formats, **drawn, seed=config["seed"])
    process, of = share()
    device = torch.device(f"cuda:{process % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu")
    model = branch.Learning(tower.stem, tower.categories, how["hidden"]).to(device)
    workers = min(how["workers"], (os.cpu_count() or 1) - 1) // of
    branch.learn(model, lots, how, out, share=(process, of), workers=workers)
    tower.to("cpu")


def fit_time(tower: NanoVisionModel, clips: list[Path], pristine: list[Path], config: Config, out: Path) -> None:
    """Fit the heads for the time of clips to slices; each process makes its share of them."""
    how, seed = config["in_time"], config["seed"]
    drawn = moments.Clips(clips, pristine, how["real_share"], how["short_px"], seed)
    moments.write_clips(drawn, how["clips"], out / "moments", *share())
    loop.wait()
    plan = Plan("in_time", out, how["steps"], clip=1.0)
    if not is_done(plan):
        rows, heads = moments.read_clips(out / "moments"), tower.in_time

        def batches(start: int) -> Iterator[moments.Moments]:
            return moments.batches(
                rows, how["batch"], how["lengths"], (seed, loop.rank()), range(start, plan.steps)
            )

        def losses_of(batch: moments.Moments) -> Losses:
            return weighted(moments.time_losses(heads, batch, how["drop"]), how["weights"])

        fit(plan, heads, adam(heads, how, config), batches, losses_of)


def share() -> tuple[int, int]:
    """Which process this is, and of how many."""
    return loop.rank(), torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def adam(model: torch.nn.Module, how: Config, config: Config) -> torch.optim.Optimizer:
    """The optimiser of tower and heads for time."""
    return torch.optim.AdamW(model.parameters(), lr=how["rate"], weight_decay=config["weight_decay"])


# ---------------------------------------------------------------- what the stage `nano-words` starts from


def assemble(samples: list[Path], config: Config, out: Path) -> None:
    """Put the trained tower before an untrained projector and decoder; the samples' texts make the tokenizer."""
    tower = whole_tower(config, out)
    settled = branch.Learning(tower.stem, tower.categories, config["heads"]["hidden"])
    for part, name in ((settled, "settled"), (tower.in_time, "in_time")):
        part.load_state_dict(load_state(out / f"{name}.pt")["model"])
    branch.mute(tower.categories.heads)
    branch.stretch(tower.categories.heads, config["heads"]["stretch"])
    language = config["language"]
    tokenizer = build.build_tokenizer(texts_of(samples), language["words"], language["vocabulary"])
    torch.manual_seed(config["seed"])
    model = build.build_model(tower, tokenizer, language["decoder"])
    build.save(model, build.build_processor(tokenizer, tower.config), out / "base")
    log.info("assembled: %s, %d parameters", out / "base", sum(p.numel() for p in model.parameters()))


def texts_of(files: list[Path]) -> Iterator[str]:
    """Every text of the samples as the model will read it, and the question of scoring."""
    for medium in ("image", "video"):
        prompt = prompts.render(prompts.load("score/quality"), medium=medium)
        yield f"USER: {prompt.question} ASSISTANT: {prompt.answer}"
    for path in files:
        for line in path.read_bytes().splitlines():
            for message in parse_sample(line, path).messages:
                yield f" {message.text}"


def main() -> None:
    """Run every stage that is not finished yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pristine", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=Path, nargs="*", default=[], help="whose texts make the tokenizer")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="real clips, for distortions in time")
    parser.add_argument("--config", type=Path, default=Path(__file__).with_suffix(".yaml"))
    parser.add_argument("--threads", type=int, default=1, help="on shared cores two are slower than one")
    parser.add_argument("--smoke", action="store_true", help="a tiny tower, a few steps")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    if "WORLD_SIZE" in os.environ:  # started by torchrun: one single-thread process per core
        torch.distributed.init_process_group("gloo")
    args.out.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    if args.smoke:
        config = {**config, **config["smoke"]}
    if loop.rank():
        loop.wait()  # the first process hashes the photos and writes that down
    rows = choose_rows(args.data, args.out, config)
    if not loop.rank():
        loop.wait()
    photos = sorted(args.pristine.glob("**/*.jpg"))
    shown = [photo for place, photo in enumerate(photos) if place % config["held_photos_every"]]
    for name in config["tower_stages"]:
        train_tower(name, rows, shown, config, args.out)
    tower = whole_tower(config, args.out)
    fit_heads(tower, rows, shown, config, args.out)
    fit_time(tower, args.clips, shown, config, args.out)
    if torch.distributed.is_initialized():
        first = loop.rank() == 0
        torch.distributed.destroy_process_group()
        if not first:
            return
    assemble(args.samples, config, args.out)


if __name__ == "__main__":
    main()
