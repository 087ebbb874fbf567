"""``mllmqa models``: what can be named after ``--model``, and what is known of one of them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(help="List the models that can be named after --model, or show one.")


@app.callback(invoke_without_command=True)
def list_models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record per line.")] = False,
) -> None:
    """List the models that can be named after --model, with size, licence and whether they are here."""
    if context.invoked_subcommand:
        return
    from mllmqa.models.presets import presets
    from mllmqa.models.resolve import on_this_machine

    named = [preset for preset in presets().values() if preset.weights is not None]
    if as_json:
        for preset in named:
            print(json.dumps({**preset.model_dump(), "on_this_machine": on_this_machine(preset)}))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "size", "here", "aspects", "licence", "what it is"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("name", "size", "here"))
    for preset in sorted(named, key=lambda p: (not on_this_machine(p), p.name)):
        here = "yes" if on_this_machine(preset) else "no"
        table.add_row(
            preset.name, preset.parameters, here, ", ".join(preset.aspects), preset.licence.weights, preset.title
        )
    out = console()
    out.print(table)
    out.print("\n`mllmqa models show NAME` tells how one is asked, and its published figures.")
    out.print("Any folder with a transformers image-text-to-text model, a hub id, or api:NAME works as well.")


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `mllmqa models`.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record.")] = False,
) -> None:
    """Show how a model is asked, what it sees, its licences and published figures."""
    from mllmqa.models.presets import preset_named
    from mllmqa.models.resolve import on_this_machine

    preset = preset_named(name)
    record = {**preset.model_dump(), "on_this_machine": on_this_machine(preset), "prompts": preset.prompt_texts()}
    if as_json:
        print(json.dumps(record))
        return
    from rich.table import Table

    shown = record.pop("prompts"), record.pop("published")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for field, value in record.items():
        if value not in (None, "", (), {}):
            table.add_row(field, _plain(value))
    for aspect, text in shown[0].items():
        table.add_row(f"prompt, {aspect}", json.dumps(text, ensure_ascii=False))
    for row in shown[1]:
        plcc = "" if row["plcc"] is None else f", PLCC {row['plcc']}"
        table.add_row("published", f"{row['data']}: SRCC {row['srcc']}{plcc} ({row['source']})")
    console().print(table, markup=False, highlight=False)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def console() -> Console:
    """Where tables are printed: as wide as the terminal; elsewhere wide enough."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=160)
