"""A folder of anchors: what is read, what is checked, and the matrices that are kept in it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mllmqa.anchors import AnchorSet
from mllmqa.data.ratings import Columns, RatingScale
from mllmqa.data.select_anchors import select_set
from mllmqa.errors import DataError, UsageError
from tests.conftest import photo_pixels

MATRIX = np.array([[0.5, 0.25, 0.0], [0.75, 0.5, 1 / 3], [1.0, 2 / 3, 0.5]])


def pictures(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.fromarray(photo_pixels(24 + i, 24, seed=i)).save(folder / name)
    return folder


@pytest.fixture
def chosen(tmp_path: Path) -> Path:
    """A folder of three anchors as `anchors select` writes it."""
    data = pictures(tmp_path / "data", "a.png", "b.png", "c.png")
    (data / "r.csv").write_text("f,m,s\na.png,1,0.5\nb.png,3,0.5\nc.png,5,0.5\n")
    with select_set(data / "r.csv", Columns("f", "m", "s"), RatingScale("mos", 1, 5), tmp_path / "anchors", n=3):
        pass
    return tmp_path / "anchors"


Edit = Callable[[dict[str, Any]], object]


def edited(folder: Path, change: Edit) -> Path:
    about = json.loads((folder / "anchors.json").read_text())
    change(about)
    (folder / "anchors.json").write_text(json.dumps(about))
    return folder


def test_plain_folders_are_in_the_order_of_names_with_numbers_by_value(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "plain", "a10.png", "a2.png", "a1.jpg", "B.png", ".hidden.png")
    (folder / "README.md").write_text("no image")
    (folder / "sub").mkdir()
    found = AnchorSet.read(folder)
    assert [path.name for path in found.paths] == ["B.png", "a1.jpg", "a2.png", "a10.png"]
    assert found.file is None


def test_the_hash_is_that_of_the_images_in_order_not_of_their_names(tmp_path: Path) -> None:
    one = AnchorSet.read(pictures(tmp_path / "one", "1.png", "2.png")).sha256
    assert AnchorSet.read(pictures(tmp_path / "same", "x.png", "y.png")).sha256 == one
    turned = pictures(tmp_path / "turned", "2.png", "1.png")
    assert AnchorSet.read(turned).sha256 != one


@pytest.mark.parametrize("names", [(), ("1.png",)])
def test_fewer_than_two_images_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"{len(names)} images in it; expected at least two"):
        AnchorSet.read(pictures(tmp_path / "few", *names))


def test_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(UsageError, match="no such folder of anchors"):
            AnchorSet.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(direction="up"), "field direction"),
        (lambda a: a.update(extra=1), "field extra"),
        (lambda a: a.update(version=2), "field version"),
        (lambda a: a.pop("range"), "field range"),
        (lambda a: a.update(anchors=a["anchors"][:1]), "field anchors: .* at least 2 items"),
        (lambda a: a["anchors"][1].update(score="much"), r"field anchors\.1\.score"),
        (lambda a: a["anchors"][1].update(file="../b.png"), r"field anchors\.1\.file"),
        (lambda a: a["anchors"][1].update(sha256="0"), r"field anchors\.1\.sha256"),
        (
            lambda a: a["anchors"][1].update(sha256="0" * 64),
            r"field anchors\.1\.sha256: the file anchor-2\.png has",
        ),
        (lambda a: a["anchors"][1].update(file="none.png"), r"none\.png: cannot be read"),
        (lambda a: a.update(matrices=[{"spec": "0", "model": "m", "matrix": [[0.5]]}]), "matrix of m is not 3 x 3"),
    ],
)
def test_what_is_wrong_in_the_description_is_named(chosen: Path, change: Edit, message: str) -> None:
    folder = edited(chosen, change)
    with pytest.raises(DataError, match=message) as caught:
        AnchorSet.read(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_description_that_is_none_is_named(chosen: Path, text: str) -> None:
    (chosen / "anchors.json").write_text(text)
    with pytest.raises(DataError, match=r"anchors\.json: field file"):
        AnchorSet.read(chosen)


def test_a_changed_image_is_noticed(chosen: Path) -> None:
    Image.fromarray(photo_pixels(30, 30, seed=9)).save(chosen / "anchor-3.png")
    with pytest.raises(DataError, match=r"anchors\.2\.sha256.*mllmqa anchors select"):
        AnchorSet.read(chosen)


def test_measured_matrices_are_kept_by_spec_to_the_last_bit(chosen: Path) -> None:
    found = AnchorSet.read(chosen)
    assert found.measured("one") is None
    found.store("one", "model a", MATRIX)
    found.store("two", "model b", MATRIX.T)
    assert found.measured("three") is None
    for spec, expected in (("one", MATRIX), ("two", MATRIX.T)):
        for reader in (found, AnchorSet.read(chosen)):
            matrix = reader.measured(spec)
            assert matrix is not None
            np.testing.assert_array_equal(matrix, expected)
    found.store("one", "model a", MATRIX.T)
    about = json.loads((chosen / "anchors.json").read_text())
    assert [one["spec"] for one in about["matrices"]] == ["two", "one"]
    assert list(chosen.glob("*.partial")) == []


def test_a_plain_folder_is_not_written_to(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "plain", "1.png", "2.png", "3.png")
    found = AnchorSet.read(folder)
    found.store("one", "m", MATRIX)
    assert sorted(path.name for path in folder.iterdir()) == ["1.png", "2.png", "3.png"]
    assert found.measured("one") is None


def test_a_folder_that_cannot_be_written_is_said_and_nothing_breaks(
    chosen: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Root may write into a read-only folder, but not over a folder.
    (chosen / f".anchors.json.{os.getpid()}.partial").mkdir()
    found = AnchorSet.read(chosen)
    with caplog.at_level(logging.WARNING):
        found.store("one", "m", MATRIX)
    assert "cannot be stored" in caplog.text
    assert found.measured("one") is None


def test_the_same_folder_by_any_spelling(chosen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chosen.parent)
    assert AnchorSet.read("anchors").sha256 == AnchorSet.read(os.fspath(chosen) + "/").sha256
