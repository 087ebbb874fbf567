"""Train nano, the model that ships inside mllmqa, from nothing. Read from top to bottom.

    python train/nano.py --data BIQ2021 --pristine PHOTOS --out runs/nano

`--data` is a checkout of github.com/nisarahmedrana/BIQ2021, `--pristine` a folder of undistorted *.jpg photos.
Every stage saves as it goes: a killed run goes on with the same command. `--out` ends with `weights/`, which is
what ships, and `figures.json`. A smoke run of a minute, on photos that it makes itself:

    python train/nano.py --smoke --out /tmp/nano-smoke

The vision tower trains on several cores by `torchrun --nproc_per_node 2 train/nano.py …`; what follows it runs in the
first process alone.

Stages: 1 `synthetic`: the vision tower learns to name, grade and rank distortions. 2 `quality`: it learns mean
opinions, distortions mixed in. 3 `refine`: the same again, pairs of distortions held apart by a hinge.
4 `language`: projector and decoder learn to answer in words from frozen features.
All numbers are in configs/nano.yaml; docs/nano.md tells what was tried.
"""

from __future__ import annotations

import argparse
import json
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

import mllmqa
from mllmqa import prompts
from mllmqa.data import distortions, duplicates, registry
from mllmqa.errors import DataError
from mllmqa.evaluation.stats import plcc, srcc
from mllmqa.models.nano import build
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.heads import TowerWithHeads
from mllmqa.models.nano.vision import NanoVisionModel
from mllmqa.schema import Score
from mllmqa.training import loop, losses
from mllmqa.training.features import cached
from mllmqa.training.language import LanguageBatch, LanguageBatches, LanguagePlan, language_losses
from mllmqa.training.loop import Losses, Plan, fit, is_done, load_state, weighted
from mllmqa.training.samples import Batch, Mixture, MixtureBatches, make_smoke_set

log = logging.getLogger("nano")
CONFIGS = Path(__file__).parent / "configs"
WORST_FIRST = sorted(prompts.level_scale().levels, key=lambda level: level.value)
WORDS = [level.word for level in WORST_FIRST]
SCORES = torch.tensor([level.value for level in WORST_FIRST])
Rows = list[registry.Levelled]
Config = dict[str, Any]


# ---------------------------------------------------------------- rows


def choose_rows(data: Path, out: Path, config: Config) -> tuple[Rows, Rows]:
    """Official train rows → rows to fit and rows to validate: a seeded draw among those without near-duplicate."""
    rows = registry.read(data, "biq2021", part="train").levelled()
    cache = out / "train_hashes.npy"
    if not cache.exists():
        np.save(cache, duplicates.hash_files(row.path for row in rows))
    hashes = np.load(cache)
    alone = ~duplicates.near_duplicates(hashes, hashes, same_set=True, threshold=config["duplicate_threshold"])
    order = np.random.default_rng(config["seed"]).permutation(np.flatnonzero(alone))
    held = set(order[: config["validation_rows"]].tolist())
    log.info("%d of %d train rows have no near-duplicate; %d held out", alone.sum(), len(rows), len(held))
    return [r for i, r in enumerate(rows) if i not in held], [r for i, r in enumerate(rows) if i in held]


# ---------------------------------------------------------------- stages 1 and 2: the vision tower


def build_tower(config: Config) -> TowerWithHeads:
    """The tower with its training heads, random weights."""
    torch.manual_seed(config["seed"])
    tower = NanoVisionModel(NanoVisionConfig(**config["tower"]))
    model = TowerWithHeads(tower, categories=len(distortions.CATEGORIES), levels=len(SCORES))
    return model.to(memory_format=torch.channels_last)


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
    size = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    data = MixtureBatches(
        Mixture(
            rated, good + pristine * repeat, stage["rated_rows"], stage["pairs"], crops, seed, loop.rank(), size
        )
    )  # fmt: skip
    plan = Plan(name, out, len(data), bf16=config["bf16"], average=stage["average"])
    if is_done(plan):
        return
    model = build_tower(config)
    if place:
        model.load_state_dict(load_state(out / f"{config['tower_stages'][place - 1]}.pt")["model"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage["rate"], weight_decay=config["weight_decay"])

    def batches(start: int) -> DataLoader[Batch]:
        steps = range(start, len(data))
        return DataLoader(data, batch_size=None, sampler=steps, num_workers=1, prefetch_factor=4)

    fit(plan, model, optimizer, batches, lambda b: weighted(tower_losses(model, b, config), stage["weights"]))


# ---------------------------------------------------------------- stage 3: the language model, on cached features


def plan_language(config: Config) -> LanguagePlan:
    """The scoring prompt for both media first, then other wordings of it."""
    stage = config["language"]
    both = [prompts.render(prompts.load("score/quality"), medium=medium) for medium in ("image", "video")]
    texts = [(prompt.question, prompt.answer) for prompt in both]
    texts += [(question, both[0].answer) for question in stage["other_questions"]]
    shared = {key: stage[key] for key in ("text_shares", "rows", "tile_shares", "distorted_share", "teacher_share")}
    return LanguagePlan(
        texts=texts,
        words=WORDS,
        scores=SCORES,
        opinion_sigma=config["opinion_sigma"],
        seed=config["seed"],
        **shared,
    )


def build_language(config: Config, tower: NanoVisionModel, plan: LanguagePlan) -> tuple[Any, Any]:
    """The untrained LLaVA around the tower, and its processor."""
    lines = (CONFIGS / "nano_corpus.txt").read_text(encoding="utf-8").splitlines()
    lines += [f"USER: {question} ASSISTANT: {answer}" for question, answer in plan.texts] * 20
    tokenizer = build.build_tokenizer(lines, WORDS, config["language"]["vocabulary"])
    torch.manual_seed(config["seed"])
    model = build.build_model(tower, tokenizer, config["language"]["decoder"])
    return model, build.build_processor(tokenizer, tower.config)


def train_language(rows: Rows, config: Config, out: Path) -> tuple[Any, Any]:
    """Projector and decoder, the tower frozen; returns model and processor."""
    stage, how = config["language"], plan_language(config)
    encoder = build_tower(config)
    encoder.load_state_dict(load_state(out / f"{config['tower_stages'][-1]}.pt")["model"])
    model, processor = build_language(config, encoder.tower, how)
    model.model.vision_tower.requires_grad_(False).eval()
    plan = Plan("language", out, stage["steps"])
    if is_done(plan):
        model.load_state_dict(load_state(plan.checkpoint)["model"])
        return model.eval(), processor
    kept = rows[:: stage["every"]]
    paths = [row.path for row in kept]
    views = {
        view: cached(out / "features", view, encoder, chosen, view, stage["crop"], config["seed"])
        for view, chosen in (("full", paths), ("crop", paths), ("distorted", paths[::2]))
    }
    data = LanguageBatches(how, processor, views, np.array([row.level for row in kept], dtype=np.float32))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=stage["rate"], weight_decay=config["weight_decay"])

    def batches(start: int) -> Iterator[LanguageBatch]:
        return map(data, range(start, plan.steps))

    def step(batch: LanguageBatch) -> Losses:
        return weighted(language_losses(model, batch, data.words, SCORES), stage["weights"])

    fit(plan, model, optimizer, batches, step)
    return model.eval(), processor


