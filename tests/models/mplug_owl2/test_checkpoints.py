"""Checkpoints as the authors publish them: every layout loads, anything else is an error that names the key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import mllmqa
from mllmqa.errors import ModelLoadError
from mllmqa.models.mplug_owl2.configuration import MplugOwl2Config
from mllmqa.models.mplug_owl2.modeling import MplugOwl2ForConditionalGeneration
from tests.models.mplug_owl2.conftest import Case, load, load_processor
from tests.models.mplug_owl2.original import Weights, config, weights, write
from tests.models.mplug_owl2.test_configuration import DEQA, LEFTOVERS

TEXT = "USER: Rate it\n<|image|>\nASSISTANT: The quality of the image is"


def _logits(model: Any, processor: Any, side: int = 42) -> torch.Tensor:
    picture = np.random.default_rng(1).integers(0, 255, (side, side, 3), dtype=np.uint8)
    with torch.inference_mode():
        out: torch.Tensor = model(
            **processor(images=[[picture]], text=TEXT, input_data_format="channels_last")
        ).logits
    return out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint in the original layout."""
    return write(tmp_path / "checkpoint", config())


@pytest.fixture
def wanted(folder: Path) -> torch.Tensor:
    return _logits(load(folder), load_processor(folder))


def _edit(folder: Path, change: Callable[[Weights], Any]) -> None:
    held = load_file(folder / "model.safetensors")
    change(held)
    save_file(held, folder / "model.safetensors", metadata={"format": "pt"})


def _sharded_bin(folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """As training scripts save: pytorch_model-*.bin with an index, no safetensors."""
    held = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, places = sorted(held), {}
    for number in (1, 2):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        part = names[: len(names) // 2] if number == 1 else names[len(names) // 2 :]
        torch.save({name: held[name].to(dtype) for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def _single_bin(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _without_codes(folder: Path) -> None:
    _edit(folder, lambda held: [held.pop(name) for name in list(held) if name.endswith("pos_embed")])


def _with_frequencies(folder: Path) -> None:
    extra = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(6) for i in range(2)}
    _edit(folder, lambda held: held.update(extra))


def _with_leftovers(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(config() | LEFTOVERS | DEQA))
    (folder / "configuration_mplug_owl2.py").write_text("raise SystemExit('remote code was run')")
    generation = {"do_sample": False, "temperature": 0.9, "top_p": 0.6, "bos_token_id": 1, "eos_token_id": 2}
    (folder / "generation_config.json").write_text(json.dumps(generation))


LAYOUTS = [_sharded_bin, _single_bin, _without_codes, _with_frequencies, _with_leftovers]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__.strip("_"))
def test_every_layout_of_the_authors_loads_and_is_the_same(
    layout: Callable[[Path], None], folder: Path, wanted: torch.Tensor
) -> None:
    layout(folder)
    backend: Any = mllmqa.load(str(folder), device="cpu", dtype="float32").backend
    torch.testing.assert_close(_logits(backend.model, backend.processor), wanted, atol=1e-6, rtol=0)
    assert not any("inv_freq" in name for name in backend.model.state_dict())
    assert len(backend.info.weights_sha256) == 64


def test_codes_that_are_missing_are_computed_in_float32_and_then_rounded(folder: Path) -> None:
    _without_codes(folder)
    model = load(folder, dtype=torch.bfloat16)
    for name, tensor in weights(config()).items():
        if name.endswith("pos_embed"):
            assert torch.equal(model.state_dict()[name], tensor.bfloat16()), name


def test_bin_files_are_read_as_tensors_only(folder: Path) -> None:
    """A pickle that would run code is refused and its code does not run."""
    _single_bin(folder)

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (folder / "was-run",))

    torch.save({"model.norm.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        mllmqa.load(str(folder), device="cpu")
    assert not (folder / "was-run").exists()


NORM = "model.layers.1.input_layernorm.multiway.1.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held.pop(NORM), f"1 missing keys in its weights: {NORM}"),
        (lambda held: held.pop("lm_head.weight"), "1 missing keys in its weights: lm_head.weight"),
        (
            lambda held: held.update({NORM: torch.ones(7)}),
            rf"1 mismatched keys in its weights: {NORM} is \(7,\), not \(48,\)",
        ),
        (lambda held: held.update({"model.mm.weight": torch.ones(7)}), "1 unexpected keys.*: model.mm.weight"),
        (
            lambda held: held.update({NORM.replace("1.weight", "2.weight"): torch.ones(48)}),
            "1 unexpected keys in its weights: .*multiway.2.weight",
        ),
        (
            lambda held: held.update(
                {k: torch.ones(9, 32) for k in held if k.endswith("layers.0.crossattention.attention.k_pos_embed")}
            ),
            r"1 mismatched keys in its weights: .*k_pos_embed is \(9, 32\), not \(10, 32\)",
        ),
    ],
    ids=["missing", "missing head", "wrong shape", "unexpected", "a third way", "codes of another grid"],
)
@pytest.mark.parametrize("binary", [False, True], ids=["safetensors", "bin"])
def test_any_other_key_is_an_error_that_names_it(
    change: Callable[[Weights], Any], message: str, binary: bool, folder: Path
) -> None:
    _edit(folder, change)
    if binary:
        _sharded_bin(folder)
    with pytest.raises(ModelLoadError, match=message) as caught:
        mllmqa.load(str(folder), device="cpu")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(folder))


def test_the_qwen_family_of_the_same_name_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(config() | {"model_type": "mplug_owl2_1"}))
    with pytest.raises(ModelLoadError, match=r"mplug_owl2_1.*another architecture.*not supported"):
        mllmqa.load(str(folder), device="cpu")


