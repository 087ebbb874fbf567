"""``mllmqa data``: the group; its commands register themselves from their own files."""

from __future__ import annotations

import typer

from mllmqa.cli.data_show import show

data = typer.Typer(no_args_is_help=True, help="Rated data and samples: what they hold, and whether they are sound.")
data.command("show")(show)
