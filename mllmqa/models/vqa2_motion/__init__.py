"""VQA² (Jia et al., ACM MM 2025): LLaVA-OneVision that also sees the motion of all frames."""

from __future__ import annotations

from mllmqa.models.vqa2_motion.load import has_motion, load_motion

__all__ = ["MODEL_TYPE", "has_motion", "load_motion", "register"]

MODEL_TYPE = "mllmqa_vqa2"
"""Of models that were saved by mllmqa; the published ones have the layout of original LLaVA."""


def register() -> None:
    """Make the family known to transformers' Auto classes. May be called any number of times."""
    from mllmqa.models.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    from transformers import AutoConfig, AutoModelForImageTextToText

    from mllmqa.models.vqa2_motion.modeling import Vqa2Config, Vqa2ForConditionalGeneration

    AutoConfig.register(MODEL_TYPE, Vqa2Config, exist_ok=True)
    AutoModelForImageTextToText.register(Vqa2Config, Vqa2ForConditionalGeneration, exist_ok=True)
