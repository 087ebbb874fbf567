"""Tokenizer, image processor and chat template of an original LLaVA checkpoint.

The original tokenises the text around each picture by itself; with a sentencepiece vocabulary each part then
begins with a word mark of its own. So do the tokenizers here: the mark is put in front of every part between
added tokens. That is the original's sequence for a single turn; the texts after ``</s>`` in a longer talk get
a mark, too, as in transformers 4 with ``legacy=True``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mllmqa.errors import MllmqaError, ModelLoadError
from mllmqa.models.llava_original.config import TEMPLATE_OF, TEXT_MODELS, Family, Vocabulary, rows_needed
from mllmqa.models.llava_original.templates import template

IMAGE, VIDEO = "<image>", "<video>"


def load_tokenizer(folder: Path, config: Mapping[str, Any], family: Family) -> tuple[Any, Vocabulary]:
    """Return the tokenizer with placeholders for pictures, and their ids.

    Args:
        folder: The checkpoint, with ``tokenizer.json``, ``tokenizer.model`` or Qwen's ``vocab.json``.
        config: Its original config.json.
        family: Its family; LLaVA-OneVision also gets a placeholder for videos.

    Raises:
        ModelLoadError: No tokenizer that can be read.
        MissingExtraError: There is only a ``tokenizer.model`` and sentencepiece is not installed.
    """
    from transformers import PreTrainedTokenizerFast

    try:
        core, special = _core(folder, config)
    except MllmqaError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"its tokenizer cannot be read: {type(error).__name__}: {str(error).strip()[:200]}",
            where=folder,
            expected="tokenizer.json, tokenizer.model, or vocab.json with merges.txt",
        ) from error
    names = {"image_token": IMAGE} | ({"video_token": VIDEO} if family == "llava_onevision" else {})
    core.add_special_tokens(list(names.values()))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        **special,
        padding_side="left",
        model_max_length=int(config.get("max_position_embeddings", 4096)),
        clean_up_tokenization_spaces=False,
        extra_special_tokens=names,
    )
    ids = {name: int(tokenizer.convert_tokens_to_ids(token)) for name, token in names.items()}
    rows = rows_needed(config, max(ids.values()))
    return tokenizer, Vocabulary(ids["image_token"], ids.get("video_token"), rows)


def _core(folder: Path, config: Mapping[str, Any]) -> tuple[Any, dict[str, str]]:
    """Return the tokenizer of the ``tokenizers`` library, and its named special tokens."""
    if TEXT_MODELS[config["model_type"]] != "qwen2" and (folder / "tokenizer.model").is_file():
        from mllmqa.models.mplug_owl2.tokenizer import from_sentencepiece

        loaded = from_sentencepiece(folder / "tokenizer.model")
        core = loaded.backend_tokenizer
        _begin_with(core, loaded.bos_token)
        _add_listed(core, folder / "added_tokens.json")
        special = {name: getattr(loaded, name) for name in _SPECIAL}
    elif (folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        core = Tokenizer.from_file(str(folder / "tokenizer.json"))
        _mark_every_part(core)
        special = _named_special(folder / "tokenizer_config.json")
    else:
        from transformers import Qwen2Tokenizer

        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
        core = Qwen2Tokenizer(vocab=vocabulary, merges=merges).backend_tokenizer
        _add_listed(core, folder / "added_tokens.json")
        special = {"pad_token": "<|endoftext|>"} | _named_special(folder / "tokenizer_config.json")
    special.setdefault("pad_token", special.get("unk_token") or special["eos_token"])
    return core, special


_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


def _named_special(file: Path) -> dict[str, str]:
    """Return the special tokens that a tokenizer_config.json names."""
    fields = json.loads(file.read_text(encoding="utf-8"))
    named = {name: fields.get(name) for name in _SPECIAL}
    return {name: str(t["content"] if isinstance(t, dict) else t) for name, t in named.items() if t is not None}


def _add_listed(core: Any, file: Path) -> None:
    """Add the tokens of an added_tokens.json at the ids that it states."""
    listed = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for token, number in sorted(listed.items(), key=lambda entry: entry[1]):
        core.add_special_tokens([token])
        if core.token_to_id(token) != number:
            raise ModelLoadError(
                f"{token!r} gets the id {core.token_to_id(token)}", where=file, expected=str(number)
            )


def _begin_with(core: Any, bos: str) -> None:
    from tokenizers import processors

    core.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, core.token_to_id(bos))]
    )


def _mark_every_part(core: Any) -> None:
    """Put a word mark in front of every part between added tokens, also before a space."""
    from tokenizers import normalizers

    fields = json.loads(core.to_str()).get("pre_tokenizer") or {}
    if fields.get("type") == "Metaspace" and fields.get("prepend_scheme") != "never":
        mark = fields["replacement"]
        core.pre_tokenizer = None
        core.normalizer = normalizers.Sequence([normalizers.Prepend(mark), normalizers.Replace(" ", mark)])


def build_processor(
    original: Mapping[str, Any], config: Any, tokenizer: Any, *, family: Family, template_name: str | None
) -> Any:
    """Return transformers' processor with the original's preprocessing, PIL back end, and prompt.

    Args:
        original: The original config.json.
        config: The transformers configuration made of it.
        tokenizer: From :func:`load_tokenizer`.
        family: The family.
        template_name: Name of the prompt template; None: the usual one of the model type.

    Raises:
        UnknownNameError: No such template.
    """
    chosen = template(template_name or TEMPLATE_OF[original["model_type"]])
    if family == "llava_onevision":
        return _onevision(config, tokenizer, chosen)
    import transformers as t

    side = config.vision_config.image_size
    size: dict[str, Any] = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    features = {
        "patch_size": config.vision_config.patch_size,
        "vision_feature_select_strategy": config.vision_feature_select_strategy,
        "num_additional_image_tokens": 1,
        "chat_template": chosen,
    }
    if family == "llava_next":
        images = t.LlavaNextImageProcessorPil(**size, image_grid_pinpoints=config.image_grid_pinpoints)
        return t.LlavaNextProcessor(images, tokenizer, **features)
    if original.get("image_aspect_ratio") == "pad":
        return t.LlavaProcessor(t.LlavaImageProcessorPil(**size, do_pad=True), tokenizer, **features)
    return t.LlavaProcessor(t.CLIPImageProcessorPil(**size), tokenizer, **features)


def _onevision(config: Any, tokenizer: Any, chosen: str) -> Any:
    import transformers as t

    vision = config.vision_config
    half = [0.5, 0.5, 0.5]
    look: dict[str, Any] = {
        "size": {"height": vision.image_size, "width": vision.image_size},
        **{"image_mean": half, "image_std": half},
    }
    images = t.LlavaOnevisionImageProcessorPil(**look, image_grid_pinpoints=config.image_grid_pinpoints)
    return t.LlavaOnevisionProcessor(
        images,
        tokenizer,
        t.LlavaOnevisionVideoProcessor(**look),
        num_image_tokens=(vision.image_size // vision.patch_size) ** 2,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        vision_aspect_ratio=config.vision_aspect_ratio,
        chat_template=chosen,
    )
