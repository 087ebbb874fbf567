"""mPLUG-Owl2 written a second time, from the published description only: the oracle of these tests.

Plain torch in float64, one sequence at a time, no padding, no cache, nothing of mllmqa or transformers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.models.mplug_owl2.original import Config, Weights

IMAGE = -200


class Reference:
    """Weights in the original layout, and what the network makes of a prompt."""

    def __init__(self, c: Config, w: Weights) -> None:
        self.c, self.w = c, {name: tensor.double() for name, tensor in w.items()}

    def linear(self, name: str, x: Tensor) -> Tensor:
        y = x @ self.w[f"{name}.weight"].flatten(1).T
        return y + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else y

    def layer_norm(self, name: str, x: Tensor, eps: float) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + eps).sqrt()
        return x * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def rms_norm(self, name: str, x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + self.c["rms_norm_eps"]).sqrt() * self.w[f"{name}.weight"]

    def vision(self, picture: Tensor) -> Tensor:
        """(3, S, S) → (tokens, width)."""
        v, tower = self.c["visual_config"]["visual_model"], "model.vision_model."
        side, patch, heads, eps = v["image_size"] // v["patch_size"], v["patch_size"], v["num_attention_heads"], 0.0
        eps = v["layer_norm_eps"]
        cells = picture.double().reshape(3, side, patch, side, patch).permute(1, 3, 0, 2, 4).reshape(side**2, -1)
        x = torch.cat(
            [self.w[f"{tower}embeddings.cls_token"][0], self.linear(f"{tower}embeddings.patch_embed", cells)]
        )
        x = self.layer_norm(
            f"{tower}embeddings.pre_layernorm", x + self.w[f"{tower}embeddings.position_embedding"][0], eps
        )
        for i in range(v["num_hidden_layers"]):
            layer = f"{tower}encoder.layers.{i}."
            joint = self.linear(
                f"{layer}self_attn.query_key_value", self.layer_norm(f"{layer}input_layernorm", x, eps)
            )
            q, k, z = joint.reshape(len(x), heads, 3, -1).permute(2, 1, 0, 3)
            x = x + self.linear(f"{layer}self_attn.dense", attend(q, k, z))
            y = self.linear(f"{layer}mlp.fc1", self.layer_norm(f"{layer}post_attention_layernorm", x, eps))
            x = x + self.linear(f"{layer}mlp.fc2", y / (1 + torch.exp(-1.702 * y)))
        return self.layer_norm(f"{tower}post_layernorm", x, eps)

    def read(self, seen: Tensor) -> Tensor:
        """Vision tokens → (queries + 1, language width)."""
        a, reader = self.c["visual_config"]["visual_abstractor"], "model.visual_abstractor."
        x = self.w[f"{reader}query_embeds"][0]
        for i in range(a["num_hidden_layers"]):
            layer = f"{reader}encoder.layers.{i}.crossattention."
            x = self.layer_norm(f"{layer}norm1", x, 1e-5)
            both = torch.cat([x, self.layer_norm(f"{layer}normk", seen, 1e-5)])
            query_code = self.w[f"{layer}attention.q_pos_embed"]
            codes = torch.cat([query_code, self.w[f"{layer}attention.k_pos_embed"]])
            parts = {"query": x + query_code, "key": both + codes, "value": both}
            q, k, z = (
                self.linear(f"{layer}attention.{n}", y).unflatten(1, (a["num_attention_heads"], -1)).transpose(0, 1)
                for n, y in parts.items()
            )
            x = x + self.linear(f"{layer}output.out_proj", attend(q, k, z))
            h, mlp = self.layer_norm(f"{layer}output.norm2", x, 1e-5), f"{layer}output.mlp."
            gate = self.linear(f"{mlp}w1", h)
            h = gate / (1 + torch.exp(-gate)) * self.linear(f"{mlp}w3", h)
            x = x + self.linear(f"{mlp}w2", self.layer_norm(f"{mlp}ffn_ln", h, a["layer_norm_eps"]))
        return torch.cat([self.linear(f"{reader}visual_fc", x), self.w[f"{reader}vit_eos"][0]])

    def logits(self, ids: Sequence[int], entries: Sequence[Tensor] = ()) -> Tensor:
        """Prompt with one -200 per entry, entries (frames, 3, S, S) → logits (expanded length, vocabulary)."""
        waiting, parts, image = iter(entries), [], []
        for token in ids:
            part = self.w["model.embed_tokens.weight"][token : token + 1] if token != IMAGE else torch.cat(
                [self.read(self.vision(frame)) for frame in next(waiting)]
            )  # fmt: skip
            parts.append(part)
            image += [token == IMAGE] * len(part)
        x, way = torch.cat(parts), torch.tensor(image)[:, None]
        for i in range(self.c["num_hidden_layers"]):
            layer = f"model.layers.{i}."
            h = self.switch(self.rms_norm, f"{layer}input_layernorm", x, way)
            x = x + self.linear(f"{layer}self_attn.o_proj", self.causal(layer, h, way))
            h = self.switch(self.rms_norm, f"{layer}post_attention_layernorm", x, way)
            gate = self.linear(f"{layer}mlp.gate_proj", h)
            h = gate / (1 + torch.exp(-gate)) * self.linear(f"{layer}mlp.up_proj", h)
            x = x + self.linear(f"{layer}mlp.down_proj", h)
        return self.linear("lm_head", self.rms_norm("model.norm", x))

    def switch(self, run: Any, name: str, x: Tensor, way: Tensor) -> Tensor:
        """Both ways for all positions, then the right one of each."""
        return torch.where(way, run(f"{name}.multiway.1", x), run(f"{name}.multiway.0", x))

    def causal(self, layer: str, h: Tensor, way: Tensor) -> Tensor:
        size = self.c["hidden_size"] // self.c["num_attention_heads"]
        scaling = self.c["rope_scaling"] or {"factor": 1.0}
        place = torch.arange(len(h), dtype=torch.float64)[:, None] / scaling["factor"]
        angle = place / self.c["rope_theta"] ** (torch.arange(0, size, 2, dtype=torch.float64) / size)
        q = self.linear(f"{layer}self_attn.q_proj", h)
        k, z = (self.switch(self.linear, f"{layer}self_attn.{n}_proj", h, way) for n in "kv")
        q, k, z = (part.unflatten(1, (-1, size)).transpose(0, 1) for part in (q, k, z))
        repeats = len(q) // len(k)
        k, z = k.repeat_interleave(repeats, 0), z.repeat_interleave(repeats, 0)
        mask = torch.full((len(h), len(h)), -math.inf, dtype=torch.float64).triu(1)
        return attend(turn(q, angle), turn(k, angle), z, mask)


def turn(x: Tensor, angle: Tensor) -> Tensor:
    """Rotate channel i with channel i + half."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat(
        [first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], dim=-1
    )


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | float = 0.0) -> Tensor:
    """(heads, T, D) → (T, heads · D)."""
    share = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + mask).softmax(-1)
    return (share @ v).transpose(0, 1).flatten(1)
