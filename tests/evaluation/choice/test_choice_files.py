"""Question files as they are found: every form into the one record, every flaw by its place."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mllmqa.errors import DataError, UnknownNameError
from mllmqa.evaluation.choice.files import read_questions
from mllmqa.evaluation.choice.question import Question
from tests.conftest import photo_pixels


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        out = io.StringIO(newline="")
        table = csv.DictWriter(out, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        table.writeheader()
        table.writerows(rows)
        path.write_text(out.getvalue(), encoding="utf-8", newline="")
    return path


def png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(photo_pixels(32, 24)).save(out, "PNG")
    return out.getvalue()


def read(tmp_path: Path, name: str, *rows: dict[str, Any]) -> list[Question]:
    return list(read_questions(write(tmp_path / name, list(rows))))


def test_qbench(tmp_path: Path) -> None:
    row = {"type": 1, "concern": 2, "question": "What hurts it?", "img_path": "00012.jpg"}
    dev = {**row, "candidates": ["Noise", "Blur"], "correct_ans": "Blur"}
    one, hidden = read(tmp_path, "dev.json", dev, {**row, "candidates": ["Noise", "Blur"]})
    assert (one.id, one.benchmark, one.options, one.answer) == ("1", "qbench", ("Noise", "Blur"), 1)
    assert one.categories == {"kind": ("what",), "concern": ("in-context distortion",)}
    assert (one.media[0].kind, one.media[0].path) == ("image", "00012.jpg")
    assert hidden.answer is None


def test_qbench_on_pairs(tmp_path: Path) -> None:
    row = {"img_path": "llvisionqa_compare_dev\\00079.jpg_cat_09769.jpg.jpg", "question": "Which is sharper?"}
    (one,) = read(tmp_path, "pairs.jsonl", {**row, "answer_candidates": ["First", "Second"], "correct_answer": "B"})
    assert [shown.path for shown in one.media] == ["00079.jpg", "09769.jpg"]
    assert (one.benchmark, one.answer) == ("qbench2", 1)


def test_several_pictures(tmp_path: Path) -> None:
    row = {"images": ["a.png", "b.png", "c.png"], "question": "Which is best?", "candidates": ["1", "2", "3"]}
    (one,) = read(tmp_path, "mic.json", {**row, "correct_ans": "3"})
    assert [shown.path for shown in one.media] == ["a.png", "b.png", "c.png"]
    assert one.answer == 2


def test_hugging_face_columns(tmp_path: Path) -> None:
    row = {"id": "x7", "image": {"bytes": None, "path": "a.jpg"}, "question": "Is it dark?", "option0": "Yes"}
    row |= {"option1": "No", "option2": "N/A", "option3": "N/A", "question_type": 0, "question_concern": 3}
    (one,) = read(tmp_path, "hf.jsonl", {**row, "correct_choice": "B"})
    assert (one.id, one.options, one.answer, one.media[0].path) == ("x7", ("Yes", "No"), 1, "a.jpg")
    assert one.categories == {"kind": ("yes/no",), "concern": ("in-context other",)}


def test_pictures_inside_parquet_become_files(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    row = {"id": "1", "image": {"bytes": png(), "path": None}, "question": "?", "option0": "a", "option1": "b"}
    pq.write_table(pa.Table.from_pylist([{**row, "correct_choice": "A"}]), tmp_path / "q.parquet")
    (one,) = read_questions(tmp_path / "q.parquet")
    assert Path(one.media[0].path).parent == tmp_path / "q.parquet.media"
    assert Path(one.media[0].path).read_bytes() == png()
    (other,) = read_questions(tmp_path / "q.parquet", media=tmp_path / "here")
    assert Path(other.media[0].path).parent == tmp_path / "here"


def test_qbench_video(tmp_path: Path) -> None:
    row = {"video_name": "x_cat_y.mp4", "question": "Which flickers?", "answers": ["First", "Second"]}
    row |= {"video_type": "natural", "question_type": "what-how", "context": "pair", "correct_choice": "A. First"}
    open_one = {"video_name": "z.mp4", "question": "Describe.", "answers": [], "question_type": "open"}
    pair, told = read(
        tmp_path, "v.json", {**row, "quality_concern": ["technical", "temporal"]},
        {**open_one, "correct_choice": "It flickers."},
    )  # fmt: skip
    assert [(s.kind, s.path) for s in pair.media] == [("video", "x.mp4"), ("video", "y.mp4")]
    assert (pair.answer, pair.categories["concern"]) == (0, ("technical", "temporal"))
    assert (told.options, told.reference) == ((), "It flickers.")


def test_abench(tmp_path: Path) -> None:
    row = {"img_path": "part1_0.png", "question": "Color?", "answers": ["white", "blue"]}
    (one,) = read(tmp_path, "Abench.json", {**row, "category": "part1 -> basic_recognition -> major"})
    assert one.categories["category 2"] == ("basic_recognition",)
    assert (one.benchmark, one.answer) == ("abench", None)


def test_rbench_in_gbk(tmp_path: Path) -> None:
    head = "name,question,choice,answer,type,score,distortion,strength"
    path = tmp_path / "rbench.csv"
    path.write_bytes(f"{head}\n1.png,What?,A.cat；B.dog,B,mcq,0,jpeg压缩,2\n".encode("gb18030"))
    (one,) = read_questions(path)
    assert (one.options, one.answer, one.categories["distortion"]) == (("cat", "dog"), 1, ("jpeg压缩",))


def test_vlmevalkit(tmp_path: Path) -> None:
    coded = base64.b64encode(png()).decode()
    columns = {"question": "What?", "A": "blur", "B": "noise", "C": "", "answer": "B", "category": "x"}
    one, same = read(
        tmp_path, "q.tsv", {"index": 5, **columns, "image": coded}, {"index": 6, **columns, "image": "5"}
    )  # fmt: skip
    assert (one.id, one.options, one.answer) == ("5", ("blur", "noise"), 1)
    assert one.media == same.media
    video = {
        "index": 1,
        "video": "v",
        "video_path": "v.mp4",
        "question": "What?\nA. one\nB. two",
        "answer": "B. two",
    }
    (clip,) = read(tmp_path, "v.tsv", video)
    assert (clip.question, clip.options, clip.answer) == ("What?", ("one", "two"), 1)
    assert (clip.media[0].kind, clip.media[0].path) == ("video", "v.mp4")


def test_our_own_records(tmp_path: Path) -> None:
    row = {"type": 1, "question": "?", "img_path": "a.jpg", "candidates": ["x", "y"], "correct_ans": "y"}
    (one,) = read(tmp_path, "a.json", row)
    assert read(tmp_path, "own.jsonl", one.model_dump(mode="json")) == [one]


ROW = {"question": "What?", "img_path": "a.jpg", "candidates": ["x", "y"]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**ROW, "correct_ans": "z"}, r"question 1: right answer 'z'; expected one of x, y"),
        ({**ROW, "candidates": ["x", "X"]}, "an option is there twice"),
        ({**ROW, "candidates": ["x"]}, "one option only"),
        ({**ROW, "question": ""}, "field question"),
        ({**ROW, "candidates": list("abcdefghi")}, "field options"),
        ({"question": "What?"}, r"columns question; expected those of .*qbench \(candidates, img_path\)"),
        ({**ROW, "candidates": 3}, "is no question of the form"),
    ],
)
def test_flaws_are_named_by_their_place(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, "bad.json", row)


def test_files_that_are_no_questions(tmp_path: Path) -> None:
    for name, text, message in (
        ("a.json", "{}", "no list of questions"),
        ("b.json", "[", "is no JSON"),
        ("c.txt", "", "no file of questions"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=message):
            list(read_questions(tmp_path / name))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_questions(tmp_path / "none.json"))
    (tmp_path / "d.json").write_bytes(b"\xff\xfe[")
    with pytest.raises(DataError, match="is not utf-8-sig"):
        list(read_questions(tmp_path / "d.json"))
    with pytest.raises(UnknownNameError, match="no form of questions 'x'"):
        list(read_questions(tmp_path / "a.json", form="x"))
    (tmp_path / "e.parquet").write_bytes(b"PAR1")
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match="is not a Parquet file"):
        list(read_questions(tmp_path / "e.parquet"))


def test_ids_are_there_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="id 'a' for the second time"):
        read(tmp_path, "twice.json", {**ROW, "id": "a"}, {**ROW, "id": "a"})
