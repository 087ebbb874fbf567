"""Answers to multiple choice → accuracy in all and by category, and what the order of options does to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from mllmqa.data.tasks.phrases import LETTERS
from mllmqa.evaluation.answers.item import Item
from mllmqa.evaluation.answers.log import Answer, Answers
from mllmqa.evaluation.answers.tally import Count, Outcome
from mllmqa.evaluation.choice.grade import Choice, most_likely, read_choice
from mllmqa.evaluation.choice.question import Question
from mllmqa.schema import Record


class Chosen(Record):
    """One question in one order, with what was chosen."""

    id: str
    order: tuple[int, ...]
    outcome: Outcome | None
    """None: the right answer is not published, or the question has no options."""
    choice: int | None
    """Index among the question's own options; None: unparsed, or no answer."""
    right: int | None
    text: str | None
    read: bool
    """Whether probabilities of letters were read."""
    reason: str | None = None


class Letter(Record):
    """How often a letter was chosen, and how often it was right, over all questions and orders that were read."""

    letter: str
    shown: int
    chosen: int
    right: int
    """How often the right option stood there."""


class ChoiceResult(Record):
    """How a model did on a file of questions."""

    questions: int
    n_hidden: int
    """Questions whose right answer is not published."""
    n_open: int
    """Questions without options; a judge grades them (:mod:`mllmqa.evaluation.judge`)."""
    count: Count
    """Over all questions with a published answer, each in all its orders."""
    chance: float | None
    """Accuracy of choosing at random."""
    orders: int
    """Largest number of orders of a question."""
    all_orders: Count | None
    """Of questions: right in every order (as circular evaluation counts); None with one order."""
    consistent: Count | None
    """Of questions: the same option in every order, right or not; None with one order."""
    letters: tuple[Letter, ...]
    by_category: dict[str, dict[str, Count]]

    def flat(self) -> dict[str, Any]:
        """Return all as ``--json`` shows it."""
        groups = {name: {key: one.flat() for key, one in many.items()} for name, many in self.by_category.items()}
        several = {
            name: one.flat() for name in ("all_orders", "consistent") if (one := getattr(self, name)) is not None
        }
        plain = {
            "questions": self.questions,
            "n_hidden": self.n_hidden,
            "n_open": self.n_open,
            "orders": self.orders,
        }
        letters = [letter.model_dump() for letter in self.letters]
        return {**plain, **self.count.flat(), "chance": self.chance, **several, "letters": letters} | (
            {"by_category": groups} if groups else {}
        )


def grade_choices(
    asked: Iterable[tuple[Question, Sequence[Item]]], answers: Answers
) -> tuple[ChoiceResult, list[Chosen]]:
    """Grade the answers of a log.

    Args:
        asked: Questions with the items that they were asked as; those that the log does not have are unscored.
        answers: Of the log.
    """
    each: list[tuple[Question, list[Chosen]]] = []
    letters: list[tuple[str, str, str]] = []
    for question, items in asked:
        made = []
        for item in items:
            answer = answers.of(item)
            choice = None if answer is None else _read(question, item, answer)
            made.append(_chosen(question, item, answer, choice))
            if choice is not None and choice.index is not None and question.answer is not None:
                shown = LETTERS[: len(item.order)]
                letters.append((shown, shown[choice.index], shown[item.order.index(question.answer)]))
        each.append((question, made))
    return _result(each, letters), [one for _, made in each for one in made]


def _read(question: Question, item: Item, answer: Answer) -> Choice | None:
    """What an answer chooses among the options as they were shown."""
    if not question.options:
        return None
    if answer.logprobs is not None:
        return most_likely(answer.logprobs)
    if answer.text is None:
        return None
    return read_choice(answer.text, [question.options[i] for i in item.order])


def _chosen(question: Question, item: Item, answer: Answer | None, choice: Choice | None) -> Chosen:
    index = None if choice is None or choice.index is None else item.order[choice.index]
    outcome: Outcome | None = None
    if question.options and question.answer is not None:
        if choice is None:
            outcome = "unscored"
        else:
            outcome = "unparsed" if index is None else "right" if index == question.answer else "wrong"
    text, reason = (None, "not asked") if answer is None else (answer.text, answer.reason)
    return Chosen(
        id=question.id, order=item.order, outcome=outcome, choice=index, right=question.answer, text=text,
        read=answer is not None and answer.logprobs is not None, reason=reason,
    )  # fmt: skip


def _result(each: Sequence[tuple[Question, list[Chosen]]], letters: Sequence[tuple[str, str, str]]) -> ChoiceResult:
    graded = [(question, made) for question, made in each if question.options and question.answer is not None]
    groups: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for question, made in graded:
        for name, values in question.categories.items():
            for value in values:
                groups[name][value] += [one.outcome for one in made if one.outcome is not None]
    orders = max((len(made) for _, made in each), default=0)
    return ChoiceResult(
        questions=len(each),
        n_hidden=sum(bool(question.options) and question.answer is None for question, _ in each),
        n_open=sum(not question.options for question, _ in each),
        count=Count.of(one.outcome for _, made in graded for one in made if one.outcome is not None),
        chance=sum(1 / len(q.options) for q, _ in graded) / len(graded) if graded else None,
        orders=orders,
        all_orders=Count.of(_all(made, "right") for _, made in graded) if orders > 1 else None,
        consistent=Count.of(_all(made, "same") for _, made in graded) if orders > 1 else None,
        letters=_letters(letters),
        by_category={name: {key: Count.of(v) for key, v in sorted(many.items())} for name, many in groups.items()},
    )


def _all(made: Sequence[Chosen], what: str) -> Outcome:
    """One outcome for all orders of a question: missing or unread answers make it missing or unread."""
    outcomes = [one.outcome for one in made]
    for bad in ("unscored", "unparsed"):
        if bad in outcomes:
            return bad
    if what == "right":
        return "right" if set(outcomes) == {"right"} else "wrong"
    return "right" if len({one.choice for one in made}) == 1 else "wrong"


def _letters(told: Sequence[tuple[str, str, str]]) -> tuple[Letter, ...]:
    shown = Counter(letter for among, _, _ in told for letter in among)
    chosen, right = Counter(one for _, one, _ in told), Counter(one for _, _, one in told)
    return tuple(
        Letter(letter=letter, shown=shown[letter], chosen=chosen[letter], right=right[letter])
        for letter in sorted(shown)
    )
