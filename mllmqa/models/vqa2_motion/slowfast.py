"""SlowFast (Feichtenhofer et al., ICCV 2019), ResNet-50 8×8, with the key names of pytorchvideo's ``slowfast_r50``.

VQA² takes the features of the fast pathway before the head. Lateral connections lead from fast to slow only,
so those features do not depend on the slow pathway: its weights are kept and loaded, and :meth:`SlowFast.fast`
leaves it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

SLOW_STRIDE = 4
"""Frames of the fast pathway per frame of the slow one."""

_SLOW_TEMPORAL = (1, 1, 3, 3)
_FAST_TEMPORAL = (3, 3, 3, 3)
_SPATIAL_STRIDES = (1, 2, 2, 2)


class _Stem(nn.Module):
    """Convolution, norm, ReLU, max pooling. (B, 3, T, H, W) → (B, C, T, H/4, W/4)."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            3, channels, (frames, 7, 7), stride=(1, 2, 2), padding=(frames // 2, 3, 3), bias=False
        )
        self.norm = nn.BatchNorm3d(channels)
        self.pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, T, H, W) → (B, channels, T, H/4, W/4)."""
        return self.pool(torch.relu(self.norm(self.conv(x))))  # type: ignore[no-any-return]


class _Bottleneck(nn.Module):
    """Temporal, spatial and pointwise convolution, each with norm."""

    def __init__(self, inside: int, inner: int, outside: int, frames: int, stride: int) -> None:
        super().__init__()
        self.conv_a = nn.Conv3d(inside, inner, (frames, 1, 1), padding=(frames // 2, 0, 0), bias=False)
        self.norm_a = nn.BatchNorm3d(inner)
        self.conv_b = nn.Conv3d(inner, inner, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False)
        self.norm_b = nn.BatchNorm3d(inner)
        self.conv_c = nn.Conv3d(inner, outside, 1, bias=False)
        self.norm_c = nn.BatchNorm3d(outside)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, T, H, W) → (B, outside, T, H/stride, W/stride)."""
        x = torch.relu(self.norm_a(self.conv_a(x)))
        x = torch.relu(self.norm_b(self.conv_b(x)))
        return self.norm_c(self.conv_c(x))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Residual block; the first of a stage has a convolution in its shortcut."""

    def __init__(self, inside: int, inner: int, outside: int, frames: int, stride: int) -> None:
        super().__init__()
        self.branch1_conv: nn.Module | None = None
        self.branch1_norm: nn.Module | None = None
        if inside != outside or stride != 1:
            self.branch1_conv = nn.Conv3d(inside, outside, 1, stride=(1, stride, stride), bias=False)
            self.branch1_norm = nn.BatchNorm3d(outside)
        self.branch2 = _Bottleneck(inside, inner, outside, frames, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, T, H, W) → (B, outside, T, H/stride, W/stride)."""
        short = x
        if self.branch1_conv is not None and self.branch1_norm is not None:
            short = self.branch1_norm(self.branch1_conv(x))
        return torch.relu(short + self.branch2(x))


class _Stage(nn.Module):
    """Residual blocks in a row."""

    def __init__(self, inside: int, outside: int, depth: int, frames: int, stride: int) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(
            _Block(outside if i else inside, outside // 4, outside, frames, 1 if i else stride)
            for i in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, T, H, W) → (B, outside, T, H/stride, W/stride)."""
        for block in self.res_blocks:
            x = block(x)
        return x


class _Fuse(nn.Module):
    """Lateral connection: every fourth frame of the fast pathway's surroundings beside the slow features."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        self.conv_fast_to_slow = nn.Conv3d(
            channels, channels * ratio, (7, 1, 1), stride=(SLOW_STRIDE, 1, 1), padding=(3, 0, 0), bias=False
        )
        self.norm = nn.BatchNorm3d(channels * ratio)

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        """(B, C, T, H, W) and (B, channels, 4T, H, W) → (B, C + ratio · channels, T, H, W)."""
        return torch.cat([slow, torch.relu(self.norm(self.conv_fast_to_slow(fast)))], dim=1)


class _Pathways(nn.Module):
    """One stage of both pathways with its lateral connection; the last stage has none."""

    def __init__(self, slow: nn.Module, fast: nn.Module, fuse: _Fuse | None) -> None:
        super().__init__()
        self.multipathway_blocks = nn.ModuleList([slow, fast])
        self.multipathway_fusion = fuse

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of both pathways behind this stage."""
        slow, fast = self.multipathway_blocks[0](slow), self.multipathway_blocks[1](fast)
        return (slow if self.multipathway_fusion is None else self.multipathway_fusion(slow, fast)), fast


class SlowFast(nn.Sequential):
    """Stem and four stages of both pathways, without pooling and head.

    Args:
        width: Channels of the slow stem; 64 in R50.
        depths: Blocks of each stage; (3, 4, 6, 3) in R50.
        reduction: Slow channels per fast channel.
        fusion: Channels of a lateral connection per fast channel.
    """

    def __init__(
        self, width: int = 64, depths: Sequence[int] = (3, 4, 6, 3), reduction: int = 8, fusion: int = 2
    ) -> None:
        thin = width // reduction
        parts = [_Pathways(_Stem(width, 1), _Stem(thin, 5), _Fuse(thin, fusion))]
        for i, depth in enumerate(depths):
            inside, outside = width * (1 if i == 0 else 2 ** (i + 1)), width * 2 ** (i + 2)
            lateral = inside // reduction * fusion
            stride = _SPATIAL_STRIDES[i]
            slow = _Stage(inside + lateral, outside, depth, _SLOW_TEMPORAL[i], stride)
            fast = _Stage(inside // reduction, outside // reduction, depth, _FAST_TEMPORAL[i], stride)
            last = i == len(depths) - 1
            parts.append(_Pathways(slow, fast, None if last else _Fuse(outside // reduction, fusion)))
        super().__init__(*parts)
        self.features = width * 2 ** (len(depths) + 1) // reduction

    def both(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        """Run both pathways.

        Args:
            slow: (B, 3, T/4, H, W).
            fast: (B, 3, T, H, W).

        Returns:
            Slow (B, 32·width, T/4, H/32, W/32) and fast features (B, 4·width, T, H/32, W/32) for R50.
        """
        for stage in self:
            slow, fast = stage(slow, fast)
        return slow, fast

    def fast(self, frames: Tensor) -> Tensor:
        """Run the fast pathway alone: the same fast features. (B, 3, T, H, W) → (B, 4·width, T, H/32, W/32)."""
        for stage in self:
            frames = cast(_Pathways, stage).multipathway_blocks[1](frames)
        return frames
