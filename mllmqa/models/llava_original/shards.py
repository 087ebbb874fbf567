"""Tensors of a checkpoint folder, read one by one: safetensors or ``pytorch_model*.bin``, sharded or not.

Nothing of a pickled file but tensors is read (``weights_only=True``). Both kinds are mapped into memory, so that
a model of several shards costs one model; only ``.bin`` files of torch before 1.6 must be read whole. A tensor
that is used in the type in which it is stored stays mapped: the file must not be changed while the model lives.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mllmqa.errors import ModelLoadError

FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights in one file; ``NAME.index.json`` lists the shards of several."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file. ``stored[...]`` reads it, which is how transformers' loader asks.

    Attributes:
        shape: Its shape.
        read: Returns it, on the CPU, in the type in which it is stored.
    """

    shape: tuple[int, ...]
    read: Callable[[], Any]

    def __getitem__(self, index: Any) -> Any:
        return self.read()[index]


def open_checkpoint(folder: Path) -> dict[str, Stored]:
    """Return all tensors of a folder by key, not yet read.

    Raises:
        ModelLoadError: No weights there, a shard is missing, or a file is damaged or holds more than tensors.
    """
    tensors: dict[str, Stored] = {}
    for file in _files(folder):
        try:
            found = _safetensors(file) if file.suffix == ".safetensors" else _pickled(file)
        except Exception as error:
            raise ModelLoadError(
                f"cannot be read: {type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
                if str(error).strip()
                else f"cannot be read: {type(error).__name__}",
                where=file,
                expected="a whole file of tensors",
            ) from error
        twice = sorted(set(found) & set(tensors))
        if twice:
            raise ModelLoadError(f"the key {twice[0]!r} is in two shards", where=file)
        tensors |= found
    return tensors


def _files(folder: Path) -> list[Path]:
    for name in FILES:
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(index)
        if (folder / name).is_file():
            return [folder / name]
    raise ModelLoadError(
        "no weights in this folder", where=folder, expected=" or ".join(FILES) + ", or their index"
    )


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelLoadError(f"malformed: {error!r}", where=index, expected="a weight_map") from error
    files = [index.parent / name for name in names]
    for file in files:
        if file.parent != index.parent or not file.is_file():
            raise ModelLoadError(f"the shard {file.name!r} is missing", where=index, hint="download it again")
    return files


def _safetensors(file: Path) -> dict[str, Stored]:
    from safetensors import safe_open

    handle: Any = safe_open(str(file), framework="pt", device="cpu")
    return {
        key: Stored(tuple(handle.get_slice(key).get_shape()), partial(handle.get_tensor, key))
        for key in handle.keys()  # noqa: SIM118 - not a dict
    }


def _pickled(file: Path) -> dict[str, Stored]:
    import torch

    tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    return {key: Stored(tuple(value.shape), partial(_same, value)) for key, value in tensors.items()}


def _same(tensor: Any) -> Any:
    return tensor


def with_rows(stored: Stored, rows: int) -> Stored:
    """Return a matrix with rows appended up to ``rows``, each the mean of the stored ones.

    As rows of an output layer they give the mean of the original logits. By Jensen's inequality n new rows
    beside V old ones add at most n/V to the sum of exp(logit), and the old logits do not change.
    """
    missing = rows - stored.shape[0]
    if missing <= 0:
        return stored

    def read() -> Any:
        import torch

        matrix = stored.read()
        mean = matrix.mean(dim=0, keepdim=True, dtype=torch.float32).to(matrix.dtype)
        return torch.cat([matrix, mean.expand(missing, -1)])

    return Stored((rows, *stored.shape[1:]), read)
