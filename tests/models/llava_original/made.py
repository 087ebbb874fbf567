"""Tiny random checkpoints in the original LLaVA layout, written from transformers models.

The key names and the configuration are written here a second time, so that a mistake in the package shows.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mllmqa.models.torchvision_shim import ensure_torchvision

KINDS = ("llava", "llava_next", "llava_onevision")
TEXTS = (
    "A chat between a curious user and an artificial intelligence assistant. How would you rate the quality?",
    "The quality of the image is excellent, good, fair, poor or bad. USER: ASSISTANT: [INST] [/INST]",
)
ROWS = 300  # of the sentencepiece vocabulary, and rows of the stored embedding
TOWER = {"hidden_size": 24, "intermediate_size": 48, "num_attention_heads": 2, "image_size": 24, "patch_size": 8}


@dataclass(frozen=True)
class Made:
    """A source model and the folder that holds it in the original layout."""

    folder: Path
    source: Any
    image_id: int
    video_id: int | None
    rows: int  # that the original has


def sentencepiece(file: Path, words: Sequence[str] = ()) -> Path:
    """Train a byte-pair vocabulary of 300 pieces like LLaMA's: identity normalisation, byte fallback.

    Args:
        file: Written.
        words: Pieces that it shall have, each after a space.
    """
    import sentencepiece as sp

    model = io.BytesIO()
    sp.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS * 20, *(f"is {word}" for word in words for _ in range(200))]),
        model_writer=model,
        vocab_size=rows_for(words),
        **{"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity"},
        **{"remove_extra_whitespaces": False, "character_coverage": 1.0, "split_digits": True},
        **{"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1, "hard_vocab_limit": False, "minloglevel": 2},
    )
    file.write_bytes(model.getvalue())
    return file


def rows_for(words: Sequence[str]) -> int:
    """Return how many pieces a vocabulary has in which each word is one: room for their beginnings, too."""
    return ROWS + sum(map(len, words))


def bytes_tokenizer(folder: Path, words: Sequence[str] = ()) -> int:
    """Save a byte-level tokenizer with Qwen's special tokens and ``words``; returns how many tokens it has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(vocabulary)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    core.add_special_tokens(special)
    core.add_tokens([f" {word}" for word in words])
    PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
    ).save_pretrained(folder)
    return len(vocabulary) + len(special) + len(words)


def make(
    kind: str,
    folder: Path,
    *,
    tower: Literal["inside", "outside"] = "inside",
    words: Sequence[str] = (),
    width: int = 32,
    **changes: Any,
) -> Made:
    """Write a tiny original checkpoint of ``kind`` under ``folder`` and return it with its source.

    Args:
        kind: One of :data:`KINDS`.
        folder: Created.
        tower: Whether the vision tower lies in the checkpoint or only in ``folder/../tower``.
        words: Single tokens of its tokenizer after a space.
        width: Of the language model.
        changes: Fields of the original config.json; None deletes.
    """
    ensure_torchvision()
    folder.mkdir(parents=True)
    if kind == "llava_onevision":
        image_id, rows = bytes_tokenizer(folder, words), 320
    else:
        sentencepiece(folder / "tokenizer.model", words)
        image_id = rows = rows_for(words)
    source = _source(kind, image_id, rows, width)
    sizes = {"hidden_size": width, "intermediate_size": 2 * width}
    original = {**_original_config(kind, rows), **sizes, "mm_vision_tower": str(folder.parent / "tower"), **changes}
    original = {name: value for name, value in original.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(original))
    tensors = original_tensors(source, rows)
    tower_only = {k: v for k, v in tensors.items() if "vision_tower" in k}
    _write_tower(kind, folder.parent / "tower", tower_only)
    if tower == "outside":
        tensors = {k: v for k, v in tensors.items() if k not in tower_only}
    write(folder, tensors)
    return Made(folder, source, image_id, image_id + 1 if kind == "llava_onevision" else None, rows)


