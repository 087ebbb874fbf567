"""From files to results: which kind of file it is, what is asked, what a judge and other harnesses get."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mllmqa.data.sample import Medium, Sample
from mllmqa.data.sample_file import write_samples
from mllmqa.data.sample_labels import Distortion, Labels, Level
from mllmqa.data.tasks.compose import told
from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation import answering
from mllmqa.evaluation.answering import AskedQuestions, AskedSamples, Choosing, open_asked
from mllmqa.evaluation.answers.ask import Reply
from mllmqa.evaluation.answers.log import Answer, Answers, Header
from mllmqa.evaluation.choice.asking import Orders
from mllmqa.evaluation.judge import ANSWER, DESCRIPTION
from tests.data.samples_made import WORDS


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    labels = Labels(
        distortions=(Distortion(media="A", category="blur", severity=2.0),),
        levels=(Level(media="A", word="good", scale=WORDS),),
    )
    one = Sample(id="s", media=(Medium(key="A", kind="image", path="a.png"),), labels=labels)
    made = (told(one.model_copy(update={"id": task}), task, 0) for task in ("what", "assess"))
    write_samples(made, tmp_path / "samples.jsonl")
    return tmp_path / "samples.jsonl"


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rows = [
        {"video_name": "a.mp4", "question": "Which?", "answers": ["x", "y", "z"], "correct_choice": "y"},
        {"video_name": "a.mp4", "question": "Describe.", "answers": [], "correct_choice": "It shakes."},
    ]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    return tmp_path / "q.json"


def known(asked: answering.Asked, *texts: str) -> Answers:
    found = Answers()
    for item, text in zip(asked.items(), texts, strict=False):
        found.add(Answer.of(Reply(item, text)))
    return found


def test_the_first_line_tells_what_a_file_is(samples: Path, questions: Path, tmp_path: Path) -> None:
    assert answering.is_samples(samples)
    assert not answering.is_samples(questions)
    (tmp_path / "q.jsonl").write_text('{"question": "?"}\n')
    assert not answering.is_samples(tmp_path / "q.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        open_asked(tmp_path / "none.jsonl")


def test_samples_are_asked_and_graded(samples: Path) -> None:
    asked = open_asked(samples)
    assert isinstance(asked, AskedSamples)
    assert [item.task for item in asked.items()] == ["what", "assess"]
    results = asked.grade(known(asked, "Blur"))
    assert (results.kind, results.n_unscored) == ("samples", 1)
    flat = results.flat()
    assert [(task["task"], task["accuracy"]) for task in flat["tasks"]] == [("what", 1.0), ("assess", None)]
    assert "judge" not in flat


def test_only_descriptions_go_to_a_judge(samples: Path) -> None:
    asked = open_asked(samples)
    cases, criteria = asked.cases(known(asked, "Blur", "It is a bit soft."))
    assert criteria == DESCRIPTION
    (case,) = cases
    assert (case.id, case.said, case.medium) == ("assess", "It is a bit soft.", "image")
    assert "moderate blur" in case.reference
    assert asked.cases(Answers())[0] == []


def test_orders_multiply_questions_and_the_limit_does_not(questions: Path) -> None:
    asked = open_asked(questions, how=Choosing(orders=Orders.parse("circular")))
    assert isinstance(asked, AskedQuestions)
    assert len(asked) == 4  # three orders, and one open question
    assert len(open_asked(questions, limit=1)) == 1
    assert asked.folder == questions.parent
    moved = open_asked(questions, how=Choosing(media=Path("elsewhere")))
    assert next(moved.items()).folder == Path("elsewhere")


def test_questions_are_graded_and_open_ones_judged(questions: Path) -> None:
    asked = open_asked(questions)
    answers = known(asked, "B", "It trembles.")
    results = asked.grade(answers)
    assert (results.n_unscored, results.flat()["accuracy"], results.flat()["n_open"]) == (0, 1.0, 1)
    cases, criteria = asked.cases(answers)
    assert criteria == ANSWER
    assert [(case.reference, case.said, case.medium) for case in cases] == [("It shakes.", "It trembles.", "video")]
    assert asked.grade(Answers()).n_unscored == 2


def test_samples_have_forms_of_their_own(samples: Path) -> None:
    asked = open_asked(samples)
    asked.export(Answers(), None, [])
    with pytest.raises(UsageError, match="samples cannot be exported"):
        asked.export(Answers(), None, [("inspect", Path("x"))])


def test_questions_go_to_every_form(questions: Path, tmp_path: Path) -> None:
    asked = open_asked(questions, limit=1)
    header = Header.of({"model": "m"}, {})
    names = [("inspect", tmp_path / "i.json"), ("vlmevalkit", tmp_path / "v.tsv"), ("lmms-eval", tmp_path / "task")]
    asked.export(known(asked, "B"), header, names)
    assert json.loads((tmp_path / "i.json").read_text())["samples"][0]["scores"]["choice"]["value"] == "C"
    assert "a.mp4" in (tmp_path / "v.tsv").read_text()
    assert {path.name for path in (tmp_path / "task").iterdir()} == {"task.yaml", "utils.py", "questions.jsonl"}


def test_calls_that_make_no_sense(samples: Path, questions: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a file of samples with them"):
        open_asked(questions, tasks=["what"])
    with pytest.raises(UsageError, match="options of questions are given"):
        open_asked(samples, how=Choosing(grade="likelihood"))
    with pytest.raises(UsageError, match="text or likelihood"):
        Choosing(grade="guess")
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(UsageError, match="no question"):
        open_asked(tmp_path / "empty.json")
    with pytest.raises(UsageError, match="expected --out"):
        answering.logged(None)


def test_headers_tell_runs_apart_by_what_decides_answers() -> None:
    model = {"model": "m", "device": "cpu", "weights_sha256": "ab"}
    one = Header.of(model, {"view": "native"})
    assert one.spec == Header.of({**model, "device": "cuda", "model": "./m"}, {"view": "native"}).spec
    assert one.spec != Header.of(model, {"view": "resize"}).spec
    assert one.spec != Header.of({**model, "weights_sha256": "cd"}, {"view": "native"}).spec
    remote = {"model": "api:x", "weights_sha256": None}
    assert Header.of(remote, {}).spec != Header.of({**remote, "model": "api:y"}, {}).spec
