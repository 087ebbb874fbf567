"""Load a transformers image-text-to-text model with its processor, without remote code.

Weights are safetensors; of mPLUG-Owl2 also ``pytorch_model*.bin``, which its authors publish, read with
``weights_only=True`` (tensors only, no code).
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mllmqa.errors import MllmqaError, ModelLoadError, UsageError
from mllmqa.models import adapters, quantize
from mllmqa.models.base import ModelInfo
from mllmqa.models.devices import BALANCED, DTYPES, device_map, input_device, pick_device, pick_dtype
from mllmqa.models.diagnosis import cannot_load, check_tokenizer
from mllmqa.models.quantize import Quantization
from mllmqa.models.resolve import ModelSource

if TYPE_CHECKING:
    from mllmqa.models.hf import HFBackend

__all__ = ["DTYPES", "LocalOptions", "load_backend", "pick_device"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalOptions:
    """What is rarely said about a model on this machine.

    Attributes:
        base: Model under an adapter; None: the one that the adapter names.
        compiled: Use torch.compile; the first batches are slow.
        vision_tower: Folder of the vision tower of an original LLaVA checkpoint that comes without.
    """

    base: str | None = None
    compiled: bool = False
    vision_tower: Path | None = None


def load_backend(
    source: ModelSource,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantization: Quantization | None = None,
    options: LocalOptions | None = None,
    answers_only: bool = False,
) -> HFBackend:
    """Load model and processor.

    Args:
        source: From :func:`mllmqa.models.resolve.resolve`.
        device: ``auto`` (cuda, else mps, else cpu), a torch device string, or ``balanced``: layers spread
            over all GPUs.
        dtype: One of :data:`DTYPES`; ``auto`` is float32 on the CPU, bfloat16 elsewhere. Or
            :data:`~mllmqa.models.devices.STORED`.
        quantization: None: full precision.
        options: Rarely needed; the base of an adapter is in ``source`` already.
        answers_only: The model will be neither trained nor moved, so nano's towers may be folded.

    Raises:
        UsageError: Unknown device or dtype, or quantisation of a checkpoint that is quantised already.
        MissingExtraError: bitsandbytes, accelerate or peft is needed and not installed.
        ModelLoadError: Anything missing, unreadable or inconsistent in the model's files.
    """
    from mllmqa.models.hf import HFBackend
    from mllmqa.models.nano import folding

    if source.remote:
        raise UsageError("a model behind an endpoint has no files here", where=source.name)
    options = options or LocalOptions()
    where = pick_device(device)
    kind = pick_dtype(dtype, where)
    model, processor, commit = _open(source, kind, where, quantization, options.vision_tower)
    how = quantize.describe(model)
    if how is None and where != BALANCED:
        model.to(where)
    model.eval()
    adapter = None
    if source.adapter is not None:
        adapter = adapters.folder_of(source.adapter, source.adapter_revision)
        model = adapters.attach(model, adapter, merge=how is None, where=source.name)
    if answers_only and where != BALANCED:  # there accelerate places modules, and would not know of the copies
        folding.fold(model)
    if options.compiled:
        _compile(model)
    preset = source.preset.fitted(model.config.model_type, getattr(model.config, "input_side", None))
    return HFBackend(model, processor, preset, _info(source, model, processor, commit, adapter))


def _info(source: ModelSource, model: Any, processor: Any, commit: str | None, adapter: Path | None) -> ModelInfo:
    """Return what records say of a model."""
    folder = Path(source.location)
    return ModelInfo(
        model=source.name,
        revision=commit,
        weights_sha256=_sha256(folder, _WEIGHTS) if source.local else None,
        settings_sha256=_sha256(folder, _SETTINGS) if source.local else None,
        dtype=_dtype_of(model),
        device=str(input_device(model).type),
        image_processor=type(processor.image_processor).__name__,
        quantization=quantize.describe(model),
        adapter_sha256=_sha256(adapter, _WEIGHTS | _SETTINGS) if adapter else None,
    )


def _dtype_of(model: Any) -> str:
    """Return the dtype of the weights, and of the vision tower's products where that is another (nano on CPUs)."""
    own = str(model.dtype).removeprefix("torch.")
    inside = {getattr(module, "computes_in", model.dtype) for module in model.modules()} - {model.dtype}
    return own + "".join(
        f", vision computed in {str(kind).removeprefix('torch.')}" for kind in sorted(inside, key=str)
    )


def _open(
    source: ModelSource, dtype: Any, where: str, quantization: Quantization | None, vision_tower: Path | None
) -> tuple[Any, Any, str | None]:
    """Return model, processor and the commit on the hub; whatever libraries raise becomes one line."""
    from mllmqa.models.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    from transformers.utils.hub import resolve_revision

    from mllmqa.models import nano, originals

    nano.register()
    try:
        if not source.local:  # one commit for all files, and for the provenance
            source = replace(source, revision=resolve_revision(source.location, source.revision))
        folder = originals.original_folder(source)
        if folder is None:
            if vision_tower is not None:
                raise UsageError(
                    "a vision tower is named",
                    where=source.name,
                    expected="that for original LLaVA checkpoints only",
                )
            model, processor = _from_pretrained(source, dtype, where, quantization)
        else:
            config = originals.configuration(folder, vision_tower)
            seeing = originals.seeing_parts(folder)
            how = _placement(source, config, dtype, where, quantization, seeing)
            model, processor = originals.load(folder, dtype, vision_tower, **how)
    except MllmqaError:
        raise
    except Exception as error:
        raise cannot_load(error, source.name, Path(source.location) if source.local else None) from error
    if quantization is not None:
        quantize.check(model, vision=quantization.vision, where=source.name)
    if not getattr(processor, "chat_template", None):
        raise ModelLoadError("its processor has no chat template", where=source.name)
    check_tokenizer(processor, source.name)
    return model, processor, getattr(source.revision, "resolved", source.revision)


