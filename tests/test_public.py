"""The public face, the lazy imports, the shipped folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mllmqa
from mllmqa import resources
from mllmqa.errors import UnknownNameError


def test_all_is_sorted_and_importable() -> None:
    assert mllmqa.__all__ == sorted(mllmqa.__all__)
    assert dir(mllmqa) == mllmqa.__all__
    for name in mllmqa.__all__:
        assert getattr(mllmqa, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = mllmqa.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", ["import mllmqa", "from mllmqa.cli.app import app"])
def test_importing_brings_nothing_heavy(code: str) -> None:
    heavy = "torch transformers numpy av PIL pydantic scipy pandas openai"
    check = f"{code}; import sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"


@pytest.mark.parametrize("name", resources.FOLDERS)
def test_shipped_folders_are_found(name: str) -> None:
    assert resources.folder(name).is_dir()


def test_other_folders_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="data_builders"):
        resources.folder("tests")


def test_a_user_script_is_typed(tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(
        "import mllmqa\n"
        "scorer = mllmqa.load('nano')\n"
        "reveal_type(scorer.score('a.png', mllmqa.ScoreOptions(per_frame=True)))\n"
        "reveal_type(scorer.score(['a.png', 'b.png']))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(script)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    notes = [line.split("Revealed type is ")[1] for line in ran.stdout.splitlines() if "Revealed" in line]
    assert notes == ['"mllmqa.schema.Score"', '"list[mllmqa.schema.Score | mllmqa.schema.Unscored]"'], ran.stdout
