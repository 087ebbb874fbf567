"""nano: a LLaVA in miniature, trained from nothing by `train/nano.py` and shipped inside the package.

After :func:`register` the stock classes load it::

    nano.register()
    model = AutoModelForImageTextToText.from_pretrained(nano.weights_folder(), dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(nano.weights_folder(), backend="pil")
"""

from __future__ import annotations

from pathlib import Path

from mllmqa.errors import ModelLoadError

__all__ = ["register", "weights_folder"]


def register() -> None:
    """Make nano's vision tower and image processor known to transformers' Auto classes.

    May be called any number of times.
    """
    from mllmqa.models.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    from transformers import AutoConfig, AutoImageProcessor, AutoModel

    from mllmqa.models.nano.configuration import MODEL_TYPE, NanoVisionConfig
    from mllmqa.models.nano.processing import NanoImageProcessor
    from mllmqa.models.nano.vision import NanoVisionModel

    AutoConfig.register(MODEL_TYPE, NanoVisionConfig, exist_ok=True)
    AutoModel.register(NanoVisionConfig, NanoVisionModel, exist_ok=True)
    backends = dict.fromkeys(("pil", "torchvision"), NanoImageProcessor)  # whichever is asked for: it needs neither
    AutoImageProcessor.register(NanoVisionConfig, image_processor_classes=backends, exist_ok=True)


def weights_folder() -> Path:
    """Folder of the shipped weights, configuration, tokenizer and processor.

    Raises:
        ModelLoadError: the weights are not there (a checkout without them, or a broken installation).
    """
    folder = Path(__file__).parent / "weights"
    if not (folder / "model.safetensors").is_file():
        raise ModelLoadError("nano's weights are missing", where=folder, hint="reinstall mllmqa")
    return folder