def _from_pretrained(
    source: ModelSource, dtype: Any, where: str, quantization: Quantization | None
) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedConfig

    from mllmqa.models import mplug_owl2, vqa2_motion

    hub: dict[str, Any] = {"revision": source.revision, "trust_remote_code": False}
    kind = PreTrainedConfig.get_config_dict(source.location, **hub)[0].get("model_type")
    if other := _OTHERS.get(str(kind)):
        raise ModelLoadError(f"its model_type is {kind!r}, {other}", where=source.name)
    original = kind == mplug_owl2.MODEL_TYPE
    if original:  # only then: registering imports its whole family
        mplug_owl2.register()
    if kind == vqa2_motion.MODEL_TYPE:
        vqa2_motion.register()
    config = AutoConfig.from_pretrained(source.location, **hub)
    how = _placement(source, config, dtype, where, quantization)
    if not original:
        how["use_safetensors"] = True
    model, report = AutoModelForImageTextToText.from_pretrained(
        source.location,
        dtype=dtype,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # _check_keys refuses them by name
        **how,
        **hub,
    )
    _check_keys(source, report, strict=original)
    return model, processor_of(source, hub, kind)


def processor_of(source: ModelSource, where: dict[str, Any], kind: str | None = None) -> Any:
    """Return the processor of a model, its pictures prepared by PIL.

    Args:
        source: Where it is.
        where: Given to ``from_pretrained``, e.g. ``revision``.
        kind: ``model_type`` of its configuration, where that is known.
    """
    from transformers import AutoImageProcessor, AutoProcessor

    from mllmqa.models import vqa2_motion

    if kind == vqa2_motion.MODEL_TYPE:
        from mllmqa.models.vqa2_motion.processing import Vqa2Processor

        return Vqa2Processor.from_pretrained(source.location, **where)
    processor = AutoProcessor.from_pretrained(source.location, **where)
    if getattr(processor.image_processor, "backend", None) != "pil":
        # The PIL back end is what the published scorers used; torch's resize differs by up to 4 levels.
        # It is asked for apart, because video processors have none and refuse the request.
        processor.image_processor = AutoImageProcessor.from_pretrained(source.location, backend="pil", **where)
    return processor


def _compile(model: Any) -> None:
    """Compile the repeated blocks of tower and language model, each kind once, for any batch and length.

    The model as a whole takes minutes: its merging of pictures into text breaks the graph at every call.
    """
    import torch
    from torch import nn

    # All blocks share one wrapper in transformers; with the default of 8 variants most would stay as they are.
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    for stack in [module for module in model.modules() if isinstance(module, nn.ModuleList)]:
        for block in stack:
            block.compile(dynamic=True)


def _placement(
    source: ModelSource,
    config: Any,
    dtype: Any,
    where: str,
    quantization: Quantization | None,
    seeing: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return what ``from_pretrained`` is told about devices and quantisation.

    ``seeing`` names modules of the vision that the configuration does not know.
    """
    stored = getattr(config, "quantization_config", None) is not None
    if stored or quantization is not None:
        quantize.require()
    made: dict[str, Any] = {}
    if quantization is not None:
        if stored:
            raise UsageError("its weights are quantised already", where=source.name, hint="leave out --quantize")
        skip = quantize.skip_list(quantize.skeleton(config), vision=quantization.vision)
        skip += () if quantization.vision else seeing
        made["quantization_config"] = quantize.bnb_config(quantization, skip, dtype)
    placed = device_map(where, quantized=stored or quantization is not None)
    return made if placed is None else {**made, "device_map": placed}


def _check_keys(source: ModelSource, report: dict[str, Any], *, strict: bool) -> None:
    """Refuse weights that leave a part random (transformers only warns); name what is not used.

    ``strict`` refuses unexpected keys, too: the original layouts are known to the last key.
    """
    for what in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        keys = sorted(_key(entry) for entry in report.get(what, ()))
        if not keys:
            continue
        shown = ", ".join(keys[:3]) + (" …" if len(keys) > 3 else "")
        text = f"{len(keys)} {what.replace('_', ' ')} in its weights: {shown}"
        if what == "unexpected_keys" and not strict:
            log.warning("%s: %s; they are not used", source.name, text)
            continue
        raise ModelLoadError(text, where=source.name, expected="weights for every part that config.json names")


def _key(entry: Any) -> str:
    """Name a key; wrong shapes are reported as (key, shape there, shape here)."""
    if isinstance(entry, str):
        return entry
    name, there, here = entry
    return f"{name} is {tuple(there)}, not {tuple(here)}"


_OTHERS = {"mplug_owl2_1": "mPLUG-Owl2.1 on Qwen, another architecture than mplug_owl2 on LLaMA, and not supported"}
"""Families that are easily taken for supported ones."""

_WEIGHTS = frozenset({".safetensors", ".bin"})
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
