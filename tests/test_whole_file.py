"""Whole files: the old or the new content, never a part, nothing beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mllmqa.whole_file import write_whole


def test_content_is_replaced_and_nothing_stays_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    write_whole(path, "ü\n\udc80")
    assert path.read_text(encoding="utf-8") == "ü\n\\udc80"
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_a_failure_leaves_the_old_content(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "folder", "text")
    with pytest.raises(OSError):
        write_whole(tmp_path / "no" / "a.json", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]
