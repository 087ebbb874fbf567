"""The whole way of nano in small: build, stages, heads, score, evaluate; it beats a constant and sharpness."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from mllmqa.training.loop import load_state

SMOKE = Path(__file__).parents[2] / "train" / "smoke.py"


def nano_config() -> dict[str, Any]:
    return dict(yaml.safe_load(SMOKE.with_name("nano.yaml").read_text(encoding="utf-8")))


def check_heads(out: Path) -> None:
    """What was fitted on the frozen tower is what stands before the decoder, and what ships: training left it."""
    ships = load_file(out / "weights" / "model.safetensors")
    base = load_file(out / "tower" / "base" / "model.safetensors")
    kept = load_state(out / "tower" / "quality.pt")["model"]
    branch = load_state(out / "tower" / "settled.pt")["model"]
    fitted = {
        f"categories.{name}": value for name, value in branch.items() if name.startswith(("branch.", "heads."))
    }
    never = fitted["categories.heads.standard.running_var"] < 1e-7
    fitted["categories.heads.hidden.weight"][:, never] = 0
    severity, by = "categories.heads.severity", nano_config()["smoke"]["heads"]["stretch"]
    fitted[f"{severity}.weight"] *= by
    fitted[f"{severity}.bias"] = 3 + by * (fitted[f"{severity}.bias"] - 3)
    in_time = load_state(out / "tower" / "in_time.pt")["model"]
    for name, value in (fitted | {f"in_time.{name}": value for name, value in in_time.items()}).items():
        for stored in (base, ships):
            found = next(v for k, v in stored.items() if k.endswith(f"vision_tower.{name}"))
            kept_as = value.half() if value.is_floating_point() else value
            assert torch.allclose(found, kept_as, atol=0, rtol=1e-3 if severity in name else 0), name
    assert fitted and in_time
    stem = kept["tower.stem.mix.weight"].half()
    assert torch.equal(next(v for k, v in base.items() if k.endswith("vision_tower.stem.mix.weight")), stem)


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
    kinds = {
        "heads": {"presence", "severity", "fidelity", "named"},
        "settled": {"presence", "severity", "fidelity", "named"},
        "in_time": {"presence", "moments", "severity"},
    }
    for fitted, named in kinds.items():
        lines = (tmp_path / "tower" / f"{fitted}.jsonl").read_text(encoding="utf-8").splitlines()
        losses = [json.loads(line) for line in lines]
        assert all(named <= one.keys() for one in losses)
        if fitted == "heads":
            assert losses[-1]["presence"] < losses[0]["presence"]
    check_heads(tmp_path)
    card = (tmp_path / "words" / "model" / "README.md").read_text(encoding="utf-8")
    assert "nano-words" in card
