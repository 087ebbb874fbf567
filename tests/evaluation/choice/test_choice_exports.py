"""Exports are read back: the TSV by our reader, the task by YAML and its own functions, the log as JSON."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from mllmqa.errors import DataError, UsageError
from mllmqa.evaluation.answers.ask import Reply
from mllmqa.evaluation.answers.log import Answer, Answers, Header
from mllmqa.evaluation.choice import exports
from mllmqa.evaluation.choice.asking import Orders, items_of
from mllmqa.evaluation.choice.files import read_questions
from mllmqa.evaluation.choice.question import Question, Shown
from mllmqa.evaluation.choice.report import grade_choices
from tests.conftest import photo_pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        Image.fromarray(photo_pixels(32, 24, seed=ord(name[0]))).save(tmp_path / name)
    return tmp_path


def questions(kind: str = "image", *names: str, **more: Any) -> list[Question]:
    media = tuple(Shown.model_validate({"kind": kind, "path": name}) for name in names or ("a.png",))
    fields = {"benchmark": "made", "media": media, "question": "What\tis it?", "categories": {"kind": ("what",)}}
    fields |= more
    return [
        Question(**{"id": "1", "options": ("blur", "noise"), "answer": 1, **fields}),
        Question(**{"id": "2", "options": ("yes", "no", "maybe"), "answer": 0, **fields}),
    ]


@pytest.mark.parametrize("names", [("a.png",), ("a.png", "b.png")])
def test_the_tsv_gives_the_same_questions(names: tuple[str, ...], folder: Path) -> None:
    exports.write_vlmevalkit(questions("image", *names), folder, folder / "q.tsv")
    back = list(read_questions(folder / "q.tsv", form="vlmevalkit"))
    assert [(q.id, q.question, q.options, q.answer) for q in back] == [
        (q.id, q.question, q.options, q.answer) for q in questions()
    ]
    assert [Path(s.path).read_bytes() for s in back[0].media] == [(folder / name).read_bytes() for name in names]
    assert back[0].categories == {"category": ("what",)}


def test_clips_are_named_by_path(folder: Path) -> None:
    exports.write_vlmevalkit(questions("video", "c.mp4"), folder, folder / "v.tsv")
    back = list(read_questions(folder / "v.tsv"))
    assert [(s.kind, s.path) for s in back[0].media] == [("video", str(folder / "c.mp4"))]


class _Loader(yaml.SafeLoader):
    """Reads ``!function utils.f`` as a text."""


_Loader.add_constructor("!function", lambda loader, node: f"!{node.value}")


def test_the_task_folder_asks_and_grades(folder: Path) -> None:
    out = folder / "my-task"
    exports.write_lmms_eval(questions(), folder, out)
    task = yaml.load((out / "my_task.yaml").read_text(), _Loader)  # noqa: S506 - a safe loader
    rows = [
        json.loads(line) for line in Path(task["dataset_kwargs"]["data_files"]["test"]).read_text().splitlines()
    ]
    functions = runpy.run_path(str(out / "utils.py"))
    assert task["task"] == "my_task"
    assert task["doc_to_text"] == "!utils.doc_to_text"
    assert functions["doc_to_text"](rows[0]).endswith("A. blur\nB. noise\nAnswer with the letter of the option.")
    assert functions["doc_to_visual"](rows[0])[0].size == (32, 24)
    for said, right, unread in (("B", 1, 0), ("(A)", 0, 0), ("noise", 1, 0), ("(A) (B)", 0, 1), ("hm", 0, 1)):
        assert functions["process_results"](rows[0], [said]) == {"accuracy": right, "unparsed": unread}
    names = {metric["metric"] for metric in task["metric_list"]}
    assert names == set(functions["process_results"](rows[0], ["B"]))
    assert rows[0][task["doc_to_target"]] == "B"


def test_the_log_has_the_shape_of_inspects(folder: Path) -> None:
    known, asked = Answers(), []
    for one, text in zip(questions(), ("B", None), strict=True):
        items = items_of(one, folder, Orders.parse("circular"))
        asked.append((one, items))
        for item in items:
            error = DataError("lost") if text is None else None
            known.add(Answer.of(Reply(item, text, error=error)))
    result, chosen = grade_choices(asked, known)
    header = Header.of({"model": "tiny"}, {"max_tokens": 8})
    exports.write_inspect(questions(), chosen, result, header, folder / "log.json")
    log = json.loads((folder / "log.json").read_text())
    assert (log["version"], log["status"], log["eval"]["model"]) == (2, "success", "mllmqa/tiny")
    assert log["results"]["total_samples"] == 5
    assert log["results"]["completed_samples"] == 2
    assert log["results"]["scores"][0]["metrics"]["accuracy"]["value"] == 0.5
    first, second, third = log["samples"][:3]
    assert (first["target"], first["scores"]["choice"]["value"], first["epoch"]) == ("B", "C", 1)
    assert (second["choices"], second["target"], second["scores"]["choice"]["value"]) == (
        ["noise", "blur"],
        "A",
        "I",
    )
    assert third["error"]["message"] == "data"
    assert "scores" not in third
    assert first["output"]["completion"] == "B"


def test_what_cannot_be_told_is_refused(folder: Path) -> None:
    hidden = [q.model_copy(update={"answer": None}) for q in questions()]
    with pytest.raises(DataError, match="question 1 has no published answer"):
        exports.write_lmms_eval(hidden, folder, folder / "t")
    exports.write_vlmevalkit(hidden, folder, folder / "h.tsv")
    assert [q.answer for q in read_questions(folder / "h.tsv")] == [None, None]
    with pytest.raises(DataError, match="question 1 has no options"):
        exports.write_vlmevalkit(questions(options=(), answer=None), folder, folder / "o.tsv")
    with pytest.raises(DataError, match="cannot be read"):
        exports.write_vlmevalkit(questions("image", "none.png"), folder, folder / "m.tsv")
    with pytest.raises(DataError, match="no question to export"):
        exports.write_vlmevalkit([], folder, folder / "e.tsv")


def test_targets() -> None:
    assert exports.parse_export("inspect=a=b.json") == ("inspect", Path("a=b.json"))
    for wrong in ("inspect", "inspect=", "xlsx=a"):
        with pytest.raises(UsageError, match="vlmevalkit=PATH"):
            exports.parse_export(wrong)
