"""8-bit and 4-bit on the CPU: what is quantised is what was wished, and the answers stay close."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from mllmqa import loading, prompts
from mllmqa.errors import MissingExtraError, ModelLoadError, UnknownNameError, UsageError
from mllmqa.levels import distribution
from mllmqa.models import quantize
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.hf import HFBackend
from mllmqa.models.load import load_backend
from mllmqa.models.quantize import Quantization, quantized_modules, skip_list
from mllmqa.models.resolve import resolve
from mllmqa.models.torchvision_shim import has_torchvision
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.conftest import photo_pixels

pytest.importorskip("bitsandbytes")

WORDS = prompts.level_scale().words
PROMPT = prompts.render(prompts.load("score/quality"), medium="image")
LONGER = prompts.Prompt("test", "0", "Look at the picture for a while. " + PROMPT.question, PROMPT.answer)
BESIDE = {
    "llava": ["lm_head", "model.multi_modal_projector", "model.vision_tower"],
    "llava_next": ["lm_head", "model.multi_modal_projector", "model.vision_tower"],
    "llava_onevision": ["lm_head", "model.multi_modal_projector", "model.vision_tower"],
    "qwen2_5_vl": ["lm_head", "model.visual"],
    "qwen3_vl": ["lm_head", "model.visual"],
    "qwen3_5": ["lm_head", "model.visual"],
    "internvl": ["lm_head", "model.multi_modal_projector", "model.vision_tower"],
}
COSINE = {"8bit": 0.998, "4bit": 0.85}
COSINE_LINEAR_ATTENTION = {"8bit": 0.99, "4bit": 0.65}  # Qwen3.5; measured 0.9954 and 0.705
"""Least cosine of the logits over the whole vocabulary with those in float32. Measured with tiny random models,
whose weights are ×5 the usual: 0.9990 and 0.87; with nano 1.0000 and 1.0000."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wide")


@cache
def _load(family: str, folder: Path, scheme: str = "", vision: bool = False, dtype: str = "float32") -> HFBackend:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip(f"{family}: its processor needs torchvision")
    if not (place := folder / family).is_dir():
        tiny_models.build(family, place, width=64)
    wanted = Quantization.of(scheme, vision=vision) if scheme else None
    return load_backend(resolve(str(place)), device="cpu", dtype=dtype, quantization=wanted)


def _requests() -> list[Request]:
    asked = [PROMPT, LONGER, PROMPT, LONGER]
    return [Request(p, (photo_pixels(56, 56, seed=i),)) for i, p in enumerate(asked)]


def _all_logits(backend: HFBackend, request: Request) -> np.ndarray:
    inputs = backend._inputs([request], [backend.text(request)])
    with torch.inference_mode():
        return backend.model(**inputs, logits_to_keep=1).logits[0, -1].float().numpy()


def _cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))


def _alone_and_together(backend: HFBackend, requests: list[Request]) -> list[tuple[LevelLogits, LevelLogits]]:
    pairs = []
    for request, batched in zip(requests, backend.level_logits(requests, WORDS), strict=True):
        (alone,) = backend.level_logits([request], WORDS)
        assert isinstance(alone, LevelLogits)
        assert isinstance(batched, LevelLogits)
        pairs.append((alone, batched))
    return pairs


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_the_skip_list_is_computed_and_the_same_for_the_skeleton(family: str, folder: Path) -> None:
    model = _load(family, folder).model
    assert skip_list(model, vision=False) == BESIDE[family]
    assert skip_list(quantize.skeleton(model.config), vision=False) == BESIDE[family]
    assert skip_list(model, vision=True) == ["lm_head"]


@pytest.mark.parametrize("scheme", quantize.SCHEMES)
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_only_the_language_model_is_quantised_and_answers_stay_close(
    family: str, scheme: str, folder: Path
) -> None:
    full, small = _load(family, folder), _load(family, folder, scheme)
    done = quantized_modules(small.model)
    # Two layers of q, k, v, o, gate, up, down; Qwen3.5 has three of qkv, z, b, a, out beside one such.
    assert len(done) == (31 if family == "qwen3_5" else 14)
    assert all(name.startswith("model.language_model.layers.") for name in done)
    for name, parameter in small.model.named_parameters():
        if name.startswith(("model.vision_tower.", "model.visual.", "lm_head.")):
            torch.testing.assert_close(parameter, full.model.get_parameter(name), rtol=0, atol=0)
    cosines = [_cosine(_all_logits(full, r), _all_logits(small, r)) for r in _requests()]
    least = COSINE_LINEAR_ATTENTION if family == "qwen3_5" else COSINE
    assert min(cosines) > least[scheme]
    assert max(cosines) < 1 - 1e-6  # negative control: it is not the full-precision model


@pytest.mark.parametrize("scheme", quantize.SCHEMES)
def test_provenance_says_how(scheme: str, folder: Path) -> None:
    backend = _load("llava", folder, scheme)
    fused = bool(quantize._packed_for_cpu(backend.model))
    expected = {
        "8bit": "bitsandbytes llm.int8 threshold 6, vision float32",
        "4bit": f"bitsandbytes nf4 double-quant compute {'bfloat16' if fused else 'float32'}, vision float32",
    }
    assert backend.info.quantization == expected[scheme]
    assert _load("llava", folder).info.quantization is None