def _source(kind: str, image_id: int, rows: int, width: int) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    qwen = kind == "llava_onevision"
    text = {
        **{"model_type": "qwen2" if qwen else "llama", "vocab_size": max(rows, -(-(image_id + 1) // 64) * 64)},
        **{"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096},
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0},
    }
    model_type = "siglip_vision_model" if qwen else "clip_vision_model"
    fields: dict[str, Any] = {
        "text_config": text,
        "vision_config": {"model_type": model_type, "num_hidden_layers": 2 if qwen else 3, **TOWER},
        "image_token_index": image_id,
    }
    if qwen:
        fields["vision_config"]["vision_use_head"] = False
        fields["video_token_index"] = image_id + 1
        fields["image_grid_pinpoints"] = [[24, 24], [48, 24], [24, 48], [48, 48]]
    if kind == "llava_next":
        fields["image_grid_pinpoints"] = [[24, 72], [48, 24], [48, 48]]
    config = AutoConfig.for_model(kind, **fields, tie_word_embeddings=False)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(7)
        model = AutoModelForImageTextToText.from_config(config)
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * (0.2 if parameter.dim() > 1 else 0.5))
    return model.eval()


def _original_config(kind: str, rows: int) -> dict[str, Any]:
    """Return what LLaVA's training writes, for the tiny sizes."""
    common = {
        **{"vocab_size": rows, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096},
        **{"rms_norm_eps": 1e-5, "rope_theta": 50000.0, "rope_scaling": None, "hidden_act": "silu"},
        **{"tie_word_embeddings": False, "use_cache": True, "torch_dtype": "float16"},
        **{"mm_projector_type": "mlp2x_gelu", "mm_hidden_size": 24, "mm_vision_select_layer": -2},
        **{"mm_vision_select_feature": "patch", "mm_use_im_start_end": False, "mm_use_im_patch_token": False},
        **{"use_mm_proj": True, "tune_mm_mlp_adapter": False, "freeze_mm_mlp_adapter": False},
    }
    own: dict[str, dict[str, Any]] = {
        "llava": {"model_type": "llava", "image_aspect_ratio": "pad"},
        "llava_next": {
            **{"model_type": "llava_llama", "image_aspect_ratio": "anyres", "mm_patch_merge_type": "spatial_unpad"},
            "image_grid_pinpoints": [[72, 24], [24, 48], [48, 48]],
        },
        "llava_onevision": {
            **{"model_type": "llava_qwen", "image_aspect_ratio": "anyres_max_9"},
            **{"mm_patch_merge_type": "spatial_unpad", "image_grid_pinpoints": "(1x1),...,(2x2)"},
            **{"mm_spatial_pool_mode": "bilinear", "mm_newline_position": "one_token", "add_faster_video": False},
        },
    }
    return common | own[kind]


def original_tensors(model: Any, rows: int) -> dict[str, Any]:
    """Return the parameters of a transformers model under their original names."""
    named = {}
    for key, value in model.state_dict().items():
        if "vision_tower" in key:
            name = key.replace("model.vision_tower.", "model.vision_tower.vision_tower.vision_model.")
        elif "multi_modal_projector" in key:
            name = key.replace("multi_modal_projector.linear_1", "mm_projector.0")
            name = name.replace("multi_modal_projector.linear_2", "mm_projector.2")
        else:
            name = key.replace("model.language_model.", "model.")
        grown = name in ("lm_head.weight", "model.embed_tokens.weight")
        named[name] = value[:rows].clone() if grown else value.clone()
    return named


def write(folder: Path, tensors: dict[str, Any], *, form: str = "safetensors", shards: int = 1) -> None:
    """Write tensors as one or several files, with the index of the hub; older weights there are removed."""
    import torch
    from safetensors.torch import save_file

    for old in [*folder.glob("*.safetensors*"), *folder.glob("*.bin*")]:
        old.unlink()
    stem, suffix = ("model", ".safetensors") if form == "safetensors" else ("pytorch_model", ".bin")
    names = sorted(tensors)
    parts = [names[i::shards] for i in range(shards)]
    weight_map = {}
    for number, part in enumerate(parts, start=1):
        file = folder / (f"{stem}-{number:05}-of-{shards:05}{suffix}" if shards > 1 else stem + suffix)
        some = {name: tensors[name].contiguous() for name in part}
        if form == "safetensors":
            save_file(some, file)
        else:
            torch.save(some, file, _use_new_zipfile_serialization=form != "old bin")
        weight_map |= dict.fromkeys(part, file.name)
    if shards > 1:
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / f"{stem}{suffix}.index.json").write_text(json.dumps(index))


def _write_tower(kind: str, folder: Path, tensors: dict[str, Any]) -> None:
    """Write the tower as a model of its own, as it lies on the hub: all layers, position ids, a text model."""
    import torch

    folder.mkdir(exist_ok=True)
    siglip = kind == "llava_onevision"
    fields = {"model_type": "siglip_vision_model" if siglip else "clip_vision_model", "num_hidden_layers": 3}
    name = "siglip" if siglip else "clip"
    (folder / "config.json").write_text(json.dumps({"model_type": name, "vision_config": {**TOWER, **fields}}))
    named = {key.replace("model.vision_tower.vision_tower.", ""): value for key, value in tensors.items()}
    if siglip:  # the layer that LLaVA deletes
        last = {k.replace("layers.1.", "layers.2."): v + 1 for k, v in named.items() if "layers.1." in k}
        named |= last | {"vision_model.head.probe": torch.ones(1, 1, 24)}
    named["vision_model.embeddings.position_ids"] = torch.arange(9)[None]
    named["text_model.embeddings.token_embedding.weight"] = torch.ones(4, 4)
    named["logit_scale"] = torch.ones(())
    write(folder, named, form="bin")
