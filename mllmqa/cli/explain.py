"""``mllmqa explain``: a structured assessment of one image or video, for people and for programs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mllmqa.cli import endpoint
from mllmqa.cli.ask import opened
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.asking.explain import Assessment, Steps

FORMATS = ("text", "json", "markdown", "html")


def explain(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An image or a video; - is stdin.")],
    form: Annotated[str, typer.Option("--format", help=" | ".join(FORMATS))] = "text",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write there instead of to stdout.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Write the heat map, or the timeline of a video.")
    ] = None,
    reference: Annotated[str | None, typer.Option(metavar="FILE", help="The pristine original.")] = None,
    steps: Annotated[
        str | None, typer.Option(metavar="three|five", help="Reasoning, too, of models that follow instructions.")
    ] = None,
    tiles: Annotated[str, typer.Option(metavar="RxC", help="Rows and columns of an image's heat map.")] = "4x4",
    frames: Annotated[
        str, typer.Option(metavar="RULE", help="Of a video, each scored: uniform:N, fps:X, …")
    ] = "uniform:16",
    model: Annotated[str, typer.Option(metavar="NAME|PATH|HUB-ID|api:NAME", help="See `mllmqa models`.")] = "nano",
    max_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Of each text of the model.")] = 256,
    anchors: Annotated[str | None, typer.Option(metavar="FOLDER", help="Score by comparison with these.")] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:N | mps | balanced")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto | float32 | bfloat16 | float16")] = "auto",
    quantize: Annotated[str | None, typer.Option(metavar="8bit|4bit", help="Of the language model.")] = None,
    quantize_vision: Annotated[bool, typer.Option("--quantize-vision", help="Of the vision tower, too.")] = False,
    base: Annotated[str | None, typer.Option(metavar="MODEL", help="Under an adapter given as --model.")] = None,
    base_url: endpoint.BaseUrl = None,
    concurrency: endpoint.Concurrency = None,
    timeout: endpoint.Timeout = None,
    budget: endpoint.Limit = None,
    price: endpoint.PriceOption = None,
    readout: endpoint.Readout = None,
    cache: endpoint.CacheFolder = None,
    no_cache: endpoint.NoCache = False,
) -> None:
    """Explain the quality of an image or a video: level, distortions, where, when, and one paragraph.

    Exit code: 0 explained, 2 usage or a file that cannot be read, 130 interrupted.
    """
    from mllmqa.asking.explain import ExplainOptions
    from mllmqa.asking.explain import explain as explained
    from mllmqa.cli.loading import load_model, quantization
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
    api = endpoint.endpoint_options(
        model, base_url, (concurrency, timeout), (budget, price), readout, (cache, no_cache)
    )
    scorer = load_model(
        model, {"base": base}, api, device=device, dtype=dtype, quantize=quantization(quantize, quantize_vision),
        anchors=anchors,
    )  # fmt: skip
    source = opened(file)
    pristine = None if reference is None else opened(reference)
    it = explained(scorer, source, reference=pristine, options=options)
    _write(it, (file, source), form, (out, picture))
    if api is not None:
        print(scorer.backend.usage.line(api.price), file=sys.stderr)  # type: ignore[attr-defined]


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