def test_vision_is_quantised_only_when_asked(folder: Path) -> None:
    backend = _load("llava", folder, "8bit", vision=True)
    done = quantized_modules(backend.model)
    assert any(name.startswith("model.vision_tower.") for name in done)
    assert any(name.startswith("model.multi_modal_projector.") for name in done)
    assert "lm_head" not in done
    assert backend.info.quantization == "bitsandbytes llm.int8 threshold 6, vision quantized"


def test_four_bit_batches_do_not_change_a_result(folder: Path) -> None:
    for family in ("llava", "qwen3_vl"):
        if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
            continue
        for alone, batched in _alone_and_together(_load(family, folder, "4bit"), _requests()):
            # The kernel for CPUs rounds activations to bfloat16; a rounding that tips over moves these by 2e-3.
            np.testing.assert_allclose(alone.logits, batched.logits, atol=1e-2)


def test_eight_bit_batches_change_a_result_less_than_eight_bits_do(folder: Path) -> None:
    """LLM.int8() multiplies in float16 those columns that have an outlier *anywhere in the batch*.

    So a row's batch decides which of its columns are rounded. The effect is bounded by the rounding itself.
    """
    full, small = _load("llava", folder), _load("llava", folder, "8bit", vision=True)
    scale = prompts.level_scale()
    exact = full.level_logits(_requests(), WORDS)
    for (alone, batched), reference in zip(_alone_and_together(small, _requests()), exact, strict=True):
        assert isinstance(reference, LevelLogits)
        assert np.abs(alone.logits - batched.logits).max() < 0.1  # measured: 0.04
        values = [distribution(a.logits, a.log_z, scale).value for a in (alone, batched, reference)]
        assert abs(values[0] - values[1]) < 0.05
        assert abs(values[0] - values[2]) < 0.1


def test_without_outliers_eight_bit_batches_change_nothing(folder: Path) -> None:
    small = _load("llava", folder, "8bit", vision=True)
    layers = [small.model.get_submodule(name) for name in quantized_modules(small.model)]
    try:
        for layer in layers:
            layer.state.threshold = 0.0
        for alone, batched in _alone_and_together(small, _requests()):
            np.testing.assert_allclose(alone.logits, batched.logits, atol=1e-5)
    finally:
        for layer in layers:
            layer.state.threshold = 6.0


@pytest.mark.parametrize("scheme", quantize.SCHEMES)
def test_nano_scores_nearly_the_same(scheme: str, nano: Scorer) -> None:
    small = loading.load("nano", device="cpu", quantize=scheme)
    picture = photo_pixels(300, 200, seed=3)
    value, small_value = nano.score(picture).value, small.score(picture).value
    assert value == pytest.approx(small_value, abs=0.05)
    assert value != small_value


def test_a_quantised_checkpoint_is_saved_loaded_and_told(folder: Path, tmp_path: Path) -> None:
    backend = _load("llava", folder, "8bit")
    backend.model.save_pretrained(tmp_path)
    backend.processor.save_pretrained(tmp_path)
    again = load_backend(resolve(str(tmp_path)), device="cpu")
    assert again.info.quantization == backend.info.quantization
    request = _requests()[0]
    np.testing.assert_allclose(_all_logits(again, request), _all_logits(backend, request), atol=1e-5)
    with pytest.raises(UsageError, match="quantised already"):
        load_backend(resolve(str(tmp_path)), device="cpu", quantization=Quantization("4bit"))


def test_a_short_name_in_the_skip_list_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T7 of the facts: transformers no longer matches ``vision_tower`` and quantises the tower."""
    place = folder / "llava"
    _load("llava", folder)
    made = quantize.bnb_config

    def short_names(wanted: Quantization, skip: list[str], dtype: object) -> object:
        config = made(wanted, skip, dtype)
        config.llm_int8_skip_modules = [name.split(".")[-1] for name in skip]
        return config

    monkeypatch.setattr(quantize, "bnb_config", short_names)
    with pytest.raises(ModelLoadError, match=r"quantised against the wish: model\.vision_tower"):
        load_backend(resolve(str(place)), device="cpu", quantization=Quantization("8bit"))


def test_a_model_in_full_precision_fails_the_check(folder: Path) -> None:
    with pytest.raises(ModelLoadError, match="nothing in it was quantised"):
        quantize.check(_load("llava", folder).model, vision=False, where="llava")


def test_a_tower_left_alone_fails_the_check_when_it_was_to_be_quantised(folder: Path) -> None:
    with pytest.raises(ModelLoadError, match="no module of its vision tower"):
        quantize.check(_load("llava", folder, "8bit").model, vision=True, where="llava")


def test_shapes_that_the_cpu_kernel_cannot_take_are_refused_on_loading(folder: Path, tmp_path: Path) -> None:
    if not quantize._packed_for_cpu(_load("llava", folder, "4bit").model):
        pytest.skip("this CPU has no AVX-512-BF16, bitsandbytes takes every shape here")
    narrow = tiny_models.build("llava", tmp_path / "narrow", width=32)
    with pytest.raises(ModelLoadError, match="use --quantize 8bit"):
        load_backend(resolve(str(narrow)), device="cpu", quantization=Quantization("4bit"))


def test_unknown_schemes_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"8bit \| 4bit"):
        loading.load("nano", quantize="2bit")


@pytest.mark.parametrize("package", ["bitsandbytes", "accelerate"])
def test_a_missing_package_names_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = quantize.find_spec
    monkeypatch.setattr(quantize, "find_spec", lambda name: None if name == package else found(name))
    with pytest.raises(MissingExtraError, match=rf"{package}.*mllmqa\[quantize\]"):
        loading.load("nano", device="cpu", quantize="8bit")
