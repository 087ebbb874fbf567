"""What the tasks share: the turn that each returns, and how findings, boxes and spans are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mllmqa.data.tasks.truth import Finding
from mllmqa.data.tasks.wording import Box, Wording, vocabulary

GRID = 1000
"""Boxes are written on a scale of 0 to this, as Qwen2-VL and ViDA do."""
LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Turn:
    """One question with its answer.

    Attributes:
        task: The name of the function that made it, e.g. ``level``, ``rank``; ``mcq`` for all choices.
        question: What the user asks.
        answer: What the labels say.
        wording: Id and version of the file that the words come from, e.g. ``build/identify@1``.
    """

    task: str
    question: str
    answer: str
    wording: str


def turn(task: str, question: str, answer: str, pools: Wording) -> Turn:
    """Return a turn; question and answer begin with capitals."""
    return Turn(task, capital(question), capital(answer), pools.ref)


def capital(text: str) -> str:
    """Return a text with its first letter raised, the rest as it is."""
    return f"{text[0].upper()}{text[1:]}"


def graded(finding: Finding) -> dict[str, str]:
    """Return the variables ``label`` and ``severity`` of wordings."""
    words = vocabulary()
    return {"label": words.label(finding.category), "severity": words.grade(finding.severity)}


def found(finding: Finding) -> str:
    """Write a finding with all that its label says: "serious blur at (1, 2, 3, 4) from 0.5 s to 2.0 s"."""
    words = graded(finding)
    return f"{words['severity']} {words['label']}{where(finding)}"


def where(finding: Finding) -> str:
    """Write the place of a finding, with a blank before; "" where it is everywhere."""
    place = f" at {box_text(finding.box)}" if finding.box else ""
    return place + (f" {span_text(finding.span_s)}" if finding.span_s else "")


def box_text(box: Box) -> str:
    """Write a box on the scale of 0 to :data:`GRID`."""
    return f"({', '.join(str(round(GRID * x)) for x in box)})"


def span_text(span_s: tuple[float, float]) -> str:
    """Write a span of time, in tenths of a second."""
    return f"from {span_s[0]:.1f} s to {span_s[1]:.1f} s"


def written(finding: Finding) -> Finding:
    """Return a finding as a text can say it: grade 1..5 half up, box on the grid, tenths of a second."""
    words = vocabulary()
    box = finding.box and tuple(round(GRID * x) / GRID for x in finding.box)
    span_s = finding.span_s and tuple(float(f"{x:.1f}") for x in finding.span_s)
    severity = 1 + words.severities.index(words.grade(finding.severity))
    return Finding(finding.category, severity, box, span_s)  # type: ignore[arg-type]


def one_kind(findings: Sequence[Finding]) -> bool:
    """Tell whether there are findings, all of one category."""
    return len({finding.category for finding in findings}) == 1
