"""``mllmqa data``: data sets and training samples."""

from __future__ import annotations

import typer

data = typer.Typer(no_args_is_help=True, help="Data sets and training samples.")


def _register() -> None:
    from mllmqa.cli.data_rewrite import rewrite
    from mllmqa.cli.data_sets import check, info, list_sets
    from mllmqa.cli.data_show import show

    data.command("ls")(list_sets)
    data.command("info")(info)
    data.command("check")(check)
    data.command("show")(show)
    data.command("rewrite")(rewrite)


_register()
