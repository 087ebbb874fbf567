"""Comparison with anchors as a mode: Compare2Score (Zhu et al., NeurIPS 2024) with the exemplars as anchors."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from mllmqa.evaluation.prompting.answers import Answer, Failure
from mllmqa.evaluation.prompting.items import Items
from mllmqa.evaluation.prompting.preference import Choice, fit
from mllmqa.evaluation.prompting.strategies import Answered, Response, Scores, expected
from mllmqa.evaluation.prompting.trials import Stimulus, Trial


@dataclass(frozen=True)
class Anchored:
    """Each picture beside each held-out exemplar, in both orders; the logits of the comparison words are read.

    The exemplars are compared among each other, too. Each picture is placed among them by itself, as
    :func:`mllmqa.anchored.place` does it, so that its score depends on no other rated picture. An exemplar pair
    without an answer is left out instead of being taken for a tie.
    """

    name: str = "anchored"
    stimulus: Stimulus = "anchored"

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """All ordered pairs of exemplars, then of pictures and exemplars; exemplar k is written as −1 − k."""
        anchors = [-1 - k for k in range(len(items.exemplars))]
        shown = [(a, b) for a in anchors for b in anchors if a != b]
        shown += [pair for i in range(len(items.rated)) for a in anchors for pair in ((a, i), (i, a))]
        return [Trial(self.name, k, self.stimulus, pair) for k, pair in enumerate(shown)]

    def read(self, trial: Trial, response: Response) -> Answer | Failure:
        """Return the preference for the second picture, 0..1."""
        return expected(response, "comparison")

    def score(self, items: Items, answered: Answered) -> Scores:
        """Thurstone MAP of each picture among the exemplars; both orders are averaged."""
        asked: dict[tuple[int, int], list[float]] = defaultdict(list)
        for trial, answer in answered:
            a, b = trial.shown
            preferred = 1 - answer.values[0]  # the first over the second
            asked[min(a, b), max(a, b)].append(preferred if a < b else 1 - preferred)
        mean = {pair: float(np.mean(found)) for pair, found in asked.items()}
        n, k = len(items.rated), len(items.exemplars)
        core = [Choice(-1 - a, -1 - b, share) for (a, b), share in mean.items() if b < 0]
        values, errors, counts = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64)
        for i in range(n):
            own = [Choice(-1 - a, k, mean[a, i]) for a in range(-k, 0) if (a, i) in mean]
            if own:
                found = fit(k + 1, core + own)
                values[i], errors[i] = found.scores[-1], found.errors[-1]
                counts[i] = sum(len(asked[a, i]) for a in range(-k, 0) if (a, i) in mean)
        return Scores(values, errors, counts)
