"""What nano's networks are built of: fixed DCT coefficients beside learned ones, and residual blocks.

Blind quality lives in local frequency statistics, so all starts from them: an 8×8 DCT at stride 4 of Y, Cb and Cr
(signed DC, log-magnitude AC; cf. BLIINDS-II, Saad et al., TIP 2012) next to a learned 8×8 convolution. Residual
blocks are those of He et al., CVPR 2016. Nothing depends on the input size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HALF_RANGE = 127.5
"""Pixels are divided by this, then 1 is taken off: -1..1."""
BLOCK = 8
STRIDE = 4


def dct_filters() -> Tensor:
    """Orthonormal 2-D DCT-II basis of 8×8 blocks, (64, 1, 8, 8), in zig-zag order (low frequencies first)."""
    k = torch.arange(BLOCK, dtype=torch.float64)
    basis = torch.cos(math.pi / BLOCK * (k[None, :] + 0.5) * k[:, None]) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    grid = torch.einsum("ux,vy->uvxy", basis, basis).reshape(BLOCK * BLOCK, 1, BLOCK, BLOCK)
    order = sorted(range(BLOCK * BLOCK), key=lambda i: (i // BLOCK + i % BLOCK, i))
    return grid[order].float()


def luma_chroma_matrix() -> Tensor:
    """RGB → YCbCr (ITU-R BT.601, full range, zero-centred chroma), (3, 3, 1, 1)."""
    rows = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    return torch.tensor(rows).reshape(3, 3, 1, 1)


def fixed_filters(chroma: int) -> Tensor:
    """The DCT of Y and the lowest frequencies of that of Cb and of Cr, from RGB at once, (64 + 2·chroma, 3, 8, 8).

    Pixels are -1..1. DC comes out as the mean of the block, -1..1; AC as on the 8-bit scale.
    """
    scale = torch.full((BLOCK * BLOCK, 1, 1, 1), HALF_RANGE)
    scale[0] = 1 / BLOCK
    dct, planes = dct_filters() * scale, luma_chroma_matrix().reshape(3, 1, 3, 1, 1)
    kept = (BLOCK * BLOCK, chroma, chroma)
    return torch.cat([dct[:count] * plane for count, plane in zip(kept, planes, strict=True)])


def mean_maps(chroma: int) -> list[int]:
    """Which of :func:`fixed_filters` are DC: taken as it is, of AC the logarithm of the magnitude."""
    return [0, BLOCK * BLOCK, BLOCK * BLOCK + chroma][: 3 if chroma else 1]


def answering(module: Mixing | Residual) -> tuple[nn.Module, ...] | None:
    """Return its folded convolutions in eval mode without gradients, if their dtype is what is computed in."""
    if module.folded is None or module.training or torch.is_grad_enabled():
        return None
    own, theirs = (next(one.parameters()).dtype for one in (module, module.folded[0]))
    return module.folded if own == theirs or torch.is_autocast_enabled("cpu") else None


class Mixing(nn.Module):
    """What begins with norm, 1×1 convolution, norm and ReLU."""

    folded: tuple[nn.Module, ...] | None = None
    """What :mod:`~mllmqa.models.nano.folding` makes of norm, convolution and norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.mix = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.mix_norm = nn.BatchNorm2d(outputs)

    def mixed(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H, W), normalised and mixed."""
        for step in answering(self) or (self.norm, self.mix, self.mix_norm):
            maps = step(maps)
        return F.relu(maps)


class DctStem(Mixing):
    """Pixels (B, 3, H, W) in -1..1 → coefficients → (B, outputs, ~H/4, ~W/4).

    Args:
        chroma: How many low-frequency DCT coefficients of Cb and of Cr are kept, at most 64.
        learned: Channels of the learned convolution.
        outputs: Channels.
    """

    fixed: Tensor

    def __init__(self, chroma: int, learned: int, outputs: int) -> None:
        super().__init__(coefficients_of(chroma, learned), outputs)
        self.chroma = chroma
        self.register_buffer("fixed", fixed_filters(chroma), persistent=False)
        self.learned = nn.Conv2d(3, learned, BLOCK, STRIDE, bias=False)

    def coefficients(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) → fixed and learned coefficients, (B, 64 + 2·chroma + learned, ~H/4, ~W/4)."""
        fixed, means = self.fixed.to(pixels.dtype), mean_maps(self.chroma)
        if type(self.learned) is nn.Conv2d:
            maps = F.conv2d(pixels, torch.cat([fixed, self.learned.weight]), stride=STRIDE)
        else:  # an adapter, which is more than its weight
            maps = torch.cat([F.conv2d(pixels, fixed, stride=STRIDE), self.learned(pixels)], dim=1)
        kept = maps[:, means]
        maps[:, : len(fixed)].abs_().log1p_()  # in place: another copy of all maps takes longer
        maps[:, means] = kept
        return maps

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels → mixed coefficients."""
        return self.mixed(self.coefficients(pixels))


def coefficients_of(chroma: int, learned: int) -> int:
    """Return how many maps a stem's coefficients are."""
    return BLOCK * BLOCK + 2 * chroma + learned


class Residual(nn.Module):
    """Two 3×3 convolutions with a shortcut; stride 2 halves each side, rounding up (odd sizes are fine)."""

    folded: tuple[nn.Module, ...] | None = None
    """What :mod:`~mllmqa.models.nano.folding` makes of each convolution and its norm."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.project = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        if folded := answering(self):
            first, second = folded
            out = second(F.relu(first(x)))
        else:
            out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        return F.relu(out + self.project(x))


def mean_and_std(maps: Tensor) -> Tensor:
    """(B, C, H, W) → (B, 2C): spatial mean and standard deviation."""
    mean = maps.mean(dim=(2, 3))
    var = (maps - mean[..., None, None]).square().mean(dim=(2, 3))  # eight times as fast as torch.var_mean here
    return torch.cat([mean, (var + 1e-4).sqrt()], dim=1)
