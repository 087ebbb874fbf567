"""What nano's heads for distortions learn from: pictures, distorted, about as large as the model will see them.

Pictures come in lots, each lot a function of (seed, its number): any worker may make it, and a resumed run sees the
same. Making them takes far longer than learning from them, so lots are kept for a while and drawn from again.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from mllmqa.data import distortions
from mllmqa.data.distortions.base import opencv
from mllmqa.data.fullref import PseudoMos
from mllmqa.data.fullref.metrics import measure_many
from mllmqa.media.views import fit_short
from mllmqa.models.nano.blocks import HALF_RANGE, DctStem
from mllmqa.models.nano.categories import SEVERITIES, CategoryTokens
from mllmqa.training.loop import Losses, Plan, fit, is_done, load_state, weighted
from mllmqa.training.samples import Pixels, Recipe, drawn, made, read_rgb

END, END_WEIGHT = 0.3, 2.0
"""Within this of the ends of the scale a severity counts twice: whole steps are asked for, and an even draw is half
as often near an end as near a step between."""
LEAST_SHRUNK = 0.65
"""Sides of shrunk photos over what they were: what was wrong with them is lost with the pixels."""
KINDS = ("pristine", "good", "shrunk")
CATEGORY_OF = torch.tensor([distortions.CATEGORIES.index(distortions.category_of(n)) for n in distortions.NAMES])
"""(35,) the place of the category of every distortion."""

Sizes = Sequence[tuple[int, int]]
"""Side of a square photo when it is distorted, and of the view of it."""


@dataclass(frozen=True)
class Format:
    """Pictures that are cut to one size, so that a lot may hold them.

    Attributes:
        side: Of the cut squares.
        share: Weight in the draw of formats.
        sizes: For each kind of photo that occurs, among which sizes is drawn; views are at least `side`.
    """

    side: int
    share: float
    sizes: Mapping[str, Sizes]


@dataclass(frozen=True)
class Lot:
    """N pictures of one size, a part of them with a pseudo-MOS or with what it takes to find it.

    Attributes:
        pixels: (N, 3, side, side) uint8.
        severity: (N, 35) of every distortion, 0: not there.
        fidelity: (N,) the pseudo-MOS, 1..5, or NaN.
        first: First row of those that have a reference.
        reference: (J, 3, p, p) uint8, undistorted.
        distorted: (J, 3, p, p) uint8, as measured, not as seen.
    """

    pixels: Tensor
    severity: Tensor
    fidelity: Tensor
    first: int
    reference: Tensor
    distorted: Tensor

    def of(self, chosen: Tensor) -> Lot:
        """Return some of the rows, without references."""
        rows = (self.pixels[chosen], self.severity[chosen], self.fidelity[chosen])
        return Lot(*rows, 0, self.reference[:0], self.distorted[:0])


@dataclass(frozen=True)
class Wholes(Dataset[Lot]):
    """Item i is lot i.

    Attributes:
        pristine: Undistorted photos.
        good: Photos that people did not rate low: as they are, none of them stands in for an undistorted one; well
            shrunk, all do.
        formats: What lots look like.
        size: Pictures of a lot, the kinds of its format in equal parts.
        zoom: Least share of a pristine photo's short side that is taken.
        judged: Share of lots in which one kind of photo gets its pseudo-MOS, which takes long.
        seed: Root of all randomness.
    """

    pristine: Sequence[Path]
    good: Sequence[Path]
    formats: Sequence[Format]
    size: int
    zoom: float
    judged: float
    seed: int

    def __getitem__(self, index: int) -> Lot:
        rng = np.random.default_rng([self.seed, index])
        shares = np.array([one.share for one in self.formats])
        look = self.formats[int(rng.choice(len(shares), p=shares / shares.sum()))]
        kinds, least = [kind for kind in KINDS if kind in look.sizes], PseudoMos.default().min_side_px
        referred = str(rng.choice([kind for kind in kinds if kind != "good"]))
        least = least if rng.random() < self.judged else sys.maxsize
        seen: list[Pixels] = []
        recipes: list[Recipe] = []
        pairs: list[tuple[Pixels, Pixels]] = []
        for kind in kinds:
            side, view = look.sizes[kind][int(rng.integers(len(look.sizes[kind])))]
            for _ in range(self.size // len(kinds)):
                photo, recipe = self._photo(kind, side, rng), drawn(rng)
                while kind == "good" and not recipe:
                    recipe = drawn(rng)
                pixels, _ = made(photo, recipe, int(rng.integers(2**31)))
                if kind == referred and side >= least:
                    pairs.append((photo, pixels))
                seen.append(_cut(fit_short(pixels, view), look.side, rng))
                recipes.append(recipe)
        reference, distorted = zip(*pairs, strict=True) if pairs else ((), ())
        fidelity = [float("nan") if recipe else 5.0 for recipe in recipes]
        severity = [[dict(recipe).get(name, 0.0) for name in distortions.NAMES] for recipe in recipes]
        first = kinds.index(referred) * (self.size // len(kinds))
        return Lot(
            _stacked(seen), torch.tensor(severity), torch.tensor(fidelity), first, _stacked(reference), _stacked(distorted)
        )

    def _photo(self, kind: str, side: int, rng: np.random.Generator) -> Pixels:
        """A square part of a photo, maybe mirrored, brought to `side`; never enlarged."""
        paths = self.pristine if kind == "pristine" else self.good
        photo = np.asarray(read_rgb(paths[int(rng.integers(len(paths)))]))
        short = min(photo.shape[:2])
        least = {"pristine": self.zoom * short, "good": side, "shrunk": side / LEAST_SHRUNK}[kind]
        least = min(short, max(side, least))
        photo = _cut(photo, int(rng.integers(round(least), short + 1)), rng)
        if rng.random() < 0.5:
            photo = photo[:, ::-1]
        return distortions.to_short_side(np.ascontiguousarray(photo), min(side, *photo.shape[:2]))


def _cut(pixels: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A random square."""
    top, left = (int(rng.integers(length - side + 1)) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _stacked(pictures: Sequence[Pixels]) -> Tensor:
    """(H, W, 3) each → (N, 3, H, W)."""
    if not pictures:
        return torch.empty(0, 3, 0, 0, dtype=torch.uint8)
    return torch.from_numpy(np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)))


