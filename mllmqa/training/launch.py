"""Start the recipe ``train/finetune.py``: in one process, or in several by ``accelerate launch``.

Whatever ends the command ends its processes: a signal is handed on, one that is not heeded becomes a kill after a
while, and if the command itself is killed, Linux ends what it had started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

from mllmqa import resources
from mllmqa.errors import MissingExtraError, UnknownNameError, UsageError
from mllmqa.models.presets import nearest
from mllmqa.training.agent import die_with, exit_code
from mllmqa.training.stage import Stage

PATIENCE_S = 45.0
"""After a signal, how long processes may take to end by themselves; torch's agent gives its workers 30."""
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Command:
    """What is started.

    Attributes:
        arguments: Program and arguments.
        environment: What is set beside the environment of this process; it may be overridden there.
        processes: How many of them run the recipe.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1

    def environ(self) -> dict[str, str]:
        """Return the whole environment; what the user has set stays."""
        return {**self.environment, **os.environ}

    def shown(self) -> str:
        """Return it as one would type it."""
        import shlex

        settings = [f"{key}={shlex.quote(value)}" for key, value in self.environment.items()]
        return " ".join([*settings, *(shlex.quote(one) for one in self.arguments)])


def recipe() -> Path:
    """Return the recipe's file.

    Raises:
        UnknownNameError: This installation lacks it.
    """
    path = resources.folder("train") / "finetune.py"
    if not path.is_file():
        raise UnknownNameError("this installation lacks train/finetune.py", hint="reinstall mllmqa from its wheel")
    return path


def deepspeed_file(name: str) -> Path:
    """Return the file ``train/deepspeed/NAME.json``.

    Raises:
        UnknownNameError: There is none of this name.
    """
    folder = resources.folder("train") / "deepspeed"
    known = sorted(path.stem for path in folder.glob("*.json"))
    if name not in known:
        raise UnknownNameError(f"no DeepSpeed file {name!r}", expected=" | ".join(known), hint=nearest(name, known))
    return folder / f"{name}.json"


@cache
def deepspeed_settings(name: str) -> dict[str, Any]:
    """Return what ``train/deepspeed/NAME.json`` says."""
    found: dict[str, Any] = json.loads(deepspeed_file(name).read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class How:
    """How a stage is run.

    Attributes:
        processes: One per GPU, or on CPUs as many as there are cores for.
        cpu: Use no GPU.
        resume: Go on from the last complete checkpoint.
        workers: Processes that load data, for each of them.
    """

    processes: int = 1
    cpu: bool = False
    resume: bool = False
    workers: int = 1


HERE = How()
"""One process, with a GPU if there is one."""


def command(stage: Stage, stage_file: Path, out: Path, how: How = HERE, *, script: Path | None = None) -> Command:
    """Return what runs a stage.

    One process runs the recipe directly. Several run by ``accelerate launch`` with ``train/accelerate/multi.yaml``,
    so that nobody's own default file of accelerate counts; on CPUs by ``ACCELERATE_USE_CPU``, because ``--cpu``
    starts one process whatever number is asked for (accelerate issue 2741). DeepSpeed is the recipe's own affair:
    the stage names its file, and one process gets the variables of a group of one.

    Args:
        stage: Precision, DeepSpeed file.
        stage_file: The resolved stage.
        out: Folder of the run.
        how: In how many processes, where.
        script: The recipe; None: the shipped one.

    Raises:
        UsageError: Fewer than one process, or more than there are GPUs.
        MissingExtraError: accelerate or deepspeed is needed and not installed.
        UnknownNameError: No such DeepSpeed file.
    """
    processes, cpu = how.processes, how.cpu
    if processes < 1:
        raise UsageError(f"{processes} processes", expected="1 or more")
    _check_installed(stage)
    target = [str(script or recipe()), "--stage", str(stage_file), "--out", str(out)]
    target += ["--workers", str(how.workers)] if how.workers != HERE.workers else []
    target += ["--resume"] if how.resume else []
    target += ["--cpu"] if cpu else []
    environment = _environment(stage, processes, cpu)
    if processes == 1:
        return Command((sys.executable, *target), environment)
    if not cpu:
        _check_gpus(processes)
    config = resources.folder("train") / "accelerate" / "multi.yaml"
    flags = ["--config_file", str(config), "--num_processes", str(processes), "--main_process_port", "0"]
    return Command((sys.executable, "-m", "mllmqa.training.agent", *flags, *target), environment, processes)


def start(given: Command, *, patience_s: float = PATIENCE_S, started: Callable[[int], None] | None = None) -> int:
    """Run a command to its end, with this process's stdout and stderr.

    SIGINT, SIGTERM and SIGHUP are handed on; a second one, or ``patience_s`` without an end, kills.

    Args:
        given: From :func:`command`.
        patience_s: Seconds between a signal and the kill.
        started: Told the id of the process.

    Returns:
        Its exit code; 128 + n if signal n ended it or this process, so 130 after Ctrl-C.
    """
    ended_by: list[int] = []

    def hand_on(number: int, _: FrameType | None) -> None:
        ended_by.append(number)
        _signal_group(process, number if len(ended_by) == 1 else signal.SIGKILL)

    # A session of its own: Ctrl-C in a terminal reaches it through here, once, and not twice.
    process = subprocess.Popen(
        given.arguments, env=given.environ(), start_new_session=True,
        preexec_fn=partial(die_with, os.getpid()),
    )  # fmt: skip
    before = {number: signal.signal(number, hand_on) for number in PASSED_ON}
    try:
        if started is not None:
            started(process.pid)
        while True:
            try:
                code = process.wait(timeout=patience_s if ended_by else 0.2)
                break
            except subprocess.TimeoutExpired:
                if ended_by:
                    _signal_group(process, signal.SIGKILL)
    finally:
        _signal_group(process, signal.SIGKILL)  # what a worker left behind in the session
        for number, handler in before.items():
            signal.signal(number, handler)
    return exit_code(-ended_by[0]) if ended_by else exit_code(code)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Signal the session of a process; nothing is left to signal if all of it has ended."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _environment(stage: Stage, processes: int, cpu: bool) -> dict[str, str]:
    made = {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    if cpu and stage.deepspeed is None:  # with it accelerate silently leaves DeepSpeed out, and runs plain DDP
        made["ACCELERATE_USE_CPU"] = "true"
    if processes > 1 or cpu:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        made["OMP_NUM_THREADS"] = str(max(1, cores // processes))
    if stage.deepspeed is not None:
        if cpu:
            made["DS_ACCELERATOR"] = "cpu"
        if processes == 1:
            made |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
            made |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    return made


def _free_port() -> int:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def _check_installed(stage: Stage) -> None:
    from importlib.util import find_spec

    wanted: Sequence[tuple[str, str, str]] = [("accelerate", "train", "training")]
    if stage.deepspeed is not None:
        deepspeed_file(stage.deepspeed)
        wanted = [*wanted, ("deepspeed", "deepspeed", f"deepspeed={stage.deepspeed}")]
    for package, extra, purpose in wanted:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra=extra, purpose=purpose)


def _check_gpus(processes: int) -> None:
    import torch

    there = torch.cuda.device_count()
    if processes > there:
        raise UsageError(
            f"{processes} processes want a GPU each, and {there} are here",
            expected=f"--processes {max(there, 1)} or fewer",
            hint="on CPUs give --cpu",
        )
