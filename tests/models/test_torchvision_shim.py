"""The shim is needed, sufficient, idempotent, and harmless elsewhere."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys

import pytest

from mllmqa.errors import ModelLoadError
from mllmqa.models import torchvision_shim
from mllmqa.models.torchvision_shim import ensure_torchvision, has_torchvision

IMPORT_MODEL = "from transformers import LlavaForConditionalGeneration"


def _python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )


def test_transformers_does_not_import_without_the_shim() -> None:
    state = ensure_torchvision()
    if state != "declared":
        pytest.skip(f"torchvision is {state} here: there is nothing to repair")
    done = _python(IMPORT_MODEL)
    assert done.returncode != 0
    assert "LlavaForConditionalGeneration" in done.stderr


def test_transformers_imports_with_the_shim() -> None:
    calls = "import mllmqa.models.torchvision_shim as s; print(s.ensure_torchvision(), s.ensure_torchvision())"
    done = _python(f"{calls}\n{IMPORT_MODEL}\nprint(LlavaForConditionalGeneration.__name__)")
    assert done.returncode == 0, done.stderr
    state = ensure_torchvision()
    assert done.stdout.split() == [state, state, "LlavaForConditionalGeneration"]


def test_transforms_work_and_the_library_is_kept() -> None:
    if not has_torchvision():
        pytest.skip("torchvision is not installed")
    import torch
    from torchvision.transforms.v2 import functional

    assert functional.resize(torch.zeros(1, 3, 8, 8), [4, 4]).shape == (1, 3, 4, 4)
    assert hasattr(torch.ops.torchvision, "nms")
    assert (torchvision_shim._library is not None) == (ensure_torchvision() == "declared")


def test_import_after_a_failed_import_works() -> None:
    failed = "import contextlib\nwith contextlib.suppress(RuntimeError): import torchvision\n"
    done = _python(
        f"{failed}from mllmqa.models.torchvision_shim import ensure_torchvision as e\ne()\n{IMPORT_MODEL}"
    )
    if not has_torchvision():
        pytest.skip("torchvision is not installed")
    assert done.returncode == 0, done.stderr


def test_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_shim, "_state", None)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert ensure_torchvision() == "absent"
    assert not has_torchvision()


def test_native_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_shim, "_state", None)
    monkeypatch.setattr(torchvision_shim, "_library", None)
    monkeypatch.setitem(sys.modules, "torchvision", sys)  # an import that simply works
    assert ensure_torchvision() == "native"
    assert torchvision_shim._library is None


def test_other_failures_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("libjpeg.so.9:\n cannot open")

    monkeypatch.setattr(torchvision_shim, "_state", None)
    monkeypatch.setitem(sys.modules, "torchvision", sys)
    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModelLoadError, match=r"ImportError: libjpeg\.so\.9: cannot open; install the"):
        ensure_torchvision()
    assert not has_torchvision()


def test_a_torchvision_that_stays_broken_is_named_after_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operators are declared, and the import still dies: that is the owner's torchvision, not ours."""
    if not has_torchvision():
        pytest.skip("torchvision is not installed")
    tries = []

    def broken(name: str) -> None:
        tries.append(name)
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torchvision_shim, "_state", None)
    monkeypatch.setitem(sys.modules, "torchvision", sys)
    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(
        ModelLoadError, match=r"does not load: RuntimeError: operator torchvision::nms does not exist"
    ):
        ensure_torchvision()
    assert tries == ["torchvision", "torchvision"]
    assert torchvision_shim._state is None  # a later call tries again
