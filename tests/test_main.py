"""``python -m mllmqa`` and the command: Ctrl-C ends both quietly, also while modules are being imported."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INTERRUPTED_AT = """
import os, runpy, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may ignore it and hand that on

WANTED = sys.argv.pop(1)


class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == WANTED:
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Interrupts())
runpy.run_module("mllmqa", run_name="__main__")
"""


@pytest.mark.parametrize("module", ["mllmqa.cli", "typer", "mllmqa.cli.models", "mllmqa.cli.score"])
def test_an_interrupted_import_ends_with_130_and_no_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT, module], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mllmqa: interrupted\n")


def test_the_installed_command_starts_there_too() -> None:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert about["project"]["scripts"] == {"mllmqa": "mllmqa.__main__:main"}


def test_before_that_nothing_slow_is_imported() -> None:
    code = "import sys, mllmqa.__main__; print(*{'typing', 'typer', 'pydantic'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == ""
