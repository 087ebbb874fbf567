"""Paths to inputs: sorted, lazy, and nothing lost without a word."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from mllmqa.errors import MediaAccessError, MediaNotFoundError
from mllmqa.media import Item, gather

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.png",
        "a.JPG",
        "notes.txt",
        ".hidden.png",
        "sub/c.mp4",
        "sub/deep/d.webm",
        ".git/e.png",
        "sub/noext",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    (tmp_path / "sub/plain").write_bytes(b"no media")
    return tmp_path


def names(items: list[Item], tree: Path) -> list[str]:
    return [os.path.relpath(i.source, tree) for i in items]


def test_a_folder_gives_its_media_sorted(tree: Path) -> None:
    items = list(gather([str(tree)]))
    assert names(items, tree) == ["a.JPG", "b.png", "sub/c.mp4", "sub/deep/d.webm", "sub/noext"]
    assert all(i.error is None for i in items)
    assert names(list(gather([str(tree)], recursive=False)), tree) == ["a.JPG", "b.png"]


def test_files_are_passed_on_in_order_and_unseen() -> None:
    assert list(gather(["z.xyz", "missing.png", "-"])) == [Item("z.xyz"), Item("missing.png"), Item("-")]


def test_globs_are_expanded_here(tree: Path) -> None:
    assert names(list(gather([f"{tree}/*.png"])), tree) == ["b.png"]
    assert names(list(gather([f"{tree}/**/*.mp4"])), tree) == ["sub/c.mp4"]
    assert names(list(gather([f"{tree}/**"])), tree) == [
        "a.JPG",
        "b.png",
        "sub/c.mp4",
        "sub/deep/d.webm",
        "sub/noext",
    ]
    assert names(list(gather([f"{tree}/su?"])), tree) == ["sub/c.mp4", "sub/deep/d.webm", "sub/noext"]
    (empty,) = gather([f"{tree}/*.mkv"])
    assert isinstance(empty.error, MediaNotFoundError)
    assert str(empty.error) == f"{tree}/*.mkv: no file matches this pattern"


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tree: Path) -> None:
    path = tree / "frame[1].png"
    path.write_bytes(PNG)
    assert list(gather([str(path)])) == [Item(str(path))]


def test_a_folder_without_media_is_an_error_item(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no")
    (item,) = gather([str(tmp_path)])
    assert item.source == str(tmp_path)
    assert isinstance(item.error, MediaNotFoundError)
    assert "folder without media" in str(item.error)


def test_circles_of_links_end(tree: Path) -> None:
    (tree / "sub/up").symlink_to(tree)
    (tree / "sub/self").symlink_to(tree / "sub/self")
    (tree / "twin").symlink_to(tree / "sub")
    found = names(list(gather([str(tree)])), tree)
    assert found.count("sub/c.mp4") == 1
    assert found.count("twin/c.mp4") == 1  # another name for the same folder is no circle
    assert len(found) < 20


def test_special_files_do_not_block(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    assert "pipe" not in names(list(gather([str(tree)])), tree)


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_is_an_error_item(tree: Path) -> None:
    (tree / "sub").chmod(0)
    try:
        items = list(gather([str(tree)]))
    finally:
        (tree / "sub").chmod(0o700)
    assert isinstance(items[-1].error, MediaAccessError)


def test_it_is_lazy(tree: Path) -> None:
    endless = itertools.repeat("a.png")
    assert list(itertools.islice(gather(endless), 3)) == [Item("a.png")] * 3  # type: ignore[arg-type]
