"""Answers that were made of labels, written anew by a teacher: a model behind an OpenAI-compatible endpoint.

As DepictQA does it (You et al., ECCV 2024: "ground-truth-informed" answers of GPT-4V), with a check that DepictQA
has not: what an answer claims is read back and compared with the labels; what contradicts them is dropped, counted
and kept for inspection. See docs/teacher.md.

==================  ===================================================================================
``truth``           what the labels say about a task
``prompt``          what the teacher is told (``prompts/teach/``)
``shown``           the media, as they are sent
``client``          one question, one answer in JSON, paid for once
``form``            JSON, length, repetition, refusals, leaks
``claims``          what a free text claims of distortions, negations among them
``contradictions``  claims against labels
``outcomes``        rewritten or dropped, with reasons
``run``             samples, in order, many in flight
``files``           files of samples
==================  ===================================================================================
"""

from __future__ import annotations

from mllmqa.data.teacher.client import Answer, Teacher
from mllmqa.data.teacher.files import dropped_of, rewrite_file
from mllmqa.data.teacher.outcomes import REASONS, Counts, Dropped, Outcome, Rewritten
from mllmqa.data.teacher.run import rewrite

__all__ = [
    "REASONS",
    "Answer",
    "Counts",
    "Dropped",
    "Outcome",
    "Rewritten",
    "Teacher",
    "dropped_of",
    "rewrite",
    "rewrite_file",
]
