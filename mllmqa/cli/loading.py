"""Loading a model as the commands do: quietly, with the options that they share."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.scoring import Scorer


def load_model(model: str, *, quantize: str | None, vision: bool, **options: Any) -> Scorer:
    """Load a scorer; what libraries say about it is kept from the terminal.

    Args:
        model: As after ``--model``.
        quantize: ``--quantize``.
        vision: ``--quantize-vision``.
        options: As for :func:`mllmqa.scoring.load`.

    Raises:
        UsageError: ``--quantize-vision`` by itself, or what :func:`mllmqa.scoring.load` refuses.
        ModelLoadError: The model's files cannot be loaded.
    """
    from transformers.utils.logging import disable_progress_bar

    from mllmqa.models.quantize import Quantization
    from mllmqa.scoring import load

    if vision and quantize is None:
        raise UsageError("--quantize-vision says what else to quantise", expected="--quantize with it")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are told by our one line
    if not sys.stderr.isatty():
        disable_progress_bar()
    wanted = None if quantize is None else Quantization.of(quantize, vision=vision)
    return load(model, quantize=wanted, **options)
