"""``mllmqa build``: training data from photos, clips and opinion scores."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli.groups import unfolded
from mllmqa.cli.options import OwnTable

if TYPE_CHECKING:
    from mllmqa.data.build import Built, Sources


@unfolded
def build_data(
    *,
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A name of --list, or a Python file.", show_default=False)
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Options of the recipe.", show_default=False),
    ] = None,
    src: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=PATH",
            help="photos=DIR | clips=DIR | NAME=DIR of a data set | rated=TABLE. Repeat for several.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the set.")] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="How many samples.", show_default=False)] = None,
    part: Annotated[str | None, typer.Option(help="Only sources of this part: train | val | test.")] = None,
    form: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="FORMAT", help="Also write llava|messages|sharegpt|depictqa|parquet."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Root of all chance.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes; the files do not depend on them.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a killed run was.")] = False,
    table: OwnTable,
    labels_only: Annotated[bool, typer.Option("--labels-only", help="Do not look for rated media.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes and exit.")] = False,
) -> None:
    """Build a set of samples: questions and answers that were read back and agree with their labels.

    Writes samples.jsonl, media/, left_out.jsonl and build.json to the folder. Exit code 1 if anything was left out.
    """
    from mllmqa.cli.ending import EXIT_UNSCORED
    from mllmqa.data.build import Order, build, load_recipe
    from mllmqa.data.build.export import check_formats, export_set, formats_named
    from mllmqa.errors import UsageError

    if list_:
        _list()
        return
    if recipe is None or out is None or not src:
        raise UsageError("a recipe, --src and --out are needed", hint="`mllmqa build --list` names the recipes")
    loaded = load_recipe(recipe).recipe
    settings = loaded.settings(options or [])
    forms = formats_named(form or [])
    sources = _sources(src, part, table, media=not labels_only)
    check_formats(forms, loaded, settings, sources)
    order = Order(recipe, sources, out, n, seed, settings, part)
    built = build(order, workers=workers, continued=resume)
    _report(built, sources)
    print(built.path)
    for written in export_set(built.path, forms):
        print(f"mllmqa: {written}", file=sys.stderr)
    raise typer.Exit(EXIT_UNSCORED if built.left_out or sources.findings.errors else 0)


def _sources(texts: list[str], part: str | None, table: OwnTable, *, media: bool) -> Sources:
    from mllmqa.data.build import Source, open_sources
    from mllmqa.data.build.sources import part_named
    from mllmqa.errors import UsageError

    columns, scale = table.read() or (None, None)
    given = [Source.parse(text) for text in texts]
    if columns is not None and all(one.kind != "rated" for one in given):
        raise UsageError("--columns belongs to a source rated=TABLE, and there is none")
    sources = open_sources(given, part=part_named(part), columns=columns, scale=scale, media=media)
    for one in sources.described:
        print(f"mllmqa: {one['path']}: {one['n']} of the kind {one['kind']}", file=sys.stderr)
    return sources


def _report(built: Built, sources: Sources) -> None:
    for one in sources.findings:
        head = "wrong" if one.error else "note"
        print(f"mllmqa: {head}: {one.count} × {one.kind}, first {one.examples[0]}", file=sys.stderr)
    tasks = ", ".join(f"{task} {count}" for task, count in sorted(built.tasks.items()))
    before = f", {built.n_before} of them already there" if built.n_before else ""
    print(f"mllmqa: {built.n} samples{before}{f' ({tasks})' if tasks else ''}", file=sys.stderr)
    for reason, count in sorted(built.left_out.items()):
        print(f"mllmqa: {count} items left out: {reason}; see left_out.jsonl", file=sys.stderr)


def _list() -> None:
    from mllmqa.data.build import load_recipe, recipes

    for name in recipes():
        recipe = load_recipe(name).recipe
        options = dict(recipe.options)
        needs = ", ".join((*recipe.needed(recipe.options), *(f"{kind} if there" for kind in recipe.uses)))
        print(f"{name:15} {recipe.summary}; from {needs}{f'; {json.dumps(options)}' if options else ''}")
