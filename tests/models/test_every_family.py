"""Every family of the presets: score, compare, generate, 8 and 4 bits, LoRA, a copy that is read again.

Tiny random checkpoints in each layout that users meet. What a family cannot do is a test of its refusal.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import mllmqa
from mllmqa import prompts
from mllmqa.convert import convert
from mllmqa.errors import InferenceError, LevelTokenError
from mllmqa.models import quantize
from mllmqa.models.base import Request
from mllmqa.models.load import load_backend
from mllmqa.models.resolve import resolve, write_marker
from mllmqa.models.torchvision_shim import has_torchvision
from mllmqa.models.vqa2_motion.modeling import Vqa2Config, Vqa2ForConditionalGeneration
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.conftest import photo_pixels
from tests.media.made import make_video
from tests.models.llava_original import made as original
from tests.models.mplug_owl2 import original as owl

WORDS = (*prompts.level_scale().words, *prompts.word_scale("comparison").words, "high", "low")
ORIGINALS = tuple(f"original {kind}" for kind in original.KINDS)
FAMILIES = ("nano", *tiny_models.FAMILIES, "mplug_owl2", *ORIGINALS, "vqa2_motion")
NATIVE_VIDEO = {*tiny_models.NATIVE_VIDEO, "mplug_owl2", "original llava_onevision", "vqa2_motion"}
PROMPT = prompts.render(prompts.load("score/quality"), medium="image")
TWO_FRAMES = mllmqa.ScoreOptions(frames="uniform:2")

every_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("families")
    plain.cache_clear()


@cache
def plain(family: str, places: Path) -> Scorer:
    """The model in full precision."""
    return scorer(family, places)


def scorer(family: str, places: Path, scheme: str | None = None, anchors: Path | None = None) -> Scorer:
    return mllmqa.load(name(family, places), device="cpu", quantize=scheme, anchors=anchors)


def name(family: str, places: Path) -> str:
    return family if family == "nano" else str(checkpoint(family, places))


def checkpoint(family: str, places: Path) -> Path:
    """Return the folder of a family's checkpoint, made on first use."""
    folder = places / family.replace(" ", "-") / "m"
    if folder.is_dir() or family == "nano":
        return folder
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip(f"the processor of {family} needs torchvision")
    if family in tiny_models.FAMILIES:
        return tiny_models.build(family, folder, width=64)
    if family == "mplug_owl2":
        return owl.write(folder, owl.config(hidden_size=64, intermediate_size=128))
    if family in ORIGINALS:
        return original.make(family.removeprefix("original "), folder, words=WORDS, width=64).folder
    made = original.make("llava_onevision", folder, words=WORDS, width=64)
    fields = {k: v for k, v in made.source.config.to_dict().items() if k != "model_type"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        branch = Vqa2ForConditionalGeneration(Vqa2Config(**fields)).state_dict()
    tensors = {f"model.{key}": value for key, value in branch.items() if key.startswith("slowfast")}
    original.write(folder, original.original_tensors(made.source, made.rows) | tensors)
    write_marker(folder, "vqa2-ugc-scorer")
    return folder


@pytest.fixture(scope="module")
def clip(places: Path) -> Path:
    return make_video(places / "clip.mp4", 12)


@pytest.fixture(scope="module")
def anchors(places: Path) -> Path:
    folder = places / "anchors"
    folder.mkdir()
    for k in range(2):
        Image.fromarray(photo_pixels(64, 48, seed=10 + k)).save(folder / f"{k}.png")
    return folder


def request(backend: Any) -> Request:
    side = 512 if backend.preset.name == "nano" else 56
    return Request(PROMPT, (photo_pixels(side, side),))


def logits(backend: Any) -> np.ndarray:
    found: np.ndarray = backend.logits(backend.encode([request(backend)]))[0].numpy()
    return found


@every_family
def test_pictures_and_videos_are_scored(family: str, places: Path, clip: Path) -> None:
    made = plain(family, places)
    values = [made.score(photo_pixels(64, 48, seed=k)).value for k in range(2)]
    video = made.score(clip, TWO_FRAMES)
    assert all(1 <= value <= 5 for value in (*values, video.value))
    assert values[0] != values[1]
    assert made.backend.native_video == (family in NATIVE_VIDEO)
    assert len(video.provenance.timestamps_s) == 2


@every_family
def test_inputs_are_compared_with_anchors(family: str, places: Path, anchors: Path) -> None:
    made = scorer(family, places, anchors=anchors)
    if family == "nano":  # its vocabulary of its own has no words of comparison
        with pytest.raises(LevelTokenError, match=r"'superior' is \d tokens"):
            made.score(photo_pixels(64, 48))
        return
    if family == "vqa2_motion":  # made for one video
        with pytest.raises(InferenceError, match="several pictures in a prompt"):
            made.score(photo_pixels(64, 48))
        return
    found = [made.score(photo_pixels(64, 48, seed=k)).anchored for k in range(2)]
    assert all(a is not None and len(a.preferences) == 2 for a in found)
    assert found[0] != found[1]


@every_family
def test_an_answer_goes_on_with_the_likeliest_token(family: str, places: Path) -> None:
    backend: Any = plain(family, places).backend
    likeliest = int(logits(backend).argmax())
    expected = backend.processor.tokenizer.decode([likeliest], skip_special_tokens=True)
    assert backend.generate([request(backend)], max_new_tokens=1) == [expected]
    (longer,) = backend.generate([request(backend)], max_new_tokens=4)
    assert longer.startswith(expected.rstrip("\ufffd"))


@every_family
@pytest.mark.parametrize("scheme", quantize.SCHEMES)
def test_quantised_it_answers_nearly_the_same(family: str, scheme: str, places: Path, clip: Path) -> None:
    pytest.importorskip("bitsandbytes")
    full, small = plain(family, places), scorer(family, places, scheme)
    one, two = logits(full.backend), logits(small.backend)
    least = {"8bit": 0.98, "4bit": 0.6}[scheme]
    assert one @ two / np.linalg.norm(one) / np.linalg.norm(two) > least
    assert not np.array_equal(one, two)
    told = small.score(clip, TWO_FRAMES).provenance.quantization
    assert told is not None
    assert {"8bit": "llm.int8", "4bit": "nf4"}[scheme] in told


@every_family
def test_lora_is_merged_saved_and_read_again(family: str, places: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    trained: Any = load_backend(resolve(name(family, places)), device="cpu")
    before = logits(trained)
    targets = r".*self_attn\.(q_proj|v_proj\.multiway\.1)" if family == "mplug_owl2" else r".*self_attn\.[qv]_proj"
    settings = peft.LoraConfig(r=4, target_modules=targets, init_lora_weights=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        adapted = peft.get_peft_model(trained.model, settings)
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    trained.model = adapted.get_base_model().eval()
    expected = logits(trained)
    assert np.abs(expected - before).max() > 1e-3
    merged = load_backend(resolve(str(tmp_path / "adapter"), base=name(family, places)), device="cpu")
    np.testing.assert_allclose(logits(merged), expected, atol=1e-4)
    if family != "vqa2_motion":  # has no copies, see below
        merged.model.save_pretrained(tmp_path / "merged")
        merged.processor.save_pretrained(tmp_path / "merged")
        write_marker(tmp_path / "merged", merged.preset.name)
        again = load_backend(resolve(str(tmp_path / "merged")), device="cpu")
        np.testing.assert_allclose(logits(again), expected, atol=1e-4)


@every_family
def test_a_copy_scores_the_same(family: str, places: Path, clip: Path, tmp_path: Path) -> None:
    source = name(family, places)
    made = convert(source, tmp_path / "copy", dtype="float32")
    copy = mllmqa.load(str(made.folder), device="cpu")
    for one in (photo_pixels(64, 48), clip):
        expected = plain(family, places).score(one, TWO_FRAMES).value
        assert copy.score(one, TWO_FRAMES).value == pytest.approx(expected, abs=1e-5)
