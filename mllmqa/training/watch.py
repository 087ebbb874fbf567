"""Stops a run whose loss is not finite or runs away, and writes out the batch that did it."""

from __future__ import annotations

import json
import math
import statistics
from collections import deque
from pathlib import Path
from typing import Any

from mllmqa.errors import TrainingError
from mllmqa.whole_file import write_whole

WINDOW = 50
"""Losses whose median says what is usual."""
RUNAWAY, IN_A_ROW = 10.0, 5
"""A run diverges if so many losses in a row exceed the usual one by so many times its size (at least 1)."""


class Watch:
    """Looks at the loss of every batch.

    Args:
        folder: Where an offending batch is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._usual: deque[float] = deque(maxlen=WINDOW)
        self._high = 0

    def look(self, step: int, numbers: dict[str, float], batch: dict[str, Any]) -> None:
        """Check one batch.

        Args:
            step: Of the optimiser.
            numbers: Losses by name, with ``total``.
            batch: As the collator made it.

        Raises:
            TrainingError: The total is not finite, or the losses run away.
        """
        total = numbers["total"]
        if not math.isfinite(total):
            wrong = [name for name, value in numbers.items() if not math.isfinite(value) and name != "total"]
            raise self._stop(f"the loss is {total} ({', '.join(wrong) or 'their sum'})", step, numbers, batch)
        if len(self._usual) == WINDOW:
            usual = statistics.median(self._usual)
            self._high = self._high + 1 if total - usual > RUNAWAY * max(1.0, abs(usual)) else 0
            if self._high >= IN_A_ROW:
                raise self._stop(f"the loss runs away: {total:.4g}, usual {usual:.4g}", step, numbers, batch)
        if not self._high:
            self._usual.append(total)

    def _stop(self, what: str, step: int, numbers: dict[str, float], batch: dict[str, Any]) -> TrainingError:
        """Write ``bad_batch.json`` (what it was) and ``bad_batch.pt`` (its tensors); others than the first process
        put their number in the name."""
        import torch

        self._folder.mkdir(parents=True, exist_ok=True)
        number = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        name = f"bad_batch-{number}" if number else "bad_batch"
        about = {"step": step, "losses": {k: repr(v) for k, v in numbers.items()}, "samples": batch["ids"]}
        place = self._folder / f"{name}.json"
        write_whole(place, json.dumps(about, indent=1) + "\n")
        tensors = {**batch["inputs"], "labels": batch["labels"]}
        on_cpu = {key: value.cpu() for key, value in tensors.items() if isinstance(value, torch.Tensor)}
        torch.save(on_cpu, self._folder / f"{name}.pt")
        return TrainingError(
            what, where=f"step {step}", expected="a finite loss that falls",
            hint=f"the batch is in {place}; lower optimizer.rate, or mend these samples",
        )  # fmt: skip
