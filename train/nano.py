"""Train nano, the model that ships inside mllmqa, from nothing."""

from __future__ import annotations

import argparse
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from scipy import stats
from torch.nn import functional as F
from torch.utils.data import DataLoader

from mllmqa.models.torchvision_shim import ensure_torchvision

ensure_torchvision()

from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mllmqa import prompts
from mllmqa.data import biq2021, distortions, duplicates
from mllmqa.models.nano import build
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.heads import TowerWithHeads
from mllmqa.models.nano.vision import NanoVisionModel
from mllmqa.training import losses
from mllmqa.training.features import Features, cached
from mllmqa.training.loop import Losses, Plan, fit, is_done, load_state
from mllmqa.training.samples import Batch, Mixture, MixtureBatches, read_rgb

log = logging.getLogger("nano")
WORST_FIRST = sorted(prompts.level_scale().levels, key=lambda level: level.value)
SCORES = torch.tensor([level.value for level in WORST_FIRST])


def choose_rows(data: Path, out: Path, config: dict[str, Any]) -> dict[str, list[biq2021.BiqRow]]:
    """Official train rows → `fit` and `validation`: a seeded draw among rows without a near-duplicate."""
    rows = biq2021.read_split(data, "train")
    cache = out / "train_hashes.npy"
    if not cache.exists():
        np.save(cache, duplicates.hash_files(row.path for row in rows))
    hashes = np.load(cache)
    alone = ~duplicates.near_duplicates(hashes, hashes, same_set=True, threshold=config["duplicate_threshold"])
    order = np.random.default_rng(config["seed"]).permutation(np.flatnonzero(alone))
    held = set(order[: config["validation_rows"]].tolist())
    log.info("%d of %d train rows have no near-duplicate; %d held out", alone.sum(), len(rows), len(held))
    return {
        "fit": [row for i, row in enumerate(rows) if i not in held],
        "validation": [row for i, row in enumerate(rows) if i in held],
    }


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 → -1..1, the image processor's normalisation."""
    return (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def encoder_losses(model: TowerWithHeads, batch: Batch, config: dict[str, Any], weights: dict[str, float]) -> Losses:
    """All losses of stages 1 and 2; those of parts that the batch lacks are left out."""
    out = model(to_float(batch.pixels))
    rated, pairs = len(batch.level), len(batch.kind) // 2
    result = {}
    if pairs:
        result["kind"] = F.cross_entropy(out.kind[rated:], batch.kind, label_smoothing=0.05)
        result["severity"] = F.smooth_l1_loss(out.severity[rated:], batch.severity)
        score = losses.expectation(out.levels, SCORES)
        result["rank"] = losses.rank_loss(score[rated:-pairs], score[-pairs:], config["margin"])
    if rated:
        target = losses.soft_levels(batch.level, config["opinion_sigma"], SCORES)
        score = losses.expectation(out.levels[:rated], SCORES)
        result["levels"] = losses.soft_cross_entropy(out.levels[:rated], target)
        result["local"] = losses.soft_cross_entropy(out.local_levels[:rated], target)
        result["distance"] = F.smooth_l1_loss(score, batch.level, beta=0.5)
        result["plcc"] = losses.plcc_loss(score, batch.level)
    return {name: weights[name] * value for name, value in result.items()}


def train_tower(name: str, rows: list[biq2021.BiqRow], pristine: list[Path], config: dict[str, Any], out: Path) -> None:
    """Stage 1 (`synthetic`) or 2 (`quality`); stage 2 starts from the end of stage 1."""
    stage = config[name]
    good = [row.path for row in rows if row.level >= config["source_min_level"]]
    repeat = max(1, len(good) // max(1, 3 * len(pristine)))  # about a quarter of the sources are pristine photos
    data = MixtureBatches(Mixture(
        [(row.path, row.level) for row in rows], good + pristine * repeat,
        stage["rated_rows"], stage["pairs"], [tuple(c) for c in stage["crops"]], config["seed"] + len(name),
    ))
    plan = Plan(name, out, len(data))
    if is_done(plan):
        return
    torch.manual_seed(config["seed"])
    model = build_tower(config)
    if name == "quality":
        model.load_state_dict(load_state(out / "synthetic.pt")["model"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage["rate"], weight_decay=config["weight_decay"])

    def batches(start: int) -> DataLoader[Batch]:
        return DataLoader(data, batch_size=None, sampler=range(start, len(data)), num_workers=1, prefetch_factor=6)

    fit(plan, model, optimizer, batches, lambda batch: encoder_losses(model, batch, config, stage["weights"]))


def build_tower(config: dict[str, Any]) -> TowerWithHeads:
    """The tower with its training heads, random weights."""
    tower = NanoVisionModel(NanoVisionConfig(**config["tower"]))
    model = TowerWithHeads(tower, kinds=len(distortions.NAMES), levels=len(SCORES))
    return model.to(memory_format=torch.channels_last)


# ---------------------------------------------------------------- stage 3: the language model, on cached features


def texts(config: dict[str, Any]) -> list[tuple[str, str]]:
    """(question, answer start) pairs: the scoring prompt for both media first, then other wordings of it."""
    both = [prompts.render(prompts.load("score/quality"), medium=medium) for medium in ("image", "video")]
    scoring = [(prompt.question, prompt.answer) for prompt in both]
    return scoring + [(question, both[0].answer) for question in config["language"]["other_questions"]]


def build_language(config: dict[str, Any], tower: NanoVisionModel, corpus: Path) -> tuple[Any, Any]:
    """The untrained LLaVA around the tower, and its processor."""
    pairs = [f"USER: {question} ASSISTANT: {answer}" for question, answer in texts(config)]
    words = [level.word for level in WORST_FIRST]
    lines = corpus.read_text(encoding="utf-8").splitlines() + pairs * 20
    tokenizer = build.build_tokenizer(lines, words, config["language"]["vocabulary"])
    torch.manual_seed(config["seed"])
    model = build.build_model(tower, tokenizer, config["language"]["decoder"])
    return model, build.build_processor(tokenizer, tower.config)


class LanguageBatches:
    """Batch i: one wording, 1 to 4 tiles per prompt, `rows` photos; all rows have the same length."""

    def __init__(self, config: dict[str, Any], processor: Any, views: dict[str, Features], levels: np.ndarray) -> None:
        self.config, self.stage, self.views, self.levels = config, config["language"], views, torch.tensor(levels)
        self.tokenizer = processor.tokenizer
        self.processor, self.texts = processor, texts(config)
        self.words = self.ids_of_words()

    def ids_of_words(self) -> torch.Tensor:
        """Token ids of the level words, worst first."""
        encoded = [self.tokenizer(f" {w.word}", add_special_tokens=False)["input_ids"] for w in WORST_FIRST]
        return torch.tensor([ids[0] for ids in encoded])

    def __call__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.config["seed"], 3, index])
        rows, tiles = self.stage["rows"], int(rng.choice(4, p=self.stage["tile_shares"])) + 1
        which = int(rng.choice(len(self.texts), p=self.stage["text_shares"]))
        distorted = rng.random() < self.stage["distorted_share"]
        names = ["distorted"] if distorted else ["full", "crop"]
        kept = [self.views[name] for name in names]
        pick = rng.integers(len(kept[0].tokens), size=rows)
        view = rng.integers(len(kept), size=(rows, tiles)) if tiles > 1 or rng.random() < 0.3 else np.zeros((rows, 1), int)
        tokens = np.stack([[kept[v].tokens[p] for v in vs] for p, vs in zip(pick, view, strict=True)])
        teacher = torch.tensor(np.stack([
            np.mean([kept[v].teacher[p] for v in vs], axis=0) for p, vs in zip(pick, view, strict=True)
        ]))
        target = teacher
        if not distorted:
            share = self.stage["teacher_share"]
            human = losses.soft_levels(self.levels[pick], self.config["opinion_sigma"], SCORES)
            target = share * teacher + (1 - share) * human
        word = torch.multinomial(target, 1, generator=torch.Generator().manual_seed(index))[:, 0]
        ids, keep = self.ids(*self.texts[which], tiles, word)
        return {"ids": ids, "keep": keep, "tokens": torch.tensor(tokens).float(), "target": target}

    def ids(self, question: str, answer: str, tiles: int, word: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Token ids (B, L) of prompt + answer + word + "." + end, and how many of them are the answer."""
        parts = [{"type": "image"}] * tiles + [{"type": "text", "text": question}]
        chat = [{"role": "user", "content": parts}]
        head = self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        length = self.views["full"].tokens.shape[1]
        prompt = self.tokenizer(head.replace(build.IMAGE, build.IMAGE * length))["input_ids"]
        start = self.tokenizer(f" {answer}", add_special_tokens=False)["input_ids"]
        tail = self.tokenizer(".", add_special_tokens=False)["input_ids"] + [self.tokenizer.eos_token_id]
        fixed = torch.tensor(prompt + start).expand(len(word), -1)
        end = torch.tensor(tail).expand(len(word), -1)
        return torch.cat([fixed, self.words[word][:, None], end], dim=1), len(start) + 1 + len(tail)


def language_losses(model: Any, batch: dict[str, Any], words: torch.Tensor, weights: dict[str, float]) -> Losses:
    """Levels at the answer position over the open vocabulary, and the words of the sentence around it."""
    count, tiles = batch["tokens"].shape[:2]
    features = model.model.multi_modal_projector(batch["tokens"].flatten(0, 1))
    seen = {"image": BaseModelOutputWithPooling(pooler_output=list(features))}
    keep = batch["keep"]
    logits = model(input_ids=batch["ids"], mm_encoder_outputs=seen, logits_to_keep=keep + 1).logits[:, :-1]
    answer = batch["ids"][:, -keep:]
    at = keep - 3  # the word's place in the answer: before "." and the end
    open_vocabulary = F.log_softmax(logits[:, at].float(), dim=1)[:, words]
    score = losses.expectation(logits[:, at][:, words], SCORES)
    others = [i for i in range(keep) if i != at]
    result = {
        "levels": -(batch["target"] * open_vocabulary).sum(1).mean(),
        "distance": F.smooth_l1_loss(score, (batch["target"] * SCORES).sum(1), beta=0.5),
        "plcc": losses.plcc_loss(score, (batch["target"] * SCORES).sum(1)),
        "sentence": F.cross_entropy(logits[:, others].flatten(0, 1), answer[:, others].flatten()),
    }
    return {name: weights[name] * value for name, value in result.items()}


def train_language(rows: list[biq2021.BiqRow], config: dict[str, Any], out: Path, corpus: Path) -> tuple[Any, Any]:
    """Stage 3: projector and decoder, the tower frozen; returns model and processor."""
    encoder = build_tower(config)
    encoder.load_state_dict(load_state(out / "quality.pt")["model"])
    model, processor = build_language(config, encoder.tower, corpus)
    model.model.vision_tower.requires_grad_(False).eval()
    plan = Plan("language", out, config["language"]["steps"])
    if is_done(plan):
        model.load_state_dict(load_state(plan.checkpoint)["model"])
        return model.eval(), processor
    paths, side = [row.path for row in rows], config["language"]["crop"]
    views = {
        view: cached(out / "features", view, encoder, chosen, view, side, config["seed"])
        for view, chosen in (("full", paths), ("crop", paths), ("distorted", paths[::3]))
    }
    data = LanguageBatches(config, processor, views, np.array([row.level for row in rows], dtype=np.float32))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config["language"]["rate"], weight_decay=config["weight_decay"])
    weights = config["language"]["weights"]
    fit(
        plan, model, optimizer, lambda start: map(data, range(start, plan.steps)),
        lambda batch: language_losses(model, batch, data.words, weights),
    )
    return model.eval(), processor


# ---------------------------------------------------------------- figures, through the level tokens


def predict(model: Any, processor: Any, rows: list[biq2021.BiqRow], words: torch.Tensor) -> tuple[np.ndarray, float]:
    """Scores (n,) 1..5 of whole photos through the level tokens, and the mean coverage."""
    prompt = prompts.render(prompts.load("score/quality"), medium="image")
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt.question}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) + f" {prompt.answer}"

    def one(part: list[biq2021.BiqRow]) -> tuple[torch.Tensor, torch.Tensor]:
        images = [[read_rgb(row.path)] for row in part]
        inputs = processor(text=[text] * len(part), images=images, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**inputs, logits_to_keep=1).logits[:, -1]
        return losses.expectation(logits[:, words].double(), SCORES.double()), losses.coverage(logits, words)

    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(one, (rows[i : i + 8] for i in range(0, len(rows), 8))))
    return torch.cat([p[0] for p in parts]).numpy(), float(torch.cat([p[1] for p in parts]).mean())


def figures(scores: np.ndarray, rows: list[biq2021.BiqRow]) -> dict[str, float]:
    """Rank and linear correlation with the MOS, and the mean absolute error in levels."""
    truth = np.array([row.level for row in rows])
    return {
        "n": len(rows),
        "srcc": round(float(stats.spearmanr(scores, truth)[0]), 4),
        "plcc": round(float(stats.pearsonr(scores, truth)[0]), 4),
        "mae_levels": round(float(np.abs(scores - truth).mean()), 4),
    }


def report(folder: Path, data: Path, validation: list[biq2021.BiqRow], out: Path) -> None:
    """Load what was saved through the Auto classes and measure it on validation and official test rows."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder, backend="pil")
    words = torch.tensor([processor.tokenizer(f" {w.word}", add_special_tokens=False)["input_ids"][0] for w in WORST_FIRST])
    test = biq2021.read_split(data, "test")
    hashes = duplicates.hash_files(row.path for row in test)
    train_hashes = np.load(out / "train_hashes.npy")
    result: dict[str, Any] = {}
    scores, result["validation_coverage"] = predict(model, processor, validation, words)
    result["validation"] = figures(scores, validation)
    scores, result["test_coverage"] = predict(model, processor, test, words)
    result["test"] = figures(scores, test)
    for threshold in (6, 8, 10):
        alone = np.flatnonzero(~duplicates.near_duplicates(hashes, train_hashes, threshold=threshold))
        result[f"test_without_duplicates_{threshold}"] = figures(scores[alone], [test[i] for i in alone])
    (out / "figures.json").write_text(json.dumps(result, indent=2) + "\n")
    log.info("%s", json.dumps(result))


def main() -> None:
    """Run every stage that is not finished yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pristine", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "configs" / "nano.yaml")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(args.config.read_text())
    rows = choose_rows(args.data, args.out, config)
    (args.out / "rows.json").write_text(json.dumps({k: [r.name for r in v] for k, v in rows.items()}))
    pristine = sorted(args.pristine.glob("*.jpg"))
    for name in ("synthetic", "quality"):
        train_tower(name, rows["fit"], pristine, config, args.out)
    model, processor = train_language(rows["fit"], config, args.out, args.config.parent / "nano_corpus.txt")
    folder = args.out / "weights"
    build.save(model, processor, folder)
    report(folder, args.data, rows["validation"], args.out)


if __name__ == "__main__":
    main()
