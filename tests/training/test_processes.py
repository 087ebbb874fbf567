"""What processes do in step: one looks for a checkpoint, all hear of it; each writes its own bad batch."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from mllmqa.errors import MissingExtraError, TrainingError
from mllmqa.training import processes
from mllmqa.training.watch import Watch


def found_in(folder: Path) -> Path | None:
    """Looks, and says so: who looks may also clear up."""
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    (folder / f"looked-{rank}").touch()
    checkpoint = folder / "checkpoint-4"
    return checkpoint if checkpoint.is_dir() else None


def in_step(rank: int, folder: Path) -> None:
    """One of two processes."""
    store = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    try:
        agreed = processes.agreed(found_in, folder)
        (folder / f"heard-{rank}").write_text(str(agreed))
        batch = {"inputs": {"input_ids": torch.tensor([[rank]])}, "labels": torch.tensor([[rank]]), "ids": ["a"]}
        try:
            Watch(folder).look(1, {"total": float("nan")}, batch)
        except TrainingError as error:
            (folder / f"stopped-{rank}").write_text(str(error))
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("there", [True, False])
def test_one_looks_and_all_hear(there: bool, tmp_path: Path) -> None:
    if there:
        (tmp_path / "checkpoint-4").mkdir()
    multiprocessing.spawn(in_step, (tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]
    heard = {(tmp_path / f"heard-{rank}").read_text() for rank in range(2)}
    assert heard == {str(tmp_path / "checkpoint-4") if there else "None"}
    assert sorted(path.name for path in tmp_path.glob("looked-*")) == ["looked-0"]
    assert torch.load(tmp_path / "bad_batch.pt", weights_only=True)["labels"].tolist() == [[0]]
    assert torch.load(tmp_path / "bad_batch-1.pt", weights_only=True)["labels"].tolist() == [[1]]
    assert "bad_batch-1.json" in (tmp_path / "stopped-1").read_text()


def test_a_single_process_looks_itself(tmp_path: Path) -> None:
    assert processes.agreed(found_in, tmp_path) is None
    (tmp_path / "checkpoint-4").mkdir()
    assert processes.agreed(found_in, tmp_path) == tmp_path / "checkpoint-4"


def test_nothing_is_needed_without_deepspeed() -> None:
    before = set(sys.modules)
    processes.ready(cpu=True, deepspeed=False)
    assert "deepspeed" not in set(sys.modules) - before


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="deepspeed is installed")
def test_deepspeed_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingExtraError, match=r"ZeRO needs the package deepspeed.*mllmqa\[deepspeed\]"):
        processes.ready(cpu=True, deepspeed=True)
