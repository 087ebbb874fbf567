"""Adapters: attached to their base, merged or kept beside, saved and read again; misfits are one clear line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mllmqa import loading, prompts
from mllmqa.errors import MissingExtraError, ModelLoadError, UsageError
from mllmqa.models import adapters
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.hf import HFBackend
from mllmqa.models.load import load_backend
from mllmqa.models.quantize import Quantization
from mllmqa.models.resolve import resolve
from mllmqa.models.torchvision_shim import has_torchvision
from tests import tiny_models
from tests.conftest import photo_pixels

has_torchvision()  # declares what peft's import of transformers misses
peft = pytest.importorskip("peft")

WORDS = prompts.level_scale().words
REQUEST = Request(prompts.render(prompts.load("score/quality"), medium="image"), (photo_pixels(56, 56),))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llava", tmp_path_factory.mktemp("base") / "base", width=64)


def _train(base: Path, folder: Path, *, named: str | None = None) -> np.ndarray:
    """Save a random adapter for ``base`` and return the logits of the adapted model, not merged."""
    backend = load_backend(resolve(str(base)), device="cpu")
    config = peft.LoraConfig(
        r=4,
        target_modules=r".*language_model.*\.(q_proj|v_proj)",
        modules_to_save=["multi_modal_projector"],
        init_lora_weights=False,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        adapted = peft.get_peft_model(backend.model, config)
        for name, parameter in adapted.named_parameters():
            if "modules_to_save" in name:
                parameter.mul_(1.5)
    adapted.save_pretrained(folder)
    if named is not None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": named}))
    backend.model = adapted.get_base_model().eval()
    return _logits(backend)


def _logits(backend: HFBackend) -> np.ndarray:
    (answer,) = backend.level_logits([REQUEST], WORDS)
    assert isinstance(answer, LevelLogits)
    return answer.logits


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    _train(base, tmp_path / "adapter")
    return tmp_path / "adapter"


def test_attached_and_merged_it_answers_as_trained(base: Path, tmp_path: Path) -> None:
    expected = _train(base, tmp_path / "adapter")
    plain = _logits(load_backend(resolve(str(base)), device="cpu"))
    backend = load_backend(resolve(str(tmp_path / "adapter")), device="cpu")
    np.testing.assert_allclose(_logits(backend), expected, atol=2e-5)
    assert np.abs(expected - plain).max() > 1e-2
    assert not any("lora" in name for name, _ in backend.model.named_modules())
    assert type(backend.model).__name__ == "LlavaForConditionalGeneration"


def test_merged_it_is_saved_as_a_whole_model(adapter: Path, tmp_path: Path) -> None:
    backend = load_backend(resolve(str(adapter)), device="cpu")
    backend.model.save_pretrained(tmp_path / "merged")
    backend.processor.save_pretrained(tmp_path / "merged")
    again = load_backend(resolve(str(tmp_path / "merged")), device="cpu")
    np.testing.assert_allclose(_logits(again), _logits(backend), atol=1e-6)
    assert again.info.adapter_sha256 is None


@pytest.mark.parametrize("scheme", ["8bit", "4bit"])
def test_on_a_quantised_base_it_stays_beside(scheme: str, base: Path, adapter: Path) -> None:
    pytest.importorskip("bitsandbytes")
    wanted = Quantization.of(scheme)
    full = _logits(load_backend(resolve(str(adapter)), device="cpu"))
    small = load_backend(resolve(str(adapter)), device="cpu", quantization=wanted)
    without = load_backend(resolve(str(base)), device="cpu", quantization=wanted)
    assert any("lora_A" in name for name, _ in small.model.named_modules())
    assert small.info.quantization == without.info.quantization
    assert np.linalg.norm(_logits(small) - full) < np.linalg.norm(_logits(without) - full)


def test_its_hash_is_in_the_provenance(base: Path, adapter: Path) -> None:
    plain = loading.load(str(base), device="cpu")
    score = loading.load(str(adapter), device="cpu").score(photo_pixels(56, 56))
    assert score.provenance.model == str(adapter)
    assert score.provenance.weights_sha256 == plain.backend.info.weights_sha256
    digest = hashlib.sha256()
    for path in sorted(p for p in adapter.iterdir() if p.suffix in (".json", ".safetensors")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    assert score.provenance.adapter_sha256 == digest.hexdigest()
    assert score.provenance.spec != plain.plan().spec


def test_the_base_is_found_beside_the_adapter_or_named_by_the_user(base: Path, tmp_path: Path) -> None:
    _train(base, tmp_path / "run" / "adapter", named="../base")
    with pytest.raises(Exception, match=r"\.\./base"):
        resolve(str(tmp_path / "run" / "adapter"))
    source = resolve(str(tmp_path / "run" / "adapter"), base=str(base))
    assert (source.location, source.local) == (str(base), True)
    (tmp_path / "run" / "base").symlink_to(base)
    assert Path(resolve(str(tmp_path / "run" / "adapter")).location).resolve() == base.resolve()


def test_a_hub_id_as_base_keeps_its_preset(base: Path, tmp_path: Path) -> None:
    _train(base, tmp_path / "a", named="llava-hf/llava-1.5-7b-hf")
    source = resolve(str(tmp_path / "a"), revision="abc")
    assert (source.preset.name, source.location) == ("llava-1.5", "llava-hf/llava-1.5-7b-hf")
    assert (source.local, source.revision, source.adapter) == (False, "abc", str((tmp_path / "a").resolve()))
    (tmp_path / "a" / "mllmqa.json").write_text('{"preset": "qwen3-vl"}')
    assert resolve(str(tmp_path / "a")).preset.name == "qwen3-vl"


def test_a_base_for_what_is_no_adapter_is_refused(base: Path) -> None:
    with pytest.raises(UsageError, match="--base is for adapters"):
        resolve(str(base), base="nano")


def test_an_adapter_on_an_adapter_is_refused(adapter: Path) -> None:
    with pytest.raises(ModelLoadError, match="an adapter itself"):
        resolve(str(adapter), base=str(adapter))


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "malformed"), ("[]", "malformed"), ("[" * 100_000, "malformed"), ("{}", "--base PATH")],
)
def test_a_broken_configuration(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(ModelLoadError, match=message) as caught:
        resolve(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_not_read(adapter: Path) -> None:
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match=r"expected adapter_model\.safetensors"):
        load_backend(resolve(str(adapter)), device="cpu")


@pytest.mark.parametrize("change", ["drop", "add", "shape"])
def test_an_adapter_that_does_not_fit_is_refused_in_one_line(change: str, adapter: Path) -> None:
    weights = load_file(adapter / "adapter_model.safetensors")
    name = next(key for key in sorted(weights) if "lora_A" in key)
    if change == "drop":
        weights.pop(name)
    elif change == "add":
        weights[name.replace("layers.0", "layers.7")] = weights[name].clone()
    else:
        weights[name] = torch.zeros(4, 96)
    save_file(weights, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"in the adapter|does not fit") as caught:
        load_backend(resolve(str(adapter)), device="cpu")
    assert "\n" not in str(caught.value)


def test_parts_beside_an_adapter_are_read_for_mplug_owl2_only(adapter: Path) -> None:
    torch.save({}, adapter / "non_lora_trainables.bin")
    with pytest.raises(ModelLoadError, match=r"it has non_lora_trainables\.bin.*mplug_owl2 only"):
        load_backend(resolve(str(adapter)), device="cpu")


def test_a_whole_model_is_not_taken_for_an_adapter(base: Path, tmp_path: Path) -> None:
    assert not adapters.is_adapter(base)
    (tmp_path / "adapter_config.json").write_text("{}")
    assert adapters.is_adapter(tmp_path)
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    assert not adapters.is_adapter(tmp_path)


def test_a_missing_package_names_the_extra(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = adapters.find_spec
    monkeypatch.setattr(adapters, "find_spec", lambda name: None if name == "peft" else found(name))
    with pytest.raises(MissingExtraError, match=r"peft.*mllmqa\[train\]"):
        load_backend(resolve(str(adapter)), device="cpu")
