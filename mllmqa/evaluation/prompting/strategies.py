"""The modes as small pure objects: what is asked (plan), what an answer means (read), what all give (score).

In-context examples and chain of thought are decorators of any stimulus, so that nine modes are three objects and
two decorators, and all strategies of a stimulus are asked about the very same pictures.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mllmqa.data.streams import stream
from mllmqa.evaluation.prompting import answers, designs
from mllmqa.evaluation.prompting.answers import FIRST, SAME, Answer, Failure
from mllmqa.evaluation.prompting.items import Items
from mllmqa.evaluation.prompting.preference import WEAK, Choice, Effect, Link, effect, fit
from mllmqa.evaluation.prompting.trials import SHAPES, Stimulus, Trial
from mllmqa.prompts import word_scale

Float = NDArray[np.float64]
Answered = Sequence[tuple[Trial, Answer]]


@dataclass(frozen=True)
class Response:
    """What a model gave back.

    Attributes:
        text: Its words; None where logits were read.
        truncated: Whether the words were cut off by their length.
        logits: Of the words of the scale; None where it answered in words.
    """

    text: str | None
    truncated: bool = False
    logits: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Scores:
    """Scores of all pictures; higher is better.

    Attributes:
        values: Float64, shape (N,); NaN where no answer speaks of the picture.
        errors: Standard errors, shape (N,); NaN where there are none.
        answers: Readable answers about each picture, shape (N,).
        order: Order effect, where pictures were compared.
        order_error: Its standard error.
        parts: Most sets of pictures, inside a group, that no comparison connects; 1 is right.
    """

    values: Float
    errors: Float
    answers: NDArray[np.int64]
    order: float = math.nan
    order_error: float = math.nan
    parts: int = 1


class Strategy(Protocol):
    """One mode."""

    @property
    def name(self) -> str:
        """Of the mode."""
        ...

    @property
    def stimulus(self) -> Stimulus:
        """What is shown."""
        ...

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """Return all questions of the mode."""
        ...

    def read(self, trial: Trial, response: Response) -> Answer | Failure:
        """Return what an answer says."""
        ...

    def score(self, items: Items, answered: Answered) -> Scores:
        """Return the scores that the readable answers give."""
        ...


class _InWords:
    """Strategies whose answers are words."""

    stimulus: Stimulus

    def read(self, trial: Trial, response: Response) -> Answer | Failure:
        """Read the text (:func:`mllmqa.evaluation.prompting.answers.read`)."""
        text = response.text or ""
        return answers.read(text, SHAPES[self.stimulus], len(trial.shown), truncated=response.truncated)


@dataclass(frozen=True)
class Single(_InWords):
    """Each picture by itself, scored 0..100."""

    repeats: int = 1
    name: str = "single"
    stimulus: Stimulus = "single"

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """One question per picture."""
        return _trials(self.name, self.stimulus, [(i,) for i in range(len(items.rated))], self.repeats)

    def score(self, items: Items, answered: Answered) -> Scores:
        """Mean of the repeated answers, and its standard error where there are two or more."""
        return _means(len(items.rated), ((t.shown[0], a.values[0]) for t, a in answered))


@dataclass(frozen=True)
class Pairwise(_InWords):
    """Two pictures in both orders; inside each reference where there are references."""

    per_item: float = 5
    repeats: int = 1
    name: str = "double"
    stimulus: Stimulus = "double"

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """Balanced pairs (:func:`mllmqa.evaluation.prompting.designs.pairs`)."""
        names = items.group_names() or [""]
        shown = [
            pair
            for members in items.groups
            for pair in designs.pairs(members, self.per_item, seed, names[members[0]])
        ]
        return _trials(self.name, self.stimulus, shown, self.repeats)

    def score(self, items: Items, answered: Answered) -> Scores:
        """Thurstone MAP with an order effect."""
        return _compared(items, [choice_of(trial, answer) for trial, answer in answered])


@dataclass(frozen=True)
class Listwise(_InWords):
    """Several pictures that are ranked; their order counts as comparisons of all pairs."""

    size: int = 4
    per_item: int = 2
    repeats: int = 1
    name: str = "multiple"
    stimulus: Stimulus = "multiple"

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """Balanced groups (:func:`mllmqa.evaluation.prompting.designs.groups`)."""
        names = items.group_names() or [""]
        shown = [
            group
            for members in items.groups
            for group in designs.groups(members, self.size, self.per_item, seed, names[members[0]])
        ]
        return _trials(self.name, self.stimulus, shown, self.repeats)

    def score(self, items: Items, answered: Answered) -> Scores:
        """Thurstone MAP over all pairs of each list, with an effect of the earlier place.

        The n(n − 1)/2 pairs of one list are not independent: between pictures that are alike, the sum of wins of
        one varies (n + 1)/3 times as much as of independent pairs (ranks have the variance (n² − 1)/12). Each pair
        is worth 3/(n + 1) of a comparison, so that the standard errors are right.
        """
        return _compared(items, [c for trial, answer in answered for c in choices_of(trial, answer)])


@dataclass(frozen=True)
class TwoAlternatives(_InWords):
    """2AFC coarse to fine (Zhu et al., IEEE TCSVT 2024, arXiv 2402.01162): a letter, in both orders.

    Only pairs that are answered the same in both orders count, as published, each once; what that wastes is
    reported. That they are chosen so is in the likelihood (``both-orders``), which the published one leaves out.
    """

    rounds: int = 8
    bands: int = 4
    name: str = "2afc"
    stimulus: Stimulus = "two-afc"

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """Coarse and fine pairs (:func:`mllmqa.evaluation.prompting.designs.coarse_to_fine`)."""
        shown = designs.coarse_to_fine(items.opinions, self.rounds, self.bands, seed)
        return _trials(self.name, self.stimulus, shown, 1)

    def score(self, items: Items, answered: Answered) -> Scores:
        """Thurstone MAP over the pairs with consistent answers."""
        by_number = {trial.number: (trial, answer) for trial, answer in answered}
        kept = []
        for number in sorted(by_number):
            other = by_number.get(number + 1)
            if number % 2 or other is None:
                continue
            choice = choice_of(*by_number[number])
            if choice.share == 1 - choice_of(*other).share:
                kept.append(choice)
        return _compared(replace(items, reference=False), kept, "both-orders")


@dataclass(frozen=True)
class Levels:
    """The level words' logits, as `mllmqa score` reads them: no words are generated."""

    name: str = "levels"
    stimulus: Stimulus = "levels"

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """One question per picture."""
        return _trials(self.name, self.stimulus, [(i,) for i in range(len(items.rated))], 1)

    def read(self, trial: Trial, response: Response) -> Answer | Failure:
        """Return the expectation over the level words, 1..5."""
        return expected(response, "levels")

    def score(self, items: Items, answered: Answered) -> Scores:
        """The expectations themselves."""
        return _means(len(items.rated), ((t.shown[0], a.values[0]) for t, a in answered))


