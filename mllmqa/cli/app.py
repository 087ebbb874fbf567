"""Entry point of the ``mllmqa`` command: registers the commands, maps errors to exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from mllmqa._version import __version__
from mllmqa.errors import MllmqaError, error_line

EXIT_OK = 0
EXIT_UNSCORED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="mllmqa",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Multimodal LLMs as judges of image and video quality. Results go to stdout, all else to stderr.",
)


def _version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _register() -> None:
    from mllmqa.cli.models import list_models
    from mllmqa.cli.score import score

    app.command("score")(score)
    app.command("models")(list_models)


_register()


def main() -> None:
    """Run the command line; errors become one line on stderr and an exit code."""
    try:
        app(prog_name="mllmqa")
    except MllmqaError as error:
        print(f"mllmqa: {error_line(error)}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:
        print("mllmqa: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of stdout went away (`| head`): say nothing more, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_UNSCORED)
