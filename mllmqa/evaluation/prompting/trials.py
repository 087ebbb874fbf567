"""One question of a benchmark as data, and the request that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from mllmqa import prompts
from mllmqa.errors import UsageError
from mllmqa.evaluation.prompting.answers import ORDINALS, Shape
from mllmqa.evaluation.prompting.items import Items
from mllmqa.prompts import Prompt

Stimulus = Literal["single", "double", "multiple", "two-afc", "levels", "anchored"]
SHAPES: dict[Stimulus, Shape] = {"single": "score", "double": "choice", "multiple": "ranking", "two-afc": "letter"}
LOGITS: dict[Stimulus, str] = {"levels": "levels", "anchored": "comparison"}
"""Stimulus → scale of words whose logits are read; the others are answered in words."""
MAX_GROUP = len(ORDINALS)


@dataclass(frozen=True)
class Trial:
    """One question.

    Attributes:
        mode: Name of the mode, e.g. ``double-cot``.
        number: Place in the mode's plan, from 0.
        stimulus: What is asked.
        shown: Places of the rated pictures, in display order; −1 − place stands for an exemplar (an anchor).
        example: Places of the exemplars that are shown in front, in display order; empty without.
        told: What people said of them, for the text.
        think: Whether a description is asked for first.
        repeat: Which asking of the same question, from 0.
    """

    mode: str
    number: int
    stimulus: Stimulus
    shown: tuple[int, ...]
    example: tuple[int, ...] = ()
    told: str = ""
    think: bool = False
    repeat: int = 0

    @property
    def id(self) -> str:
        """Unique inside a benchmark."""
        return f"{self.mode}/{self.number}.{self.repeat}"


def files(trial: Trial, items: Items) -> list[Path]:
    """Return the files of a trial in the order in which a model gets them: example first, reference first."""
    made: list[Path] = []
    for places, exemplar in ((trial.example, True), (trial.shown, False)):
        chosen = [
            items.exemplars[p if exemplar else -1 - p] if exemplar or p < 0 else items.rated[p] for p in places
        ]
        if items.reference and chosen and chosen[-1].reference is not None and trial.stimulus in _REFERENCED:
            made.append(chosen[-1].reference)
        made += [item.path for item in chosen]
    return made


_REFERENCED = ("single", "double", "multiple")


def prompt_of(trial: Trial, items: Items) -> Prompt:
    """Render what is asked.

    Raises:
        UsageError: A group is larger than there are ordinals.
    """
    return _rendered(trial.stimulus, len(trial.shown), trial.told, trial.think, items.reference)


@lru_cache(maxsize=4096)
def _rendered(stimulus: Stimulus, n: int, told: str, think: bool, reference: bool) -> Prompt:
    if stimulus == "levels":
        return prompts.render(prompts.load("score/quality"), medium="image")
    if stimulus == "anchored":
        return prompts.render(prompts.load("compare/second_to_first"), medium="image")
    if n > MAX_GROUP:
        raise UsageError(f"groups of {n} pictures", expected=f"at most {MAX_GROUP}")
    attributes = prompts.render(prompts.load("nine/attributes"), medium="image").question
    if stimulus == "two-afc":
        return prompts.render(prompts.load("nine/two-afc"), attributes=attributes)
    kind = "fr" if reference else "nr"
    subject = "how the images differ in quality" if n > 1 else "how good the image looks"
    if reference:
        subject = f"how the distorted {'versions differ' if n > 1 else 'version differs'} from the reference"
    shape = {
        "single": "<number>",
        "double": "<1, 0 or 2>",
        "multiple": "[" + ", ".join(f"{ORDINALS[i]}: <rank>" for i in range(n)) + "]",
    }[stimulus]
    form = prompts.render(prompts.load("nine/form"), think=think, subject=subject, shape=shape).question
    file = prompts.load(f"nine/{stimulus}-{kind}")
    return prompts.render(file, n=n, example=told, attributes=attributes, form=form)
