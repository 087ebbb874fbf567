"""mPLUG-Owl2's visual abstractor: learned queries read the vision tokens; 64 and an end token per picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mllmqa.models.mplug_owl2.attention import FullAttention
from mllmqa.models.mplug_owl2.configuration import AbstractorShape, MplugOwl2Config

from transformers.modeling_layers import GradientCheckpointingLayer  # isort: skip  # after our configuration


def sincos_1d(positions: Tensor, width: int) -> Tensor:
    """Fixed codes (Vaswani et al., NIPS 2017), float32 (N, width): sines, then cosines, of N positions."""
    frequencies = 10000.0 ** -(torch.arange(width // 2, dtype=torch.float64) * 2 / width)
    angles = positions.double()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def sincos_2d(side: int, width: int) -> Tensor:
    """Codes of a side × side grid behind a zero row for the class token, float32 (1 + side², width).

    The first half of the channels encodes the column, the second half the row.
    """
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    grid = torch.cat([sincos_1d(p.flatten(), width // 2) for p in (columns, rows)], dim=1)
    return torch.cat([torch.zeros(1, width), grid])


class AbstractorAttention(FullAttention):
    """Queries read themselves and the vision tokens; position codes go to queries and keys, not to values."""

    q_pos_embed: Tensor
    k_pos_embed: Tensor

    def __init__(self, config: MplugOwl2Config, shape: AbstractorShape) -> None:
        super().__init__(config, shape.num_attention_heads)
        self.shape = shape
        self.query = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.key = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.value = nn.Linear(shape.hidden_size, shape.hidden_size)
        # Stored in the checkpoints: in half precision they are not what is computed here.
        dtype = torch.get_default_dtype()  # that of the model while transformers builds it
        self.register_buffer("q_pos_embed", self.query_codes().to(dtype))
        self.register_buffer("k_pos_embed", self.key_codes().to(dtype))

    def query_codes(self) -> Tensor:
        """What ``q_pos_embed`` holds where a checkpoint does not have it."""
        return sincos_1d(torch.arange(self.shape.num_learnable_queries), self.shape.hidden_size)

    def key_codes(self) -> Tensor:
        """What ``k_pos_embed`` holds where a checkpoint does not have it."""
        return sincos_2d(self.shape.grid, self.shape.hidden_size)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Queries (B, Q, C) and vision tokens (B, T, C) → (B, Q, C)."""
        seen = torch.cat([queries, tokens], dim=1)
        codes = torch.cat([self.q_pos_embed, self.k_pos_embed]).to(seen.dtype)
        parts = self.query(queries + self.q_pos_embed.to(seen.dtype)), self.key(seen + codes), self.value(seen)
        split = (part.view(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in parts)
        return self.attend(*split)


class AbstractorMLP(nn.Module):
    """SwiGLU with a norm before the last matrix."""

    def __init__(self, shape: AbstractorShape) -> None:
        super().__init__()
        self.w1 = nn.Linear(shape.hidden_size, shape.intermediate_size)
        self.w2 = nn.Linear(shape.intermediate_size, shape.hidden_size)
        self.w3 = nn.Linear(shape.hidden_size, shape.intermediate_size)
        self.ffn_ln = nn.LayerNorm(shape.intermediate_size, eps=shape.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) → (…, C)."""
        return self.w2(self.ffn_ln(F.silu(self.w1(x)) * self.w3(x)))  # type: ignore[no-any-return]


class AbstractorOutput(nn.Module):
    """What follows the attention: its projection, and the feed-forward part."""

    def __init__(self, shape: AbstractorShape) -> None:
        super().__init__()
        self.out_proj = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.norm2 = nn.LayerNorm(shape.hidden_size)
        self.mlp = AbstractorMLP(shape)

    def forward(self, queries: Tensor, attended: Tensor) -> Tensor:
        """Add both to the queries, (B, Q, C)."""
        queries = queries + self.out_proj(attended)
        return queries + self.mlp(self.norm2(queries))  # type: ignore[no-any-return]


class CrossAttention(nn.Module):
    """One layer's content; the residual stream goes on with the *normed* queries, as in the original.

    ``norm1``, ``normk`` and ``norm2`` have torch's epsilon 1e-5; only ``ffn_ln`` has the configured one.
    """

    def __init__(self, config: MplugOwl2Config, shape: AbstractorShape) -> None:
        super().__init__()
        self.attention = AbstractorAttention(config, shape)
        self.output = AbstractorOutput(shape)
        self.norm1 = nn.LayerNorm(shape.hidden_size)
        self.normk = nn.LayerNorm(shape.hidden_size)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Queries (B, Q, C) and vision tokens (B, T, C) → (B, Q, C)."""
        queries = self.norm1(queries)
        return self.output(queries, self.attention(queries, self.normk(tokens)))  # type: ignore[no-any-return]


class AbstractorLayer(GradientCheckpointingLayer):  # type: ignore[misc]  # transformers is not typed here
    """One layer."""

    def __init__(self, config: MplugOwl2Config, shape: AbstractorShape) -> None:
        super().__init__()
        self.crossattention = CrossAttention(config, shape)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Queries (B, Q, C) and vision tokens (B, T, C) → (B, Q, C)."""
        return self.crossattention(queries, tokens)  # type: ignore[no-any-return]


class AbstractorEncoder(nn.Module):
    """The layers."""

    def __init__(self, config: MplugOwl2Config, shape: AbstractorShape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(AbstractorLayer(config, shape) for _ in range(shape.num_hidden_layers))


class VisualAbstractor(nn.Module):
    """Vision tokens (B, T, C) → picture tokens (B, Q + 1, language width), the learned end token last."""

    def __init__(self, config: MplugOwl2Config) -> None:
        super().__init__()
        shape = config.abstractor
        self.query_embeds = nn.Parameter(torch.zeros(1, shape.num_learnable_queries, shape.hidden_size))
        self.encoder = AbstractorEncoder(config, shape)
        self.visual_fc = nn.Linear(shape.hidden_size, config.hidden_size)
        self.vit_eos = nn.Parameter(torch.zeros(1, 1, config.hidden_size))

    def forward(self, tokens: Tensor) -> Tensor:
        """See the class."""
        queries = self.query_embeds.expand(len(tokens), -1, -1)
        for layer in self.encoder.layers:
            queries = layer(queries, tokens)
        return torch.cat([self.visual_fc(queries), self.vit_eos.expand(len(tokens), -1, -1)], dim=1)
