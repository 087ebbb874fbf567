"""eval/biq2021.py as a user runs it, on a made-up data set in BIQ2021's layout: figures, refusals, resume."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa.data import registry
from mllmqa.evaluation.stats import agreement
from mllmqa.records import read_jsonl
from mllmqa.schema import Score
from mllmqa.training.samples import make_smoke_set
from tests.conftest import photo_pixels

RECIPE = Path(__file__).parents[2] / "eval" / "biq2021.py"
LABELS = "Test (Images and MOS).csv"
FIGURE = re.compile(r"^(.+?)\s+SRCC (\S+)  PLCC (\S+)  n (\d+)  n_unscored (\d+)$")


def run(root: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RECIPE), str(root), "--out", str(out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


def figures(stdout: str) -> dict[str, tuple[str, str, int, int]]:
    found = [FIGURE.match(line) for line in stdout.splitlines()]
    assert all(found), stdout
    return {m[1]: (m[2], m[3], int(m[4]), int(m[5])) for m in found if m}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six test photos: one is a copy of a train photo, one is too small to be scored."""
    root = make_smoke_set(tmp_path_factory.mktemp("biq"), seed=3, photos=6, side=128)
    shutil.copy(root / "Images" / "a3.jpg", root / "Images" / "b4.jpg")
    Image.fromarray(photo_pixels(12, 12)).save(root / "Images" / "b5.jpg")
    return root


def test_figures_count_what_was_not_scored_and_a_second_run_continues(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "log.jsonl"  # the folder is made
    first = run(dataset, out)
    assert first.returncode == 0, first.stderr
    results = {Path(result.source).name: result for result in read_jsonl(out)}
    assert sorted(results) == [f"b{number}.jpg" for number in range(6)]
    assert [name for name, result in results.items() if not isinstance(result, Score)] == ["b5.jpg"]

    shown = figures(first.stdout)
    every = {str(row.path): row.score for row in registry.read(dataset, "biq2021", part="test").rows}
    expected = agreement(results.values(), every)
    assert shown["all test photos"] == (f"{expected.srcc:.4f}", f"{expected.plcc:.4f}", 5, 1)
    for bits in (6, 8, 10):
        n, refused = shown[f"without near-duplicates of train (<= {bits:2} bits)"][2:]
        assert (n <= 4, refused <= 1) == (True, True)  # the copy is gone at every threshold

    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:2]) + lines[2][:40])  # killed while it wrote the third
    second = run(dataset, out)
    assert second.returncode == 0, second.stderr
    resumed = figures(second.stdout)  # scores of another batch move by 1e-6, figures by their last digit at most
    assert resumed.keys() == shown.keys()
    for rows, (srcc, plcc, n, refused) in shown.items():
        assert [float(one) for one in resumed[rows][:2]] == pytest.approx([float(srcc), float(plcc)], abs=1.01e-4)
        assert resumed[rows][2:] == (n, refused)
    again = {Path(result.source).name: result for result in read_jsonl(out)}
    assert out.read_text().startswith("".join(lines[:2]))
    assert "2 already in the file" in second.stderr
    for name, result in results.items():
        if isinstance(result, Score):
            assert np.isclose(again[name].value, result.value, atol=1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / LABELS).unlink(), "no such label file"),
        (lambda root: (root / LABELS).write_text("Image Name,MOS\nb0.jpg,7\n"), "field MOS is '7'"),
        (lambda root: (root / "Images" / "a1.jpg").unlink(), "no file 'a1.jpg'"),
    ],
)
def test_a_wrong_data_set_stops_before_anything_is_scored(
    dataset: Path, tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "copy"))
    damage(root)
    done = run(root, tmp_path / "log.jsonl")
    assert done.returncode != 0
    assert words in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    assert not (tmp_path / "log.jsonl").exists()


def test_a_refusal_of_the_scorer_is_the_end_and_keeps_its_exit_code(dataset: Path, tmp_path: Path) -> None:
    done = run(dataset, tmp_path / "log.jsonl", "--model", "no-such-model")
    assert done.returncode == 2
    assert "no-such-model" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
