"""Layouts that need code: MATLAB files of LIVE and LIVE Challenge, the parallel lists of TID, AVA's votes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mllmqa.data import registry
from mllmqa.data.findings import Findings
from mllmqa.data.registry import Rated
from mllmqa.data.registry.readers import LIVE_GROUPS
from mllmqa.errors import DataError

scipy_io = pytest.importorskip("scipy.io")


def read(root: Path, name: str, table: str | None = None) -> tuple[Rated, Findings]:
    findings = Findings()
    return registry.read(root, name, table, findings=findings, media=False), findings


def live(root: Path, **changes: object) -> Path:
    """982 rows, every fifth one an undistorted original."""
    rng = np.random.default_rng(0)
    dmos, std = rng.uniform(1, 111, (1, 982)), rng.uniform(0.5, 5, (1, 982))
    dmos[0, ::5] = std[0, ::5] = 0
    dmos[0, 5], std[0, 5] = 0.0, 1.0  # a distorted copy that nobody can tell from its original
    arrays = {"dmos_new": dmos, "dmos_std": std, "orgs": np.zeros((1, 779), np.uint8), **changes}
    scipy_io.savemat(
        root / "dmos_realigned.mat", {key: value for key, value in arrays.items() if value is not None}
    )
    return root


def test_live_leaves_out_originals_and_names_by_order(tmp_path: Path) -> None:
    rated, _ = read(live(tmp_path), "live")
    assert len(rated.rows) == 982 - 197 + 1
    assert [row.name for row in rated.rows[:5]] == [f"jp2k/img{k}.bmp" for k in (2, 3, 4, 5, 6)]
    assert rated.rows[-1].name == "fastfading/img174.bmp"
    assert {row.distortion for row in rated.rows} == {group for group, _ in LIVE_GROUPS}
    assert rated.scale.direction == "dmos"
    assert rated.rows[0].reference is None


def test_live_has_references_where_their_file_is(tmp_path: Path) -> None:
    names = np.array([[f"photo{k % 29}.bmp" for k in range(982)]], dtype=object)
    scipy_io.savemat(live(tmp_path) / "refnames_all.mat", {"refnames_all": names})
    rated, _ = read(tmp_path, "live")
    assert len({row.reference for row in rated.rows}) == 29
    assert rated.rows[0].reference == "photo1.bmp"


def test_live_without_deviations(tmp_path: Path) -> None:
    live(tmp_path, dmos_std=None)
    (tmp_path / "dmos_realigned.mat").rename(tmp_path / "dmos.mat")
    rated, findings = read(tmp_path, "live", "unrealigned")
    assert {row.std for row in rated.rows} == {None}
    assert findings.count("not-a-number") == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dmos_new": np.zeros((1, 779))}, "779 scores; expected 982"),
        ({"dmos_new": None}, "no array dmos_new or dmos; expected one of dmos_std, orgs"),
        ({"dmos_std": np.zeros((1, 5))}, "expected 982"),
    ],
)
def test_other_files_are_not_taken_for_live(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(live(tmp_path, **changes), "live")


def test_files_that_are_no_matlab_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "dmos_realigned.mat").write_bytes(b"not a matlab file at all" * 20)
    with pytest.raises(DataError, match=r"dmos_realigned\.mat: is not a MATLAB file"):
        read(tmp_path, "live")


def livec(root: Path, count: int = 12) -> Path:
    (root / "Data").mkdir()
    names = [f"t{k}.bmp" for k in range(1, 8)] + [f"{k}.JPG" for k in range(count)]
    images = np.array(names, dtype=object)[:, None]
    scipy_io.savemat(root / "Data" / "AllImages_release.mat", {"AllImages_release": images})
    for key, values in (("MOS", np.linspace(5, 90, len(names))), ("StdDev", np.full(len(names), 15.0))):
        scipy_io.savemat(root / "Data" / f"All{key}_release.mat", {f"All{key}_release": values[None]})
    return root


def test_live_challenge_leaves_out_its_training_images(tmp_path: Path) -> None:
    rated, _ = read(livec(tmp_path), "livec")
    assert [row.name for row in rated.rows] == [f"{k}.JPG" for k in range(12)]
    assert rated.rows[0].score == pytest.approx(5 + 85 * 7 / 18)
    assert rated.rows[0].std == 15
    assert rated.rows[0].path.as_posix() == "Images/0.JPG"


def test_arrays_of_unequal_length_are_named(tmp_path: Path) -> None:
    livec(tmp_path)
    scipy_io.savemat(tmp_path / "Data" / "AllStdDev_release.mat", {"AllStdDev_release": np.ones((1, 4))})
    with pytest.raises(DataError, match=r"unequal length.*'StdDev': 4"):
        read(tmp_path, "livec")


def tid(root: Path, deviations: int | None = 4) -> Path:
    rows = ["5.51429 I01_01_1.bmp", "3.0 i01_24_5.bmp", "0.24 i25_01_1.bmp", "7.2 I25_02_1.bmp"]
    (root / "mos_with_names.txt").write_text("\n".join(rows) + "\n")
    if deviations is not None:
        (root / "mos_std.txt").write_text("\n".join(["0.13"] * deviations))
    return root


def test_tid_has_scores_first_and_deviations_beside(tmp_path: Path) -> None:
    rated, findings = read(tid(tmp_path), "tid2013")
    assert [(row.name, row.score, row.std) for row in rated.rows[:2]] == [
        ("I01_01_1.bmp", 5.51429, 0.13), ("i01_24_5.bmp", 3.0, 0.13)
    ]  # fmt: skip
    assert [row.distortion for row in rated.rows] == ["01", "24", "01", "02"]
    assert {str(row.reference).casefold() for row in rated.rows} == {"i01", "i25"}
    assert findings.errors == 0
    with pytest.raises(registry.UsageError, match="fit tid2008, tid2013"):
        registry.recognise(tmp_path)


def test_tid_without_deviations_states_none(tmp_path: Path) -> None:
    rated, findings = read(tid(tmp_path, None), "tid2013")
    assert {row.std for row in rated.rows} == {None}
    assert findings.errors == 0


@pytest.mark.parametrize("count", [3, 5])
def test_lists_that_are_not_parallel_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(DataError, match=rf"mos_std.txt: {count} deviations; expected one for each line"):
        read(tid(tmp_path, count), "tid2013")


def test_ava_has_votes(tmp_path: Path) -> None:
    (tmp_path / "AVA.txt").write_text("1 1001 0 1 4 16 40 30 20 9 4 0 1 22 7\n2 1002 9 8 7 6 5 4 3 2 1 0 1 21 7\n")
    rated, _ = read(tmp_path, "ava")
    first = rated.rows[0]
    assert first.histogram == (0, 1, 4, 16, 40, 30, 20, 9, 4, 0)
    assert first.score == pytest.approx(sum(v * k for k, v in enumerate(first.histogram, 1)) / 124)
    assert first.path.as_posix() == "1001.jpg"
    assert first.extra["tag2"] == "22"


def test_pipal_reads_many_lists(tmp_path: Path) -> None:
    (tmp_path / "Train_Label").mkdir()
    for name in ("A0001", "A0002"):
        text = f"{name}_00_00.bmp,1412.3\n{name}_00_01.bmp,1300\n"
        (tmp_path / "Train_Label" / f"{name}.txt").write_text(text)
    rated, _ = read(tmp_path, "pipal")
    assert len(rated.rows) == 4
    assert {row.reference for row in rated.rows} == {"A0001", "A0002"}
