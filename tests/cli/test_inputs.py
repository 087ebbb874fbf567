"""What the command line names: order, limits, lists that can be read once only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.cli.inputs import Wanted
from mllmqa.errors import MllmqaError, UsageError
from tests.conftest import photo_pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.png", "c.png"):
        Image.fromarray(photo_pixels(32, 32)).save(tmp_path / name)
    return tmp_path


def _wanted(*paths: Path | str, images: tuple[str, ...] = (), limit: int | None = None, **more: str) -> Wanted:
    return Wanted(tuple(map(str, paths)), images, (), more.get("from_file"), limit)


def _names(wanted: Wanted) -> list[str]:
    return [Path(item.name).name for item in wanted]


def test_order_of_the_command_line_and_each_once(folder: Path) -> None:
    wanted = _wanted(folder / "c.png", folder, images=(str(folder / "b.png"),))
    assert _names(wanted) == ["b.png", "c.png", "a.png"]
    assert [item.kind for item in wanted] == ["image", None, None]
    assert wanted.total() == 3


def test_the_limit_counts_inputs(folder: Path) -> None:
    wanted = _wanted(folder, limit=2)
    assert _names(wanted) == ["a.png", "b.png"]
    assert wanted.total() == 2


def test_the_limit_does_not_count_an_input_twice(folder: Path) -> None:
    assert _names(_wanted(folder / "a.png", folder / "a.png", folder, limit=2)) == ["a.png", "b.png"]


def test_a_folder_without_media_is_an_input_that_says_so(tmp_path: Path) -> None:
    (item,) = _wanted(tmp_path)
    assert isinstance(item.source, MllmqaError)


def test_a_pipe_is_not_read_to_count_it(folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "list"
    os.mkfifo(pipe)
    assert _wanted(from_file=str(pipe)).total() is None  # opening it would block for ever
    assert _wanted("-").total() is None


@pytest.mark.parametrize(
    ("wanted", "resume", "message"),
    [
        (_wanted(), False, "nothing to score"),
        (_wanted("-", "-"), False, "more than once"),
        (_wanted("-", from_file="-"), False, "more than once"),
        (_wanted(images=("-",)), True, "cannot be found again"),
    ],
)
def test_what_makes_no_sense_is_refused(wanted: Wanted, resume: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        wanted.check(resume=resume)


def test_lists_that_are_no_lists(tmp_path: Path) -> None:
    binary = tmp_path / "photo.bin"
    binary.write_bytes(b"a\0b\n")
    with pytest.raises(UsageError, match="not a text file"):
        list(_wanted(from_file=str(binary)))
    with pytest.raises(UsageError, match="cannot be read"):
        list(_wanted(from_file=str(tmp_path / "none")))
