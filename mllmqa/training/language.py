"""The language stage on cached vision features: batches of prompts with answers, and the losses at the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from mllmqa.training import losses
from mllmqa.training.features import Features

TAIL = "."  # every training sentence ends with it, then the end token


@dataclass(frozen=True)
class LanguagePlan:
    """How prompts are drawn.

    Attributes:
        texts: (question, answer start) pairs, and `text_shares`, their probabilities.
        words: level words, worst first; `scores` (K,) their values.
        rows: photos per batch.
        tile_shares: probabilities of 1, 2, … tiles per prompt.
        distorted_share: probability that a batch is of distorted crops, which only the head has rated.
        teacher_share: weight of the head's distribution, beside the human one, in the target of rated photos.
        opinion_sigma: assumed standard deviation of opinions, in levels.
        seed: root of all randomness.
    """

    texts: Sequence[tuple[str, str]]
    text_shares: Sequence[float]
    words: Sequence[str]
    scores: Tensor
    rows: int
    tile_shares: Sequence[float]
    distorted_share: float
    teacher_share: float
    opinion_sigma: float
    seed: int


@dataclass(frozen=True)
class LanguageBatch:
    """`ids` (B, L) prompt and answer, the last `answer_length` of them the answer; `tokens` (B, n, T, D) float
    vision features of n tiles; `target` (B, K) level distribution, worst level first."""

    ids: Tensor
    answer_length: int
    tokens: Tensor
    target: Tensor


def level_ids(tokenizer: Any, words: Sequence[str]) -> Tensor:
    """Token ids (K,) of the level words with their leading space; each must be one token (a test holds that)."""
    return torch.tensor([tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in words])


class LanguageBatches:
    """Batch i is a pure function of (seed, i): one wording and one number of tiles, so no row needs padding.

    Args:
        plan: how prompts are drawn.
        processor: nano's processor.
        views: `full` and `crop` features of the same rated photos, and `distorted` ones of any.
        levels: (n,) mean opinions of the rated photos on the level scale.
    """

    def __init__(
        self, plan: LanguagePlan, processor: Any, views: Mapping[str, Features], levels: npt.NDArray[np.float32]
    ) -> None:
        self.plan, self.processor, self.views = plan, processor, views
        self.tokenizer = processor.tokenizer
        self.levels = torch.from_numpy(levels)
        self.words = level_ids(self.tokenizer, plan.words)

    def __call__(self, index: int) -> LanguageBatch:
        """The batch of step `index`."""
        plan, rng = self.plan, np.random.default_rng([self.plan.seed, 3, index])
        tiles = int(rng.choice(len(plan.tile_shares), p=plan.tile_shares)) + 1
        question, answer = plan.texts[int(rng.choice(len(plan.texts), p=plan.text_shares))]
        distorted = bool(rng.random() < plan.distorted_share)
        kept = [self.views[name] for name in (["distorted"] if distorted else ["full", "crop"])]
        photo = rng.integers(len(kept[0].tokens), size=plan.rows)
        view = rng.integers(len(kept), size=(plan.rows, tiles))
        if tiles == 1 and rng.random() < 0.7:  # what is most often asked: the whole photo
            view[:] = 0
        tokens = np.stack([[kept[v].tokens[p] for v in vs] for p, vs in zip(photo, view, strict=True)])
        head = [np.mean([kept[v].teacher[p] for v in vs], axis=0) for p, vs in zip(photo, view, strict=True)]
        target = torch.from_numpy(np.stack(head))
        if not distorted:
            human = losses.soft_levels(self.levels[photo], plan.opinion_sigma, plan.scores)
            target = plan.teacher_share * target + (1 - plan.teacher_share) * human
        word = torch.multinomial(target, 1, generator=torch.Generator().manual_seed(index))[:, 0]
        ids, length = self._ids(question, answer, tiles, word)
        return LanguageBatch(ids, length, torch.from_numpy(tokens).float(), target)

    def _ids(self, question: str, answer: str, tiles: int, word: Tensor) -> tuple[Tensor, int]:
        content = [{"type": "image"}] * tiles + [{"type": "text", "text": question}]
        chat = [{"role": "user", "content": content}]
        head = self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        image, per_tile = self.processor.image_token, self.views["full"].tokens.shape[1]
        prompt = self.tokenizer(head.replace(image, image * per_tile))["input_ids"]
        start = self.tokenizer(f" {answer}", add_special_tokens=False)["input_ids"]
        tail = [*self.tokenizer(TAIL, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]
        before = torch.tensor(prompt + start).expand(len(word), -1)
        after = torch.tensor(tail).expand(len(word), -1)
        return torch.cat([before, self.words[word][:, None], after], dim=1), len(start) + 1 + len(tail)


def language_losses(model: Any, batch: LanguageBatch, words: Tensor, scores: Tensor) -> dict[str, Tensor]:
    """Unweighted losses of one batch.

    `levels`: cross entropy of the target levels over the *open* vocabulary = closed-set cross entropy minus log
    coverage, so coverage is learnt with it. `distance`, `plcc`: of the closed-set expectation, as in the vision
    stage. `sentence`: next-token cross entropy of the other words of the answer.
    """
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    features = model.model.multi_modal_projector(batch.tokens.flatten(0, 1))
    seen = {"image": BaseModelOutputWithPooling(pooler_output=list(features))}
    keep = batch.answer_length
    logits = model(input_ids=batch.ids, mm_encoder_outputs=seen, logits_to_keep=keep + 1).logits[:, :-1].float()
    answer = batch.ids[:, -keep:]
    place = keep - 3  # of the level word: before the full stop and the end token
    score = losses.expectation(logits[:, place][:, words], scores)
    wanted = batch.target @ scores
    others = [i for i in range(keep) if i != place]
    return {
        "levels": -(batch.target * F.log_softmax(logits[:, place], dim=1)[:, words]).sum(1).mean(),
        "distance": F.smooth_l1_loss(score, wanted, beta=0.5),
        "plcc": losses.plcc_loss(score, wanted),
        "sentence": F.cross_entropy(logits[:, others].flatten(0, 1), answer[:, others].flatten()),
    }
