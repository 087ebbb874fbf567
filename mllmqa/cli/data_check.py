"""``mllmqa data check FILE``: a file of samples; the other half of the command is in data_sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mllmqa.data.media_check import Depth
    from mllmqa.data.problems import Problem

SHOWN = 20


def check_samples(path: Path, *, media: Depth, as_json: bool) -> None:
    """Print what is wrong with a file of samples and a count; exit code 1 if anything is."""
    from mllmqa.data.problems import iter_problems
    from mllmqa.data.text_check import TextCheck, iter_text_problems

    counts = TextCheck()
    problems: Iterator[Problem] = chain(iter_problems(path, media), iter_text_problems(path, counts))
    found = 0
    for problem in problems:
        found += 1
        if as_json:
            record = {"line": problem.line, "id": problem.id, **problem.flaw._asdict()}
            print(json.dumps(record, ensure_ascii=False))
        elif found <= SHOWN:
            print(problem)
    if not as_json:
        if found > SHOWN:
            print(f"… and {found - SHOWN} more")
        told = f"{counts.n_read_back} read back from their texts, {counts.n_rewritten} rewritten by a teacher"
        told += f", {counts.n_plain} without a record of how they were made"
        print(f"{counts.n} samples; {told}; {found} problems")
    raise typer.Exit(1 if found else 0)
