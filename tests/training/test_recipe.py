"""The recipe from end to end on made-up photos: every stage, resume, and what it saves is loadable and scores."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import mllmqa.models.load as loading
from mllmqa import prompts
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.resolve import resolve

RECIPE = Path(__file__).parents[2] / "train" / "nano.py"


def test_smoke_run(tmp_path: Path) -> None:
    command = [sys.executable, str(RECIPE), "--smoke", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["test"]["n"] == 16
    assert figures["validation"]["n"] == 4
    for stage in ("synthetic", "quality", "language"):
        lines = (tmp_path / f"{stage}.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["step"] == 3

    source = resolve(str(tmp_path / "weights"))
    assert source.preset.name == "nano"
    backend = loading.load_backend(source, device="cpu")
    prompt = prompts.render(prompts.load("score/quality"), medium="image")
    tile = np.zeros((512, 512, 3), np.uint8)
    answer = backend.level_logits([Request(prompt, (tile, tile))], prompts.level_scale().words)[0]
    assert isinstance(answer, LevelLogits)
    assert np.isfinite(answer.logits).all()

    before = (tmp_path / "language.pt").stat().st_mtime_ns
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    assert (tmp_path / "language.pt").stat().st_mtime_ns == before  # finished stages are not run again
    assert json.loads((tmp_path / "figures.json").read_text()) == figures
