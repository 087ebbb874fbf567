"""Lets transformers import where torchvision was built for CUDA and torch was not.

The torchvision wheel on PyPI needs the CUDA libraries. Beside a CPU build of torch its compiled part does
not load, its import dies with ``operator torchvision::nms does not exist``, and after it every model class
of transformers: ``Could not import module 'LlavaForConditionalGeneration'``. Only the declarations of two
operators are missing there, and no model that mllmqa runs calls them. :func:`ensure_torchvision` declares
them, after which ``torchvision.transforms`` and the image and video processors of transformers work.
``torchvision.ops.nms`` itself still does not.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from typing import TYPE_CHECKING, Literal

from mllmqa.errors import ModelLoadError

if TYPE_CHECKING:
    import torch.library

State = Literal["absent", "native", "declared"]
"""``absent``: not installed; ``native``: loads by itself; ``declared``: loads with our declarations."""

_MISSING = "operator torchvision::"
_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_lock = threading.Lock()
_state: State | None = None
_library: torch.library.Library | None = None  # torch forgets the operators when this is collected


def ensure_torchvision() -> State:
    """Make ``import torchvision`` work if it is installed; call it before importing a transformers model.

    The first call imports torchvision and later ones return what the first one found. Nothing is changed
    where torchvision is absent or loads by itself.

    Returns:
        How torchvision is available.

    Raises:
        ModelLoadError: torchvision is installed and does not load, for another reason than the missing
            operators. transformers would not load any model either.
    """
    global _state
    with _lock:
        if _state is None:
            _state = _load()
        return _state


def has_torchvision() -> bool:
    """Whether torchvision can be used here, with or without our declarations."""
    try:
        return ensure_torchvision() != "absent"
    except ModelLoadError:
        return False


def _load() -> State:
    """Import torchvision, declaring the missing operators when that is what it dies of."""
    if "torchvision" not in sys.modules and importlib.util.find_spec("torchvision") is None:
        return "absent"
    try:
        importlib.import_module("torchvision")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        if _MISSING not in str(error):
            raise _broken(error) from error
    else:
        return "native" if _library is None else "declared"
    _declare()
    try:
        importlib.import_module("torchvision")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise _broken(error) from error
    return "declared"


def _declare() -> None:
    """Declare the operators, without any implementation, and keep them alive."""
    global _library
    import torch

    if _library is None:
        _library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in _OPERATORS:
            if not hasattr(torch.ops.torchvision, name):
                _library.define(f"{name}{_SCHEMA}")  # type: ignore[no-untyped-call]


def _broken(error: Exception) -> ModelLoadError:
    return ModelLoadError(
        f"torchvision is installed but does not load: {type(error).__name__}: {error}",
        hint="install the torchvision that belongs to this torch, or uninstall it",
    )
