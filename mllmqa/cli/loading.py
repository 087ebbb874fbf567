"""Loading a model as the commands do: quietly, with the options that they share."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mllmqa.cli.ending import AT_END
from mllmqa.cli.groups import OptionGroup, Without
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.models.api import ApiOptions
    from mllmqa.models.quantize import Quantization
    from mllmqa.scoring import Scorer

DEVICES = "auto | cpu | cuda | cuda:N | mps | balanced"
DTYPES = "auto | float32 | bfloat16 | float16"
BITS = "8bit|4bit"


@dataclass(frozen=True)
class LoadingWishes(OptionGroup):
    """How a model on this machine shall be loaded."""

    device: Annotated[str, typer.Option(help=DEVICES)] = "auto"
    dtype: Annotated[str, typer.Option(help=DTYPES)] = "auto"
    quantize: Annotated[str | None, typer.Option(metavar=BITS, help="Of the language model.")] = None
    quantize_vision: Annotated[bool, typer.Option("--quantize-vision", help="Of the vision tower, too.")] = False
    base: Annotated[str | None, typer.Option(metavar="MODEL", help="Under an adapter given as the model.")] = None
    compiled: Annotated[bool, typer.Option("--compile", help="torch.compile: slow start.")] = False

    def load(
        self,
        model: str,
        endpoint: ApiOptions | None = None,
        anchors: str | os.PathLike[str] | Literal[False] | None = None,
    ) -> Scorer:
        """Load a scorer; what libraries say about it is kept from the terminal.

        Args:
            model: As after ``--model``.
            endpoint: Options of an endpoint; None for a model on this machine.
            anchors: As for :func:`mllmqa.loading.load`.

        Raises:
            UsageError: What is wished cannot be had, among it all that an endpoint has no say in.
        """
        bits = self.quantization()
        quiet()
        from mllmqa.loading import load
        from mllmqa.models.load import LocalOptions

        rare: dict[str, Any] = {"base": self.base, "compiled": self.compiled}
        said = {name: value for name, value in rare.items() if value}
        if endpoint is not None and said:
            raise UsageError(f"a model behind an endpoint has no {', '.join(map(_flag, said))}", where=model)
        options = endpoint or (LocalOptions(**said) if said else None)
        scorer = load(model, device=self.device, dtype=self.dtype, quantize=bits, anchors=anchors, options=options)
        if close := getattr(scorer.backend, "close", None):
            AT_END.callback(close)
        return scorer

    def quantization(self) -> Quantization | None:
        """Read ``--quantize`` and ``--quantize-vision``.

        Raises:
            UsageError: ``--quantize-vision`` by itself, or an unknown scheme.
        """
        from mllmqa.models.quantize import Quantization

        if self.quantize is not None:
            return Quantization.of(self.quantize, vision=self.quantize_vision)
        if self.quantize_vision:
            raise UsageError("--quantize-vision says what else to quantise", expected="--quantize with it")
        return None


Loading = Annotated[LoadingWishes, Without("compiled")]
"""Of the commands that ask a model too little for torch.compile to be worth its slow start."""


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
