"""``mllmqa explain``: a structured assessment of one image or video, for people and for programs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mllmqa.cli.ask import opened
from mllmqa.cli.endpoint import EndpointWishes, spent
from mllmqa.cli.groups import unfolded
from mllmqa.cli.loading import Loading
from mllmqa.cli.options import Anchors, Model, Reference
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.asking.explain import Assessment, Steps

FORMATS = ("text", "json", "markdown", "html")


@unfolded
def explain(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="An image or a video; - is stdin.")],
    form: Annotated[str, typer.Option("--format", help=" | ".join(FORMATS))] = "text",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write there instead of to stdout.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Write the heat map, or the timeline of a video.")
    ] = None,
    reference: Reference = None,
    steps: Annotated[
        str | None, typer.Option(metavar="three|five", help="Reasoning, too, of models that follow instructions.")
    ] = None,
    tiles: Annotated[str, typer.Option(metavar="RxC", help="Rows and columns of an image's heat map.")] = "4x4",
    frames: Annotated[
        str, typer.Option(metavar="RULE", help="Of a video, each scored: uniform:N, fps:X, …")
    ] = "uniform:16",
    model: Model = "nano",
    max_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Of each text of the model.")] = 256,
    anchors: Anchors = None,
    loading: Loading,
    endpoint: EndpointWishes,
) -> None:
    """Explain the quality of an image or a video: level, distortions, where, when, and one paragraph.

    Exit code: 0 explained, 2 usage or a file that cannot be read, 130 interrupted.
    """
    from mllmqa.asking.explain import ExplainOptions
    from mllmqa.asking.explain import explain as explained
    from mllmqa.pages import check_free

    if form not in FORMATS:
        raise UsageError(f"--format {form!r}", expected=" | ".join(FORMATS))
    if steps not in (None, "three", "five"):
        raise UsageError(f"--steps {steps!r}", expected="three | five")
    if file == "-" and reference == "-":
        raise UsageError("stdin is asked for more than once", expected="- in one place")
    options = ExplainOptions(_grid(tiles), frames, cast("Steps | None", steps), max_tokens)
    for place in filter(None, (out, picture)):
        check_free(place)
    api = endpoint.options(model)
    scorer = loading.load(model, api, anchors)
    source = opened(file)
    it = explained(scorer, source, reference=None if reference is None else opened(reference), options=options)
    _write(it, (file, source), form, (out, picture))
    for line in spent(scorer.backend):
        print(line, file=sys.stderr)


def _write(
    it: Assessment, file: tuple[str, str | bytes], form: str, places: tuple[Path | None, Path | None]
) -> None:
    """Write the assessment and its picture."""
    from mllmqa.asking import pages
    from mllmqa.asking.pictures import picture_of
    from mllmqa.media.source import printable
    from mllmqa.whole_file import write_whole

    name, (out, picture) = printable(file[0]), places
    drawn = None
    if picture is not None or form == "html":
        drawn = picture_of(file[1], it.evidence, (it.worst_boxes, it.worst_spans_s))
    if picture is not None and drawn is not None:
        write_whole(picture, drawn)
    text = {
        "text": lambda: pages.as_text(it, name),
        "json": lambda: it.model_dump_json() + "\n",
        "markdown": lambda: pages.as_markdown(it, name, None if picture is None else picture.name),
        "html": lambda: pages.as_html(it, name, drawn),
    }[form]()
    if out is None:
        sys.stdout.write(text)
    else:
        write_whole(out, text)


def _grid(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]|1[0-6])x([1-9]|1[0-6])", text.strip().lower())
    if found is None:
        raise UsageError(f"--tiles {text!r}", expected="RxC, each 1 to 16, e.g. 4x4")
    return int(found[1]), int(found[2])
