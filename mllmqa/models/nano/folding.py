"""Nano's towers as they answer: what a batch norm does at inference becomes part of the convolution beside it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mllmqa.models.nano.vision import DctStem, Residual


def fold(model: nn.Module) -> None:
    """Fold the batch norms of all of nano's towers in a model, in place; other models are left as they are.

    The maps are the same up to rounding, and a pass over every map is saved per norm. A model that has been folded
    answers; it is neither trained nor saved.

    Args:
        model: In eval mode.
    """
    for module in list(model.modules()):
        if isinstance(module, DctStem):
            module.mix = fuse_conv_bn_eval(_after(module.norm, module.mix), module.mix_norm)
            module.norm = module.mix_norm = nn.Identity()
        elif isinstance(module, Residual):
            module.conv1 = fuse_conv_bn_eval(module.conv1, module.norm1)
            module.conv2 = fuse_conv_bn_eval(module.conv2, module.norm2)
            module.norm1 = module.norm2 = nn.Identity()


@torch.no_grad()
def _after(norm: nn.BatchNorm2d, conv: nn.Conv2d) -> nn.Conv2d:
    """Return the 1×1 convolution that does what the norm and then the convolution do."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, 1)
    folded.weight.copy_(conv.weight * scale[:, None, None])
    folded.bias.copy_(conv.weight.flatten(1) @ shift)
    return folded.to(conv.weight).eval()
