"""mPLUG-Owl2's vision tower: CLIP ViT with one matrix for queries, keys and values, interleaved by head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mllmqa.errors import InferenceError
from mllmqa.models.mplug_owl2.attention import FullAttention
from mllmqa.models.mplug_owl2.configuration import MplugOwl2Config, VisionShape

from transformers.modeling_layers import GradientCheckpointingLayer  # isort: skip  # after our configuration


def quick_gelu(x: Tensor) -> Tensor:
    """x·σ(1.702 x), CLIP's approximation of GELU; ``hidden_act`` of the files is not read by the original.

    Without gradients, ``x`` is overwritten: these are the largest activations of the tower.
    """
    if torch.is_grad_enabled():
        return x * torch.sigmoid(1.702 * x)
    return x.mul_((1.702 * x).sigmoid_())


class VisionEmbeddings(nn.Module):
    """Pixels (B, 3, S, S) → class token and patches with learned positions, (B, tokens, width)."""

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.hidden_size))
        self.patch_embed = nn.Conv2d(3, shape.hidden_size, shape.patch_size, shape.patch_size, bias=False)
        self.position_embedding = nn.Parameter(torch.zeros(1, shape.tokens, shape.hidden_size))
        self.pre_layernorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed pictures."""
        patches = self.patch_embed(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return self.pre_layernorm(tokens + self.position_embedding)  # type: ignore[no-any-return]


class VisionAttention(FullAttention):
    """Self-attention; the joint projection's output is (heads, 3, head size), not (3, heads, head size)."""

    def __init__(self, config: MplugOwl2Config, shape: VisionShape) -> None:
        super().__init__(config, shape.num_attention_heads)
        self.query_key_value = nn.Linear(shape.hidden_size, 3 * shape.hidden_size)
        self.dense = nn.Linear(shape.hidden_size, shape.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) → (B, T, C)."""
        joint = self.query_key_value(x).view(*x.shape[:2], self.heads, 3, -1)
        query, key, value = (part.transpose(1, 2) for part in joint.unbind(dim=3))
        return self.dense(self.attend(query, key, value))  # type: ignore[no-any-return]


class VisionMLP(nn.Module):
    """Two layers with the quick GELU between."""

    def __init__(self, shape: VisionShape) -> None:
        super().__init__()
        self.fc1 = nn.Linear(shape.hidden_size, shape.intermediate_size)
        self.fc2 = nn.Linear(shape.intermediate_size, shape.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) → (…, C)."""
        return self.fc2(quick_gelu(self.fc1(x)))  # type: ignore[no-any-return]


class VisionLayer(GradientCheckpointingLayer):  # type: ignore[misc]  # transformers is not typed here
    """Pre-norm transformer layer."""

    def __init__(self, config: MplugOwl2Config, shape: VisionShape) -> None:
        super().__init__()
        self.self_attn = VisionAttention(config, shape)
        self.input_layernorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.mlp = VisionMLP(shape)
        self.post_attention_layernorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) → (B, T, C)."""
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))  # type: ignore[no-any-return]


class VisionEncoder(nn.Module):
    """The layers."""

    def __init__(self, config: MplugOwl2Config, shape: VisionShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(VisionLayer(config, shape) for _ in range(shape.num_hidden_layers))


class VisionModel(nn.Module):
    """Pixels (B, 3, S, S), normalised → (B, 1 + patches, width): all tokens after the last norm.

    Only the trained size S works: positions are not interpolated.

    Raises:
        InferenceError: The pictures have another size.
    """

    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        shape = config.vision
        self.side = shape.image_size
        self.embeddings = VisionEmbeddings(shape)
        self.encoder = VisionEncoder(config, shape)
        self.post_layernorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        if pixels.shape[-2:] != (self.side, self.side):
            raise InferenceError(
                f"pictures of {pixels.shape[-1]}x{pixels.shape[-2]}", expected=f"{self.side}x{self.side}"
            )
        x = self.embeddings(pixels)
        for layer in self.encoder.layers:
            x = layer(x)
        return self.post_layernorm(x)  # type: ignore[no-any-return]
