"""Original mPLUG-Owl2 checkpoints of any size: configuration, keys, shapes, random weights, whole folders."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "mplug_owl2"
Weights = dict[str, Tensor]
Config = dict[str, Any]


def config(**changes: Any) -> Config:
    """Return a tiny configuration in the layout of the published files; ``visual__x``/``reader__x`` go inside."""
    visual = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    reader = {**visual, "encoder_hidden_size": 32, "num_learnable_queries": 5, "layer_norm_eps": 1e-6}
    visual |= {
        "image_size": 42,
        "patch_size": 14,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu",
        "projection_dim": 9,
    }
    reader |= {"grid_size": 3, "attention_probs_dropout_prob": 0.0}
    top = {
        **{"model_type": "mplug_owl2", "architectures": ["MPLUGOwl2LlamaForCausalLM"], "hidden_act": "silu"},
        **{"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"num_key_value_heads": 4, "vocab_size": 600, "rms_norm_eps": 1e-5, "max_position_embeddings": 512},
        **{"rope_theta": 10000.0, "rope_scaling": None, "attention_bias": False, "attention_dropout": 0.0},
        **{
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
            "tie_word_embeddings": False,
            "use_cache": True,
        },
    }
    for name, value in changes.items():
        part, _, field = name.rpartition("__")
        {"": top, "visual": visual, "reader": reader}[part][field] = value
    return {**top, "visual_config": {"visual_model": visual, "visual_abstractor": reader}}


def shapes(c: Config, *, codes: bool = True) -> dict[str, tuple[int, ...]]:
    """Return every key of an original checkpoint with its shape; ``codes``: the position buffers, too."""
    v, a = c["visual_config"]["visual_model"], c["visual_config"]["visual_abstractor"]
    width, wide, eye = c["hidden_size"], c["intermediate_size"], v["hidden_size"]
    narrow = c["num_key_value_heads"] * (width // c["num_attention_heads"])
    found: dict[str, tuple[int, ...]] = {}

    def linear(name: str, out: int, inp: int, bias: bool = True) -> None:
        found[f"{name}.weight"] = (out, inp)
        if bias:
            found[f"{name}.bias"] = (out,)

    def norm(name: str, size: int) -> None:
        found[f"{name}.weight"] = found[f"{name}.bias"] = (size,)

    found["model.embed_tokens.weight"] = found["lm_head.weight"] = (c["vocab_size"], width)
    found["model.norm.weight"] = (width,)
    for i in range(c["num_hidden_layers"]):
        layer, bias = f"model.layers.{i}.", c["attention_bias"]
        linear(f"{layer}self_attn.q_proj", width, width, bias)
        linear(f"{layer}self_attn.o_proj", width, width, bias)
        for way in "01":
            linear(f"{layer}self_attn.k_proj.multiway.{way}", narrow, width, bias)
            linear(f"{layer}self_attn.v_proj.multiway.{way}", narrow, width, bias)
            found[f"{layer}input_layernorm.multiway.{way}.weight"] = (width,)
            found[f"{layer}post_attention_layernorm.multiway.{way}.weight"] = (width,)
        for name, out, inp in (("gate", wide, width), ("up", wide, width), ("down", width, wide)):
            linear(f"{layer}mlp.{name}_proj", out, inp, bias=False)
    tokens = (v["image_size"] // v["patch_size"]) ** 2 + 1
    tower = "model.vision_model."
    found[f"{tower}embeddings.cls_token"] = (1, 1, eye)
    found[f"{tower}embeddings.position_embedding"] = (1, tokens, eye)
    found[f"{tower}embeddings.patch_embed.weight"] = (eye, 3, v["patch_size"], v["patch_size"])
    norm(f"{tower}embeddings.pre_layernorm", eye)
    norm(f"{tower}post_layernorm", eye)
    for i in range(v["num_hidden_layers"]):
        layer = f"{tower}encoder.layers.{i}."
        linear(f"{layer}self_attn.query_key_value", 3 * eye, eye)
        linear(f"{layer}self_attn.dense", eye, eye)
        linear(f"{layer}mlp.fc1", v["intermediate_size"], eye)
        linear(f"{layer}mlp.fc2", eye, v["intermediate_size"])
        norm(f"{layer}input_layernorm", eye)
        norm(f"{layer}post_attention_layernorm", eye)
    reader, queries, inner = "model.visual_abstractor.", a["num_learnable_queries"], a["intermediate_size"]
    found[f"{reader}query_embeds"], found[f"{reader}vit_eos"] = (1, queries, eye), (1, 1, width)
    linear(f"{reader}visual_fc", width, eye)
    for i in range(a["num_hidden_layers"]):
        layer = f"{reader}encoder.layers.{i}.crossattention."
        if codes:
            found[f"{layer}attention.q_pos_embed"] = (queries, eye)
            found[f"{layer}attention.k_pos_embed"] = (tokens, eye)
        for name in ("attention.query", "attention.key", "attention.value", "output.out_proj"):
            linear(f"{layer}{name}", eye, eye)
        for name, out, inp in (("w1", inner, eye), ("w3", inner, eye), ("w2", eye, inner)):
            linear(f"{layer}output.mlp.{name}", out, inp)
        norm(f"{layer}output.mlp.ffn_ln", inner)
        for name in ("output.norm2", "norm1", "normk"):
            norm(f"{layer}{name}", eye)
    return found


def weights(c: Config, seed: int = 0) -> Weights:
    """Return random float32 weights of which every tensor matters, and the position codes."""
    draw = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in shapes(c).items():
        noise = torch.randn(shape, generator=draw)
        if name.endswith("pos_embed"):
            made[name] = code_1d(range(shape[0]), shape[1]) if ".q_" in name else code_2d(shape[0] - 1, shape[1])
        elif name.endswith("bias"):
            made[name] = 0.1 * noise
        elif "norm" in name or "ffn_ln" in name:
            made[name] = 1 + 0.2 * noise
        else:
            made[name] = noise * 1.3 / math.sqrt(math.prod(shape[1:]))
        made[name] = made[name].float()
    return made


def code_1d(positions: Sequence[int], width: int) -> Tensor:
    """[sin | cos] of positions times 10000^(-2i/width)."""
    angles = [[p / 10000 ** (2 * i / width) for i in range(width // 2)] for p in positions]
    return torch.tensor([[*map(math.sin, row), *map(math.cos, row)] for row in angles], dtype=torch.float64)


def code_2d(cells: int, width: int) -> Tensor:
    """A zero row for the class token, then [column code | row code] of each cell of a square grid."""
    side = math.isqrt(cells)
    column = code_1d([cell % side for cell in range(cells)], width // 2)
    row = code_1d([cell // side for cell in range(cells)], width // 2)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), torch.cat([column, row], dim=1)])


def write(folder: Path, c: Config, w: Weights | None = None) -> Path:
    """Write a checkpoint as the original saves it, with the tiny tokenizer, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(c))
    save_file(w or weights(c), folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(FIXTURES / "img_mha_q8" / "tokenizer.model", folder)
    pictures = json.loads((FIXTURES / "img_mha_q8" / "preprocessor_config.json").read_text())
    pictures["size"] = pictures["crop_size"] = c["visual_config"]["visual_model"]["image_size"]
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    return folder
