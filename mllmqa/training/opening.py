"""Open the model that a stage starts from, through the loading of :mod:`mllmqa.models.load`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mllmqa.errors import UsageError
from mllmqa.models import adapters
from mllmqa.models.base import ModelInfo
from mllmqa.models.hf import HFBackend
from mllmqa.models.load import load_backend
from mllmqa.models.presets import Preset, preset_named, presets
from mllmqa.models.quantize import Quantization, keep_gradients
from mllmqa.models.resolve import ModelSource, resolve
from mllmqa.training.stage import Stage


@dataclass(frozen=True)
class Opened:
    """A model at the start of a stage.

    Attributes:
        model: In evaluation mode, nothing frozen; a PEFT model where the stage continues an adapter.
        processor: Its processor.
        preset: How it is asked, now and when it is saved; fitted to the model.
        source: Where it came from.
        info: Identity for provenance: hub commit, hashes of weights and adapter, quantisation.
        carried: Tensors of the base that a continued adapter had replaced; they are saved with it again.
    """

    model: Any
    processor: Any
    preset: Preset
    source: ModelSource
    info: ModelInfo
    carried: frozenset[str] = frozenset()

    def base_named_from(self, folder: Path) -> tuple[str, str | None]:
        """Return what an adapter in ``folder`` calls its base, and the base's hub revision.

        A preset inside the package by its name, a hub id by itself with the commit that was used; a folder by its
        relative path if it lies beside or below ``folder``, so that both can be moved, else by its absolute path.
        """
        if not self.source.local:
            return self.source.location, self.info.revision
        base, place = Path(self.source.location).resolve(), folder.resolve()
        for name, preset in presets().items():
            if str(preset.weights).startswith("package:") and Path(resolve(name).location).resolve() == base:
                return name, None
        return (os.path.relpath(base, place) if base.is_relative_to(place.parent) else str(base)), None

    def backend(self, model: Any | None = None) -> HFBackend:
        """Return what scores with the model, or with ``model`` in its place, e.g. one in training."""
        chosen = self.model if model is None else model
        if hasattr(chosen, "get_base_model"):
            chosen = chosen.get_base_model()
        return HFBackend(chosen, self.processor, self.preset, self.info)


def open_model(stage: Stage, *, device: str = "cpu") -> Opened:
    """Load what ``stage.model`` names, in the stage's precision and quantisation.

    An adapter (a preset like ``deqa-mix3-lora``, or a folder that a stage wrote) is merged into its base where the
    stage trains parts in full; a stage with ``lora`` continues it, and must describe the same adapter.

    Args:
        stage: Names model, revision, preset, precision, quantisation.
        device: Where it is loaded. The Trainer moves it later; a quantised model stays where it is loaded.

    Raises:
        UsageError: No model is named, or one behind an endpoint.
        MissingExtraError: peft, bitsandbytes or accelerate is needed and not installed.
        ModelLoadError: The model's files cannot be loaded, or the preset is for another family.
    """
    source = source_of(stage)
    continued = source.adapter if stage.lora is not None else None
    backend = load_backend(
        source if continued is None else replace(source, adapter=None),
        device=device,
        dtype=opening_dtype(stage),
        quantization=None if stage.quantize is None else Quantization.of(stage.quantize),
    )
    model, carried = backend.model, frozenset[str]()
    if stage.quantize is not None:
        keep_gradients(model)
    if continued is not None:
        folder = adapters.folder_of(continued, source.adapter_revision)
        model, carried = adapters.attach_trainable(model, folder, where=source.name)
        model.eval()
    return Opened(model, backend.processor, backend.preset, source, backend.info, carried)


def source_of(stage: Stage) -> ModelSource:
    """Return where a stage starts from, to be asked by the stage's preset if it names one.

    Raises:
        UsageError: No model is named, or one behind an endpoint.
        UnknownNameError: No such model or preset.
    """
    if stage.model is None:
        raise UsageError("names no model to start from", where=stage.name, expected="model=NAME or model=FOLDER")
    source = resolve(stage.model, stage.revision)
    if source.remote:
        raise UsageError("a model behind an endpoint cannot be trained", where=source.name)
    if stage.preset is not None:
        return replace(source, preset=preset_named(stage.preset))
    return source


def opening_dtype(stage: Stage) -> str:
    """Return the dtype in which a stage's model is loaded.

    float32 where the language model is trained in full without DeepSpeed: the weights that AdamW changes are kept
    in float32 then (:func:`mllmqa.training.adapt.prepare`), and shall not be rounded before.
    """
    masters = "language" in stage.train and stage.deepspeed is None
    return "float32" if stage.precision == "fp32" or masters else "bfloat16"
