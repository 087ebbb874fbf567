"""Write a clean copy of a model: safetensors, configuration, processor, nothing that needs remote code."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mllmqa.errors import ModelLoadError, UsageError
from mllmqa.models.load import LocalOptions, load_backend
from mllmqa.models.presets import GENERIC_PRESET
from mllmqa.models.resolve import resolve
from mllmqa.models.save import check_known, save_whole


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        folder: Where.
        preset: The preset that its marker names, None where none fits.
        parameters: Number of parameters, buffers left out.
        dtype: Of the weights, e.g. ``bfloat16``.
        size_bytes: Of all files together.
    """

    folder: Path
    preset: str | None
    parameters: int
    dtype: str
    size_bytes: int


def convert(
    source: str,
    destination: Path,
    *,
    dtype: str = "stored",
    revision: str | None = None,
    options: LocalOptions | None = None,
) -> Converted:
    """Load a model in whatever layout its authors published and save it as stock ``from_pretrained`` reads it.

    The folder appears when it is complete; a conversion that is stopped leaves ``DESTINATION.part`` behind,
    which the next one replaces. Needs memory for the whole model.

    Args:
        source: Preset name, folder or hub id.
        destination: Folder to be made.
        dtype: ``stored`` keeps the dtype of the checkpoint; else as for :func:`mllmqa.load`.
        revision: Hub revision.
        options: The base of an adapter, the vision tower of an original LLaVA checkpoint.

    Raises:
        UsageError: The destination exists, or cannot be written.
        ModelLoadError: The model cannot be loaded.
    """
    if destination.exists():
        raise UsageError("exists already", where=destination, expected="a folder that is to be made")
    options = options or LocalOptions()
    backend = load_backend(resolve(source, revision, options.base), device="cpu", dtype=dtype, options=options)
    check_known(backend.model)
    part = destination.with_name(f"{destination.name}.part")
    try:
        if part.exists():
            shutil.rmtree(part)
        part.mkdir(parents=True)
        save_whole(backend.model, backend.processor, backend.preset, part)
        part.rename(destination)
    except OSError as error:
        raise UsageError(f"cannot be written: {error}", where=destination) from error
    size = sum(path.stat().st_size for path in destination.rglob("*") if path.is_file())
    if not any(destination.glob("*.safetensors")):
        raise ModelLoadError("no weights were written", where=destination)
    preset = None if backend.preset.name == GENERIC_PRESET else backend.preset.name
    return Converted(destination, preset, backend.model.num_parameters(), backend.info.dtype, size)
