"""Entry point of the ``mllmqa`` command: registers the commands, maps errors to exit codes."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from mllmqa._version import __version__
from mllmqa.cli.ending import AT_END, EXIT_INTERRUPTED, EXIT_UNSCORED, EXIT_USAGE
from mllmqa.errors import MllmqaError, error_line

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
    from mllmqa.cli.anchors import anchors
    from mllmqa.cli.answers import answers
    from mllmqa.cli.ask import ask
    from mllmqa.cli.bench import bench
    from mllmqa.cli.build import build_data
    from mllmqa.cli.chat import chat
    from mllmqa.cli.compare import compare
    from mllmqa.cli.convert import convert_model
    from mllmqa.cli.data import data
    from mllmqa.cli.eval import evaluate
    from mllmqa.cli.explain import explain
    from mllmqa.cli.models import app as models
    from mllmqa.cli.score import score
    from mllmqa.cli.train import train_stage

    app.command("score")(score)
    app.command("chat")(chat)
    app.command("compare")(compare)
    app.command("ask")(ask)
    app.command("explain")(explain)
    app.add_typer(models, name="models")
    app.command("convert")(convert_model)
    app.add_typer(anchors, name="anchors")
    app.add_typer(bench, name="bench")
    app.command("answers")(answers)
    app.add_typer(data, name="data")
    app.command("build")(build_data)
    app.command("train")(train_stage)
    app.add_typer(evaluate, name="eval")


_register()


def main() -> None:
    """Run the command line; errors become one line on stderr and an exit code."""
    if sys.stderr is None:  # closed with 2>&-; else what print() says to it would come to stdout
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
    if sys.stdout is None:
        _stop("mllmqa: stdout is closed; expected a place for results, e.g. >/dev/null", EXIT_USAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an ASCII terminal shows ± as \xb1, and goes on
    try:
        with AT_END:
            app(prog_name="mllmqa")
    except MllmqaError as error:
        _stop(f"mllmqa: {error_line(error)}", EXIT_USAGE)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:  # Typer turns Ctrl-C into this, without a word
            print("mllmqa: interrupted", file=sys.stderr)
        raise
    except BrokenPipeError:
        _silence_stdout()  # the reader went away (`| head`)
        sys.exit(EXIT_UNSCORED)
    except OSError as error:
        _silence_stdout()
        where = f"{error.filename}: " if error.filename else ""
        hint = "; continue with --resume" if _continues(sys.argv[1:]) else ""
        _stop(f"mllmqa: {where}cannot write the results: {error.strerror}{hint}", EXIT_USAGE)


def _continues(arguments: list[str]) -> bool:
    """Tell whether this command line writes what --resume goes on with."""
    if arguments[:1] in (["build"], ["train"], ["eval"]) or arguments[:2] == ["data", "rewrite"]:
        return True
    return any(one.split("=")[0] in ("--csv", "--jsonl", "--parquet", "--resume") for one in arguments)


def _stop(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(code)


def _silence_stdout() -> None:
    """Let what is still buffered for stdout vanish, so that the interpreter does not stumble over it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
