"""``accelerate launch`` that ends with the exit code of the process that failed first.

By itself it ends with 1 whatever happened, and with a page of traceback for a worker that has said all in one line.
Started by :mod:`mllmqa.training.launch` as ``python -m mllmqa.training.agent``, with accelerate's own arguments.
"""

from __future__ import annotations

import logging
import os
import signal
import sys

AGENT = "MLLMQA_TRAINING_AGENT"
"""In the environment of workers: the process id of the agent that started them."""
SIGNALLED = 128
"""A shell's exit code for a process that a signal ended is this and the signal's number."""


def main(arguments: list[str]) -> int:
    """Start the processes and wait for them.

    Args:
        arguments: Of ``accelerate launch``.

    Returns:
        0; the exit code of the process that failed first; 128 + n if signal n ended it, or this process.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what went wrong, the worker says
    os.environ[AGENT] = str(os.getpid())
    try:
        launch_command(launch_command_parser().parse_args(arguments))
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return exit_code(int(failure.exitcode))
    except SignalException as error:
        return exit_code(-error.sigval.value)
    except KeyboardInterrupt:
        return 130
    return 0


def follow_agent() -> None:
    """Let a worker end when its agent is gone, even by SIGKILL; the recipe calls it first.

    torch's agent starts workers in sessions of their own, so that a killed agent would leave them behind. A recipe
    that was started by hand follows nobody.
    """
    if AGENT in os.environ:
        die_with(int(os.environ[AGENT]))


def die_with(parent: int) -> None:
    """On Linux, let this process be ended (SIGTERM) when the one that started it is gone.

    Elsewhere nothing happens.

    Args:
        parent: Process id of the starter; if it is gone already, this process ends at once.
    """
    if sys.platform != "linux":
        return
    import ctypes

    set_death_signal = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(exit_code(-signal.SIGTERM))


def exit_code(code: int) -> int:
    """Return a shell's exit code for Python's: −9 (ended by signal 9) is 137.

    >>> exit_code(-9), exit_code(2)
    (137, 2)
    """
    return code if code >= 0 else SIGNALLED - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
