"""``mllmqa ask``: one question about images or videos, one answer that is held against the model's readings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mllmqa.cli.endpoint import EndpointWishes, spent
from mllmqa.cli.groups import unfolded
from mllmqa.cli.loading import Loading
from mllmqa.cli.options import Anchors, Model, Reference
from mllmqa.errors import UsageError

if TYPE_CHECKING:
    from mllmqa.asking import Answer, Options
    from mllmqa.chatting.loop import Screen
    from mllmqa.scoring import Scorer

REFUSED = 1


@unfolded
def ask(
    *,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="About quality; files are A, B, C …")],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILES]...", help="Images or videos; - is one on stdin.", show_default=False),
    ] = None,
    reference: Reference = None,
    model: Model = "nano",
    max_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Of the model's text.")] = 256,
    schema: Annotated[
        str | None, typer.Option(metavar="verdict|FILE.json", help="Answer with JSON by this JSON Schema.")
    ] = None,
    anchors: Anchors = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record on stdout, with all readings.")] = False,
    loading: Loading,
    endpoint: EndpointWishes,
) -> None:
    """Ask about the quality of images or videos: why is A worse than B?

    The model's readings are taken first, and its text is held against them.
    Where it does not hold, the answer is composed of the readings; stderr says so.
    At a terminal its text appears as it is being said; over a pipe only the answer.
    With --schema stdout holds one JSON object that follows it, or nothing.

    Exit code: 0 answered, 1 refused or no answer by the schema, 2 usage, 130 interrupted.
    """
    from mllmqa.asking import find_schema
    from mllmqa.asking.answer import Options, keys_of, refusal
    from mllmqa.asking.scope import Refusal, understand
    from mllmqa.chatting.loop import Screen

    named = [*(files or []), *([reference] if reference is not None else [])]
    if named.count("-") > 1:
        raise UsageError("stdin is asked for more than once", expected="- in one place")
    api = endpoint.options(model)
    held = None if schema is None else find_schema(schema)
    early = understand(question, keys_of(len(files or [])))
    if isinstance(early, Refusal):  # before a model is loaded
        screen = Screen(sys.stdout, sys.stderr, live=False)
        raise typer.Exit(_show(refusal(question, early), screen, as_json=as_json, objects=held is not None))
    scorer = loading.load(model, api, anchors)
    screen = Screen(sys.stdout, sys.stderr, live=sys.stdout.isatty() and not as_json and held is None)
    options = Options(max_new_tokens=max_tokens, on_text=screen.piece, schema=held)
    found = _answered(scorer, question, (files or [], reference), options, screen)
    code = _show(found, screen, as_json=as_json, objects=held is not None)
    for line in spent(scorer.backend):
        print(line, file=sys.stderr)
    raise typer.Exit(code)


def _answered(
    scorer: Scorer, question: str, named: tuple[list[str], str | None], options: Options, screen: Screen
) -> Answer:
    """Ask about files and the reference, as they are named."""
    from mllmqa.asking import ask as asked

    files, reference = named
    sources = [opened(name) for name in files]
    pristine = None if reference is None else opened(reference)
    try:
        return asked(scorer, question, sources, reference=pristine, options=options)
    except BaseException:
        screen.broken_off()
        raise


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


def _show(found: Answer, screen: Screen, *, as_json: bool, objects: bool = False) -> int:
    """Show an answer, of which a beginning may be shown already; return the exit code.

    Args:
        found: The answer.
        screen: For people.
        as_json: Show the record instead.
        objects: Whether stdout is for JSON objects: then what is none goes to stderr.
    """
    if as_json:
        print(found.model_dump_json())
    else:
        say = screen.note if objects and found.data is None else screen.answer
        say(found.text)
        for line in notes_of(found):
            screen.note(line)
    return REFUSED if found.source in ("refusal", "none") else 0


def notes_of(found: Answer) -> list[str]:
    """Return what people should know of an answer, one thing a line."""
    sure = [] if found.confidence is None else [f"confidence {found.confidence:.2f}"]
    if found.source == "evidence":
        sure.insert(0, f"composed of the model's readings ({found.in_words})")
    if found.regenerated:
        sure.append("asked twice")
    if found.held is not None and found.held.problem and found.source == "evidence":
        sure.append(found.held.problem)
    withdrawn = [f"does not hold: {one.claim.words!r}: {one.reading}" for one in found.contradictions]
    return [*(["; ".join(sure)] if sure else []), *withdrawn, *found.notes]