def choice_of(trial: Trial, answer: Answer) -> Choice:
    """Return the comparison that a double or 2AFC answer means."""
    said = answer.values[0]
    return Choice(trial.shown[0], trial.shown[1], 0.5 if said == SAME else float(said == FIRST))


def choices_of(trial: Trial, answer: Answer) -> list[Choice]:
    """Return the comparisons of all pairs of a ranking, each worth what it adds to the others."""
    made, weight = [], 3 / (len(trial.shown) + 1)
    for (i, a), (j, b) in combinations(list(zip(trial.shown, answer.values, strict=True)), 2):
        if i != j:  # compat: a published group may hold a picture twice
            made.append(Choice(i, j, 0.5 if a == b else float(a > b), weight))
    return made


@dataclass(frozen=True)
class ChainOfThought:
    """The same questions, but a description is asked for first (decorator)."""

    inner: Strategy

    @property
    def name(self) -> str:
        """The inner name with ``-cot``."""
        return f"{self.inner.name}-cot"

    @property
    def stimulus(self) -> Stimulus:
        """Of the inner strategy."""
        return self.inner.stimulus

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """The inner plan, with thinking."""
        return [replace(trial, mode=self.name, think=True) for trial in self.inner.plan(items, seed)]

    def read(self, trial: Trial, response: Response) -> Answer | Failure:
        """As the inner strategy."""
        return self.inner.read(trial, response)

    def score(self, items: Items, answered: Answered) -> Scores:
        """As the inner strategy."""
        return self.inner.score(items, answered)


