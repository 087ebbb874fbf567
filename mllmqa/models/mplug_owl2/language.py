"""mPLUG-Owl2's language model: LLaMA whose norms, keys and values have one set of weights per modality.

The parts are transformers' own LLaMA parts. Nothing of transformers is replaced or patched, so other LLaMA
models in the process are not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from mllmqa.models.mplug_owl2.configuration import MplugOwl2Config

from transformers.cache_utils import Cache  # isort: skip  # after our configuration
from transformers.modeling_layers import GradientCheckpointingLayer  # isort: skip
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS  # isort: skip
from transformers.models.llama.modeling_llama import (  # isort: skip
    LlamaAttention,
    LlamaMLP,
    LlamaRMSNorm,
    apply_rotary_pos_emb,
    eager_attention_forward,
)

Routes = tuple[Tensor, Tensor] | None
"""Indices of the text and of the picture positions in the flattened (B·T) sequence; None: all are text."""


def routes(is_image: Tensor | None, training: bool) -> Routes:
    """Find which positions go which way; computed once per forward pass.

    Args:
        is_image: Bool (B, T): picture tokens; padding counts as text. None: there are none.
        training: Both ways are then taken even if one is empty, so that the same parameters take part on
            every process.
    """
    if is_image is None or not (training or bool(is_image.any())):
        return None
    flat = is_image.flatten()
    return (~flat).nonzero()[:, 0], flat.nonzero()[:, 0]


class Multiway(nn.Module):
    """A module per modality: ``multiway.0`` for text and padding, ``multiway.1`` for pictures."""

    def __init__(self, build: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.multiway = nn.ModuleList([build(), build()])

    def forward(self, x: Tensor, ways: Routes) -> Tensor:
        """(B, T, C) → (B, T, C'); every position through the module of its modality only."""
        if ways is None:
            alone: Tensor = self.multiway[0](x)
            return alone
        flat = x.flatten(0, 1)
        parts: list[Tensor] = [module(flat[index]) for module, index in zip(self.multiway, ways, strict=True)]
        out = parts[0].new_empty(len(flat), parts[0].shape[-1])
        for part, index in zip(parts, ways, strict=True):
            out = out.index_copy(0, index, part)
        return out.view(*x.shape[:2], -1)


class MplugOwl2Attention(LlamaAttention):  # type: ignore[misc]  # transformers is not typed here
    """LLaMA's attention with keys and values by modality. Grouped queries work as in LLaMA."""

    def __init__(self, config: MplugOwl2Config, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        width = config.num_key_value_heads * self.head_dim
        self.k_proj = Multiway(lambda: nn.Linear(config.hidden_size, width, bias=config.attention_bias))
        self.v_proj = Multiway(lambda: nn.Linear(config.hidden_size, width, bias=config.attention_bias))

    def forward(
        self,
        hidden_states: Tensor,
        ways: Routes,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None,
        cache: Cache | None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T, C) → (B, T, C) and the attention weights, where the implementation gives them."""
        shape = (*hidden_states.shape[:2], -1, self.head_dim)
        query = self.q_proj(hidden_states).view(shape).transpose(1, 2)
        key = self.k_proj(hidden_states, ways).view(shape).transpose(1, 2)
        value = self.v_proj(hidden_states, ways).view(shape).transpose(1, 2)
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        if cache is not None:
            key, value = cache.update(key, value, self.layer_idx, kwargs=kwargs)
        run = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        dropout = self.attention_dropout if self.training else 0.0
        out, weights = run(self, query, key, value, attention_mask, dropout=dropout, scaling=self.scaling, **kwargs)
        return self.o_proj(out.reshape(*shape[:2], -1).contiguous()), weights


class MplugOwl2DecoderLayer(GradientCheckpointingLayer):  # type: ignore[misc]  # transformers is not typed here
    """Pre-norm layer of the language model."""

    def __init__(self, config: MplugOwl2Config, layer_idx: int) -> None:
        super().__init__()

        def norm() -> nn.Module:
            return LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)  # type: ignore[no-any-return]

        self.self_attn = MplugOwl2Attention(config, layer_idx)
        self.mlp = LlamaMLP(config)
        self.input_layernorm = Multiway(norm)
        self.post_attention_layernorm = Multiway(norm)

    def forward(self, hidden_states: Tensor, ways: Routes, **kwargs: Any) -> Tensor:
        """(B, T, C) → (B, T, C)."""
        attended, _ = self.self_attn(self.input_layernorm(hidden_states, ways), ways, **kwargs)
        hidden_states = hidden_states + attended
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states, ways))  # type: ignore[no-any-return]
