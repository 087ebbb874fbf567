"""What a run tells: one line on stderr and one record in ``log.jsonl`` for every log."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from mllmqa.models.torchvision_shim import ensure_torchvision
from mllmqa.whole_file import write_whole

ensure_torchvision()  # before any model class of transformers is imported

from transformers import TrainerCallback  # noqa: E402

log = logging.getLogger(__name__)

FILE = "log.jsonl"
_FIRST = ("loss", "grad_norm", "learning_rate")
_QUIET = (
    "epoch",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "total_flos",
    "train_loss",
)


class Journal(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Writes the log of the first process.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._began = 0.0
        self._at = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Forget what an earlier run logged after the checkpoint that this one goes on from."""
        self._began, self._at = time.monotonic(), state.global_step
        if not state.is_world_process_zero:
            return
        kept = [line for line in _lines(self._path) if json.loads(line)["step"] <= state.global_step]
        if state.global_step:
            log.info("continues at step %d of %d", state.global_step, state.max_steps)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, "".join(kept))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Append one record, say one line."""
        if not state.is_world_process_zero or not logs:
            return
        shown = {key: value for key, value in logs.items() if key not in _QUIET}
        if not shown:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": state.global_step, **shown}) + "\n")
        names = [*(n for n in _FIRST if n in shown), *(n for n in shown if n not in _FIRST)]
        figures = "  ".join(f"{name} {_figure(shown[name])}" for name in names)
        log.info("step %d of %d  %s%s", state.global_step, state.max_steps, figures, self._left(state))

    def _left(self, state: Any) -> str:
        """Time that the rest will take at the speed since the start."""
        done = state.global_step - self._at
        if not done or state.global_step >= state.max_steps:
            return ""
        seconds = (time.monotonic() - self._began) / done * (state.max_steps - state.global_step)
        return f"  {seconds / 60:.0f} min left" if seconds >= 60 else f"  {seconds:.0f} s left"


def _lines(path: Path) -> list[str]:
    """The whole lines of a log; a torn last one is dropped."""
    if not path.is_file():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
