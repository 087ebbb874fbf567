"""Many inputs in the order of their quality.

A model with comparison words is asked about pairs that are chosen as it goes (:mod:`mllmqa.comparing.choice`), each
in both orders; the preferences give MAP scores with standard errors (:mod:`mllmqa.ranking`). Its own scores, where
it has them, only say where to look first. A model that only scores gives a preference for every pair at once, so
no pair needs to be chosen: one comparison of each two, by their distributions, goes into the same estimate.

A standard error is that of as many single judgements as there were comparisons; that the same model would give
the same answers again does not make it smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mllmqa import ranking
from mllmqa.comparing.asking import Asked, Asker
from mllmqa.comparing.choice import next_pairs, usual_budget
from mllmqa.comparing.pair import other_kind
from mllmqa.comparing.preference import thurstone
from mllmqa.comparing.shelf import Shelf
from mllmqa.comparing.told_apart import ALPHA, groups, told_apart, z_of_ranking, z_of_scores
from mllmqa.errors import MllmqaError, UsageError
from mllmqa.prepare import Prepared, Refused, ScoreOptions
from mllmqa.schema import Ranked, RankedItem, RankedPair, Score, Unscored
from mllmqa.scoring import Input, Scorer, unscored

if TYPE_CHECKING:
    from mllmqa.prepare import Source

Float = NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Told how many pairs are done, of how many."""

MAX_ITEMS = 2000
"""Of one ranking: all pairs are held in memory, and the estimate solves for all items at once."""


@dataclass
class _Table:
    """What is known of the inputs so far."""

    asker: Asker
    shelf: Shelf
    reference: Prepared | None = None
    items: list[Prepared] = field(default_factory=list)  # without their pictures
    scores: list[Score | None] = field(default_factory=list)
    refused: list[Unscored] = field(default_factory=list)
    asked: list[tuple[int, int, Asked]] = field(default_factory=list)
    failed: dict[tuple[int, int], MllmqaError] = field(default_factory=dict)
    wins: Float = field(default_factory=lambda: np.zeros((0, 0)))


def rank_many(
    scorer: Scorer,
    sources: Iterable[Input | Source],
    options: ScoreOptions | None = None,
    *,
    reference: Source | Input | None = None,
    budget: int | None = None,
    progress: Progress | None = None,
) -> Ranked:
    """Rank images, or videos, best first.

    Args:
        scorer: From :func:`mllmqa.load`.
        sources: The inputs; those that cannot be used become ``unscored`` and the others go on. The first that can
            be read says whether images or videos are ranked.
        options: What to ask and what to show; the preset's choices by default.
        reference: The pristine original of all, for models that can be shown one.
        budget: Pairs to ask about at most, each in both orders; default:
            :func:`~mllmqa.comparing.choice.usual_budget`.
        progress: Told of each round of questions.

    Raises:
        UsageError: The model cannot do what the options ask for; the budget does not reach every input, or is given
            for a model that is not asked about pairs; too many inputs.
        MllmqaError: The reference cannot be used.
    """
    asker = Asker(scorer, options)
    if budget is not None and asker.method == "scores":
        raise UsageError(
            f"a budget of {budget} pairs", where=scorer.backend.info.model,
            expected="none: this model scores each file once and is not asked about pairs",
        )  # fmt: skip
    table = _Table(asker, Shelf(lambda one: next(asker.prepare([one], 1))))
    if reference is not None and asker.takes_reference:
        table.reference = _reference(asker, reference)
    _gather(table, (one if isinstance(one, Input) else Input.of(one) for one in sources))
    n = len(table.items)
    table.wins = np.zeros((n, n))
    if asker.method == "scores":
        _compare_scores(table)
    elif n > 1:
        _ask_pairs(table, _checked(budget, n), progress)
        _drop_unanswered(table)
    return _ranked(table, None if reference is None else asker.takes_reference)


