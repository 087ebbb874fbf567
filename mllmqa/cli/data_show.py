"""``mllmqa data show``: a file of samples as one HTML page to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def show(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Samples: JSON lines or Parquet.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="By default FILE with .html, here.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many samples are shown; all are counted.")] = 50,
    seed: Annotated[int, typer.Option(help="Of the draw of the samples that are shown.")] = 0,
) -> None:
    """Write one HTML page of samples: counts, scores, distortions, and some samples with media and messages.

    The page needs no other file and no network. Exit code 1 if lines of the file are no valid samples.
    """
    from mllmqa.cli.ending import EXIT_UNSCORED
    from mllmqa.data.sheet import look_at, write_sheet

    page = out if out is not None else Path(f"{file.stem}.html")
    sheet = look_at(file, limit=limit, seed=seed)
    write_sheet(sheet, page)
    print(page)
    if sheet.n_unreadable:
        print(f"mllmqa: {file}: {sheet.n_unreadable} lines are no valid samples; see the page", file=sys.stderr)
        raise typer.Exit(EXIT_UNSCORED)
