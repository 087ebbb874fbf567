"""Load a transformers image-text-to-text model with its processor: safetensors only, no remote code."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mllmqa.errors import MllmqaError, ModelLoadError, UsageError
from mllmqa.models import adapters, quantize
from mllmqa.models.base import ModelInfo
from mllmqa.models.devices import BALANCED, DTYPES, device_map, input_device, pick_device, pick_dtype
from mllmqa.models.presets import ModelSource
from mllmqa.models.quantize import Quantization

if TYPE_CHECKING:
    from mllmqa.models.hf import HFBackend

__all__ = ["DTYPES", "load_backend", "pick_device"]

log = logging.getLogger(__name__)


def load_backend(
    source: ModelSource,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantization: Quantization | None = None,
    compiled: bool = False,
) -> HFBackend:
    """Load model and processor.

    Args:
        source: From :func:`mllmqa.models.presets.resolve`.
        device: ``auto`` (cuda, else mps, else cpu), a torch device string, or ``balanced``: layers spread
            over all GPUs.
        dtype: One of :data:`DTYPES`; ``auto`` is float32 on the CPU, bfloat16 elsewhere.
        quantization: None: full precision.
        compiled: Let torch.compile make kernels of the model; the first batches are slow.

    Raises:
        UsageError: Unknown device or dtype, or quantisation of a checkpoint that is quantised already.
        MissingExtraError: bitsandbytes, accelerate or peft is needed and not installed.
        ModelLoadError: Anything missing, unreadable or inconsistent in the model's files.
    """
    from mllmqa.models.hf import HFBackend

    where = pick_device(device)
    kind = pick_dtype(dtype, where)
    model, processor, commit = _from_pretrained(source, kind, where, quantization)
    how = quantize.describe(model)
    if how is None and where != BALANCED:
        model.to(where)
    model.eval()
    if source.adapter is not None:
        model = adapters.attach(model, source.adapter, merge=how is None, where=source.name)
    if compiled:
        _compile(model)
    folder = Path(source.location)
    info = ModelInfo(
        model=source.name,
        revision=commit,
        weights_sha256=_sha256(folder, _WEIGHTS) if source.local else None,
        settings_sha256=_sha256(folder, _SETTINGS) if source.local else None,
        dtype=str(kind).removeprefix("torch."),
        device=str(input_device(model).type),
        image_processor=type(processor.image_processor).__name__,
        quantization=how,
        adapter_sha256=_sha256(source.adapter, _WEIGHTS | _SETTINGS) if source.adapter else None,
    )
    return HFBackend(model, processor, source.preset, info)


def _from_pretrained(
    source: ModelSource, dtype: Any, where: str, quantization: Quantization | None
) -> tuple[Any, Any, str | None]:
    from mllmqa.models.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor

    from mllmqa.models import nano

    nano.register()
    hub: dict[str, Any] = {"revision": source.revision, "trust_remote_code": False}
    try:
        how = _placement(source, dtype, where, quantization)
        model, report = AutoModelForImageTextToText.from_pretrained(
            source.location, dtype=dtype, use_safetensors=True, output_loading_info=True, **how, **hub
        )
        processor = AutoProcessor.from_pretrained(source.location, **hub)
        # The PIL back end is what the published scorers used; torch's resize differs by up to 4 levels.
        # It is asked for apart, because video processors have none and refuse the request.
        processor.image_processor = AutoImageProcessor.from_pretrained(source.location, backend="pil", **hub)
    except MllmqaError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"cannot be loaded: {type(error).__name__}: {_first_sentence(error)}",
            where=source.name,
            expected="config.json, *.safetensors and a processor that transformers reads without remote code",
            hint=None if source.local else "if this machine is offline, download the model first",
        ) from error
    _check_keys(source, report)
    if quantization is not None:
        quantize.check(model, vision=quantization.vision, where=source.name)
    if not getattr(processor, "chat_template", None):
        raise ModelLoadError("its processor has no chat template", where=source.name)
    return model, processor, getattr(model.config, "_commit_hash", None)


def _compile(model: Any) -> None:
    """Compile the repeated blocks of tower and language model, each kind once, for any batch and length.

    The model as a whole takes minutes: its merging of pictures into text breaks the graph at every call.
    """
    from torch import nn

    for stack in [module for module in model.modules() if isinstance(module, nn.ModuleList)]:
        for block in stack:
            block.compile(dynamic=True)


def _placement(source: ModelSource, dtype: Any, where: str, quantization: Quantization | None) -> dict[str, Any]:
    """Return what ``from_pretrained`` is told about devices and quantisation."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source.location, revision=source.revision, trust_remote_code=False)
    stored = getattr(config, "quantization_config", None) is not None
    if stored or quantization is not None:
        quantize.require()
    made: dict[str, Any] = {}
    if quantization is not None:
        if stored:
            raise UsageError("its weights are quantised already", where=source.name, hint="leave out --quantize")
        skip = quantize.skip_list(quantize.skeleton(config), vision=quantization.vision)
        made["quantization_config"] = quantize.bnb_config(quantization, skip, dtype)
    placed = device_map(where, quantized=stored or quantization is not None)
    return made if placed is None else {**made, "device_map": placed}


def _first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else "no message"


def _check_keys(source: ModelSource, report: dict[str, Any]) -> None:
    """Refuse weights that leave a part random (transformers only warns); name what is not used."""
    for what in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        keys = sorted(str(key) for key in report.get(what, ()))
        if not keys:
            continue
        shown = ", ".join(keys[:3]) + (" …" if len(keys) > 3 else "")
        text = f"{len(keys)} {what.replace('_', ' ')} in its weights: {shown}"
        if what == "unexpected_keys":
            log.warning("%s: %s; they are not used", source.name, text)
            continue
        raise ModelLoadError(text, where=source.name, expected="weights for every part that config.json names")


_WEIGHTS = frozenset({".safetensors"})
_SETTINGS = frozenset({".json", ".jinja", ".model", ".txt"})


def _sha256(folder: Path, suffixes: frozenset[str]) -> str:
    """Return one SHA-256 over names and contents of a folder's files with these suffixes, in name order."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in suffixes and p.is_file()):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
