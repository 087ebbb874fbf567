"""Loading a model as the commands do: quietly, with the options that they share."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.models.api import ApiOptions
    from mllmqa.models.quantize import Quantization
    from mllmqa.scoring import Scorer


def load_model(model: str, rare: dict[str, Any] | ApiOptions | None = None, **options: Any) -> Scorer:
    """Load a scorer; what libraries say about it is kept from the terminal.

    Args:
        model: As after ``--model``.
        rare: Fields of :class:`~mllmqa.models.load.LocalOptions` (those that are None or False say nothing), or
            the options of an endpoint.
        options: As for :func:`mllmqa.loading.load`.
    """
    from transformers.utils.logging import disable_progress_bar

    from mllmqa.loading import load
    from mllmqa.models.load import LocalOptions

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are told by our one line
    if not sys.stderr.isatty():
        disable_progress_bar()
    if rare is None or isinstance(rare, dict):
        said = {name: value for name, value in (rare or {}).items() if value}
        return load(model, options=LocalOptions(**said) if said else None, **options)
    return load(model, options=rare, **options)


def quantization(scheme: str | None, vision: bool) -> Quantization | None:
    """Read ``--quantize`` and ``--quantize-vision``.

    Raises:
        UsageError: ``--quantize-vision`` by itself, or an unknown scheme.
    """
    from mllmqa.models.quantize import Quantization

    if scheme is not None:
        return Quantization.of(scheme, vision=vision)
    if vision:
        raise UsageError("--quantize-vision says what else to quantise", expected="--quantize with it")
    return None
