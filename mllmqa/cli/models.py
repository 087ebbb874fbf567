"""``mllmqa models``: what can be named after ``--model``."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer


def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record per line.")] = False,
) -> None:
    """List the models that can be named after --model, with size, licence and whether they are here."""
    from mllmqa.models.presets import on_this_machine, presets

    named = [preset for preset in presets().values() if preset.weights is not None]
    if as_json:
        for preset in named:
            print(json.dumps({**preset.model_dump(), "on_this_machine": on_this_machine(preset)}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "size", "here", "aspects", "licence", "what it is"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("name", "size", "here"))
    for preset in sorted(named, key=lambda p: (not on_this_machine(p), p.name)):
        here = "yes" if on_this_machine(preset) else "no"
        table.add_row(
            preset.name, preset.parameters, here, ", ".join(preset.aspects), preset.licence.weights, preset.title
        )
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)
    console.print("\nAny folder with a transformers image-text-to-text model, or a hub id, works as well.")