@dataclass(frozen=True)
class InContext:
    """The same questions after one example that people judged (decorator).

    The example is made of held-out pictures. Its order of display is drawn for each question, so that "the first is
    better" is told as often as the opposite.
    """

    inner: Strategy

    @property
    def name(self) -> str:
        """The inner name with ``-ic``."""
        return f"{self.inner.name}-ic"

    @property
    def stimulus(self) -> Stimulus:
        """Of the inner strategy."""
        return self.inner.stimulus

    def plan(self, items: Items, seed: int) -> list[Trial]:
        """The inner plan, with an example each."""
        return [self._with(trial, items, seed) for trial in self.inner.plan(items, seed)]

    def _with(self, trial: Trial, items: Items, seed: int) -> Trial:
        known = len(items.exemplars)
        places = {"single": [known // 2], "double": [0, known - 1]}.get(self.stimulus, list(range(known)))
        places = places[: len(trial.shown)] if self.stimulus == "multiple" else places
        mixed = stream(seed, "example", self.stimulus, str(trial.number)).permutation(places).tolist()
        opinions = [items.exemplars[p].opinion for p in mixed]
        if self.stimulus == "single":
            told = f"{100 * opinions[0]:.0f}"
        elif self.stimulus == "double":
            better, worse = ("first", "second") if opinions[0] > opinions[1] else ("second", "first")
            told = f"the {better} better than the {worse}"
        else:
            told = "[" + ", ".join(str(rank) for rank in np.argsort(np.argsort(opinions, kind="stable"))) + "]"
        return replace(trial, mode=self.name, example=tuple(mixed), told=told)

    def read(self, trial: Trial, response: Response) -> Answer | Failure:
        """As the inner strategy."""
        return self.inner.read(trial, response)

    def score(self, items: Items, answered: Answered) -> Scores:
        """As the inner strategy."""
        return self.inner.score(items, answered)


def _trials(mode: str, stimulus: Stimulus, shown: Sequence[tuple[int, ...]], repeats: int) -> list[Trial]:
    return [Trial(mode, k, stimulus, group, repeat=r) for k, group in enumerate(shown) for r in range(repeats)]


def expected(response: Response, scale: str) -> Answer | Failure:
    """Return the expectation over the words of a scale, softmax in float64."""
    words = word_scale(scale)
    if response.logits is None:
        return Failure("format", "no logits came back")
    logits = np.asarray(response.logits, np.float64)
    if np.isnan(logits).any() or not np.isfinite(logits).any():
        return Failure("format", "no word of the scale has any probability")
    weights = np.exp(logits - logits.max())
    return Answer((float(weights @ np.asarray(words.values) / weights.sum()),))


def _means(n: int, said: Iterable[tuple[int, float]]) -> Scores:
    by_item: dict[int, list[float]] = defaultdict(list)
    for place, value in said:
        by_item[place].append(value)
    values, errors, counts = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64)
    for place, found in by_item.items():
        values[place], counts[place] = float(np.mean(found)), len(found)
        if len(found) > 1:
            errors[place] = float(np.std(found, ddof=1)) / math.sqrt(len(found))
    return Scores(values, errors, counts)


def _compared(items: Items, choices: Sequence[Choice], link: Link = "normal") -> Scores:
    """Fit each group by itself (there is no comparison across references), with a common order effect and prior."""
    n, groups = len(items.rated), items.groups
    values, errors, counts = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64)
    home = {place: (g, k) for g, members in enumerate(groups) for k, place in enumerate(members)}
    inside: list[list[Choice]] = [[] for _ in groups]
    for choice in choices:
        counts[[choice.first, choice.second]] += 1
        (g, first), (_, second) = home[choice.first], home[choice.second]
        inside[g].append(replace(choice, first=first, second=second))
    common = effect(inside) if link == "normal" else Effect(math.nan, math.nan, WEAK)
    order, parts = 0.0 if math.isnan(common.order) else common.order, 0
    for members, found in zip(groups, inside, strict=True):
        made = fit(len(members), found, link, order=order, precision=common.precision)
        values[members], errors[members] = made.scores, made.errors
        parts = max(parts, made.parts)
    return Scores(values, errors, counts, common.order, common.error, parts)
