"""From an original ``config.json`` of LLaVA to a configuration of transformers 5.

Three families: LLaVA 1.5 (one square picture), LLaVA 1.6 (tiles, CLIP) and LLaVA-OneVision (tiles, SigLIP, Qwen2).
Whatever the configuration asks for beyond them is refused by name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mllmqa.errors import ModelLoadError
from mllmqa.models.llava_original.vision import CLIP, SIGLIP

Family = Literal["llava", "llava_next", "llava_onevision"]

TEXT_MODELS = {"llava": "llama", "llava_llama": "llama", "llava_mistral": "mistral", "llava_qwen": "qwen2"}
"""Original ``model_type`` → language model."""

TEMPLATE_OF = {
    **{"llava": "vicuna_v1", "llava_llama": "vicuna_v1"},
    **{"llava_mistral": "mistral_instruct", "llava_qwen": "qwen_1_5"},
}
"""Original ``model_type`` → the prompt template that its published models were trained with."""

ROW_BLOCK = 64
"""Vocabularies that grow are filled up to a multiple of this many rows."""

_TEXT_FIELDS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "initializer_range"),
    *("rms_norm_eps", "use_cache", "tie_word_embeddings", "rope_theta", "rope_scaling", "attention_bias"),
    *("attention_dropout", "mlp_bias", "sliding_window", "use_sliding_window", "max_window_layers"),
    *("bos_token_id", "eos_token_id", "pad_token_id"),
)
_STRATEGIES = {"patch": "default", "cls_patch": "full"}
_NO_MAXIMUM = 10**6  # transformers knows no "anyres" without a maximum of tiles for this family


@dataclass(frozen=True)
class Vocabulary:
    """Ids of the placeholders, and how many rows the embedding then needs.

    Attributes:
        image: Id of ``<image>``.
        video: Id of ``<video>``, for LLaVA-OneVision.
        rows: Rows of the embedding.
    """

    image: int
    video: int | None
    rows: int


def is_original(config: Mapping[str, Any]) -> bool:
    """Tell whether a config.json is of the original LLaVA layout (transformers' own has ``vision_config``)."""
    return (
        str(config.get("model_type", "")).startswith("llava")
        and "mm_vision_tower" in config
        and "vision_config" not in config
    )


def rows_needed(config: Mapping[str, Any], highest_id: int) -> int:
    """Return the rows of the embedding: as stored if all ids have one, else filled up to a whole block.

    >>> rows_needed({"vocab_size": 32000}, 32000), rows_needed({"vocab_size": 152064}, 151647)
    (32064, 152064)
    """
    stored = int(config["vocab_size"])
    return stored if highest_id < stored else -(-(highest_id + 1) // ROW_BLOCK) * ROW_BLOCK


def family_of(config: Mapping[str, Any], tower: Mapping[str, Any]) -> Family:
    """Return which of transformers' classes computes what the configuration asks for.

    Args:
        config: The original config.json.
        tower: Configuration of its vision tower.

    Raises:
        ModelLoadError: It asks for something that none of them does; names the field.
    """
    _supported(config, "model_type", tuple(TEXT_MODELS))
    _supported(config, "mm_projector_type", ("mlp2x_gelu",), default="linear")
    _supported(config, "mm_use_im_start_end", (False,), default=False)
    _supported(config, "mm_resampler_type", (None,))
    _supported(config, "mm_vision_select_feature", tuple(_STRATEGIES), default="patch")
    aspect, merge = config.get("image_aspect_ratio") or "square", config.get("mm_patch_merge_type") or "flat"
    if TEXT_MODELS[config["model_type"]] == "qwen2":
        _supported(tower, "model_type", (SIGLIP,), name="vision tower of llava_qwen")
        _supported(config, "mm_patch_merge_type", ("spatial_unpad",), default="flat")
        _supported(config, "mm_newline_position", ("one_token",), default="one_token")
        _supported(config, "mm_spatial_pool_mode", ("bilinear",), default="bilinear")
        _supported(config, "mm_spatial_pool_stride", (2, None))
        _supported(config, "add_faster_video", (False, None))
        if aspect != "anyres" and not re.fullmatch(r"anyres_max_\d+", aspect):
            raise _refused("image_aspect_ratio", aspect, "anyres or anyres_max_N")
        return "llava_onevision"
    _supported(tower, "model_type", (CLIP,), name=f"vision tower of {config['model_type']}")
    if merge == "flat" and aspect in ("pad", "square"):
        return "llava"
    if merge == "spatial_unpad" and aspect == "anyres":
        return "llava_next"
    raise _refused(
        "image_aspect_ratio with mm_patch_merge_type",
        f"{aspect} with {merge}",
        "pad or square with flat, anyres with spatial_unpad",
    )


def _supported(
    config: Mapping[str, Any], field: str, values: tuple[Any, ...], *, default: Any = None, name: str | None = None
) -> None:
    value = config.get(field, default)
    if value not in values:
        raise _refused(name or field, value, " | ".join(map(str, values)))


def _refused(field: str, value: object, expected: str) -> ModelLoadError:
    return ModelLoadError(f"{field} {value!r} is not supported", where="config.json", expected=expected)


def pinpoints(config: Mapping[str, Any], side: int) -> list[list[int]]:
    """Return the sizes of tiled pictures as [height, width], in the original's order.

    The original writes [width, height], as a list, as text, or as a range of tiles: ``(1x1),...,(6x6)``.
    The order matters where two sizes are equally good.

    Args:
        config: The original config.json.
        side: Side of a tile in pixels.

    Raises:
        ModelLoadError: Missing or malformed.
    """
    value = config.get("image_grid_pinpoints")
    try:
        if isinstance(value, str) and "x" in value:
            ends = [(int(a), int(b)) for a, b in re.findall(r"\((\d+)x(\d+)\)", value)]
            (a0, b0), (a1, b1) = ends[0], ends[-1]
            value = [(a * side, b * side) for a in range(a0, a1 + 1) for b in range(b0, b1 + 1)]
        elif isinstance(value, str):
            value = ast.literal_eval(value)
        sizes = [[int(height), int(width)] for width, height in value or ()]
    except (ValueError, TypeError, SyntaxError, IndexError) as error:
        raise _refused("image_grid_pinpoints", value, "a list of [width, height]") from error
    if not sizes or any(length % side or length <= 0 for size in sizes for length in size):
        raise _refused("image_grid_pinpoints", value, f"[width, height] in multiples of the tile's {side} pixels")
    return sizes


def convert(config: Mapping[str, Any], tower: Mapping[str, Any], vocabulary: Vocabulary) -> Any:
    """Return the transformers configuration.

    Args:
        config: The original config.json.
        tower: Configuration of its vision tower.
        vocabulary: Ids of the placeholders.

    Raises:
        ModelLoadError: See :func:`family_of`.
    """
    from transformers import AutoConfig

    family = family_of(config, tower)
    text = {name: config[name] for name in _TEXT_FIELDS if config.get(name) is not None}
    text |= {"model_type": TEXT_MODELS[config["model_type"]], "vocab_size": vocabulary.rows}
    fields: dict[str, Any] = {
        "text_config": text,
        "vision_config": dict(tower),
        "image_token_index": vocabulary.image,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": int(config.get("mm_vision_select_layer", -2)),
        "vision_feature_select_strategy": _STRATEGIES[config.get("mm_vision_select_feature", "patch")],
        "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
    }
    side, patch = int(tower["image_size"]), int(tower["patch_size"])
    if family != "llava":
        fields["image_grid_pinpoints"] = pinpoints(config, side)
    if family != "llava_onevision":
        return AutoConfig.for_model(family, **fields, image_seq_length=(side // patch) ** 2)
    # The original deletes SigLIP's last layer and takes the last of those left, whatever mm_vision_select_layer
    # says; SigLIP has no class token.
    fields["vision_config"] |= {"num_hidden_layers": tower["num_hidden_layers"] - 1, "vision_use_head": False}
    fields |= {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
    fields["video_token_index"] = vocabulary.video
    fields["vision_aspect_ratio"] = _maximum(config["image_aspect_ratio"])
    return AutoConfig.for_model(family, **fields)


def _maximum(aspect: str) -> str:
    return f"anyres_max_{_NO_MAXIMUM}" if aspect == "anyres" else aspect
