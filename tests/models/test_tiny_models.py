"""The tiny checkpoints load through the Auto classes and answer to what they see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mllmqa.models.torchvision_shim import has_torchvision
from tests import tiny_models

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=tiny_models.FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Any]:
    family: str = request.param
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip(f"the processor of {family} needs torchvision")
    folder = tiny_models.build(family, tmp_path_factory.mktemp(family))
    return family, *_load(folder)


def _load(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True).eval()
    return model, AutoProcessor.from_pretrained(folder, local_files_only=True)


def _logits(model: Any, processor: Any, images: list[Any], text: str = "How good is it?") -> Any:
    content = [{"type": "image"}] * len(images) + [{"type": "text", "text": text}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=[prompt + " The quality is"], images=[images], return_tensors="pt")
    with torch.inference_mode():
        return model(**inputs).logits[0, -1]


def _image(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [1, 2])
def test_every_image_counts(loaded: tuple[str, Any, Any], count: int) -> None:
    _, model, processor = loaded
    logits = _logits(model, processor, [_image(i) for i in range(count)])
    assert logits.shape == (model.config.get_text_config().vocab_size,)
    assert torch.isfinite(logits).all()
    for changed in range(count):
        other = _logits(model, processor, [_image(i if i != changed else 99) for i in range(count)])
        assert (logits - other).abs().max() > 1e-3


def test_levels_are_one_token_each(loaded: tuple[str, Any, Any]) -> None:
    tokenizer = loaded[2].tokenizer
    ids = [tokenizer("is" + level, add_special_tokens=False).input_ids for level in tiny_models.LEVELS]
    prefix = tokenizer("is", add_special_tokens=False).input_ids
    assert all(row[:-1] == prefix for row in ids)
    assert len({row[-1] for row in ids}) == 5


def test_text_survives_the_tokenizer(loaded: tuple[str, Any, Any]) -> None:
    tokenizer = loaded[2].tokenizer
    text = "Wie gut? Ça va – excellent\n画質"
    ids = tokenizer(text).input_ids
    assert (ids[0] == tokenizer.bos_token_id) == (loaded[0] in ("llava", "llava_next"))
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_video_is_seen(loaded: tuple[str, Any, Any]) -> None:
    family, model, processor = loaded
    if family not in tiny_models.NATIVE_VIDEO:
        pytest.skip(f"the processor of {family} ignores videos")
    parts = [{"type": "video"}, {"type": "text", "text": "How good is it?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    logits = []
    for seed in (0, 1):
        frames = np.random.default_rng(seed).integers(0, 256, (4, 40, 56, 3), dtype=np.uint8)
        metadata = {"fps": 25.0, "total_num_frames": 100, "frames_indices": [0, 25, 50, 75]}
        inputs = processor(
            text=[prompt],
            videos=[frames],
            video_metadata=[metadata],
            do_sample_frames=False,
            return_tensors="pt",
        )
        with torch.inference_mode():
            logits.append(model(**inputs).logits[0, -1])
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_seed_decides_the_weights(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    files = [
        (tiny_models.build("llava", tmp_path / str(i), seed=seed) / "model.safetensors").read_bytes()
        for i, seed in enumerate((0, 0, 1))
    ]
    assert files[0] == files[1] != files[2]
    assert torch.equal(state, torch.random.get_rng_state())


def test_padding_side_and_split_levels(tmp_path: Path) -> None:
    folder = tiny_models.build("llava", tmp_path, padding_side="right", split_levels=True)
    tokenizer = _load(folder)[1].tokenizer
    assert tokenizer.padding_side == "right"
    lengths = {w: len(tokenizer(w, add_special_tokens=False).input_ids) for w in tiny_models.LEVELS}
    assert lengths.pop(tiny_models.SPLIT_LEVEL) > 1
    assert set(lengths.values()) == {1}
