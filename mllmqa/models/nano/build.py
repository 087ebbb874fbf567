"""Assemble nano from its parts: tokenizer, processor, LLaVA around the tower, saving.

Used by the training recipe; loading needs only :func:`mllmqa.models.nano.register`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from mllmqa.errors import ModelLoadError
from mllmqa.media.views import MAX_SIDE_PX
from mllmqa.models.torchvision_shim import ensure_torchvision

ensure_torchvision()  # before any model class of transformers is imported

from transformers import (  # noqa: E402
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from mllmqa.models.nano import register  # noqa: E402
from mllmqa.models.nano.configuration import NanoVisionConfig  # noqa: E402
from mllmqa.models.nano.processing import NanoImageProcessor  # noqa: E402
from mllmqa.models.nano.vision import NanoVisionModel  # noqa: E402
from mllmqa.models.resolve import write_marker  # noqa: E402

PAD, BOS, EOS, IMAGE = "<pad>", "<s>", "</s>", "<image>"

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] == 'assistant' %} ASSISTANT: {% else %}{{ message['role'] | upper }}: {% endif -%}
{%- if message['content'] is string -%}{{ message['content'] }}
{%- else -%}
{%- for part in message['content'] -%}
{%- set before = loop.previtem['type'] if loop.previtem is defined else '' -%}
{%- if part['type'] == 'image' %}{{ ' ' if before == 'text' }}<image>
{%- elif part['type'] == 'text' %}{{ '\\n' if before == 'image' }}{{ part['text'] }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- if message['role'] == 'assistant' %}</s>{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt %} ASSISTANT:{% endif -%}
"""
"""Pictures stand where the message has them: a space after a text, a new line after a picture."""


def build_tokenizer(texts: Iterable[str], words: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE (Sennrich et al., ACL 2016; bytes as base: any text encodes, nothing is unknown).

    Args:
        texts: what merges are learnt from.
        words: must become single tokens when preceded by a space; they are put into the texts often enough.
        size: vocabulary size, special tokens included.

    Raises:
        ModelLoadError: `size` is too small for a word to get its token.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[PAD, BOS, EOS, IMAGE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    emphasis = [f" {word}" for word in words] * 1000
    core.train_from_iterator([*texts, *emphasis], trainer)
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, core.token_to_id(BOS))]
    )
    for word in words:
        if len(core.encode(f" {word}", add_special_tokens=False).ids) != 1:
            raise ModelLoadError(f"{word!r} is not one token in a vocabulary of {size}")
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def build_processor(tokenizer: PreTrainedTokenizerFast, vision: NanoVisionConfig) -> LlavaProcessor:
    """Every picture has equally many tokens, whatever its size: no patch fits into one, all are additional."""
    return LlavaProcessor(
        image_processor=NanoImageProcessor(),
        tokenizer=tokenizer,
        patch_size=MAX_SIDE_PX + 1,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=vision.patch_grid**2 + vision.global_tokens + vision.category_tokens,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(
    tower: NanoVisionModel, tokenizer: PreTrainedTokenizerFast, language: dict[str, Any]
) -> LlavaForConditionalGeneration:
    """LLaVA (Liu et al., NeurIPS 2023) around a trained tower; projector and decoder start at random.

    Args:
        tower: its configuration becomes `vision_config`, its weights are copied.
        tokenizer: gives vocabulary size and special ids.
        language: fields of `LlamaConfig` (hidden_size, num_hidden_layers, …).
    """
    register()
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
        **language,
    )
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=tower.config.patch_grid**2 + tower.config.global_tokens + tower.config.category_tokens,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tower.state_dict())
    return model


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> None:
    """Write half-precision weights, with a configuration that says float32: they are meant to be computed so.

    The marker file makes `mllmqa score --model FOLDER` ask the way nano was trained.

    The model in memory is left as it was.
    """
    half = {
        name: value.to(torch.float16) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
        if name != "lm_head.weight"  # tied to the embedding
    }
    model.save_pretrained(folder, state_dict=half)
    processor.save_pretrained(folder)
    write_marker(folder, "nano")
    (folder / "model.safetensors").chmod(0o644)  # saved for the owner only
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for part in (config, config["text_config"], config["vision_config"]):
        part.pop("torch_dtype", None)
        part["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
