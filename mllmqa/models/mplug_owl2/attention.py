"""Attention through transformers' interface: eager, SDPA, flash attention, whatever the model was loaded with."""

from __future__ import annotations

from torch import Tensor, nn

from mllmqa.models.mplug_owl2.configuration import MplugOwl2Config

from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS  # isort: skip  # after our configuration
from transformers.models.llama.modeling_llama import eager_attention_forward  # isort: skip


class FullAttention(nn.Module):
    """Base of the attentions in which every query sees every key (vision tower, abstractor)."""

    num_key_value_groups = 1  # what transformers' attention functions ask of a module
    is_causal = False

    def __init__(self, config: MplugOwl2Config, heads: int) -> None:
        super().__init__()
        self.config = config
        self.heads = heads

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Query (B, heads, Tq, D), key and value (B, heads, Tk, D) → (B, Tq, heads · D)."""
        run = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        scaling = query.shape[-1] ** -0.5
        out, _ = run(self, query, key, value, None, dropout=0.0, scaling=scaling, is_causal=False)
        return out.reshape(*out.shape[:2], -1)  # type: ignore[no-any-return]
