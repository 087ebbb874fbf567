"""The label reader: right rows in, and errors that name file, line and field."""

from pathlib import Path

import pytest

from mllmqa.data import registry
from mllmqa.data.ratings import Rating
from mllmqa.errors import DataError

FILE = "Train (Images and MOS).csv"


def read_split(folder: Path | str, split: str) -> list[Rating]:
    return list(registry.read(folder, "biq2021", part=split).rows)  # type: ignore[arg-type]


def made(tmp_path: Path, text: str, images: tuple[str, ...] = ("a.jpg", "b (1).JPG")) -> Path:
    (tmp_path / "Images").mkdir()
    for name in images:
        (tmp_path / "Images" / name).touch()
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    return tmp_path


def test_reads_rows_in_order_with_trailing_columns_and_another_case(tmp_path: Path) -> None:
    folder = made(tmp_path, "Image Name,MOS,,\nb (1).jpg,0.25,,\na.jpg,1,,\n,,,\n")
    rows = read_split(folder, "train")
    assert [(row.name, row.score, row.split) for row in rows] == [
        ("b (1).jpg", 0.25, "train"),
        ("a.jpg", 1.0, "train"),
    ]
    levels = registry.read(folder, "biq2021", part="train").levelled()
    assert [one.level for one in levels] == [2.0, 5.0]
    assert [one.path for one in levels] == [row.path for row in rows]
    assert rows[0].path.name == "b (1).JPG"
    assert all(row.path.exists() for row in rows)


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("Name,MOS\na.jpg,1\n", "line 1", "0 columns are named 'Image Name'"),
        ("Image Name,MOS\na.jpg\n", "line 2", "MOS is missing"),
        ("Image Name,MOS\na.jpg,x\n", "line 2", "MOS is 'x'"),
        ("Image Name,MOS\na.jpg,nan\n", "line 2", "MOS is 'nan'"),
        ("Image Name,MOS\na.jpg,1.01\n", "line 2", "MOS is '1.01'"),
        ("Image Name,MOS\na.jpg,1\nc.jpg,1\n", "line 3", "no file 'c.jpg'"),
        ("Image Name,MOS\na.jpg,1\na.jpg,1\n", "line 3", "'a.jpg' is also in line 2"),
    ],
)
def test_errors_name_line_and_field(tmp_path: Path, text: str, line: str, field: str) -> None:
    with pytest.raises(DataError) as caught:
        read_split(made(tmp_path, text), "train")
    assert FILE in str(caught.value)
    assert line in str(caught.value)
    assert field in str(caught.value)


def test_missing_things(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such label file"):
        read_split(tmp_path, "test")
    (tmp_path / FILE).write_text("Image Name,MOS\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no such label file: none of the part test; expected Test \(Images"):
        read_split(tmp_path, "test")
    with pytest.raises(DataError, match="no rows"):
        read_split(tmp_path, "train")


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_marks_and_line_ends_of_other_systems(tmp_path: Path, start: str, end: str) -> None:
    folder = made(tmp_path, "")
    lines = ["Image Name , MOS", "a.jpg, 0 "]
    (tmp_path / FILE).write_bytes((start + end.join(lines)).encode())
    assert [(row.name, row.score) for row in read_split(folder, "train")] == [("a.jpg", 0.0)]


def test_commas_in_names_need_quotes_and_keep_them_out_of_the_name(tmp_path: Path) -> None:
    folder = made(tmp_path, 'Image Name,MOS\n"a, b.jpg",0.5\n', ("a, b.jpg",))
    assert [(row.name, row.path.name) for row in read_split(folder, "train")] == [("a, b.jpg", "a, b.jpg")]


def test_the_splits_are_separate_files(tmp_path: Path) -> None:
    folder = made(tmp_path, "Image Name,MOS\na.jpg,1\n")
    (tmp_path / "Test (Images and MOS).csv").write_text("Image Name,MOS\nb (1).JPG,0\n")
    assert [row.name for row in read_split(str(folder), "train")] == ["a.jpg"]
    assert [row.name for row in read_split(str(folder), "test")] == ["b (1).JPG"]


def test_a_label_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    folder = made(tmp_path, "")
    (tmp_path / FILE).write_bytes("Image Name,MOS\nä.jpg,0.5\n".encode("latin-1"))
    with pytest.raises(DataError, match="Train"):
        read_split(folder, "train")


def test_names_that_differ_in_case_only_are_two_files(tmp_path: Path) -> None:
    folder = made(tmp_path, "Image Name,MOS\na.jpg,0.5\nA.jpg,0.7\n", ("a.jpg", "A.jpg"))
    if len(list((folder / "Images").iterdir())) < 2:
        pytest.skip("this file system does not tell case apart")
    assert [row.path.name for row in read_split(folder, "train")] == ["a.jpg", "A.jpg"]