def judged(lot: Lot, device: torch.device) -> Lot:
    """Put a lot on a device and measure the rows that have a reference, which is dropped.

    What metrics cannot tell stays without a pseudo-MOS.
    """
    lot = Lot(*(getattr(lot, name).to(device) if name != "first" else lot.first for name in Lot.__annotations__))
    if not len(lot.reference):
        return lot
    scale = PseudoMos.default()
    values = measure_many(lot.reference, lot.distorted, scale.names)
    scores = torch.from_numpy(scale.scores(values)).to(device, lot.fidelity.dtype)
    fidelity = lot.fidelity.clone()
    fidelity[lot.first : lot.first + len(scores)] = scores
    return replace(lot, fidelity=fidelity, reference=lot.reference[:0], distorted=lot.distorted[:0])


def batches(
    lots: Callable[[int], Iterable[Lot]], *, size: int, repeats: int, kept: int, seed: tuple[int, ...], start: int
) -> Iterator[Lot]:
    """Give batches: of every new lot one, then some of lots that are kept.

    The batch of a step is a function of (seed, step): a resumed run first makes the lots that would be kept.

    Args:
        lots: Gives the lots from a number on, judged.
        size: Pictures of a batch.
        repeats: Batches for each new lot.
        kept: How many lots.
        seed: Of the draws.
        start: First step.
    """
    now = start // repeats
    begin = max(0, now - kept + 1)
    pool: deque[Lot] = deque(maxlen=kept)
    for number, lot in enumerate(lots(begin), begin):
        pool.append(lot)
        for turn in range(repeats if number >= now else 0):
            step = number * repeats + turn
            rng = np.random.default_rng([*seed, step])
            of = pool[int(rng.integers(len(pool))) if turn else -1]
            chosen = torch.from_numpy(rng.permutation(len(of.severity))[:size])
            if step >= start:
                yield of.of(chosen.to(of.pixels.device))


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
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
        return self

    def settle(self, settled: bool) -> None:
        """Let batch norms use the batch, or what they have kept, as the model will when it answers."""
        self.settled = settled
        self.train()


