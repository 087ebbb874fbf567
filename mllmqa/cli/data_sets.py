"""``mllmqa data ls|info|check``: the data sets that are known, and what of them is here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli.groups import unfolded
from mllmqa.cli.options import OwnTable
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from mllmqa.data.registry.check import Report

UTF_8 = "utf-8-sig"
JSON = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


def list_sets(as_json: JSON = False) -> None:
    """List the known data sets: size, direction, deviations, division."""
    from mllmqa.data.registry import data_sets
    from mllmqa.data.registry.text import BRIEF, brief

    if as_json:
        for card in data_sets().values():
            print(json.dumps(card.model_dump(mode="json"), ensure_ascii=False))
        return
    table = _table(*BRIEF)
    for card in data_sets().values():
        table.add_row(*brief(card))
    _print(table)
    print("\n`mllmqa data info NAME` tells where to get it, its scales, layout, licence and traps.")


def info(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of `mllmqa data ls`.")], as_json: JSON = False
) -> None:
    """Show what is known of a data set: where to get it, its layout, the labels in circulation, its traps."""
    from mllmqa.data.registry import data_set
    from mllmqa.data.registry.text import NOT_STATED

    card = data_set(name)
    if as_json:
        print(json.dumps(card.model_dump(mode="json"), ensure_ascii=False))
        return
    table = _table()
    for field, value in card.model_dump(exclude={"tables", "split", "traps"}).items():
        table.add_row(field, NOT_STATED if value is None else str(value))
    table.add_row("division", f"{card.split.rule}{f' ({card.split.note})' if card.split.note else ''}")
    for one in card.tables:
        low, high = one.score.scale or one.score.measured or ("?", "?")
        about = f"{', '.join(one.files)}; {one.score.direction} on {low}..{high}; {one.n or NOT_STATED} rows"
        table.add_row(f"table {one.id}", f"{about}; from {one.source}{f'; {one.note}' if one.note else ''}")
    for trap in card.traps:
        table.add_row("trap", trap)
    _print(table)


@unfolded
def check(
    *,
    root: Annotated[
        Path,
        typer.Argument(metavar="ROOT", help="Folder of a data set; a table, with --columns; samples."),
    ],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Which data set it is.")] = None,
    table: Annotated[str | None, typer.Option(metavar="ID", help="Which of its label tables.")] = None,
    own: OwnTable,
    encoding: Annotated[str, typer.Option(help="Of its text.")] = UTF_8,
    labels_only: Annotated[bool, typer.Option("--labels-only", help="Do not look for media files.")] = False,
    opened: Annotated[bool, typer.Option("--open", help="Open media files and masks, too.")] = False,
    as_json: JSON = False,
) -> None:
    """Check labels and media: what is missing, twice, off the scale or doubtful. Exit code 1 if anything is.

    Of a file of samples also the texts: labels are read back from them and compared.
    """
    from mllmqa.cli.data_check import check_samples
    from mllmqa.data.media_check import Depth
    from mllmqa.data.registry.check import check_known, check_table
    from mllmqa.data.sample_records import SUFFIXES
    from mllmqa.data.tables import TableForm

    if labels_only and opened:
        raise UsageError("--labels-only and --open contradict each other")
    media: Depth = "none" if labels_only else "open" if opened else "exists"
    if own.columns is None and root.suffix in SUFFIXES and root.is_file():
        if name or table or own != OwnTable() or encoding != UTF_8:
            raise UsageError("a file of samples says itself what it holds", hint="give --columns for a table")
        check_samples(root, media=media, as_json=as_json)
    described = own.read()
    if described is None:
        if encoding != UTF_8:
            raise UsageError("--encoding belongs to --columns")
        report = check_known(root, name, table, media=media)
    else:
        if name or table:
            raise UsageError("--columns describes a table of one's own", hint="leave out --name and --table")
        report = check_table(root, *described, TableForm(encoding=encoding), media=media)
    if as_json:
        print(json.dumps(report.record(), ensure_ascii=False))
    else:
        _show(report)
    raise typer.Exit(1 if report.findings.errors else 0)


def _show(report: Report) -> None:
    record = report.record()
    table = _table()
    table.add_row("data set", report.name + (f", table {report.table} ({report.source})" if report.table else ""))
    table.add_row("label files", ", ".join(record["files"]))
    low, high = record["measured"] or (float("nan"), float("nan"))
    better = "higher is better" if report.scale.direction == "mos" else "lower is better"
    scale = f"scale {report.scale.low:g}..{report.scale.high:g}"
    table.add_row(
        "scores", f"{record['n']} rows, {low:g}..{high:g} on the {scale}; {report.scale.direction}: {better}"
    )
    table.add_row("deviations", f"{record['with_std']} rows; histograms: {record['with_histogram']} rows")
    table.add_row("originals", str(record["references"]) if record["references"] else "not stated")
    table.add_row("parts", ", ".join(f"{part}: {count}" for part, count in record["parts"].items()))
    if report.media_found is not None:
        told = f"{report.media_found} of {record['n']} there; {report.unlabelled} without label"
        readable = report.media_readable
        table.add_row("media", told + (f"; {readable} can be read" if readable is not None else ""))
    for one in report.findings:
        head = f"{'WRONG' if one.error else 'note'}: {one.kind}"
        table.add_row(head, f"{one.count}x" if one.count > 1 else "")
        for example in one.examples:
            table.add_row("", example)
        if one.count > len(one.examples):
            table.add_row("", f"… and {one.count - len(one.examples)} more")
    for trap in report.traps:
        table.add_row("known trap", trap)
    _print(table)


def _table(*headings: str) -> Table:
    from rich.table import Table

    made = Table(box=None, pad_edge=False, show_header=bool(headings))
    for heading in headings or ("", ""):
        made.add_column(heading, overflow="fold", no_wrap=heading in ("name", "division"))
    return made


def _print(table: Table) -> None:
    from mllmqa.cli.models import console

    console().print(table, markup=False, highlight=False)
