"""Nano's towers as they answer: what a batch norm does at inference is part of the convolution beside it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mllmqa.models.nano.blocks import Mixing, Residual
from mllmqa.models.nano.vision import NanoVisionModel


def fold(model: nn.Module) -> None:
    """Let all of nano's towers in a model answer by convolutions that have their batch norms folded in.

    The maps are the same up to rounding, and a pass over every map is saved per norm. The folded convolutions are
    copies in the dtype of the products; the modules themselves stay as they are, so the model can be saved, and in
    train mode or where a gradient is wanted they are asked.

    Args:
        model: In eval mode, its weights as they will stay, where they will stay; adapters are merged. Without
            towers of nano it is left as it is.
    """
    for tower in model.modules():
        if isinstance(tower, NanoVisionModel):
            for module in tower.modules():
                if isinstance(module, Mixing | Residual) and _is_plain(module):
                    module.folded = tuple(conv.to(tower.computes_in) for conv in _folded(module))


def _is_plain(module: Mixing | Residual) -> bool:
    """Tell whether its convolutions are what nano makes, not wrapped by an adapter that was not merged."""
    parts = (module.mix,) if isinstance(module, Mixing) else (module.conv1, module.conv2)
    return all(type(part) is nn.Conv2d for part in parts)


def _folded(module: Mixing | Residual) -> tuple[nn.Module, ...]:
    if isinstance(module, Mixing):
        return (fuse_conv_bn_eval(_after(module.norm, module.mix), module.mix_norm),)
    return (fuse_conv_bn_eval(module.conv1, module.norm1), fuse_conv_bn_eval(module.conv2, module.norm2))


@torch.no_grad()
def _after(norm: nn.BatchNorm2d, conv: nn.Conv2d) -> nn.Conv2d:
    """Return the 1×1 convolution that does what the norm and then the convolution do."""
    mean, var = norm.running_mean, norm.running_var
    if mean is None or var is None:
        raise TypeError("a batch norm that keeps no statistics cannot be folded")
    scale = norm.weight * (var + norm.eps).rsqrt()
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, 1).to(conv.weight)
    parts = {
        "weight": conv.weight * scale[:, None, None],
        "bias": conv.weight.flatten(1) @ (norm.bias - mean * scale),
    }
    folded.load_state_dict(parts)
    return folded.eval().requires_grad_(False)