def test_a_folder_without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.model").unlink()
    with pytest.raises(ModelLoadError, match=r"tokenizer\.model"):
        mllmqa.load(str(folder), device="cpu")


@pytest.mark.parametrize("layout", [None, _with_leftovers, _without_codes], ids=["plain", "leftovers", "codes"])
def test_saved_and_loaded_again_by_the_auto_classes(layout: Any, folder: Path, tmp_path: Path) -> None:
    if layout:
        layout(folder)
    model, processor = load(folder), load_processor(folder)
    model.save_pretrained(tmp_path / "again")
    processor.save_pretrained(tmp_path / "again")
    again, processor_again = load(tmp_path / "again"), load_processor(tmp_path / "again")
    assert not (tmp_path / "again" / "tokenizer.model").exists()
    assert torch.equal(_logits(again, processor_again), _logits(model, processor))
    for text in (TEXT, " ASSISTANT:", "<|image|> x <|image|>"):
        assert processor_again.encode(text) == processor.encode(text)
    stored = load_file(tmp_path / "again" / "model.safetensors")
    assert set(stored) == set(weights(config()))


def test_parts_on_different_devices(tmp_path: Path) -> None:
    """Some layers in memory, some on the disk, as on two devices: accelerate's hooks move what they need."""
    folder = write(tmp_path / "checkpoint", config(hidden_size=64, num_hidden_layers=3))
    whole, processor = load(folder), load_processor(folder)
    placed = {name: "disk" for name, _ in whole.model.named_children() if name != "layers"}
    spread = {f"model.{name}": device for name, device in placed.items()} | {"lm_head": "cpu"}
    spread |= {f"model.layers.{i}": "disk" if i == 1 else "cpu" for i in range(3)}
    model = load(folder, device_map=spread, offload_folder=tmp_path / "disk")
    assert torch.equal(_logits(model, processor), _logits(whole, processor))


def test_no_part_that_must_stay_together_is_split() -> None:
    """The abstractor and the embeddings have parameters of their own beside modules."""
    from accelerate import infer_auto_device_map

    with torch.device("meta"):
        model = MplugOwl2ForConditionalGeneration(MplugOwl2Config(**config(hidden_size=64)))
    used = set()
    for limit in range(200_000, 900_000, 50_000):
        memory = {"cpu": limit, "disk": 10**9}
        split = infer_auto_device_map(model, memory, no_split_module_classes=model._no_split_modules)
        used |= set(split.values())
        for name in split:
            assert not name.startswith(("model.visual_abstractor.", "model.vision_model.embeddings.")), split
    assert used == {"cpu", "disk"}


def test_a_new_model_is_initialised_throughout() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MplugOwl2ForConditionalGeneration(MplugOwl2Config(**config()))
    for name, tensor in model.state_dict().items():
        flat = tensor.flatten()
        if name.endswith("bias"):
            assert flat.eq(0).all(), name
        elif "norm" in name or "ffn_ln" in name:
            assert flat.eq(1).all(), name
        elif not name.endswith("pos_embed"):
            assert 0.01 < flat.std() < 0.03, name


# ---------------------------------------------------------------- from files to scores


def test_scores_of_the_original_from_end_to_end(images: Case, tmp_path: Path) -> None:
    """By the default preset the trained text; by one-align-compat what the original's score() returned."""
    copy = shutil.copytree(images.folder, tmp_path / "copy")
    pictures = [copy / "raw_0.png", copy / "raw_1.png"]
    scorer = mllmqa.load(str(copy), device="cpu")
    assert (scorer.preset.name, scorer.preset.view) == ("one-align", "pad-square:56")
    for aspect in ("quality", "aesthetics"):
        got = [scorer.score(p, mllmqa.ScoreOptions(aspect=aspect)) for p in pictures]
        want = images.arrays[f"{aspect}__score_1_5"]
        np.testing.assert_allclose([score.value for score in got], want, atol=2e-5, rtol=0)
    probabilities = [list(scorer.score(p).levels.values()) for p in pictures]
    np.testing.assert_allclose(probabilities, images.arrays["quality__level_probs"], atol=2e-5, rtol=0)
    (copy / "mllmqa.json").write_text('{"preset": "one-align-compat"}')
    values = [score.value for score in mllmqa.load(str(copy), device="cpu").score(pictures)]
    np.testing.assert_allclose(values, images.arrays["score_method_output"], atol=2e-5, rtol=0)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantised_language_model(bits: Any, tmp_path: Path) -> None:
    """Only the language model is quantised, and the logits stay near those in full precision."""
    shape = config(hidden_size=64, intermediate_size=128)
    folder = write(tmp_path, shape)
    plain: Any = mllmqa.load(str(folder), device="cpu").backend
    small: Any = mllmqa.load(str(folder), device="cpu", quantize=bits).backend
    kinds = {name: type(module).__name__ for name, module in small.model.named_modules()}
    assert kinds["model.layers.0.self_attn.k_proj.multiway.1"].startswith("Linear" + bits[0])
    assert kinds["lm_head"] == "Linear"
    assert {v for k, v in kinds.items() if "vision_model" in k or "abstractor" in k} & {
        "Linear8bitLt",
        "Linear4bit",
    } == set()
    want, got = _logits(plain.model, plain.processor), _logits(small.model, small.processor)
    assert torch.corrcoef(torch.stack([want.flatten(), got.flatten().float()]))[0, 1] > (
        0.99 if bits == "8bit" else 0.9
    )
    picture = np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)
    scores = [mllmqa.Scorer(backend, backend.preset).score(picture).value for backend in (plain, small)]
    assert scores[1] == pytest.approx(scores[0], abs=0.1 if bits == "8bit" else 0.4)
