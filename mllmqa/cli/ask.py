"""``mllmqa ask``: one question about images or videos, one answer that is held against the model's readings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli import endpoint
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.asking import Answer
    from mllmqa.chatting.loop import Screen

REFUSED = 1


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="About quality; files are A, B, C …")],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILES]...", help="Images or videos; - is one on stdin.", show_default=False),
    ] = None,
    reference: Annotated[str | None, typer.Option(metavar="FILE", help="The pristine original.")] = None,
    model: Annotated[str, typer.Option(metavar="NAME|PATH|HUB-ID|api:NAME", help="See `mllmqa models`.")] = "nano",
    max_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Of the model's text.")] = 256,
    anchors: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Score each by comparison with these.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record on stdout, with all readings.")] = False,
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
    """Ask about the quality of images or videos: why is A worse than B?

    The model's readings are taken first, and its text is held against them.
    Where it does not hold, the answer is composed of the readings; stderr says so.
    At a terminal its text appears as it is being said; over a pipe only the answer.

    Exit code: 0 answered, 1 refused, 2 usage, 130 interrupted.
    """
    from mllmqa.asking.answer import Options, keys_of, refusal
    from mllmqa.asking.answer import ask as answered
    from mllmqa.asking.scope import Refusal, understand
    from mllmqa.chatting.loop import Screen
    from mllmqa.cli.loading import load_model, quantization

    named = [*(files or []), *([reference] if reference is not None else [])]
    if named.count("-") > 1:
        raise UsageError("stdin is asked for more than once", expected="- in one place")
    api = endpoint.endpoint_options(
        model, base_url, (concurrency, timeout), (budget, price), readout, (cache, no_cache)
    )
    early = understand(question, keys_of(len(files or [])))
    if isinstance(early, Refusal):  # before a model is loaded
        screen = Screen(sys.stdout, sys.stderr, live=False)
        raise typer.Exit(_show(refusal(question, early), screen, as_json=as_json))
    scorer = load_model(
        model, {"base": base}, api, device=device, dtype=dtype, quantize=quantization(quantize, quantize_vision),
        anchors=anchors,
    )  # fmt: skip
    sources = [opened(name) for name in files or []]
    pristine = None if reference is None else opened(reference)
    screen = Screen(sys.stdout, sys.stderr, live=sys.stdout.isatty() and not as_json)
    options = Options(max_new_tokens=max_tokens, on_text=screen.piece)
    try:
        found = answered(scorer, question, sources, reference=pristine, options=options)
    except BaseException:
        screen.broken_off()
        raise
    code = _show(found, screen, as_json=as_json)
    if api is not None:
        print(scorer.backend.usage.line(api.price), file=sys.stderr)  # type: ignore[attr-defined]
    raise typer.Exit(code)


def opened(name: str) -> str | bytes:
    """Return a path, or the bytes of stdin for ``-``: a file is read more than once.

    Raises:
        UsageError: Stdin is closed.
    """
    if name != "-":
        return name
    if sys.stdin is None:
        raise UsageError("stdin is closed")
    return sys.stdin.buffer.read()


def _show(found: Answer, screen: Screen, *, as_json: bool) -> int:
    """Show an answer, of which a beginning may be shown already; return the exit code."""
    if as_json:
        print(found.model_dump_json())
    else:
        screen.answer(found.text)
        for line in notes_of(found):
            screen.note(line)
    return REFUSED if found.source == "refusal" else 0


def notes_of(found: Answer) -> list[str]:
    """Return what people should know of an answer, one thing a line."""
    sure = [] if found.confidence is None else [f"confidence {found.confidence:.2f}"]
    if found.source == "evidence":
        sure.insert(0, f"composed of the model's readings ({found.in_words})")
    if found.regenerated:
        sure.append("asked twice")
    withdrawn = [f"does not hold: {one.claim.words!r}: {one.reading}" for one in found.contradictions]
    return [*(["; ".join(sure)] if sure else []), *withdrawn, *found.notes]
