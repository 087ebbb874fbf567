"""Tiny random checkpoints of the families that mllmqa runs, built offline in a fraction of a second.

``build("qwen3_vl", folder)`` saves model and processor so that ``AutoModelForImageTextToText`` and
``AutoProcessor`` load them from the folder. The weights are five times larger than usual: the
answers mean nothing, but a wrong position, mask or picture moves the logits by far more than float noise.
An image costs 4 to 60 tokens. The tokenizer of llava and llava_next puts ``<s>`` in front by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mllmqa.models.torchvision_shim import ensure_torchvision

FAMILIES = ("llava", "llava_next", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "internvl")
NEEDS_TORCHVISION = frozenset({"llava_onevision", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "internvl"})
NATIVE_VIDEO = NEEDS_TORCHVISION  # the processors of the others ignore videos= without a word

LEVELS = (" excellent", " good", " fair", " poor", " bad")
COMPARISONS = (" superior", " better", " similar", " worse", " inferior")
SPLIT_LEVEL = " excellent"  # split_levels=True breaks it into several tokens

_SPECIAL = (
    *("<pad>", "<s>", "</s>", "<image>", "<video>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
    *("<img>", "</img>", "<IMG_CONTEXT>"),
)
_BEGINS_WITH_BOS = frozenset({"llava", "llava_next"})
_NAMED_TOKENS = {
    "llava": {"image_token": "<image>"},
    "llava_next": {"image_token": "<image>"},
    "llava_onevision": {"image_token": "<image>", "video_token": "<video>"},
    "qwen2_5_vl": {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    "qwen3_vl": {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    "qwen3_5": {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    "internvl": {"start_image_token": "<img>", "end_image_token": "</img>"}
    | {"context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"},
}

_GAIN = {"qwen3_5": 2}  # linear attention amplifies: at 5, rounding to 4 bits changes everything

# The media come first and then the text in the llava families, in the order of the parts in the others.
_MEDIA_FIRST = (
    "{% for c in m['content'] if c['type'] in ('image', 'video') %}{{ '<' + c['type'] + '>\\n' }}{% endfor %}"
    "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }}{% endfor %}"
)
_IN_ORDER = (
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE"
    "{% elif c['type'] == 'video' %}VIDEO{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
)
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}START"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}PARTS{% endif %}{{ '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def _chatml(start: str, parts: str, image: str = "", video: str = "") -> str:
    parts = parts.replace("IMAGE", image).replace("VIDEO", video)
    return _CHATML.replace("START", start).replace("PARTS", parts)


_VISION = "<|vision_start|><|{}_pad|><|vision_end|>"
_QWEN = _chatml("{{ '\\n' }}", _IN_ORDER, _VISION.format("image"), _VISION.format("video"))
_THINKING = (
    "{% if add_generation_prompt %}{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% else %}{{ '<think>\\n' }}{% endif %}{% endif %}"
)
TEMPLATES = {
    "llava": "{% for m in messages %}{{ m['role'].upper() }}: " + _MEDIA_FIRST + "{{ ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    "llava_next": "{% for m in messages %}{% if m['role'] == 'assistant' %} "
    f"{_MEDIA_FIRST}</s>{{% else %}}[INST] {_MEDIA_FIRST} [/INST]{{% endif %}}{{% endfor %}}",
    "llava_onevision": _chatml(" ", _MEDIA_FIRST),
    "qwen2_5_vl": _QWEN,
    "qwen3_vl": _QWEN,
    "qwen3_5": _QWEN + _THINKING,
    "internvl": _chatml("{{ '\\n' }}", _IN_ORDER, "{{ '<IMG_CONTEXT>\\n' }}", "{{ '<video>\\n' }}"),
}


def build(
    family: str,
    folder: Path,
    *,
    seed: int = 0,
    padding_side: str = "left",
    split_levels: bool = False,
    width: int = 32,
) -> Path:
    """Save a random checkpoint of ``family`` with its processor under ``folder`` and return the folder.

    Args:
        family: One of :data:`FAMILIES`.
        folder: Created if need be.
        seed: Seed of the weights; the global generator of torch is left as it was.
        padding_side: Padding side that the tokenizer is saved with.
        split_levels: Let the tokenizer break :data:`SPLIT_LEVEL` into several tokens.
        width: Of the language model; bitsandbytes' 4-bit kernels for the CPU want a multiple of 64.
    """
    ensure_torchvision()
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    tokenizer = _tokenizer(family, padding_side=padding_side, split_levels=split_levels)
    fields, processor = _BUILDERS[family](tokenizer, {"chat_template": TEMPLATES[family]})
    _widen(fields, width)
    config = AutoConfig.for_model(family, **fields, tie_word_embeddings=False)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(_GAIN.get(family, 5))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _widen(fields: dict[str, Any], width: int) -> None:
    """Set the width of the language model, and of the vision tower's output where the family states it."""
    fields["text_config"] |= {"hidden_size": width, "intermediate_size": 2 * width}
    fields["text_config"] |= {"num_attention_heads": width // 8, "num_key_value_heads": width // 16}
    if "out_hidden_size" in fields["vision_config"]:
        fields["vision_config"]["out_hidden_size"] = width


def _tokenizer(family: str, *, padding_side: str, split_levels: bool) -> Any:
    """Return a byte-level BPE tokenizer whose only merges make the level and comparison words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    for level in (*LEVELS, *COMPARISONS):
        word = level.replace(" ", "Ġ")
        end = len(word) - 3 if split_levels and level == SPLIT_LEVEL else len(word)
        merges += [(word[:i], word[i]) for i in range(1, end)]
    merges = list(dict.fromkeys(merges))  # "bad" and "better" share their first
    vocabulary += ["".join(pair) for pair in merges]
    core = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(vocabulary)}, merges=merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    if family in _BEGINS_WITH_BOS:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", vocabulary.index("<s>"))]
        )
    core.add_special_tokens(list(_SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",  # noqa: S106
        eos_token="</s>" if family in _BEGINS_WITH_BOS else "<|im_end|>",
        pad_token="<pad>",  # noqa: S106
        padding_side=padding_side,
        model_max_length=4096,
        extra_special_tokens=_NAMED_TOKENS[family],
    )


_TOWER = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
_SIGHT = {"image_size": 24, "patch_size": 8}  # 3 x 3 tokens
_SQUARE = {"height": 24, "width": 24}
_PATCHES = {"patch_size": 4, "temporal_patch_size": 2}
_AREA = {"shortest_edge": 8 * 8, "longest_edge": 24 * 24}  # in pixels: at most 9 tokens
_PINPOINTS = [[24, 48], [48, 24], [48, 48]]
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}

Built = tuple[dict[str, Any], Any]  # fields of the configuration, and the processor


def _text(tokenizer: Any, **fields: Any) -> dict[str, Any]:
    return {
        **{"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096},
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")},
        **fields,
    }


def _llava(tokenizer: Any, template: dict[str, str], *, next_: bool = False) -> Built:
    import transformers as t

    size = {"size": {"shortest_edge": 24}, "crop_size": _SQUARE}
    config = {
        "text_config": _text(tokenizer, model_type="llama"),
        "vision_config": {"model_type": "clip_vision_model", "projection_dim": 24, **_TOWER, **_SIGHT},
        "image_token_index": tokenizer.image_token_id,
        "image_seq_length": 9,
    }
    features = {
        "patch_size": 8,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    if not next_:
        return config, t.LlavaProcessor(t.CLIPImageProcessorPil(**size), tokenizer, **features, **template)
    images = t.LlavaNextImageProcessorPil(**size, image_grid_pinpoints=_PINPOINTS)
    config["image_grid_pinpoints"] = _PINPOINTS
    return config, t.LlavaNextProcessor(images, tokenizer, **features, **template)


def _llava_onevision(tokenizer: Any, template: dict[str, str]) -> Built:
    import transformers as t

    images = t.LlavaOnevisionImageProcessor(size=_SQUARE, image_grid_pinpoints=_PINPOINTS)
    videos = t.LlavaOnevisionVideoProcessor(size=_SQUARE)
    features = {"num_image_tokens": 9, "vision_feature_select_strategy": "full"}
    return {
        "text_config": _text(tokenizer, model_type="qwen2"),
        "vision_config": {"model_type": "siglip_vision_model", "vision_use_head": False, **_TOWER, **_SIGHT},
        "image_token_index": tokenizer.image_token_id,
        "video_token_index": tokenizer.video_token_id,
        "image_grid_pinpoints": _PINPOINTS,
    }, t.LlavaOnevisionProcessor(images, tokenizer, videos, **features, **template)


def _qwen_config(tokenizer: Any, text: dict[str, Any], vision: dict[str, Any]) -> dict[str, Any]:
    tower = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    return {
        "text_config": _text(tokenizer, **text),
        "vision_config": tower | _PATCHES | {"spatial_merge_size": 2} | vision,
        "image_token_id": tokenizer.image_token_id,
        "video_token_id": tokenizer.video_token_id,
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }


def _qwen2_5_vl(tokenizer: Any, template: dict[str, str]) -> Built:
    import transformers as t

    images = t.Qwen2VLImageProcessor(size=_AREA, merge_size=2, **_PATCHES)
    videos = t.Qwen2VLVideoProcessor(size=_AREA, merge_size=2, cap_pixels_per_frame=False, **_PATCHES)
    vision = {"window_size": 16, "fullatt_block_indexes": [1]}
    config = _qwen_config(tokenizer, {"rope_parameters": _MROPE}, vision)
    return config, t.Qwen2_5_VLProcessor(images, tokenizer, videos, **template)


def _qwen3_vl(tokenizer: Any, template: dict[str, str]) -> Built:
    import transformers as t

    area = {"shortest_edge": 64, "longest_edge": 8 * 24 * 24}  # of all frames together
    images = t.Qwen2VLImageProcessor(size=_AREA, merge_size=2, **_PATCHES)
    videos = t.Qwen3VLVideoProcessor(size=area, merge_size=2, cap_pixels_per_frame=False, **_PATCHES)
    text = {"head_dim": 8, "rope_parameters": _MROPE | {"mrope_interleaved": True}}
    vision = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    config = _qwen_config(tokenizer, text, vision)
    return config, t.Qwen3VLProcessor(images, tokenizer, videos, **template)


def _qwen3_5(tokenizer: Any, template: dict[str, str]) -> Built:
    """Three of four layers have linear attention, as in the published sizes."""
    config, processor = _qwen3_vl(tokenizer, template)
    del config["vision_config"]["deepstack_visual_indexes"]
    linear = {"linear_key_head_dim": 2, "linear_value_head_dim": 2}
    linear |= {"linear_num_key_heads": 16, "linear_num_value_heads": 32}
    config["text_config"] |= linear | {"num_hidden_layers": 4, "head_dim": 16}
    config["text_config"]["rope_parameters"] |= {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5}
    return config, processor


def _internvl(tokenizer: Any, template: dict[str, str]) -> Built:
    import transformers as t

    size = {"height": 32, "width": 32}
    images = t.GotOcr2ImageProcessor(size=size, crop_to_patches=True, min_patches=1, max_patches=4)
    videos = t.InternVLVideoProcessor(size=size)
    return {
        "text_config": _text(tokenizer, model_type="qwen2"),
        "vision_config": {**_TOWER, "image_size": [32, 32], "patch_size": [8, 8]},
        "image_token_id": tokenizer.context_image_token_id,
        "image_seq_length": 4,
    }, t.InternVLProcessor(images, tokenizer, videos, image_seq_length=4, **template)


_BUILDERS: dict[str, Callable[[Any, dict[str, str]], Built]] = {
    "llava": _llava,
    "llava_next": partial(_llava, next_=True),
    "llava_onevision": _llava_onevision,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_5": _qwen3_5,
    "internvl": _internvl,
}
