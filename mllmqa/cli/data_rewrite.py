"""``mllmqa data rewrite``: answers made of labels, written anew by a model behind an endpoint."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mllmqa.cli.endpoint import Speaking
from mllmqa.cli.groups import unfolded
from mllmqa.errors import UsageError


@unfolded
def rewrite(
    *,
    samples: Annotated[
        Path,
        typer.Argument(metavar="SAMPLES.jsonl", help="Samples with questions and answers.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.jsonl", help="For the rewritten samples.", show_default=False)],
    model: Annotated[str, typer.Option(metavar="api:MODEL", help="The teacher.", show_default=False)],
    frames: Annotated[str | None, typer.Option(metavar="RULE", help="Of videos. Default: uniform:8.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Length of an answer, reasoning included.")] = 1024,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a run that was stopped.")] = False,
    endpoint: Speaking,
) -> None:
    """Let a teacher write answers anew, told by the labels what is true.

    Samples whose answer refuses, leaks or contradicts the labels go to FILE.dropped.jsonl, with the reason.
    Exit code: 0 all rewritten, 1 some dropped, 2 usage, 130 interrupted.
    """
    from mllmqa.cli.ending import EXIT_OK, EXIT_UNSCORED
    from mllmqa.data.teacher import Teacher, dropped_of, rewrite_file

    found = endpoint.options(model)
    if found is None:
        raise UsageError(f"the teacher is {model!r}", expected="api:MODEL, a model behind an endpoint")
    options = replace(found, max_tokens=max_tokens)
    teacher = Teacher.connect(model, options, frames)
    try:
        counts = rewrite_file(samples, out, teacher, continued=resume)
    finally:
        teacher.close()
    print(teacher.usage.line(options.price), file=sys.stderr)
    print(counts.line(), file=sys.stderr)
    if counts.dropped:
        print(f"mllmqa: the dropped ones, with reasons: {dropped_of(out)}", file=sys.stderr)
    raise typer.Exit(EXIT_UNSCORED if counts.dropped else EXIT_OK)
