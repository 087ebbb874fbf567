"""The whole way of nano in small: build, three stages, score, evaluate; it beats a constant and sharpness."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SMOKE = Path(__file__).parents[2] / "train" / "smoke.py"


def test_the_whole_way(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SMOKE), "--out", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures == json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert (figures["n"], figures["n_unscored"]) == (48, 0)
    assert figures["srcc"] > 0.6
    assert figures["srcc"] > figures["srcc_sharpness"] + 0.2
    assert figures["error"] < figures["error_constant"]
    for stage in ("synthetic", "quality"):
        lines = (tmp_path / "tower" / f"{stage}.jsonl").read_text(encoding="utf-8").splitlines()
        losses = [json.loads(line) for line in lines]
        assert losses[-1]["rank"] < losses[0]["rank"]
    card = (tmp_path / "words" / "model" / "README.md").read_text(encoding="utf-8")
    assert "nano-words" in card
