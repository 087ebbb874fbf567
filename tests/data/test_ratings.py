"""Rated images from CSV files: what is read, and that every mistake names file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.data.rate import read_ratings
from mllmqa.data.ratings import Columns, RatingScale
from mllmqa.errors import DataError, UsageError

MOS = RatingScale("mos", 1, 5)
COLUMNS = Columns("file", "mos", "sd")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "ü, 日本.png"):
        (tmp_path / name).touch()
    return tmp_path


def written(root: Path, text: str | bytes) -> Path:
    path = root / "ratings.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_in_order_with_names_values_and_places(root: Path) -> None:
    text = '\ufeffmos , file,other,sd\r\n1.5,a.png,x,0.25\r\n\r\n5,"ü, 日本.png",,0\r\n'
    first, second = read_ratings(written(root, text), COLUMNS, MOS)
    assert (first.name, first.path, first.score, first.std) == ("a.png", root / "a.png", 1.5, 0.25)
    assert first.where == f"{root / 'ratings.csv'}, line 2"
    assert (second.name, second.score, second.std) == ("ü, 日本.png", 5.0, 0.0)
    assert second.where.endswith("line 4")


def test_deviations_need_not_be_there_and_paths_may_be_absolute(root: Path) -> None:
    path = written(root, f"file,mos\n{root / 'a.png'},3\n")
    (one,) = read_ratings(path, Columns("file", "mos"), MOS)
    assert one.std is None
    assert one.path == root / "a.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,mos,sd\na.png,3,\n", "line 2: field sd is missing; expected a number from 0 to 4"),
        ("file,mos,sd\na.png,3\n", "line 2: field sd is missing"),
        ("file,mos,sd\na.png,3,0.1\nb.png,nan,0.1\n", "line 3: field mos is 'nan'; expected a number from 1 to 5"),
        ("file,mos,sd\na.png,three,0.1\n", "line 2: field mos is 'three'"),
        ("file,mos,sd\na.png,5.001,0.1\n", "line 2: field mos is '5.001'"),
        ("file,mos,sd\na.png,0,0.1\n", "line 2: field mos is '0'"),
        ("file,mos,sd\na.png,inf,0.1\n", "line 2: field mos is 'inf'"),
        ("file,mos,sd\na.png,3,-0.1\n", "line 2: field sd is '-0.1'"),
        ("file,mos,sd\na.png,3,4.5\n", "line 2: field sd is '4.5'"),
        ("file,mos,sd\nc.png,3,0.1\n", "line 2: field file: no file 'c.png'"),
        ("file,mos,sd\n,3,0.1\n", "line 2: field file is empty; expected the path of a media file"),
        ("file,mos,sd\na.png,3,1\nb.png,3,1\na.png,4,1\n", "line 4: field file: 'a.png' is also in line 2"),
        ("file,score,sd\na.png,3,1\n", "line 1: 0 columns are named 'mos'; expected one of file, score, sd"),
        ("file,mos,mos,sd\na.png,3,3,1\n", "line 1: 2 columns are named 'mos'"),
        ("", "line 1: 0 columns are named 'file'; expected one of a header"),
        ("file,mos,sd\n\n", "no rows"),
        ('file,mos,sd\n"a.png,3,1\n', "is not a CSV in UTF-8"),
        (b"file,mos,sd\n\xff.png,3,1\n", "is not a CSV in UTF-8"),
    ],
)
def test_mistakes_name_file_line_and_field(root: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_ratings(written(root, text), COLUMNS, MOS)
    assert str(caught.value).startswith(str(root / "ratings.csv"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_a_folder_is_named(root: Path) -> None:
    for path in (root / "none.csv", root):
        with pytest.raises(DataError, match="cannot be read"):
            read_ratings(path, COLUMNS, MOS)


def test_goodness_turns_dmos_round() -> None:
    assert [RatingScale("mos", 1, 5).goodness(x) for x in (1, 3, 5)] == [0, 0.5, 1]
    assert [RatingScale("dmos", 0, 100).goodness(x) for x in (0, 25, 100)] == [1, 0.75, 0]


def test_direction_and_range_are_parsed() -> None:
    assert RatingScale.parse("dmos", "-1:2.5") == RatingScale("dmos", -1, 2.5)
    for direction in ("", "MOS", "higher"):
        with pytest.raises(UsageError, match="lower is better"):
            RatingScale.parse(direction, "1:5")
    for limits in ("", "5", "5:1", "1:1", "1:x", ":", "nan:5", "0:inf", "1-5", "1:2:3"):
        with pytest.raises(UsageError, match="LOW:HIGH"):
            RatingScale.parse("mos", limits)


@pytest.mark.parametrize("limits", ["1_0:50", "1:1_00"])
def test_a_range_has_no_underscores(limits: str) -> None:
    with pytest.raises(UsageError, match="LOW:HIGH"):
        RatingScale.parse("mos", limits)
