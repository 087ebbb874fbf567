"""How nano's branch for distortions learns: losses on lots of pictures, and two stages.

The tower is frozen, so what it says of opinions stays as it is; the branch and its heads are trained end to end.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from mllmqa.data import distortions
from mllmqa.data.distortions.base import opencv
from mllmqa.models.nano.blocks import HALF_RANGE, DctStem
from mllmqa.models.nano.categories import SEVERITIES, CategoryTokens, DistortionHeads, at_size
from mllmqa.training.loop import Losses, Plan, fit, is_done, load_state, weighted
from mllmqa.training.losses import rank_hinge
from mllmqa.training.wholes import Lot, Wholes, batches, judged

END, END_WEIGHT = 0.3, 2.0
"""Within this of the ends of the scale a severity counts twice: whole steps are asked for, and an even draw is half
as often near an end as near a step between."""
MIDDLE = (1 + SEVERITIES) / 2
FIDELITY_STEP, DAMAGE_STEP = 0.1, 0.3
"""By how much fidelity and damage are to differ at least for each step of severity."""
LEAST_VARIANCE = 1e-7
"""Statistics that varied less over the pictures of training are not read (:func:`mute`)."""
SAVE_EVERY = 1000
"""Steps between checkpoints."""
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
CATEGORY_OF = torch.tensor([distortions.CATEGORIES.index(distortions.category_of(n)) for n in distortions.NAMES])
"""(35,) the place of the category of every distortion."""


def by_category(severity: Tensor) -> Tensor:
    """Severities of distortions (N, 35) → of their categories (N, 12)."""
    found = severity.new_zeros(len(severity), len(distortions.CATEGORIES))
    return found.scatter_reduce(1, CATEGORY_OF.to(severity.device).expand_as(severity), severity, "amax")


class Learning(nn.Module):
    """The branch and its heads, with one more head that names single distortions: it is not shipped.

    Args:
        stem: Of the trained tower, frozen.
        categories: Trained.
        hidden: Width of the layer inside the heads.
    """

    def __init__(self, stem: DctStem, categories: CategoryTokens, hidden: int) -> None:
        super().__init__()
        self.stem = stem.eval().requires_grad_(False)
        self.branch, self.heads = categories.branch, categories.heads
        self.named = nn.Linear(hidden, len(distortions.NAMES))
        self.settled = False

    def train(self, mode: bool = True) -> Learning:
        """As any module's; the stem stays as it is, and so do batch norms that are settled."""
        super().train(mode)
        self.stem.eval()
        for module in self.modules() if self.settled else ():
            if isinstance(module, NORMS):
                module.eval()
        return self

    def settle(self, settled: bool) -> None:
        """Let batch norms use the batch, or what they have kept, as the model will when it answers."""
        self.settled = settled
        self.train()


def branch_losses(model: Learning, batch: Lot, drop: float, clean: float) -> Losses:
    """Losses of a batch: presence, severity of what is there, fidelity where known, and which distortions they are.

    And of both versions of a photo: `pair`, how far their fidelities are apart, where known, and, of two
    severities, `order`, the lighter one is nearer to the undistorted picture, and `damage`, there is less of it.

    Args:
        model: Trained.
        batch: From :func:`batches`.
        drop: Share of the hidden layer that is dropped.
        clean: Weight of undistorted pictures in the presence, of others 1: a false alarm on a good photo is what
            users notice first.
    """
    with torch.no_grad():
        pixels = batch.pixels.float() / HALF_RANGE - 1
        coefficients = model.stem.coefficients(pixels.contiguous(memory_format=torch.channels_last))
    inside = model.heads.inside(model.branch(coefficients).float(), drop)
    presence, severity, fidelities = (value.float() for value in model.heads.read(inside))
    fidelity = at_size(fidelities, batch.short_side)
    wanted = by_category(batch.severity)
    there, judged_ = wanted > 0, batch.fidelity.isfinite()
    missed = F.binary_cross_entropy_with_logits(presence, there.float(), reduction="none").mean(1)
    weight = torch.where(there.any(1), 1.0, clean)
    wrong = F.smooth_l1_loss(severity, wanted, beta=0.3, reduction="none")
    at_end = (wanted < 1 + END) | (wanted > SEVERITIES - END)
    counted = there * torch.where(at_end, END_WEIGHT, 1.0)
    far = F.smooth_l1_loss(fidelity, batch.fidelity.nan_to_num(), beta=0.3, reduction="none")
    damage = (presence.sigmoid() * severity.clamp(1, SEVERITIES)).sum(1)
    return {
        "presence": (missed * weight).sum() / weight.sum(),
        "severity": (wrong * counted).sum() / counted.sum().clamp(min=1),
        "fidelity": (far * judged_).sum() / judged_.sum().clamp(min=1),
        "named": F.binary_cross_entropy_with_logits(model.named(inside).float(), (batch.severity > 0).float()),
        **pair_losses(fidelity, damage, batch),
    }


