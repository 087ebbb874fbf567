"""Loading a model as the commands do: quietly, with the options that they share."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any

from mllmqa.cli.app import AT_END
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.models.api import ApiOptions
    from mllmqa.models.quantize import Quantization
    from mllmqa.scoring import Scorer


def load_model(
    model: str, rare: dict[str, Any] | None = None, endpoint: ApiOptions | None = None, **options: Any
) -> Scorer:
    """Load a scorer; what libraries say about it is kept from the terminal.

    Args:
        model: As after ``--model``.
        rare: Fields of :class:`~mllmqa.models.load.LocalOptions`; those that are None or False say nothing.
        endpoint: Options of an endpoint.
        options: As for :func:`mllmqa.loading.load`.

    Raises:
        UsageError: Both ``rare`` and ``endpoint`` say something.
    """
    quiet()
    from mllmqa.loading import load
    from mllmqa.models.load import LocalOptions

    said = {name: value for name, value in (rare or {}).items() if value}
    if endpoint is not None and said:
        raise UsageError(f"a model behind an endpoint has no {', '.join(map(_flag, said))}", where=model)
    scorer = load(model, options=endpoint or (LocalOptions(**said) if said else None), **options)
    if close := getattr(scorer.backend, "close", None):
        AT_END.callback(close)
    return scorer


def _flag(field: str) -> str:
    return {"compiled": "--compile"}.get(field, f"--{field}")


def quiet() -> None:
    """Keep from the terminal what libraries say while they load: what is wrong is told by our one line."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    for library in ("huggingface_hub", "bitsandbytes"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()


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
