"""Loading: only what fits completely is loaded; everything else is one clear line."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mllmqa import prompts
from mllmqa.errors import ModelLoadError, UsageError
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.load import LocalOptions, load_backend, pick_device
from mllmqa.models.resolve import resolve
from tests import tiny_models
from tests.conftest import photo_pixels


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_models.build("llava", tmp_path / "tiny")


def _load(folder: Path, **options: Any) -> Any:
    return load_backend(resolve(str(folder)), **{"device": "cpu", **options})


def _drop_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop(sorted(weights)[0])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _add_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "stray.weight": torch.zeros(2)}, folder / "model.safetensors", metadata={"format": "pt"})


def _pickle_only(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _remote_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "unheard_of"
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForImageTextToText": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('remote code was run')")


def _no_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def _broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _no_vocabulary(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _empty_vocabulary(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"] = {"type": "WordLevel", "vocab": {}, "unk_token": "<unk>"}
    path.write_text(json.dumps(content), encoding="utf-8")


def _no_image_processor(folder: Path) -> None:
    (folder / "processor_config.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_image_processor, "of its image processor no file is there: none of preprocessor_config"),
        (_no_vocabulary, r"cannot be loaded: .*of its tokenizer no file is there"),
        (_empty_vocabulary, "its tokenizer fails: .*Missing .UNK."),
        (_drop_a_weight, "1 missing keys in its weights"),
        (_pickle_only, r"cannot be loaded.*\*\.safetensors.*pytorch_model\.bin is a pickle"),
        (_cut_weights, r"model\.safetensors: cannot be loaded, cut off or damaged .*download it again"),
        (_remote_code, "without remote code"),
        (_no_template, "no chat template"),
        (_broken_config, "cannot be loaded"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(spoil: Callable[[Path], None], message: str, tiny: Path) -> None:
    spoil(tiny)
    with pytest.raises(ModelLoadError, match=message) as caught:
        _load(tiny)
    assert "\n" not in str(caught.value)
    assert str(tiny) in str(caught.value)


def test_identity_goes_into_provenance(tiny: Path) -> None:
    info = load_backend(resolve(str(tiny)), device="cpu", dtype="bfloat16").info
    assert (info.dtype, info.device, info.model) == ("bfloat16", "cpu", str(tiny))
    content = b"model.safetensors\0" + (tiny / "model.safetensors").read_bytes()
    assert info.weights_sha256 == hashlib.sha256(content).hexdigest()
    assert info.image_processor == "CLIPImageProcessorPil"


def test_auto_is_float32_on_the_cpu(tiny: Path) -> None:
    assert load_backend(resolve(str(tiny)), device="cpu").info.dtype == "float32"


def test_weights_that_are_not_used_are_named(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    _add_a_weight(tiny)
    _load(tiny)
    assert "1 unexpected keys in its weights: stray.weight" in caplog.text


@pytest.mark.parametrize("name", ["processor_config.json", "chat_template.jinja", "tokenizer.json"])
def test_every_file_that_decides_a_score_is_in_the_identity(name: str, tiny: Path) -> None:
    path = tiny / name
    before = load_backend(resolve(str(tiny)), device="cpu").info
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    after = load_backend(resolve(str(tiny)), device="cpu").info
    assert before.weights_sha256 == after.weights_sha256
    assert before.settings_sha256 != after.settings_sha256


def test_devices_and_dtypes_that_are_not_here(tiny: Path) -> None:
    with pytest.raises(UsageError, match="device 'cuda:99'"):
        pick_device("cuda:99")
    with pytest.raises(UsageError, match="holds no data"):
        pick_device("meta")
    with pytest.raises(UsageError, match="float32"):
        _load(tiny, dtype="float8")


_FROM_HUB = """
import sys, mllmqa
from mllmqa.models.load import load_backend
from mllmqa.models.resolve import resolve
print(load_backend(resolve("org/tiny"), device="cpu").info.revision)
"""


def test_a_hub_model_is_known_by_its_commit(tmp_path: Path) -> None:
    """A name like ``main`` moves; what goes into provenance is the commit behind it. The cache is hub-like."""
    commit = "0123456789abcdef" * 2 + "01234567"
    cache = tmp_path / "hub" / "models--org--tiny"
    (cache / "refs").mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    tiny_models.build("llava", cache / "snapshots" / commit)
    done = subprocess.run(
        [sys.executable, "-c", _FROM_HUB],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == commit, done.stderr


def test_wrong_shapes_are_named(tiny: Path) -> None:
    weights = load_file(tiny / "model.safetensors")
    name = next(key for key in weights if key.endswith("input_layernorm.weight"))
    save_file({**weights, name: torch.ones(3)}, tiny / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"1 mismatched keys in its weights: .*layernorm\.weight is \(3,\)"):
        _load(tiny)


def test_compiled_blocks_answer_the_same(tiny: Path) -> None:
    """The compiler itself takes minutes on a CPU: here it is told to run what it was given as it is."""
    plain, compiled = (_load(tiny, options=LocalOptions(compiled=c)) for c in (False, True))
    blocks = [m for m in compiled.model.modules() if m._compiled_call_impl is not None]
    assert {type(b).__name__ for b in blocks} == {"CLIPEncoderLayer", "LlamaDecoderLayer"}
    request = Request(prompts.render(prompts.load("score/quality"), medium="image"), (photo_pixels(56, 56),))
    words = prompts.level_scale().words
    with torch.compiler.set_stance("force_eager"):
        (answer,) = compiled.level_logits([request], words)
    (expected,) = plain.level_logits([request], words)
    assert isinstance(answer, LevelLogits)
    assert isinstance(expected, LevelLogits)
    assert answer.logits.tolist() == pytest.approx(expected.logits.tolist(), abs=1e-6)


def test_a_vision_tower_for_what_has_its_own(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a vision tower is named; expected that for original LLaVA"):
        _load(tiny, options=LocalOptions(vision_tower=tmp_path))


def test_weights_in_pieces_name_the_piece_that_is_damaged(tiny: Path) -> None:
    weights = load_file(tiny / "model.safetensors")
    (tiny / "model.safetensors").unlink()
    names = sorted(weights)
    halves = {f"model-0000{k}-of-00002.safetensors": names[k - 1 :: 2] for k in (1, 2)}
    for file, keys in halves.items():
        save_file({key: weights[key] for key in keys}, tiny / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: file for file, keys in halves.items() for key in keys}}
    (tiny / "model.safetensors.index.json").write_text(json.dumps(index))
    _load(tiny)
    second = tiny / "model-00002-of-00002.safetensors"
    second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(ModelLoadError, match=r"model-00002-of-00002\.safetensors: .*cut off or damaged"):
        _load(tiny)
