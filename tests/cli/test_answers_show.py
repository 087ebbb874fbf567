"""Results as people see them."""

from __future__ import annotations

import pytest

from mllmqa.cli.answers_show import Progress, finish, lines
from mllmqa.evaluation.answering import Results
from mllmqa.evaluation.answers.log import Answer
from mllmqa.evaluation.answers.tally import Count
from mllmqa.evaluation.choice.report import ChoiceResult, Letter
from mllmqa.evaluation.describe.report import Mean, TaskResult
from mllmqa.evaluation.describe.sets import CategoryCount
from mllmqa.evaluation.judge import Criterion

COUNT = Count(right=3, wrong=1, n_unparsed=0, n_unscored=1)
EMPTY = Count(right=0, wrong=0, n_unparsed=0, n_unscored=2)


def task(count: Count = COUNT) -> TaskResult:
    blur = CategoryCount(category="blur", hits=2, missed=0, invented=0)
    noise = CategoryCount(category="noise", hits=0, missed=1, invented=0)
    figures = {"jaccard": Mean(value=0.75, n=4), "chance": Mean(value=0.2, n=4)}
    return TaskResult(task="identify", count=count, constant=0.5, figures=figures, categories=(blur, noise))


def choices() -> ChoiceResult:
    letters = (Letter(letter="A", shown=4, chosen=3, right=2), Letter(letter="B", shown=4, chosen=1, right=2))
    groups = {"kind": {"what": COUNT}}
    return ChoiceResult(
        questions=6, n_hidden=1, n_open=1, count=COUNT, chance=0.5, orders=2, all_orders=COUNT, consistent=COUNT,
        letters=letters, by_category=groups,
    )  # fmt: skip


def test_tasks_with_their_figures_and_categories() -> None:
    head, row, figures, blur, noise = lines(Results("samples", [], 1, tasks=[task()]))
    assert head.split() == ["n", "unparsed", "no", "answer", "accuracy", "95", "%"]
    assert row.split()[:5] == ["identify", "4", "0", "1", "0.750"]
    assert "always one answer 0.500" in row
    assert figures.strip() == "jaccard 0.750"  # chance is no measure of the answers
    assert "precision 1.000  recall 1.000" in blur
    assert "precision none  recall 0.000" in noise


def test_nothing_answered_has_no_accuracy() -> None:
    row = lines(Results("samples", [], 2, tasks=[task(EMPTY)]))[1]
    assert row.split()[:5] == ["identify", "0", "0", "2", "none"]


def test_choices_with_orders_letters_and_groups() -> None:
    text = "\n".join(lines(Results("questions", [], 1, choices=choices())))
    for part in ("chance 0.500", "right in all orders", "kind: what", "letter A: chosen 3, right 2, shown 4"):
        assert part in text
    assert "1 questions without a published answer, 1 without options" in text


def test_a_judge_has_a_line_for_each_criterion() -> None:
    made = Criterion(
        criterion="answer", n=3, n_unscored=1, rounds=2, n_rounds_unread=3, mean=1.5, standard_error=None,
        between_rounds=0.25,
    )  # fmt: skip
    last = lines(Results("questions", [], 0, choices=choices(), judged=[made]))[-1]
    assert "mean 1.500 of 0..2" in last
    assert "± none" in last


def test_missing_answers_are_told_and_change_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(Results("samples", [], 0, tasks=[task()]), as_json=False, graded=None) == 0
    assert finish(Results("samples", [], 2, tasks=[task()]), as_json=True, graded=None) == 1
    out, err = capsys.readouterr()
    assert err == "mllmqa: 2 questions have no answer\n"
    assert '"kind": "samples"' in out


def test_each_question_without_an_answer_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(2) as progress:
        progress.told(Answer(id="a", asked="0", text="Blur."))
        progress.told(Answer(id="b", asked="0", reason="not-found", message="b.png: no such file"))
    assert capsys.readouterr().err == "no answer: b: b.png: no such file\n"
