"""Cells of question files: right answers, pairs, codes, lists."""

from __future__ import annotations

from typing import Any

import pytest

from mllmqa.errors import DataError
from mllmqa.evaluation.choice.forms import CONCERNS, FORMS, KINDS, form_of
from mllmqa.evaluation.choice.question import Question, Shown

QBENCH = FORMS["qbench"][1]
VIDEO = FORMS["qbench-video"][1]
TABLE = FORMS["vlmevalkit"][1]
BASE = {"question": "?", "img_path": "a.jpg", "candidates": ["Noise", "Motion blur", "None of them"]}


@pytest.mark.parametrize(
    ("told", "index"),
    [
        ("Noise", 0), ("motion blur", 1), ("Motion blur.", 1), ("B", 1), ("(C)", 2),
        ("B. Motion blur", 1), ("B) x", 1),
        (None, None), ("", None), ("N/A", None), (float("nan"), None),
    ],
)  # fmt: skip
def test_right_answers_by_text_or_letter(told: Any, index: int | None) -> None:
    assert QBENCH({**BASE, "correct_ans": told})["answer"] == index


@pytest.mark.parametrize("told", ["D", "fog", "Noise or blur", "AB"])
def test_right_answers_that_are_no_option_are_errors(told: str) -> None:
    with pytest.raises(DataError, match="expected one of Noise, Motion blur, None of them"):
        QBENCH({**BASE, "correct_ans": told})


def test_an_option_that_is_a_letter_is_meant_before_the_letter() -> None:
    made = QBENCH({**BASE, "candidates": ["B", "A"], "correct_ans": "A"})
    assert made["answer"] == 1


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("a.jpg", ["a.jpg"]),
        ("dir/a.jpg", ["dir/a.jpg"]),
        ("dev\\1.jpg_cat_2.jpg.jpg", ["1.jpg", "2.jpg"]),
        ("1.jpg_cat_2.png", ["1.jpg", "2.png"]),
        (["a.png", "b.png"], ["a.png", "b.png"]),
        ("['a.png', 'b.png']", ["a.png", "b.png"]),
    ],
)
def test_names_of_pictures_pairs_and_lists(name: Any, paths: list[str]) -> None:
    media = QBENCH({**BASE, "img_path": name})["media"]
    assert media == [("image", path) for path in paths]


def test_pairs_of_clips_take_over_the_suffix() -> None:
    row = {"question": "?", "answers": ["x", "y"], "correct_choice": "x"}
    assert VIDEO({**row, "video_name": "u_cat_v.mp4"})["media"] == [("video", "u.mp4"), ("video", "v.mp4")]


def test_numbers_of_kinds_and_concerns_are_named() -> None:
    for k, kind in enumerate(KINDS):
        assert QBENCH({**BASE, "type": k})["categories"]["kind"] == (kind,)
        assert QBENCH({**BASE, "type": str(k)})["categories"]["kind"] == (kind,)
    for k, concern in enumerate(CONCERNS):
        assert QBENCH({**BASE, "concern": k})["categories"]["concern"] == (concern,)
    assert QBENCH({**BASE, "type": "Yes-or-No"})["categories"]["kind"] == ("Yes-or-No",)
    assert QBENCH({**BASE, "type": 7})["categories"]["kind"] == ("7",)
    assert QBENCH(BASE)["categories"] == {"kind": (), "concern": ()}


def test_kinds_are_not_swapped_as_a_known_harness_does() -> None:
    assert KINDS == ("yes/no", "what", "how")  # Q-Bench: 0, 1, 2


def test_open_questions_of_videos_have_a_reference() -> None:
    row = {"video_name": "v.mp4", "question": "Describe it."}
    assert VIDEO({**row, "answers": ["It shakes."]})["reference"] == "It shakes."
    assert VIDEO({**row, "correct_choice": "It shakes."})["reference"] == "It shakes."
    assert VIDEO(row)["reference"] is None


def test_options_inside_a_question_are_taken_out() -> None:
    row = {"index": "1", "video": "v.mp4", "question": "Which?\nA. one, or two\nB. three\nC. none", "answer": "C"}
    made = TABLE(row)
    assert (made["question"], made["options"], made["answer"]) == ("Which?", ("one, or two", "three", "none"), 2)
    assert TABLE({**row, "question": "Describe it.", "answer": "It shakes."})["reference"] == "It shakes."


def test_forms_are_known_by_their_columns() -> None:
    assert form_of(BASE) == "qbench"
    assert form_of({**BASE, "option0": "x"}) == "qbench-hf"
    assert form_of({"index": 1, "question": "?", "A": "x"}) == "vlmevalkit"
    with pytest.raises(DataError, match="columns a, b; expected those of"):
        form_of({"a": 1, "b": 2})


def question(**more: Any) -> Question:
    fields = {"id": "1", "benchmark": "made", "media": (Shown(kind="image", path="a"),), "question": "?"}
    return Question(**{**fields, **more})


def test_records_refuse_what_cannot_be_asked() -> None:
    for wrong in (
        {"options": ("x",)},
        {"options": ("x", " X ")},
        {"options": ("x", "y"), "answer": 2},
        {"answer": 0},
        {"media": ()},
        {"id": ""},
    ):
        with pytest.raises(ValueError, match=r".+"):
            question(**wrong)
    assert question(options=("x", "y", "z")).letters == "ABC"
    assert question().letters == ""