def _checked(budget: int | None, n: int) -> int:
    if budget is None:
        return usual_budget(n)
    if budget < n - 1:
        raise UsageError(f"a budget of {budget} pairs for {n} files", expected=f"at least {n - 1}, to reach each")
    return min(budget, n * (n - 1) // 2)


def _reference(asker: Asker, source: Source | Input) -> Prepared:
    ready = next(asker.prepare([source if isinstance(source, Input) else Input.of(source)], 1))
    if isinstance(ready, Refused):
        raise ready.error
    return ready


# ---------------------------------------------------------------------- inputs


def _gather(table: _Table, inputs: Iterator[Input]) -> None:
    """Prepare and score all inputs, a batch at a time, and shelve what they are shown as."""
    asker = table.asker
    named: list[Input] = []

    def noted() -> Iterator[Input]:
        for one in inputs:
            named.append(one)
            yield one

    first = table.reference
    batch: list[tuple[Input, Prepared]] = []
    for k, ready in enumerate(asker.prepare(noted())):
        if isinstance(ready, Refused):
            table.refused.append(unscored(ready.source, ready.error, asker.plan, ready))
            continue
        first = first or ready
        if (error := other_kind(ready, first)) is not None:
            table.refused.append(unscored(ready.source, error, asker.plan, ready))
            continue
        batch.append((named[k], ready))
        if len(batch) == asker.scorer.default_batch_size:
            _take(table, batch)
            batch = []
        if len(table.items) > MAX_ITEMS:
            raise UsageError(f"more than {MAX_ITEMS} files to rank", expected="fewer", hint="score them instead")
    _take(table, batch)


def _take(table: _Table, batch: Sequence[tuple[Input, Prepared]]) -> None:
    asker = table.asker
    scores: Sequence[Score | Unscored | None] = asker.score([ready for _, ready in batch])
    for (source, ready), score in zip(batch, scores or [None] * len(batch), strict=True):
        if isinstance(score, Unscored):
            table.refused.append(score)
            continue
        if asker.method != "scores":
            table.shelf.put(len(table.items), source, ready)
        table.items.append(Prepared(ready.source, ready.media, (), ready.joint, ready.provenance))
        table.scores.append(score)


# ---------------------------------------------------------------------- preferences


def _compare_scores(table: _Table) -> None:
    """Fill in every pair from the two distributions."""
    for i, one in enumerate(table.scores):
        for j, other in enumerate(table.scores[:i]):
            if one is not None and other is not None:
                table.wins[i, j] = thurstone(one, other)
                table.wins[j, i] = 1 - table.wins[i, j]


def _ask_pairs(table: _Table, budget: int, progress: Progress | None) -> None:
    """Ask round by round about the most informative pairs that were not asked, until the budget is spent."""
    n = len(table.items)
    open_pairs = np.ones((n, n), dtype=bool)
    mean, covariance = _before(table)
    done = 0
    while done < budget:
        for i, j in (chosen := next_pairs(mean, covariance, open_pairs, budget - done)):
            open_pairs[i, j] = False
        _ask(table, chosen)
        done += len(chosen)
        if progress is not None:
            progress(done, budget)
        found = ranking.rank(table.wins)
        mean, covariance = found.scores, found.covariance


def _before(table: _Table) -> tuple[Float, Float]:
    """Return what is known before the first question: the model's own scores, in their spreads, with the prior."""
    n = len(table.items)
    known = [score for score in table.scores if score is not None]
    mean = np.zeros(n)
    if len(known) == n:
        spread = np.sqrt(2 * np.mean([score.std**2 for score in known]))
        mean = np.array([score.value for score in known]) / (spread if spread > 0 else 1.0)
        mean -= mean.mean()
    return mean, np.eye(n)


def _ask(table: _Table, pairs: Sequence[tuple[int, int]]) -> None:
    """Ask about pairs, as many at a time as one batch holds."""
    size = max(1, table.asker.scorer.default_batch_size // 2)
    for k in range(0, len(pairs), size):
        ready: list[tuple[int, int, Prepared, Prepared]] = []
        for i, j in pairs[k : k + size]:
            try:
                ready.append((i, j, table.shelf.get(i), table.shelf.get(j)))
            except MllmqaError as error:
                table.failed[i, j] = error
        answers = table.asker.preferences([(a, b) for _, _, a, b in ready], table.reference)
        for (i, j, _, _), answer in zip(ready, answers, strict=True):
            if isinstance(answer, MllmqaError):
                table.failed[i, j] = answer
                continue
            table.asked.append((i, j, answer))
            table.wins[i, j] = answer.p_better
            table.wins[j, i] = 1 - answer.p_better


def _drop_unanswered(table: _Table) -> None:
    """Take out the inputs about which no question was answered: they have no place."""
    answered = {item for i, j, _ in table.asked for item in (i, j)}
    errors = {item: error for pair, error in table.failed.items() for item in pair}
    lost = [item for item in range(len(table.items)) if item not in answered]
    for item in lost:
        one, error = table.items[item], errors[item]
        table.refused.append(unscored(one.source, error, table.asker.plan, one))
    kept = sorted(answered)
    place = {item: k for k, item in enumerate(kept)}
    table.items = [table.items[item] for item in kept]
    table.scores = [table.scores[item] for item in kept]
    table.asked = [(place[i], place[j], answer) for i, j, answer in table.asked]
    table.wins = table.wins[np.ix_(kept, kept)]


# ---------------------------------------------------------------------- the result


def _ranked(table: _Table, reference_used: bool | None) -> Ranked:
    asker, n = table.asker, len(table.items)
    bias = [answer.position_bias for _, _, answer in table.asked]
    known = int(np.count_nonzero(np.triu(table.wins + table.wins.T, 1)))
    items, place = _items(table)
    return Ranked(
        aspect=asker.plan.aspect,
        method=asker.method,
        items=items,
        unscored=tuple(table.refused),
        pairs=tuple(
            RankedPair(a=place[i], b=place[j], p_a_better=x.p_better, by_order=x.by_order)
            for i, j, x in table.asked
        ),
        n_pairs=known,
        n_failed=len(table.failed),
        n_possible=n * (n - 1) // 2,
        choice="all" if known == n * (n - 1) // 2 else "information-gain",
        position_bias=float(np.mean(bias)) if bias else None,
        alpha=ALPHA,
        reference_used=reference_used,
        spec=asker.spec,
    )


def _items(table: _Table) -> tuple[tuple[RankedItem, ...], list[int]]:
    """Return the items best first, and the place of each input among them."""
    n = len(table.items)
    if n == 0:
        return (), []
    found = ranking.rank(table.wins)
    order = np.argsort(-found.scores, kind="stable")
    known = [score for score in table.scores if score is not None]
    z = z_of_scores(known) if table.asker.method == "scores" else z_of_ranking(found)
    shared = groups(told_apart(z)[np.ix_(order, order)])
    pairs = np.count_nonzero(table.wins + table.wins.T, axis=1)
    items = tuple(
        RankedItem(
            rank=k + 1,
            source=table.items[i].source,
            map_score=float(found.scores[i]),
            standard_error=float(found.standard_errors[i]),
            groups=shared[k],
            n_pairs=int(pairs[i]),
            score=table.scores[i],
            media=table.items[i].media,
            provenance=table.items[i].provenance,
        )
        for k, i in enumerate(order)
    )
    return items, np.argsort(order).tolist()
