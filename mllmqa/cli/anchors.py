"""``mllmqa anchors``: choose anchor images from rated data, and show what a folder of them holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli.groups import Without, unfolded
from mllmqa.cli.loading import LoadingWishes

if TYPE_CHECKING:
    from mllmqa.anchors import AnchorSet

anchors = typer.Typer(no_args_is_help=True, help="Anchor images, for scores by comparison (Compare2Score).")


@anchors.command("select")
@unfolded
def select(
    *,
    data: Annotated[Path, typer.Option(metavar="FILE.csv", help="Rated images, one per row.", show_default=False)],
    path_column: Annotated[str, typer.Option(metavar="NAME", help="Paths, from the folder of the file on.")],
    score_column: Annotated[str, typer.Option(metavar="NAME", help="Opinion scores.")],
    direction: Annotated[str, typer.Option(help="mos: higher is better | dmos: lower is better.")],
    limits: Annotated[str, typer.Option("--range", metavar="LOW:HIGH", help="The rating scale, e.g. 1:5.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Receives copies and anchors.json.")],
    std_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Standard deviations of the opinions.")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=2, max=100, help="Number of anchors.")] = 5,
    rule: Annotated[
        str, typer.Option(help="Of each interval: variance (the smallest) | middle (for data without std).")
    ] = "variance",
    model: Annotated[
        str | None, typer.Option(metavar="NAME|PATH|HUB-ID", help="Measure its preferences among them now.")
    ] = None,
    loading: Annotated[LoadingWishes, Without("quantize", "quantize_vision", "base", "compiled")],
) -> None:
    """Choose anchors from rated images: n equal intervals of the scores, of each the image with least variance."""
    from mllmqa.data.ratings import Columns, RatingScale
    from mllmqa.data.select_anchors import select_set

    scale = RatingScale.parse(direction, limits)
    with select_set(data, Columns(path_column, score_column, std_column), scale, out, n=n, rule=rule) as made:
        if model is not None:
            loading.load(model, anchors=made).plan()
    show(out)


@anchors.command("show")
def show(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="The content as one JSON object.")] = False,
) -> None:
    """Show the anchors of a folder, worst first, and the preferences among them that models gave."""
    from mllmqa.anchors import AnchorSet

    found = AnchorSet.read(folder)
    if as_json:
        import json

        about = found.file.model_dump(mode="json") if found.file else None
        files = [path.name for path in found.paths]
        print(json.dumps({"files": files, "sha256s": found.sha256s, "sha256": found.sha256, "about": about}))
        return
    _print(found)


def _print(found: AnchorSet) -> None:
    from itertools import zip_longest

    about = found.file
    listed = zip_longest(found.paths, found.sha256s, about.anchors if about else ())
    for k, (path, sha256, entry) in enumerate(listed, 1):
        rated = f"{entry.score:8.3f} ± {'?' if entry.std is None else f'{entry.std:.3f}'}  " if entry else ""
        print(f"{k:>3}  {path.name:<16}{rated}{sha256[:12]}  {entry.source if entry else ''}".rstrip())
    if about is None:
        print("no anchors.json: the files are taken in the order of their names, worst first")
        return
    low, high = about.range
    print(f"chosen from {about.n_rated} images of {about.data}; {about.direction} on {low:g}:{high:g}")
    for one in about.matrices:
        print(f"preferences of {one.model} (spec {one.spec}), row over column:")
        for row in one.matrix:
            print("    " + " ".join(f"{p:.4f}" for p in row))
