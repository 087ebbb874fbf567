"""Load a transformers image-text-to-text model with its processor, without remote code.

Weights are safetensors; of mPLUG-Owl2 also ``pytorch_model*.bin``, which its authors publish, read with
``weights_only=True`` (tensors only, no code).
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mllmqa.errors import MllmqaError, ModelLoadError, UsageError
from mllmqa.models.base import ModelInfo
from mllmqa.models.presets import ModelSource

if TYPE_CHECKING:
    from mllmqa.models.hf import HFBackend

log = logging.getLogger(__name__)

DTYPES = ("auto", "float32", "bfloat16", "float16")
STORED = "stored"
"""The dtype of the checkpoint; for conversions."""


def load_backend(source: ModelSource, *, device: str = "auto", dtype: str = "auto") -> HFBackend:
    """Load model and processor.

    Args:
        source: From :func:`mllmqa.models.presets.resolve`.
        device: ``auto`` (cuda, else mps, else cpu) or a torch device string.
        dtype: One of :data:`DTYPES`; ``auto`` is float32 on the CPU, bfloat16 elsewhere. Or :data:`STORED`.

    Raises:
        UsageError: Unknown device or dtype.
        ModelLoadError: Anything missing, unreadable or inconsistent in the model's files.
    """
    import torch

    from mllmqa.models.hf import HFBackend

    where = pick_device(device)
    kind = _pick_dtype(dtype, where)
    model, processor, commit = _from_pretrained(source, kind)
    model.to(where).eval()
    preset = source.preset.fitted(model.config.model_type, getattr(model.config, "input_side", None))
    info = ModelInfo(
        model=source.name,
        revision=commit,
        weights_sha256=_sha256(Path(source.location), _WEIGHTS) if source.local else None,
        settings_sha256=_sha256(Path(source.location), _SETTINGS) if source.local else None,
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(torch.device(where).type),
        image_processor=type(processor.image_processor).__name__,
    )
    return HFBackend(model, processor, preset, info)


def pick_device(name: str) -> str:
    """Return a torch device string that exists here.

    Raises:
        UsageError: Not a device of this machine.
    """
    import torch

    if name.startswith("meta"):
        raise UsageError("the device 'meta' holds no data", expected="auto, cpu, cuda, cuda:N or mps")
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0][:80]})",
            expected="auto, cpu, cuda, cuda:N or mps",
        ) from error
    return name


def _pick_dtype(name: str, device: str) -> Any:
    import torch

    if name == STORED:
        return "auto"  # what transformers calls it
    if name not in DTYPES:
        raise UsageError(f"unknown dtype {name!r}", expected=" | ".join(DTYPES))
    if name == "auto":
        return torch.float32 if device == "cpu" else torch.bfloat16
    return getattr(torch, name)


def _from_pretrained(source: ModelSource, dtype: Any) -> tuple[Any, Any, str | None]:
    from mllmqa.models.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    from transformers import AutoConfig, AutoModelForImageTextToText

    from mllmqa.models import mplug_owl2, nano

    nano.register()
    mplug_owl2.register()
    where: dict[str, Any] = {"revision": source.revision, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(source.location, **where)
        original = config.model_type == mplug_owl2.MODEL_TYPE
        weights = {} if original else {"use_safetensors": True}
        model, report = AutoModelForImageTextToText.from_pretrained(
            source.location, dtype=dtype, output_loading_info=True, **weights, **where
        )
        processor = _processor(source, where)
    except MllmqaError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"cannot be loaded: {type(error).__name__}: {_first_sentence(error)}",
            where=source.name,
            expected="config.json, *.safetensors and a processor that transformers reads without remote code",
            hint=None if source.local else "if this machine is offline, download the model first",
        ) from error
    _check_keys(source, report, strict=original)
    if not getattr(processor, "chat_template", None):
        raise ModelLoadError("its processor has no chat template", where=source.name)
    return model, processor, getattr(model.config, "_commit_hash", None)


def _processor(source: ModelSource, where: dict[str, Any]) -> Any:
    from transformers import AutoImageProcessor, AutoProcessor

    processor = AutoProcessor.from_pretrained(source.location, **where)
    if getattr(processor.image_processor, "backend", None) != "pil":
        # The PIL back end is what the published scorers used; torch's resize differs by up to 4 levels.
        # It is asked for apart, because video processors have none and refuse the request.
        processor.image_processor = AutoImageProcessor.from_pretrained(source.location, backend="pil", **where)
    return processor


def _first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else "no message"


def _check_keys(source: ModelSource, report: dict[str, Any], *, strict: bool) -> None:
    """Refuse weights that leave a part random (transformers only warns); name what is not used.

    ``strict`` refuses unexpected keys, too: the original layouts are known to the last key.
    """
    for what in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        keys = sorted(str(key) for key in report.get(what, ()))
        if not keys:
            continue
        shown = ", ".join(keys[:3]) + (" …" if len(keys) > 3 else "")
        text = f"{len(keys)} {what.replace('_', ' ')} in its weights: {shown}"
        if what == "unexpected_keys" and not strict:
            log.warning("%s: %s; they are not used", source.name, text)
            continue
        raise ModelLoadError(text, where=source.name, expected="weights for every part that config.json names")


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
