"""``mllmqa train``: run a stage of training, or say what it would do."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli.groups import OptionGroup, unfolded

if TYPE_CHECKING:
    from mllmqa.training.launch import How
    from mllmqa.training.stage import Stage


@dataclass(frozen=True)
class Running(OptionGroup):
    """How a stage is run."""

    processes: Annotated[int, typer.Option(min=1, max=1024, help="One per GPU; or on CPUs, with --cpu.")] = 1
    cpu: Annotated[bool, typer.Option("--cpu", help="Use no GPU.")] = False
    workers: Annotated[int, typer.Option(min=0, max=256, help="Processes that load data, for each.")] = 1
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last complete checkpoint.")] = False

    def how(self) -> How:
        """Return this as the training has it."""
        from mllmqa.training.launch import How

        return How(**asdict(self))


@unfolded
def train_stage(
    *,
    stage: Annotated[
        str | None, typer.Argument(metavar="STAGE", help="A name of --list, or a YAML file.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Fields of the stage: batch=4 lora.rank=8 data=FILE.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the run; else runs/STAGE.", show_default=False)
    ] = None,
    running: Running,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what is trained, on what, how long, in how much memory.")
    ] = False,
    dump: Annotated[
        bool, typer.Option("--dump", help="Print the stage with all its fields as YAML and exit.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the stages and exit.")] = False,
) -> None:
    """Train a stage: a model, its data, what moves at which rate, and losses, in one file.

    Ends with the exit code of the training, 130 after Ctrl-C. What comes out is the folder DIR/model:
    `mllmqa score --model DIR/model photo.jpg`. A killed run goes on with the same command and --resume.
    """
    from mllmqa.cli.loading import quiet
    from mllmqa.errors import UsageError

    quiet()
    if list_:
        _list()
        return
    if stage is None:
        raise UsageError("a stage is needed", hint="`mllmqa train --list` names them")
    from mllmqa.training import stages

    wanted = stages.read(stage, settings or [])
    if dump:
        print(stages.to_yaml(wanted), end="")
        return
    if dry_run:
        from mllmqa.cli.train_plan import show_plan

        raise typer.Exit(0 if show_plan(wanted, running.processes) else 1)
    raise typer.Exit(_run(wanted, out, running.how()))


def _run(stage: Stage, out: Path | None, how: How) -> int:
    """Run the stage in its folder; return the exit code."""
    from mllmqa.training.launch import command, start
    from mllmqa.training.run_folder import STAGE_FILE, default_out, prepare_folder

    folder = out or default_out(stage)
    given = command(stage, folder / STAGE_FILE, folder, how)
    prepare_folder(stage, folder, processes=how.processes, resume=how.resume)
    print(f"mllmqa: {given.shown()}", file=sys.stderr)
    code = start(given)
    if code == 0:
        print(folder / "model")
    elif code > 128:
        print(f"mllmqa: ended by signal {code - 128}; the same command with --resume goes on", file=sys.stderr)
    return code


def _list() -> None:
    from rich.table import Table

    from mllmqa.cli.models import console
    from mllmqa.training import stages

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "trains", "starts from", "what it is"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for name in stages.names():
        one = stages.read(name)
        how = f"LoRA {one.lora.rank}" if one.lora else ""
        how += f" in {one.quantize}" if one.quantize else ""
        trains = ", ".join(part for part in (how, *one.train) if part)
        table.add_row(name, trains, one.model or "model=…", one.title)
    out = console()
    out.print(table, markup=False)
    out.print("\n`mllmqa train NAME --dry-run` says what one needs, --dump all that it says.", markup=False)