def pair_losses(fidelity: Tensor, damage: Tensor, batch: Lot) -> Losses:
    """Losses of both versions of photos, rows 2i and 2i + 1.

    Args:
        fidelity: (N,) read.
        damage: (N,) presence times severity, summed over categories.
        batch: What is known of them.
    """
    apart, wanted = (values[::2] - values[1::2] for values in (fidelity, batch.fidelity))
    known, ladder = wanted.isfinite(), batch.gap.isfinite()
    missed = F.smooth_l1_loss(apart, wanted.nan_to_num(), beta=0.3, reduction="none")
    near, bad = ((values[::2][ladder], values[1::2][ladder]) for values in (fidelity, damage))
    gap = batch.gap[ladder]
    return {
        "pair": (missed * known).sum() / known.sum().clamp(min=1),
        "order": rank_hinge(near[0], near[1], FIDELITY_STEP * gap),
        "damage": rank_hinge(bad[1], bad[0], DAMAGE_STEP * gap),
    }


def learn(
    model: Learning, wholes: Wholes, how: Mapping[str, Any], folder: Path, *, share: tuple[int, int], workers: int
) -> None:
    """Train the branch and its heads, then once more with batch norms at rest: `heads.pt`, `settled.pt`.

    Args:
        model: Where it is to be trained.
        wholes: The lots; each process has its own.
        how: `batch`, `repeats`, `kept`, `drop`, `clean`, `weight_decay`, `average`, `bf16`, `weights` of the
            losses, and `heads` and `settled` with `steps` and `rate`.
        folder: Of the states.
        share: Which process this is, and of how many.
        workers: Processes that make lots.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sizes = {key: how[key] for key in ("repeats", "kept")}
    first = 0
    for stage in ("heads", "settled"):
        plan = Plan(
            stage, folder, how[stage]["steps"], bf16=how["bf16"], average=how["average"], save_every=SAVE_EVERY
        )
        lots = partial(_lots, wholes, first, share, workers, next(model.parameters()).device)
        first += -(-plan.steps // how["repeats"])
        if not is_done(plan):
            model.settle(stage == "settled")
            optimizer = torch.optim.AdamW(trained, lr=how[stage]["rate"], weight_decay=how["weight_decay"])
            fit(
                plan,
                model,
                optimizer,
                partial(batches, lots, size=how["batch"], seed=(wholes.seed, share[0], first), **sizes),
                lambda batch: weighted(branch_losses(model, batch, how["drop"], how["clean"]), how["weights"]),
            )
        model.load_state_dict(load_state(plan.checkpoint)["model"])  # batch norms differ between processes


@torch.no_grad()
def mute(heads: DistortionHeads) -> None:
    """Let the heads ignore statistics that did not vary in training: one that wakes would count for eight."""
    if (varied := heads.standard.running_var) is not None:
        heads.hidden.weight[:, varied < LEAST_VARIANCE] = 0


@torch.no_grad()
def stretch(heads: DistortionHeads, by: float) -> None:
    """Spread severities about the middle of the scale, s → 3 + `by`·(s − 3).

    Heads that are not sure draw towards the middle; what is asked for are whole steps, as often 1 or 5 as any.
    """
    heads.severity.weight *= by
    heads.severity.bias.sub_(MIDDLE).mul_(by).add_(MIDDLE)


def _lots(
    wholes: Wholes, first: int, share: tuple[int, int], workers: int, device: torch.device, start: int
) -> Iterator[Lot]:
    """The lots of a process, judged, from the `start`-th after `first` on."""
    process, of = share
    loader = DataLoader(
        wholes, batch_size=None, sampler=range((first + start) * of + process, sys.maxsize, of),
        num_workers=workers, worker_init_fn=_in_one_thread, prefetch_factor=2 if workers else None,
        multiprocessing_context=_clean_processes() if workers else None,
    )  # fmt: skip
    return (judged(lot, device) for lot in loader)


def _clean_processes() -> str:
    """Children of a process that has used OpenCV's threads hang; these have another parent."""
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _in_one_thread(worker: int) -> None:
    """OpenCV would start as many threads as there are cores in every process that makes lots."""
    opencv().setNumThreads(1)
