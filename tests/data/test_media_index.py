"""Finding media: exact, other case, other folder, no extension; never a wrong file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.data.media_index import MediaIndex, is_there


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (
        "Images/I25.BMP", "jp2k/img1.bmp", "jpeg/img1.bmp", "clips/123.mp4", "clips/7.mp4", "clips/7.png",
        "deep/er/only.png", "notes.txt", "a/same.png", "b/same.png",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file", "how"),
    [
        ("jp2k/img1.bmp", "jp2k/img1.bmp", "exact"),
        ("live/jpeg/img1.bmp", "jpeg/img1.bmp", "elsewhere"),
        ("images/i25.bmp", "Images/I25.BMP", "other-case"),
        ("i25.bmp", "Images/I25.BMP", "elsewhere"),
        ("only.png", "deep/er/only.png", "elsewhere"),
        ("er\\only.png", "deep/er/only.png", "elsewhere"),
        ("123", "clips/123.mp4", "no-extension"),
    ],
)
def test_found(root: Path, name: str, file: str, how: str) -> None:
    path, found = MediaIndex(root, search=True).find(name)
    if found == "exact" and how == "other-case":
        pytest.skip("this file system does not tell case apart")
    assert (path, found) == (root / file, how)


@pytest.mark.parametrize("name", ["img1.bmp", "same.png", "7", "none.png", "notes", "notes.md", "", "img1"])
def test_ambiguous_and_absent_names_are_missing(root: Path, name: str) -> None:
    path, how = MediaIndex(root, search=True).find(name)
    assert (path, how) == (root / name, "missing")


def test_without_search_only_exact_names_count(root: Path) -> None:
    index = MediaIndex(root, search=False)
    assert index.find("only.png") == (root / "only.png", "missing")
    assert index.find("jp2k/img1.bmp")[1] == "exact"
    assert index.find(str(root / "jp2k" / "img1.bmp")) == (root / "jp2k" / "img1.bmp", "exact")


def test_only_media_are_listed(root: Path) -> None:
    assert root / "notes.txt" not in MediaIndex(root, search=True).files
    assert len(MediaIndex(root, search=True).files) == 9


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "a\0b.jpg"])
def test_names_that_no_file_can_have_are_missing(tmp_path: Path, name: str) -> None:
    assert not is_there(tmp_path / name)
    assert MediaIndex(tmp_path, search=True).find(name)[1] == "missing"
