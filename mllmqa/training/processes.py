"""What the processes of a distributed run must do in step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch


def ready(*, cpu: bool, deepspeed: bool) -> None:
    """Prepare for DeepSpeed on the CPU, after the arguments were made and before the model is loaded.

    Without it ZeRO-3 divides the batch wrongly (facts/infra.md §3).

    Args:
        cpu: Whether the run uses no GPU.
        deepspeed: Whether it uses DeepSpeed.

    Raises:
        MissingExtraError: DeepSpeed is wanted and not installed.
    """
    if not deepspeed:
        return
    from importlib.util import find_spec

    from mllmqa.errors import MissingExtraError

    if find_spec("deepspeed") is None:
        raise MissingExtraError("deepspeed", extra="deepspeed", purpose="ZeRO")
    if cpu:
        import deepspeed as ds

        ds.init_distributed(dist_backend="gloo")


def agreed(find: Callable[[Path], Path | None], folder: Path) -> Path | None:
    """Let the first process look for a checkpoint (and clear up), the others hear what it found."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return find(folder)
    found: list[Path | None] = [find(folder) if torch.distributed.get_rank() == 0 else None]
    torch.distributed.broadcast_object_list(found)
    return found[0]
