"""Configuration of mPLUG-Owl2, read from the config.json of the published checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

from mllmqa.errors import ModelLoadError
from mllmqa.models.mplug_owl2 import MODEL_TYPE
from mllmqa.models.torchvision_shim import ensure_torchvision

ensure_torchvision()  # before any model class of transformers is imported

from huggingface_hub.dataclasses import strict  # noqa: E402
from transformers import LlamaConfig  # noqa: E402

IMAGE_TOKEN_ID = -200
"""Stands for picture tokens in ``input_ids``; it is outside the vocabulary, as in the original."""
DEFAULT_GRID = 32


@dataclass(frozen=True)
class VisionShape:
    """The vision tower, a CLIP ViT (Radford et al., ICML 2021) with pre- and post-norm over all tokens."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    image_size: int
    patch_size: int
    layer_norm_eps: float = 1e-6

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return (self.image_size // self.patch_size) ** 2 + 1


@dataclass(frozen=True)
class AbstractorShape:
    """The visual abstractor: learned queries that read the vision tokens."""

    num_learnable_queries: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    layer_norm_eps: float = 1e-6
    grid_size: int | None = None
    encoder_hidden_size: int | None = None
    attention_probs_dropout_prob: float = 0.0

    @property
    def grid(self) -> int:
        """Side of the grid of patches; null in the files means 32."""
        return self.grid_size or DEFAULT_GRID


@strict
class MplugOwl2Config(LlamaConfig):  # type: ignore[misc]  # transformers is not typed here
    """A LLaMA configuration with ``visual_config``: {visual_model: …, visual_abstractor: …}.

    The published files hold dumps of about 60 fields in each; :attr:`vision` and :attr:`abstractor` read
    the ones that mean something. Everything else is kept and written again as it was.

    Raises:
        ModelLoadError: A field is missing, or the parts do not fit together.
    """

    model_type = MODEL_TYPE
    visual_config: dict[str, Any] | None = None

    @property
    def vision(self) -> VisionShape:
        """Shape of the vision tower."""
        return _shape(VisionShape, self.visual_config, "visual_model")

    @property
    def abstractor(self) -> AbstractorShape:
        """Shape of the visual abstractor; checked against the vision tower."""
        shape, vision = _shape(AbstractorShape, self.visual_config, "visual_abstractor"), self.vision
        if shape.encoder_hidden_size not in (None, vision.hidden_size) or shape.hidden_size != vision.hidden_size:
            raise ModelLoadError(
                f"visual_abstractor is {shape.hidden_size} wide and reads {shape.encoder_hidden_size}",
                where="config.json",
                expected=f"both {vision.hidden_size}, the width of visual_model",
            )
        if shape.grid**2 + 1 != vision.tokens:
            raise ModelLoadError(
                f"visual_abstractor.grid_size is {shape.grid}",
                where="config.json",
                expected=f"{vision.image_size // vision.patch_size}, the patches per side of visual_model",
            )
        return shape

    @property
    def image_token_id(self) -> int:
        """What generation looks for when it repeats pictures for several beams."""
        return IMAGE_TOKEN_ID

    @property
    def input_side(self) -> int:
        """Side of the pictures in pixels."""
        return self.vision.image_size

    @property
    def tokens_per_image(self) -> int:
        """Tokens that one picture or frame takes: the queries and the end token."""
        return self.abstractor.num_learnable_queries + 1


_Shape = TypeVar("_Shape", VisionShape, AbstractorShape)


def _shape(kind: type[_Shape], visual: dict[str, Any] | None, part: str) -> _Shape:
    given = (visual or {}).get(part)
    if not isinstance(given, dict):
        raise ModelLoadError(f"visual_config.{part} is missing", where="config.json", expected="an object")
    try:
        return kind(**{f.name: given[f.name] for f in fields(kind) if given.get(f.name) is not None})
    except TypeError as error:
        raise ModelLoadError(f"visual_config.{part}: {error}", where="config.json") from error
