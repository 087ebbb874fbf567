"""The recipe that fits a pseudo-MOS: runs, goes on after a break, gives the same file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mllmqa.data.fullref import NAMES, PseudoMos
from mllmqa.data.fullref.metrics import piq_module
from mllmqa.errors import MissingExtraError
from tests.conftest import photo_pixels

ROOT = Path(__file__).resolve().parents[3]


def run(photos: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "data_builders" / "pseudo_mos.py"), str(photos), "--out", str(out)]
    command += ["--per-photo", "5", "--short-side", "168", "--workers", "1", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    try:
        piq_module()
    except MissingExtraError:
        pytest.skip('needs piq: pip install "mllmqa[fullref]"')
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(5):
        Image.fromarray(photo_pixels(200, 180, seed)).save(folder / f"{seed}.png")
    return folder


def test_it_fits_and_goes_on_after_a_break(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "fit.json"
    first = run(photos, out)
    assert first.returncode == 0, first.stderr
    assert "25 distorted photos fitted" in first.stdout
    fitted = PseudoMos.load(out)
    assert fitted.names == NAMES
    assert fitted.n_fitted == 25
    assert "5 photos, short side 168 px, 5 of" in fitted.source
    rows = tmp_path / "fit.168px-seed0.rows.jsonl"
    kept = rows.read_text().splitlines()
    whole = out.read_bytes()
    rows.write_text("\n".join(kept[:9]) + "\n" + kept[9][:20])  # killed while it wrote
    assert run(photos, out).returncode == 0
    assert out.read_bytes() == whole
    assert sorted(rows.read_text().splitlines()) == sorted(kept)


def test_errors_are_one_line(photos: Path, tmp_path: Path) -> None:
    done = run(photos, tmp_path / "fit.json", "--short-side", "500")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("a picture of 200×180 px cannot be shrunk")
