"""Key names of the original LLaVA layouts and where their tensors go in transformers 5, as data.

``llava``, ``llava_llama``, ``llava_mistral`` (Liu et al., 2023 and 2024) and ``llava_qwen`` (LLaVA-OneVision,
Li et al., 2024) name their parts alike; they differ in the parts that they have.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from mllmqa.errors import ModelLoadError

TOWER = "model.vision_tower.vision_tower.vision_model."
"""Begins the keys of the vision tower where a checkpoint holds it."""

PREFIXES = (
    (TOWER, "model.vision_tower."),
    ("model.mm_projector.0.", "model.multi_modal_projector.linear_1."),
    ("model.mm_projector.2.", "model.multi_modal_projector.linear_2."),
    ("model.image_newline", "model.image_newline"),
    ("model.embed_tokens.", "model.language_model.embed_tokens."),
    ("model.layers.", "model.language_model.layers."),
    ("model.norm.", "model.language_model.norm."),
    ("lm_head.", "lm_head."),
)
"""Beginnings of original keys and of the keys of transformers' classes; the rest of a key stays."""

UNUSED = (
    (r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq", "a buffer, computed from rope_theta"),
    (r"model\.vision_tower\.vision_tower\.vision_model\.embeddings\.position_ids", "a buffer, 0 … n-1"),
    (r"model\.vision_tower\.vision_tower\.vision_model\.head\..*", "SigLIP's pooling head"),
)
"""Keys (regular expressions) that may be there and are not read, with the reason."""

VOCABULARY = ("model.language_model.embed_tokens.weight", "lm_head.weight")
"""Target keys whose rows are tokens: they may have fewer rows in the checkpoint than in the model."""

_TOWER_LAYER = re.compile(re.escape(TOWER) + r"encoder\.layers\.(\d+)\.")

Shape = tuple[int, ...]


def target_of(key: str) -> str | None:
    """Return the transformers key of an original key, or None if the layout has no such key.

    >>> target_of("model.mm_projector.2.bias")
    'model.multi_modal_projector.linear_2.bias'
    """
    for original, target in PREFIXES:
        if key.startswith(original):
            return target + key.removeprefix(original)
    return None


def original_of(target: str) -> str:
    """Return the original key of a transformers key, for messages.

    >>> original_of("model.language_model.norm.weight")
    'model.norm.weight'
    """
    for original, prefix in PREFIXES:
        if target.startswith(prefix):
            return original + target.removeprefix(prefix)
    return target


def is_unused(key: str, *, tower_layers: int, tied: bool) -> bool:
    """Tell whether a key may be left unread: :data:`UNUSED`, and two that depend on the configuration.

    Args:
        key: An original key.
        tower_layers: Layers of the vision tower that are run. LLaVA-OneVision deletes SigLIP's last one.
        tied: Whether the output layer is the embedding; a stored copy is not read then.
    """
    if any(re.fullmatch(pattern, key) for pattern, _ in UNUSED) or (tied and key == "lm_head.weight"):
        return True
    layer = _TOWER_LAYER.match(key)
    return layer is not None and int(layer.group(1)) >= tower_layers


def holds_tower(keys: Iterable[str]) -> bool:
    """Tell whether a checkpoint with these keys holds its vision tower."""
    return any(key.startswith(TOWER) for key in keys)


def plan(
    found: Mapping[str, Shape],
    wanted: Mapping[str, Shape],
    *,
    tower_layers: int,
    tied: bool = False,
    same: Container[str] = (),
    where: Path | str,
) -> dict[str, str]:
    """Decide which original key fills which key of the model.

    Args:
        found: Original keys and their shapes.
        wanted: Keys and shapes of the transformers model.
        tower_layers: Layers of its vision tower.
        tied: Whether its output layer is its embedding.
        same: Keys of ``found`` that are named as in the model.
        where: The checkpoint, for messages.

    Returns:
        Target key → original key, for all of ``wanted`` (of a tied output layer: none).

    Raises:
        ModelLoadError: A key is missing, unknown or of a wrong shape; names it.
    """
    chosen = {}
    for key, shape in found.items():
        if is_unused(key, tower_layers=tower_layers, tied=tied):
            continue
        target = key if key in same else target_of(key)
        if target is None or target not in wanted:
            raise ModelLoadError(f"unexpected key {key!r}", where=where, expected="only keys of the LLaVA layout")
        _check_shape(key, shape, target, wanted[target], where)
        chosen[target] = key
    needed = set(wanted) - ({"lm_head.weight"} if tied else set())
    missing = sorted(original_of(target) for target in needed - set(chosen))
    if missing:
        shown = ", ".join(map(repr, missing[:3])) + (" …" if len(missing) > 3 else "")
        raise ModelLoadError(f"{len(missing)} missing keys: {shown}", where=where, expected="all keys of the model")
    return chosen


def _check_shape(key: str, shape: Shape, target: str, wanted: Shape, where: Path | str) -> None:
    fits = shape == wanted
    if target in VOCABULARY and len(shape) == len(wanted):
        fits = shape[0] <= wanted[0] and shape[1:] == wanted[1:]
    if not fits:
        raise ModelLoadError(
            f"{key!r} has the shape {list(shape)}", where=where, expected=f"{list(wanted)} by its config.json"
        )
