"""Choice of anchors from rated images: the paper's rule by hand, and the folder that comes of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mllmqa.anchors import AnchorSet
from mllmqa.data.ratings import Columns, Rating, RatingScale
from mllmqa.data.select_anchors import choose, select_set
from mllmqa.errors import DataError, UsageError
from tests.conftest import photo_pixels

MOS = RatingScale("mos", 1, 5)
DMOS = RatingScale("dmos", 0, 100)
COLUMNS = Columns("file", "mos", "sd")


def rated(*rows: tuple[float, float | None]) -> list[Rating]:
    return [
        Rating(f"{i}.png", Path(f"{i}.png"), score, std, f"line {i + 2}") for i, (score, std) in enumerate(rows)
    ]


def names(chosen: list[Rating]) -> list[str]:
    return [one.path.stem for one in chosen]


def test_smallest_variance_of_each_interval() -> None:
    ratings = rated((1, 0.5), (1.9, 0.3), (2, 0.1), (2.9, 0.2), (3, 0.2), (5, 0.9), (4.2, 0.4))
    # [1, 2) [2, 3) [3, 4) [4, 5]: an edge belongs to the upper interval, the highest score to the last.
    assert names(choose(ratings, MOS, 4)) == ["1", "2", "4", "6"]


def test_intervals_are_those_of_the_scores_that_occur_not_of_the_scale() -> None:
    ratings = rated((2, 0.1), (2.4, 0.1), (2.6, 0.1), (3, 0.1))
    assert len(choose(ratings, MOS, 2)) == 2
    with pytest.raises(DataError, match="none of the 0 images between"):
        choose(ratings, MOS, 5)


def test_ties_go_to_the_middle_then_to_the_name() -> None:
    assert names(choose(rated((1, 0.2), (1.6, 0.2), (2, 0.2), (3, 0.2)), MOS, 2)) == ["1", "2"]
    assert names(choose(rated((1, 0.2), (1, 0.2), (3, 0.2), (3, 0.2)), MOS, 2)) == ["0", "2"]


def test_worst_first_in_either_direction() -> None:
    low_is_good = choose(rated((10, 1), (90, 1), (50, 1)), DMOS, 3)
    assert [one.score for one in low_is_good] == [90, 50, 10]
    assert [one.score for one in choose(rated((1, 1), (5, 1), (3, 1)), MOS, 3)] == [1, 3, 5]


def test_a_deviation_of_nothing_is_no_unanimity() -> None:
    assert names(choose(rated((1, 0.0), (1.1, 0.7), (5, 0.5)), MOS, 2)) == ["1", "2"]
    with pytest.raises(DataError, match="none of the 1 images between 1 and 3 can be an anchor"):
        choose(rated((1, 0.0), (5, 0.5)), MOS, 2)


def test_without_deviations_the_rule_must_be_named() -> None:
    ratings = rated((1, None), (1.9, None), (3, None), (5, None))
    with pytest.raises(UsageError, match=r"--std-column.*--rule middle"):
        choose(ratings, MOS, 2)
    assert [one.score for one in choose(ratings, MOS, 2, "middle")] == [1.9, 3]


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 2"):
        choose(rated((1, 1), (2, 1)), MOS, 1)
    with pytest.raises(DataError, match="between 3 and 3"):
        choose(rated((3, 1), (3, 1)), MOS, 2)


@given(st.lists(st.tuples(st.floats(1, 5), st.floats(0.01, 2)), min_size=2, max_size=40), st.integers(2, 6))
def test_each_chosen_image_has_the_least_variance_of_its_interval(rows: list[tuple[float, float]], n: int) -> None:
    try:
        chosen = choose(rated(*rows), MOS, n)
    except DataError:
        return  # an interval without images
    scores = np.array([score for score, _ in rows])
    edges = np.linspace(scores.min(), scores.max(), n + 1)
    for k, one in enumerate(chosen):
        last = k == n - 1
        inside = (scores >= edges[k]) & ((scores < edges[k + 1]) | last)
        assert inside[int(one.path.stem)]
        assert one.std == min(std for (_, std), here in zip(rows, inside, strict=True) if here)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve photos with ratings 1, 1.36 … 5."""
    place = tmp_path / "data"
    (place / "sub").mkdir(parents=True)
    lines = ["file,mos,sd"]
    for i in range(12):
        name = f"sub/p{i}.{'png' if i % 2 else 'JPG'}"
        Image.fromarray(photo_pixels(40, 32, seed=i)).save(place / name)
        lines.append(f"{name},{1 + 4 * i / 11:.4f},{0.9 - 0.05 * i:.3f}")
    path = place / "ratings.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_folder_has_the_bytes_of_the_images_and_says_what_they_are(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "anchors"
    with select_set(data, COLUMNS, MOS, out, n=3):
        assert not out.exists()  # until all went well
    about = json.loads((out / "anchors.json").read_text())
    assert sorted(p.name for p in out.iterdir()) == ["anchor-1.png", "anchor-2.png", "anchor-3.png", "anchors.json"]
    assert (about["n_rated"], about["direction"], about["range"], about["rule"]) == (12, "mos", [1, 5], "variance")
    assert about["data_sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()
    assert [one["source"] for one in about["anchors"]] == ["sub/p3.png", "sub/p7.png", "sub/p11.png"]
    for one in about["anchors"]:
        content = (out / one["file"]).read_bytes()
        assert content == (data.parent / one["source"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
    assert about["anchors"][0]["score"] == 2.0909
    assert about["anchors"][0]["std"] == 0.75
    found = AnchorSet.read(out)
    assert [path.name for path in found.paths] == ["anchor-1.png", "anchor-2.png", "anchor-3.png"]
    assert list(tmp_path.glob("deep/.*")) == []


def test_after_an_error_nothing_is_left(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "anchors"
    with pytest.raises(RuntimeError), select_set(data, COLUMNS, MOS, out) as partial:
        assert (partial / "anchors.json").is_file()
        raise RuntimeError
    assert list((tmp_path / "deep").iterdir()) == []


def test_an_empty_folder_is_filled_and_a_full_one_is_left_alone(data: Path, tmp_path: Path) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    with select_set(data, COLUMNS, MOS, empty):
        pass
    assert len(AnchorSet.read(empty).paths) == 5
    for taken in (full, full / "mine.txt"):
        with pytest.raises(UsageError, match="not an empty folder"), select_set(data, COLUMNS, MOS, taken):
            pass
    assert [p.name for p in full.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("content", "message"), [(b"no picture", "cannot be an anchor"), (None, "is a video")])
def test_a_chosen_file_that_is_no_image_is_named_by_its_line(
    data: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    victim = data.parent / "sub" / "p3.png"
    if content is None:
        frames = [Image.fromarray(photo_pixels(40, 32, seed=i)) for i in range(3)]
        frames[0].save(victim, format="GIF", save_all=True, append_images=frames[1:], duration=100)
    else:
        victim.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught, select_set(data, COLUMNS, MOS, tmp_path / "out", n=3):
        pass
    assert "ratings.csv, line 5" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_unknown_rules_are_named(data: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"variance \| middle"),
        select_set(data, COLUMNS, MOS, tmp_path / "out", rule="best"),
    ):
        pass


@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_the_same_picture_twice_is_refused(tmp_path: Path, ending: str) -> None:
    for k in range(2):
        Image.fromarray(photo_pixels(40, 32, seed=k)).save(tmp_path / f"{k}.png")
    Image.fromarray(photo_pixels(40, 32, seed=0)).save(tmp_path / f"again.{ending}")  # other bytes, other name
    path = tmp_path / "r.csv"
    path.write_text(f"file,mos,sd\n0.png,1,0.5\n1.png,3,0.5\nagain.{ending},5,0.5\n")
    same = rf"line 4: 'again\.{ending}' is the same picture as '0\.png', which is an anchor already"
    with pytest.raises(DataError, match=same), select_set(path, COLUMNS, MOS, tmp_path / "anchors", n=3):
        pass
    assert not (tmp_path / "anchors").exists()
