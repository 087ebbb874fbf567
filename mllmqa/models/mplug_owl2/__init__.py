"""mPLUG-Owl2 (Ye et al., CVPR 2024), the backbone of Q-Align, OneAlign, DeQA-Score and Compare2Score.

Written for stock transformers 5 from the published architecture; the names of all parameters are those of
the original checkpoints, which load as they lie on the hub. After :func:`register` the Auto classes know it::

    mplug_owl2.register()
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16)
    processor = AutoProcessor.from_pretrained(folder)
"""

from __future__ import annotations

__all__ = ["MODEL_TYPE", "register"]

MODEL_TYPE = "mplug_owl2"


def register() -> None:
    """Make the family known to transformers' Auto classes. May be called any number of times."""
    from mllmqa.models.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor

    from mllmqa.models.mplug_owl2.configuration import MplugOwl2Config
    from mllmqa.models.mplug_owl2.modeling import MplugOwl2ForConditionalGeneration
    from mllmqa.models.mplug_owl2.processing import MplugOwl2ImageProcessor, MplugOwl2Processor

    AutoConfig.register(MODEL_TYPE, MplugOwl2Config, exist_ok=True)
    AutoModelForImageTextToText.register(MplugOwl2Config, MplugOwl2ForConditionalGeneration, exist_ok=True)
    AutoProcessor.register(MplugOwl2Config, MplugOwl2Processor, exist_ok=True)
    AutoImageProcessor.register(
        MplugOwl2Config, image_processor_classes={"pil": MplugOwl2ImageProcessor}, exist_ok=True
    )