def branch_losses(model: Learning, batch: Lot, drop: float, clean: float) -> Losses:
    """Losses of a batch: presence, severity of what is there, fidelity where known, and which distortions they are.

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
    presence, severity, fidelity = (value.float() for value in model.heads.read(inside))
    wanted = by_category(batch.severity)
    there, judged_ = wanted > 0, batch.fidelity.isfinite()
    missed = F.binary_cross_entropy_with_logits(presence, there.float(), reduction="none").mean(1)
    weight = torch.where(there.any(1), 1.0, clean)
    wrong = F.smooth_l1_loss(severity, wanted, beta=0.3, reduction="none")
    at_end = (wanted < 1 + END) | (wanted > SEVERITIES - END)
    counted = there * torch.where(at_end, END_WEIGHT, 1.0)
    far = F.smooth_l1_loss(fidelity, batch.fidelity.nan_to_num(), beta=0.3, reduction="none")
    return {
        "presence": (missed * weight).sum() / weight.sum(),
        "severity": (wrong * counted).sum() / counted.sum().clamp(min=1),
        "fidelity": (far * judged_).sum() / judged_.sum().clamp(min=1),
        "named": F.binary_cross_entropy_with_logits(model.named(inside).float(), (batch.severity > 0).float()),
    }


def _in_one_thread(worker: int) -> None:
    """OpenCV would start as many threads as there are cores in every process that makes lots."""
    opencv().setNumThreads(1)


def learn(
    model: Learning, wholes: Wholes, how: Mapping[str, Any], folder: Path, *, share: tuple[int, int], workers: int
) -> None:
    """Train the branch and its heads; `folder` has the states `heads.pt` and, batch norms at rest, `settled.pt`.

    Args:
        model: Where it is to be trained.
        wholes: The lots; each process has its own.
        how: `batch`, `repeats`, `kept`, `drop`, `clean`, `weight_decay`, `average`, `bf16`, `weights` of the losses,
            and `heads` and `settled` with `steps` and `rate`.
        folder: Of the states.
        share: Which process this is, and of how many.
        workers: Processes that make lots.
    """
    process, of = share
    device = next(model.parameters()).device

    def lots(start: int) -> Iterator[Lot]:
        numbers = range(start * of + process, sys.maxsize, of)
        loader = DataLoader(
            wholes, batch_size=None, sampler=numbers, num_workers=workers, worker_init_fn=_in_one_thread,
            prefetch_factor=2 if workers else None,
        )  # fmt: skip
        return (judged(lot, device) for lot in loader)

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    before = 0
    for name in ("heads", "settled"):
        plan = Plan(name, folder, how[name]["steps"], bf16=how["bf16"], average=how["average"], save_every=1000)
        if is_done(plan):
            model.load_state_dict(load_state(plan.checkpoint)["model"])
        else:
            model.settle(name == "settled")
            optimizer = torch.optim.AdamW(trained, lr=how[name]["rate"], weight_decay=how["weight_decay"])

            def drawn_from(start: int, before: int = before) -> Iterator[Lot]:
                sizes = {key: how[key] for key in ("repeats", "kept")}
                return batches(lots, size=how["batch"], seed=(wholes.seed, process), start=before + start, **sizes)

            def losses_of(batch: Lot) -> Losses:
                return weighted(branch_losses(model, batch, how["drop"], how["clean"]), how["weights"])

            fit(plan, model, optimizer, drawn_from, losses_of)
        before += plan.steps
