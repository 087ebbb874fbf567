"""Questions of samples, and figures per task."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_labels import Distortion, Labels
from mllmqa.data.tasks.compose import told
from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.answers.ask import Reply
from mllmqa.evaluation.answers.log import Answer, Answers
from mllmqa.evaluation.describe.asked import Labelled, questions_of, read_questions
from mllmqa.evaluation.describe.report import grade
from mllmqa.evaluation.describe.sets import category_counts, overlap
from tests.data.samples_made import said


def blurred(name: str, *categories: str, task: str = "identify+how") -> Sample:
    found = tuple(Distortion(media="A", category=c, severity=3.0) for c in categories)
    made = Sample(id=name, media=(Medium(key="A", kind="image", path="a.png"),), labels=Labels(distortions=found))
    return told(made, task, 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_samples(
        iter([blurred("one", "blur"), blurred("two", "noise", "blur", task="identify")]), tmp_path / "s.jsonl"
    )
    return tmp_path / "s.jsonl"


def test_a_sample_asks_one_question_for_each_answer() -> None:
    first, second = questions_of(blurred("one", "blur"), Path("folder"))
    assert (first.item.id, first.item.task, second.item.id, second.item.task) == (
        "one#1",
        "identify",
        "one#2",
        "how",
    )
    assert first.item.sample.messages == first.sample.messages[:1]
    assert second.item.sample.messages == second.sample.messages[:3]  # behind the true answer to the first
    assert second.truth == second.sample.messages[3].text
    assert first.item.digest != second.item.digest


def test_tasks_and_limit_choose(file: Path) -> None:
    assert [one.item.id for one in read_questions(file)] == ["one#1", "one#2", "two"]
    assert [one.item.id for one in read_questions(file, ["how"])] == ["one#2"]
    assert [one.item.id for one in read_questions(file, ["identify"], 1)] == ["one#1"]
    with pytest.raises(UsageError, match="task 'talk' cannot be graded"):
        list(read_questions(file, ["talk"]))


def test_samples_that_cannot_be_graded_are_named() -> None:
    sample = blurred("one", "blur")
    with pytest.raises(DataError, match="sample one: answers to the task 'talk'"):
        questions_of(sample.model_copy(update={"task": "talk"}), Path())
    with pytest.raises(DataError, match="2 answers for identify"):
        questions_of(sample.model_copy(update={"task": "identify"}), Path())
    alone = (said("assistant", "Blur."), said("user", "@A", "Why?"))
    with pytest.raises(DataError, match="1 answers for identify"):
        questions_of(sample.model_copy(update={"task": "identify", "messages": alone}), Path())


def answered(asked: list[Labelled], *texts: str | None) -> Answers:
    known = Answers()
    for one, text in zip(asked, texts, strict=True):
        error = DataError("lost", where=one.item.id) if text is None else None
        known.add(Answer.of(Reply(one.item, text, error=error)))
    return known


def test_figures_by_hand(file: Path) -> None:
    asked = list(read_questions(file))
    results, each = grade(asked, answered(asked, "Blur", "The blur is slight.", "It shows noise."))
    identify, how = results
    assert (identify.count.right, identify.count.wrong, identify.constant) == (1, 1, 0.5)
    assert {name: mean.value for name, mean in identify.figures.items()} == {
        "exact": 0.5, "jaccard": 0.75, "hits_over_max": 0.75,
    }  # fmt: skip
    blur, noise = identify.categories
    assert (blur.category, blur.hits, blur.missed, blur.precision, blur.recall) == ("blur", 1, 1, 1.0, 0.5)
    assert (noise.precision, noise.recall) == (1.0, 1.0)
    assert how.figures["error_steps"].value == 2
    assert [one.outcome for one in each] == ["right", "wrong", "wrong"]
    assert how.flat()["figures"]["within_one"] == {"value": 0.0, "n": 1}
    assert identify.flat()["categories"][0]["recall"] == 0.5


def test_missing_and_unread_answers_are_counted_apart(file: Path) -> None:
    asked = list(read_questions(file))
    known = answered(asked[:2], None, "Hm.")
    results, each = grade(asked, known)
    identify, how = results
    assert (identify.count.n, identify.count.n_unscored, identify.count.accuracy) == (0, 2, None)
    assert (how.count.n, how.count.n_unparsed, how.count.accuracy) == (1, 1, 0.0)
    assert [one.reason for one in each] == ["data", None, "not asked"]


def test_an_answer_to_another_question_does_not_count(file: Path) -> None:
    asked = list(read_questions(file))
    known = answered(asked, "Blur", "The blur is slight.", "It shows noise.")
    moved = asked[0].sample.model_copy(update={"media": (Medium(key="A", kind="image", path="other.png"),)})
    again = questions_of(moved, file.parent)
    assert grade(again, known)[1][0].reason == "not asked"


def test_overlap_and_counts() -> None:
    none, blur = frozenset[str](), frozenset({"blur"})
    assert overlap(none, none) == {"exact": 1.0, "jaccard": 1.0, "hits_over_max": 1.0}
    assert overlap(blur, none)["jaccard"] == 0
    (count,) = category_counts([(none, blur)])
    assert (count.invented, count.precision, count.recall) == (1, 0.0, None)
    assert category_counts([]) == ()
