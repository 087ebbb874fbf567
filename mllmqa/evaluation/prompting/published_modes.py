"""The nine modes as published (``compat: wu2024``), on the samplers and the reader of :mod:`.wu2024`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mllmqa.errors import UsageError
from mllmqa.evaluation.prompting import wu2024
from mllmqa.evaluation.prompting.answers import SAME, Answer, Failure
from mllmqa.evaluation.prompting.items import Items
from mllmqa.evaluation.prompting.strategies import Answered, Response, Scores, choice_of, choices_of
from mllmqa.evaluation.prompting.trials import SHAPES, Stimulus, Trial


@dataclass(frozen=True)
class Published:
    """One stimulus method as published.

    Attributes:
        stimulus: ``single``, ``double`` or ``multiple``; also the name of the mode.
        opponents: Of each picture.
        per_item: Groups that each picture leads.
        size: Pictures of a group.
    """

    stimulus: Stimulus
    opponents: int = 5
    per_item: int = 2
    size: int = 4

    @property
    def name(self) -> str:
        """Of the mode."""
        return self.stimulus

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """As published: seed 20 whatever ``seed`` is.

        Raises:
            UsageError: A reference has a single picture; the published sampler would never end.
        """
        n = len(items.rated)
        if self.stimulus == "single":
            shown = [(i,) for i in range(n)]
        elif self.stimulus == "double":
            inside = wu2024.pairs_inside(items.groups, self.opponents) if items.reference else None
            shown = wu2024.pairs(n, self.opponents) if inside is None else inside  # type: ignore[assignment]
        else:
            inside = wu2024.groups_inside(items.groups, self.per_item, self.size) if items.reference else None
            shown = wu2024.groups(n, self.per_item, self.size) if inside is None else inside  # type: ignore[assignment]
        return [Trial(self.name, k, self.stimulus, group) for k, group in enumerate(shown)]

    def read(self, trial: Trial, response: Response) -> Answer | Failure:
        """As published, but what cannot be read stays a failure."""
        if response.truncated and "Score:" not in (response.text or ""):
            return Failure("truncated", "cut off before its score")
        return wu2024.read(response.text or "", SHAPES[self.stimulus], len(trial.shown))

    def score(self, items: Items, answered: Answered) -> Scores:
        """Scores 0..100; compared pictures are min-max scaled, inside each reference where there are some."""
        n = len(items.rated)
        values, counts = np.full(n, np.nan), np.zeros(n, np.int64)
        errors = np.full(n, np.nan)
        if self.stimulus == "single":
            for trial, answer in answered:
                values[trial.shown[0]], counts[trial.shown[0]] = answer.values[0], 1
            return Scores(values, errors, counts)
        wins = np.zeros((n, n))
        for trial, answer in answered:
            for i, j, first, second in _wins(self.stimulus, trial, answer):
                wins[i, j] += first
                wins[j, i] += second
                counts[[i, j]] += 1
        for members in items.groups:
            if len(members) > 1:
                values[members] = wu2024.scaled(wins[np.ix_(members, members)])
        return Scores(values, errors, counts)


def _wins(stimulus: Stimulus, trial: Trial, answer: Answer) -> Sequence[tuple[int, int, float, float]]:
    """Return pairs with the wins of both sides; a tie is one for each. A choice of 3 is ignored, as published."""
    if stimulus == "double":
        if answer.values[0] not in (0, 1, SAME):
            return []
        choices = [choice_of(trial, answer)]
    else:
        choices = choices_of(trial, answer)
    return [
        (c.first, c.second, float(c.share >= 0.5), float(c.share <= 0.5)) for c in choices if c.first != c.second
    ]


@dataclass(frozen=True)
class PublishedExample:
    """In-context examples with the published labels: 50, "the first is better", ranks 0, 1, 2, 3 in display order.

    The held-out pictures are chosen and ordered so that these labels are true (50: as near as they come).
    """

    inner: Published

    @property
    def name(self) -> str:
        """The inner name with ``-ic``."""
        return f"{self.inner.name}-ic"

    @property
    def stimulus(self) -> Stimulus:
        """Of the inner strategy."""
        return self.inner.stimulus

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """The inner plan, with the same example each time."""
        known = sorted(range(len(items.exemplars)), key=lambda k: items.exemplars[k].opinion)
        if not known:
            raise UsageError("no exemplars are held out for the in-context modes")
        middle = min(known, key=lambda k: abs(items.exemplars[k].opinion - 0.5))
        shown, told = {
            "single": ([middle], "50"),
            "double": ([known[-1], known[0]], "the first better than the second"),
        }.get(self.stimulus, (known, "[" + ", ".join(map(str, range(len(known)))) + "]"))
        return [
            replace(trial, mode=self.name, example=tuple(shown), told=told)
            for trial in self.inner.plan(items, seed)
        ]

    def read(self, trial: Trial, response: Response) -> Answer | Failure:
        """As the inner strategy."""
        return self.inner.read(trial, response)

    def score(self, items: Items, answered: Answered) -> Scores:
        """As the inner strategy."""
        return self.inner.score(items, answered)