# ---------------------------------------------------------------- figures, through the level tokens


def figures(results: list[Score], rows: Rows) -> dict[str, float]:
    """Rank and linear correlation with the MOS, mean absolute error in levels, mean coverage of the level words."""
    scores, truth = np.array([one.value for one in results]), np.array([row.level for row in rows])
    found = {"srcc": srcc(scores, truth), "plcc": plcc(scores, truth), "mae": float(np.abs(scores - truth).mean())}
    found["coverage"] = float(np.mean([one.coverage for one in results]))
    return {"n": len(rows)} | {name: round(value, 4) for name, value in found.items()}


def report(folder: Path, data: Path, validation: Rows, out: Path) -> None:
    """Score validation and official test rows with what was saved, as a user would."""
    scorer = mllmqa.load(str(folder), device="cpu")
    test = registry.read(data, "biq2021", part="test").levelled()
    checked = [one for one in scorer.score([row.path for row in validation + test]) if isinstance(one, Score)]
    if len(checked) < len(validation) + len(test):
        raise DataError("some photos could not be scored", where=data)
    scores = checked[len(validation) :]
    result = {"validation": figures(checked[: len(validation)], validation), "test": figures(scores, test)}
    hashes = duplicates.hash_files(row.path for row in test)
    for threshold in (6, 8, 10, 12):
        near = duplicates.near_duplicates(hashes, np.load(out / "train_hashes.npy"), threshold=threshold)
        kept = np.flatnonzero(~near)
        result[f"test_without_duplicates_{threshold}"] = figures([scores[i] for i in kept], [test[i] for i in kept])
    (out / "figures.json").write_text(json.dumps(result, indent=2) + "\n")
    log.info("%s", json.dumps(result))


def main() -> None:
    """Run every stage that is not finished yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pristine", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=CONFIGS / "nano.yaml")
    parser.add_argument("--threads", type=int, default=1, help="on shared cores two are slower than one")
    parser.add_argument("--smoke", action="store_true", help="a few steps on generated photos")
    args = parser.parse_args()
    if not args.smoke and not (args.data and args.pristine):
        parser.error("--data and --pristine are needed, or --smoke")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    if "WORLD_SIZE" in os.environ:  # started by torchrun: one single-thread process per core
        torch.distributed.init_process_group("gloo")
    args.out.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(args.config.read_text(encoding="utf-8"))
    if args.smoke:
        args.data = args.pristine = make_smoke_set(args.out / "photos", config["seed"])
        config = {**config, **config["smoke"], "language": {**config["language"], **config["smoke"]["language"]}}
    if loop.rank():
        loop.wait()  # the first process hashes the photos and writes that down
    rows, validation = choose_rows(args.data, args.out, config)
    if not loop.rank():
        loop.wait()
    photos = sorted(args.pristine.glob("**/*.jpg"))
    shown = [photo for place, photo in enumerate(photos) if place % config["held_photos_every"]]
    for name in config["tower_stages"]:
        train_tower(name, rows, shown, config, args.out)
    if torch.distributed.is_initialized():
        first = loop.rank() == 0
        torch.distributed.destroy_process_group()
        if not first:
            return
    model, processor = train_language(rows, config, args.out)
    build.save(model, processor, args.out / "weights")
    report(args.out / "weights", args.data, validation, args.out)


if __name__ == "__main__":
    main()
