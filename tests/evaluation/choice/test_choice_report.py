"""Orders of options, and accuracy by category: an observer that likes a letter is found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mllmqa.errors import UsageError
from mllmqa.evaluation.answers.ask import Reply
from mllmqa.evaluation.answers.item import Item
from mllmqa.evaluation.answers.log import Answer, Answers
from mllmqa.evaluation.choice.asking import Orders, items_of
from mllmqa.evaluation.choice.question import Question, Shown
from mllmqa.evaluation.choice.report import ChoiceResult, Chosen, grade_choices


def question(name: str = "q", answer: int | None = 1, **more: Any) -> Question:
    fields = {"id": name, "benchmark": "made", "media": (Shown(kind="image", path="a.png"),), "question": "What?"}
    return Question(**{**fields, "options": ("blur", "noise", "dark"), "answer": answer, **more})


def test_one_question_as_it_is_asked() -> None:
    (item,) = items_of(question(), Path("f"), Orders())
    assert item.question == "What?\nA. blur\nB. noise\nC. dark\nAnswer with the letter of the option."
    assert (item.order, item.words, item.task) == ((0, 1, 2), None, "choice")
    (read,) = items_of(question(), Path("f"), Orders(), likelihood=True)
    assert read.words == ("A", "B", "C")
    (told,) = items_of(question(options=(), answer=None), Path("f"), Orders.parse("circular"))
    assert (told.task, told.order, told.question) == ("open", (), "What?\nAnswer briefly.")


def test_several_media_are_named_in_order() -> None:
    media = (Shown(kind="image", path="a.png"), Shown(kind="image", path="b.png"))
    (item,) = items_of(question(media=media), Path("f"), Orders())
    parts = [part.text or part.media for part in item.sample.messages[0].content]
    assert parts[:4] == ["First image:", "medium_1", "Second image:", "medium_2"]


def test_orders() -> None:
    assert Orders.parse("circular").of(question()) == [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
    drawn = Orders.parse("shuffle:9", seed=4).of(question())
    assert drawn == Orders("shuffle", 9, 4).of(question())
    assert all(sorted(order) == [0, 1, 2] for order in drawn)
    assert len(drawn) == len(set(drawn))
    for wrong in ("shuffle", "shuffle:0", "circular:2", "random"):
        with pytest.raises(UsageError, match="expected as-given, circular or shuffle:N"):
            Orders.parse(wrong)


Speak = Callable[[Question, Item], str | None]


def observed(questions: list[Question], orders: str, speak: Speak) -> tuple[ChoiceResult, list[Chosen]]:
    known, asked = Answers(), []
    for one in questions:
        items = items_of(one, Path("f"), Orders.parse(orders))
        asked.append((one, items))
        for item in items:
            text = speak(one, item)
            known.add(Answer.of(Reply(item, text, error=None if text is not None else UsageError("lost"))))
    return grade_choices(asked, known)


def says(wanted: Callable[[Question], int]) -> Speak:
    return lambda one, item: "ABC"[item.order.index(wanted(one))]


def test_who_knows_is_right_in_every_order() -> None:
    result, each = observed([question(str(k), k % 3) for k in range(6)], "circular", says(lambda q: q.answer or 0))
    assert result.count.right == 18
    assert result.all_orders is not None
    assert result.all_orders.right == 6
    assert result.consistent is not None
    assert result.consistent.accuracy == 1
    assert {(one.chosen, one.right) for one in result.letters} == {(6, 6)}
    assert all(one.choice == one.right for one in each)


def test_who_likes_a_letter_is_right_by_chance_and_never_consistent() -> None:
    result, _ = observed([question(str(k), k % 3) for k in range(6)], "circular", lambda q, item: "A")
    assert result.count.accuracy == pytest.approx(1 / 3)
    assert result.chance == pytest.approx(1 / 3)
    assert result.all_orders is not None
    assert (result.all_orders.right, result.consistent and result.consistent.right) == (0, 0)
    assert [(one.letter, one.chosen, one.right) for one in result.letters] == [
        ("A", 18, 6),
        ("B", 0, 6),
        ("C", 0, 6),
    ]


def test_an_observer_of_known_bias_and_skill_is_measured_rightly() -> None:
    rng = np.random.default_rng(5)

    def speak(one: Question, item: Item) -> str | None:
        kind = rng.choice(["knows", "likes C", "mumbles", "is gone"], p=[0.5, 0.3, 0.15, 0.05])
        right = "ABC"[item.order.index(one.answer or 0)]
        return {"knows": right, "likes C": "C", "mumbles": "A or B", "is gone": None}[str(kind)]

    result, _ = observed([question(str(k), k % 3) for k in range(450)], "as-given", speak)
    n, expected = result.count.n, (0.5 + 0.3 / 3) / 0.95
    assert result.count.interval is not None
    assert result.count.interval[0] < expected < result.count.interval[1]
    assert result.count.n_unparsed / n == pytest.approx(0.15 / 0.95, abs=0.06)
    assert result.count.n_unscored == pytest.approx(22, abs=15)
    share = {one.letter: one.chosen / one.shown for one in result.letters}
    assert share["C"] == pytest.approx((0.5 / 3 + 0.3) / 0.8, abs=0.08)


def test_categories_hidden_and_open_questions_are_told_apart() -> None:
    questions = [
        question("a", 0, categories={"kind": ("what",), "concern": ("x", "y")}),
        question("b", 1, categories={"kind": ("how",)}),
        question("c", None),
        question("d", None, options=(), reference="Blur."),
    ]
    result, each = observed(questions, "as-given", lambda q, item: "A")
    assert (result.questions, result.n_hidden, result.n_open, result.count.n) == (4, 1, 1, 2)
    assert {key: one.right for key, one in result.by_category["kind"].items()} == {"how": 0, "what": 1}
    assert set(result.by_category["concern"]) == {"x", "y"}
    assert [one.outcome for one in each] == ["right", "wrong", None, None]
    assert each[2].choice == 0  # for those who may send answers in
    assert result.all_orders is None
    flat = result.flat()
    assert flat["by_category"]["kind"]["what"]["accuracy"] == 1.0


def test_likelihood_is_graded() -> None:
    items = items_of(question(), Path("f"), Orders.parse("circular"), likelihood=True)
    known = Answers()
    for item in items:
        best = "ABC"[item.order.index(1)]
        known.add(Answer.of(Reply(item, logprobs={w: 0.0 if w == best else -float("inf") for w in "ABC"})))
    result, each = grade_choices([(question(), items)], known)
    assert (result.count.right, all(one.read for one in each)) == (3, True)
