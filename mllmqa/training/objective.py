"""The losses of a stage on one batch: one forward pass, logits only where something is learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mllmqa.training import losses
from mllmqa.training.collate import Targets
from mllmqa.training.losses import IGNORED, Combined, Part
from mllmqa.training.stage import Distance, Fidelity, Losses


@dataclass(frozen=True)
class Seen:
    """What the model says of a batch. B rows, K level words.

    Attributes:
        logits: (B, A + 1, V) at the wanted places.
        has_level: (B,) bool.
        open: (B, V) logits at the level word; of rows without one, some others.
        words: (B, K) those of the level words.
        mean: (B,) expected level, 1..5, of the closed-set softmax.
        std: (B,) its deviation.
    """

    logits: Tensor
    has_level: Tensor
    open: Tensor
    words: Tensor
    mean: Tensor
    std: Tensor


class Objective:
    """A stage's losses.

    Args:
        wanted: Which, and how they are weighted.
        level_ids: (K,) tokens of the level words, best first; None if no sample has a level.
        scores: Values of the words.
        drawn: Whether pairs are drawn (:attr:`~mllmqa.training.stage.Stage.pairs`), and only those count; else all
            pairs of rows of one source do. A batch that has lost its pairs has none then.
    """

    def __init__(
        self, wanted: Losses, level_ids: Sequence[int] | None, scores: Sequence[float], *, drawn: bool = False
    ) -> None:
        self._drawn = drawn
        self._wanted, self._scores = wanted, torch.tensor(scores, dtype=torch.float64)
        self._level_ids = torch.tensor(list(level_ids or range(len(scores))), dtype=torch.int64)
        self._weights = wanted.weights()

    def look(self, model: Callable[..., Any], inputs: dict[str, Any], targets: Targets) -> Seen:
        """Run the model on a batch.

        Args:
            model: Takes the inputs, ``logits_to_keep`` (B, A + 1) and ``use_cache``.
            inputs: Of the batch.
            targets: Of the batch, on the same device.
        """
        logits = model(**inputs, logits_to_keep=targets.places, use_cache=False).logits
        rows = torch.arange(len(logits), device=logits.device)
        opened = logits[rows, targets.level.clamp(min=0)].float()
        words = opened[:, self._level_ids.to(logits.device)]
        mean, std = losses.moments(words.double().softmax(1), self._scores.to(logits.device))
        return Seen(logits, targets.level >= 0, opened, words, mean, std)

    def parts(self, seen: Seen, targets: Targets) -> dict[str, Part]:
        """Return the stage's losses of a batch, unweighted, with their graphs."""
        return {name: getattr(self, f"_{name}")(seen, targets) for name in self._weights}

    def combined(self, parts: dict[str, Part]) -> Combined:
        """Weigh and add the losses of one batch."""
        return losses.combine(parts, self._weights)

    def step_loss(self, parts: dict[str, Part], items: Tensor, processes: int, batches: int) -> Tensor:
        """Return what one of several batches of a step adds to its loss.

        The answer loss is a mean over all learnt tokens (or samples) of the step, however they are spread over
        batches and processes; all other losses are means of the batches' means, as their papers define them on a
        batch.

        Args:
            parts: Of :meth:`parts`.
            items: Of the whole step: the sum of :meth:`items` over its batches on all processes.
            processes: Whose gradients will be averaged.
            batches: Of this process in the step.
        """
        total = torch.zeros((), device=items.device)
        for name, weight in self._weights.items():
            value = parts[name].value
            if name == "answer":
                value = value * parts[name].count / items.clamp(min=1) * processes
            else:
                value = value / batches
            if weight:
                total = total + weight * value
        return total

    def items(self, targets: Targets) -> int:
        """How many tokens (or samples, for ``per: sample``) the answer loss of a batch counts."""
        learnt = targets.tokens != IGNORED
        if self._wanted.answer is None:
            return 0
        learnt &= ~self._left_out(targets)
        return int(learnt.any(1).sum() if self._wanted.answer.per == "sample" else learnt.sum())

    def _left_out(self, targets: Targets) -> Tensor:
        """(B, A + 1) the level words of rows with a distribution over levels, where the stage leaves them out."""
        out = torch.zeros_like(targets.tokens, dtype=torch.bool)
        if self._wanted.answer is not None and self._wanted.answer.leave_out_level:
            rows = ((targets.level >= 0) & losses.known(targets.soft)).nonzero()[:, 0]
            out[rows, targets.level[rows] + 1] = True
        return out

    def _answer(self, seen: Seen, targets: Targets) -> Part:
        per = self._wanted.answer.per if self._wanted.answer else "token"
        return losses.answer_cross_entropy(seen.logits, targets.tokens, per=per, leave_out=self._left_out(targets))

    def _levels(self, seen: Seen, targets: Targets) -> Part:
        mask = seen.has_level & losses.known(targets.soft)
        if self._wanted.levels and self._wanted.levels.over == "words":
            return losses.level_kl(seen.words, targets.soft, mask=mask)
        return losses.level_kl_open(seen.open, targets.soft, self._level_ids.to(mask.device), mask=mask)

    def _emd(self, seen: Seen, targets: Targets) -> Part:
        r = self._wanted.emd.r if self._wanted.emd else 2.0
        mask = seen.has_level & losses.known(targets.soft)
        return losses.emd(seen.words.softmax(1), targets.soft, r=r, mask=mask)

    def _fidelity(self, seen: Seen, targets: Targets) -> Part:
        how = self._wanted.fidelity or Fidelity()
        std = {"unit": None, "predicted": seen.std, "predicted-detached": seen.std.detach()}[how.std]
        pairs = self._pairs(seen, targets, how.target)
        return losses.preference_loss(seen.mean, pairs, std=std, form=how.form)

    def _ranking(self, seen: Seen, targets: Targets) -> Part:
        margin = self._wanted.ranking.margin if self._wanted.ranking else 0.0
        return losses.ranking_loss(seen.mean, self._pairs(seen, targets, "binary"), margin=margin)

    def _pairs(self, seen: Seen, targets: Targets, kind: Literal["continuous", "binary", "either"]) -> losses.Pairs:
        opinions = losses.Opinions(
            targets.mean, targets.sets, targets.std, _rated(seen, targets), losses.known(targets.std)
        )
        chosen = (targets.pairs[:, 0], targets.pairs[:, 1]) if self._drawn or len(targets.pairs) else None
        return losses.pairs_within(opinions, kind, chosen=chosen)

    def _plcc(self, seen: Seen, targets: Targets) -> Part:
        return losses.plcc(seen.mean, targets.mean, targets.sets, mask=_rated(seen, targets))

    def _norm_in_norm(self, seen: Seen, targets: Targets) -> Part:
        return losses.norm_in_norm(seen.mean, targets.mean, targets.sets, mask=_rated(seen, targets))

    def _distance(self, seen: Seen, targets: Targets) -> Part:
        how, mask = self._wanted.distance or Distance(), _rated(seen, targets)
        if how.form == "smooth":
            return losses.smooth_l1(seen.mean, targets.mean, beta=how.beta, mask=mask)
        if how.form == "huber":
            return losses.huber(seen.mean, targets.mean, delta=how.beta, mask=mask)
        return (losses.l1 if how.form == "l1" else losses.l2)(seen.mean, targets.mean, mask=mask)

    def _distil(self, seen: Seen, targets: Targets) -> Part:
        temperature = self._wanted.distil.temperature if self._wanted.distil else 1.0
        mask = seen.has_level & losses.known(targets.teacher)
        teacher = targets.teacher.clamp(min=torch.finfo(torch.float32).tiny).log()
        return losses.distil_levels(seen.words, teacher, temperature=temperature, mask=mask)


def _rated(seen: Seen, targets: Targets) -> Tensor:
    return seen.has_level & losses.known(targets.mean)
