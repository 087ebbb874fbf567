"""What a stage writes: a whole model, or an adapter with what was trained in full beside it.

An adapter's folder has PEFT's layout. What is trained in full beside the adapters is stored in the same
``adapter_model.safetensors`` under the names of the base, as PEFT stores ``modules_to_save``: PEFT's own
``PeftModel.from_pretrained(base, folder)`` puts it where it belongs, too, single parameters and statistics of batch
norms included.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mllmqa.convert import convert
from mllmqa.errors import UsageError
from mllmqa.models.adapters import CONFIG_FILE, PREFIX, WEIGHTS_FILE
from mllmqa.models.presets import GENERIC_PRESET
from mllmqa.models.resolve import MARKER_FILE, write_marker
from mllmqa.models.save import save_whole
from mllmqa.training.opening import Opened
from mllmqa.training.parts import base_name, is_lora

_OWN = ("*.safetensors", "*.safetensors.index.json", CONFIG_FILE, MARKER_FILE)
"""Files of an earlier save that must not outlive it."""


def save_trained(
    model: Any,
    opened: Opened,
    folder: Path,
    *,
    dtype: str | None = None,
    merged: Path | None = None,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the end of a stage so that ``mllmqa score --model FOLDER`` works.

    All is written beside ``folder`` first and moved in then, the configuration last: a folder with a
    configuration is complete. Other files that lie in it stay.

    Args:
        model: From :func:`mllmqa.training.adapt.prepare`.
        opened: What the stage began with.
        folder: Whole model, or adapter; made if need be.
        dtype: Stored floating-point type of a whole model or of ``merged``, e.g. ``bfloat16``; None: as in memory,
            and for ``merged`` as the base is stored. Adapters are stored as they are in memory.
        merged: For adapters: also a whole model, merged into the base's weights as they are stored, never into
            quantised ones.
        state: The model's tensors, where it does not hold them itself (ZeRO-3 gathers them).

    Raises:
        UsageError: Nothing to merge, or a folder cannot be written.
        ModelLoadError: The base cannot be loaded any more, to merge into it.
    """
    if merged is not None and not is_adapted(model):
        raise UsageError("nothing is to be merged", where=merged, expected="a stage with `lora`")
    part = folder.with_name(f"{folder.name}.part")
    try:
        if part.exists():
            shutil.rmtree(part)
        part.mkdir(parents=True)
        write_weights(model, opened, part, dtype=dtype, state=state, named_from=folder)
        _move(part, folder)
    except OSError as error:
        raise UsageError(f"cannot be written: {error}", where=folder) from error
    if merged is not None:
        convert(str(folder), merged, dtype=dtype or "stored")


def write_weights(
    model: Any,
    opened: Opened,
    folder: Path,
    *,
    dtype: str | None = None,
    state: Mapping[str, Tensor] | None = None,
    named_from: Path | None = None,
) -> None:
    """Write weights, configuration, processor and marker into a folder: the checkpoints of the Trainer, too.

    Args:
        model: See :func:`save_trained`.
        opened: See :func:`save_trained`.
        folder: Exists.
        dtype: See :func:`save_trained`.
        state: See :func:`save_trained`.
        named_from: Folder from which an adapter names its base; None: ``folder``.
    """
    if not is_adapted(model):
        save_whole(model, opened.processor, opened.preset, folder, dtype=dtype, state=state)
        return
    from safetensors.torch import save_file

    tensors = adapter_tensors(model, opened.carried, state)
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    config = copy.copy(model.peft_config["default"])
    config.inference_mode = True
    config.base_model_name_or_path, config.revision = opened.base_named_from(named_from or folder)
    config.save_pretrained(str(folder))
    if opened.preset.name != GENERIC_PRESET:
        write_marker(folder, opened.preset.name)


def is_adapted(model: Any) -> bool:
    """Tell whether a model carries adapters of PEFT."""
    return getattr(model, "peft_config", None) is not None


def adapter_tensors(
    model: Any, carried: Iterable[str] = (), state: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return what an adapter's file holds, by PEFT's names: adapters, and tensors that replace those of the base.

    Args:
        model: A PEFT model.
        carried: Names of tensors of the base that are saved whether they are trained or not.
        state: See :func:`save_trained`.
    """
    from peft import get_peft_model_state_dict

    state = model.state_dict() if state is None else state
    found = dict(get_peft_model_state_dict(model, state_dict=dict(state), save_embedding_layers=False))
    places = {base_name(name): name for name in state if not is_lora(name)}
    for name in sorted({*carried, *trained_in_full(model)}):
        found[PREFIX + name] = state[places[name]]
    return {name: value.detach().cpu().contiguous() for name, value in found.items()}


def trained_in_full(model: nn.Module) -> list[str]:
    """Name the trained parameters that are no adapter's, and the stored buffers beside them, as in the base."""
    stored = model.state_dict().keys()
    found: list[str] = []
    seen: set[int] = set()
    for path, module in model.named_modules():
        own = {f"{path}.{n}": p for n, p in module.named_parameters(recurse=False) if p.requires_grad}
        own = {name: p for name, p in own.items() if not is_lora(name) and id(p) not in seen}  # tied ones once
        seen |= {id(p) for p in own.values()}
        buffers = [f"{path}.{name}" for name, _ in module.named_buffers(recurse=False)] if own else []
        found += [base_name(name) for name in (*own, *buffers) if name in stored]
    return found


def _move(part: Path, folder: Path) -> None:
    """Move a complete save into its folder; what tells that the folder is a model goes last."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {path.name: path for path in part.iterdir()}
    last = [name for name in ("config.json", CONFIG_FILE) if name in files]
    for pattern in ("config.json", *_OWN):
        for old in folder.glob(pattern):
            old.unlink()
    for name in [*(name for name in files if name not in last), *last]:
        files[name].replace(folder / name)
    part.rmdir()
