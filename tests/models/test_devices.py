"""Devices and dtypes: what is here is taken, what is not is one clear line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mllmqa import prompts
from mllmqa.errors import MissingExtraError, UsageError
from mllmqa.models import devices
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.load import load_backend
from mllmqa.models.resolve import resolve
from tests import tiny_models
from tests.conftest import photo_pixels

REQUEST = Request(prompts.render(prompts.load("score/quality"), medium="image"), (photo_pixels(56, 56),))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llava", tmp_path_factory.mktemp("tiny") / "tiny")


def _logits(tiny: Path, **options: str) -> np.ndarray:
    backend = load_backend(resolve(str(tiny)), **options)  # type: ignore[arg-type]
    (answer,) = backend.level_logits([REQUEST], prompts.level_scale().words)
    assert isinstance(answer, LevelLogits)
    return answer.logits


@pytest.mark.parametrize("name", ["cuda:99", "no-such-device", "cpu:x", "meta"])
def test_devices_that_are_not_here(name: str) -> None:
    with pytest.raises(UsageError, match="expected auto, cpu, cuda, cuda:N, mps or balanced"):
        devices.pick_device(name)


def test_auto_takes_the_best_that_is_here() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert devices.pick_device("auto") == expected
    assert devices.pick_device("cpu") == "cpu"


def test_balanced_without_accelerate_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"accelerate.*mllmqa\[quantize\]"):
        devices.pick_device("balanced")


def test_balanced_gives_the_same_answer(tiny: Path) -> None:
    """On a machine without GPUs accelerate puts all layers on the CPU; its hooks are in the way all the same."""
    pytest.importorskip("accelerate")
    np.testing.assert_allclose(
        _logits(tiny, device="balanced", dtype="float32"), _logits(tiny, device="cpu"), atol=1e-5
    )


def test_only_what_needs_it_is_placed_while_loading() -> None:
    assert devices.device_map("cpu", quantized=False) is None
    assert devices.device_map("cuda:1", quantized=True) == {"": "cuda:1"}
    assert devices.device_map("balanced", quantized=True) == "balanced"


def test_auto_dtype() -> None:
    assert devices.pick_dtype("auto", "cpu") == torch.float32
    assert devices.pick_dtype("auto", "cuda") == torch.bfloat16
    assert devices.pick_dtype("float16", "cpu") == torch.float16
    with pytest.raises(UsageError, match=r"float32 \| bfloat16"):
        devices.pick_dtype("float8", "cpu")


@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_float16_works_on_the_cpu(family: str, tmp_path: Path) -> None:
    place = tiny_models.build(family, tmp_path / family)
    # Measured: cosine over the vocabulary 0.999996 or better in all six families.
    np.testing.assert_allclose(
        _logits(place, device="cpu", dtype="float16"), _logits(place, device="cpu", dtype="float32"), atol=0.03
    )


def test_inputs_go_to_the_embedding(tiny: Path) -> None:
    backend = load_backend(resolve(str(tiny)), device="cpu")
    assert devices.input_device(backend.model) == torch.device("cpu")
