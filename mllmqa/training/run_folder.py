"""The folder of a run: what it was started with, so that it is only continued as what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mllmqa._version import __version__
from mllmqa.errors import UsageError
from mllmqa.training import stages
from mllmqa.training.stage import Stage
from mllmqa.whole_file import write_whole

STAGE_FILE = "stage.yaml"
"""The resolved stage, as `mllmqa train OUT/stage.yaml` runs it again."""
RUN_FILE = "run.json"
"""``{"stage": DIGEST, "processes": N, "mllmqa": VERSION}``."""
WHEREVER = ("name", "title", "extends", "paper", "keep", "log_every", "report_to")
"""Fields that may differ when a run is continued: no weight depends on them."""


def default_out(stage: Stage) -> Path:
    """Return where a stage runs if nobody says."""
    return Path("runs") / stage.name


def prepare_folder(stage: Stage, out: Path, *, processes: int, resume: bool) -> Path:
    """Make the folder of a run, or check that it is the folder of this very run.

    Args:
        stage: Resolved.
        out: The folder.
        processes: Of the run: another number would show other samples in a step.
        resume: Whether a run that is there is continued; if none is, one begins.

    Returns:
        The file of the resolved stage.

    Raises:
        UsageError: There is a run already and ``resume`` is off, or it is another one, or ``out`` cannot be used.
    """
    file = out / STAGE_FILE
    if file.exists() and not resume:
        raise UsageError(
            "a run is there already", where=out, hint="continue it with --resume, or name another --out"
        )
    if file.exists():
        _check_same(stage, out, processes)
    try:
        out.mkdir(parents=True, exist_ok=True)
        about = {"stage": stages.digest(stage), "processes": processes, "mllmqa": __version__}
        write_whole(out / RUN_FILE, json.dumps(about) + "\n")
        write_whole(file, stages.to_yaml(stage))
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=out) from error
    return file


def _check_same(stage: Stage, out: Path, processes: int) -> None:
    before = stages.read(str(out / STAGE_FILE))
    here, there = stage.model_dump(mode="json"), before.model_dump(mode="json")
    other = [key for key in here if key not in WHEREVER and here[key] != there[key]]
    if other:
        key = other[0]
        more = f" (and {', '.join(other[1:])})" if other[1:] else ""
        raise UsageError(
            f"the run there has {key}={_short(there[key])}{more}, not {_short(here[key])}", where=out,
            expected="the same stage and settings", hint="name another --out",
        )  # fmt: skip
    ran = _processes(out)
    if ran is not None and ran != processes:
        raise UsageError(
            f"the run there has {ran} processes, not {processes}", where=out, expected=f"--processes {ran}"
        )


def _processes(out: Path) -> int | None:
    """Of the run that is there; None if it was started by hand."""
    path = out / RUN_FILE
    if not path.is_file():
        return None
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["processes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"malformed: {error!r}", where=path, hint="name another --out") from error


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
