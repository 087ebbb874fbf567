"""The transformers back end on tiny random models of six families: what is asked is what is answered."""

from __future__ import annotations

import gc
import json
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mllmqa import prompts
from mllmqa.errors import LevelTokenError, MediaLimitError, MllmqaError, ModelLoadError, UsageError
from mllmqa.levels import distribution
from mllmqa.models.base import Clip, LevelLogits, Request
from mllmqa.models.hf import HFBackend
from mllmqa.models.load import load_backend
from mllmqa.models.presets import presets
from mllmqa.models.resolve import resolve
from mllmqa.models.torchvision_shim import has_torchvision
from tests import tiny_models
from tests.conftest import photo_pixels

WORDS = prompts.level_scale().words
SHORT = prompts.render(prompts.load("score/quality"), medium="image")
LONG = prompts.Prompt("test", "0", "Look at the picture for a while. " * 3 + SHORT.question, SHORT.answer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


def _load(family: str, folder: Path, *, side: str = "left", dtype: str = "float32") -> HFBackend:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip(f"{family}: its processor needs torchvision")
    return _cached(family, folder, side, dtype)


@cache
def _cached(family: str, folder: Path, side: str, dtype: str) -> HFBackend:
    place = folder / f"{family}-{side}"
    if not place.is_dir():
        tiny_models.build(family, place, padding_side=side)
    return load_backend(resolve(str(place)), device="cpu", dtype=dtype)


def _another(backend: HFBackend) -> HFBackend:
    """One that has not been asked anything yet."""
    return HFBackend(backend.model, backend.processor, backend.preset, backend.info)


def _request(seed: int, prompt: prompts.Prompt = SHORT, n: int = 1, video: bool = False) -> Request:
    frames = tuple(photo_pixels(56, 56, seed=100 * seed + i) for i in range(n))
    times = tuple(float(i) for i in range(n))
    return Request(prompt, frames, Clip(times, float(n)) if video else None)


def _ask(backend: HFBackend, *requests: Request) -> list[LevelLogits]:
    answers = backend.level_logits(requests, WORDS)
    for answer in answers:
        if isinstance(answer, MllmqaError):
            raise answer
    return [a for a in answers if isinstance(a, LevelLogits)]


def _difference(one: LevelLogits, two: LevelLogits) -> float:
    return max(float(np.abs(one.logits - two.logits).max()), abs(one.log_z - two.log_z))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_alone_equals_in_a_batch(family: str, side: str, folder: Path) -> None:
    backend = _load(family, folder, side=side)
    requests = [_request(1), _request(2, LONG), _request(3), _request(4, n=2), _request(5, LONG, n=2)]
    together = _ask(backend, *requests)
    for request, batched in zip(requests, together, strict=True):
        assert _difference(_ask(backend, request)[0], batched) < 2e-5
    # Negative control: the requests are told apart by far more than that.
    assert _difference(together[0], together[1]) > 1e-2
    assert _difference(together[0], together[2]) > 1e-3


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_alone_equals_in_a_batch_in_bfloat16(family: str, folder: Path) -> None:
    backend = _load(family, folder, dtype="bfloat16")
    requests = [_request(1), _request(2, LONG), _request(3)]
    scale = prompts.level_scale()
    for request, batched in zip(requests, _ask(backend, *requests), strict=True):
        alone = _ask(backend, request)[0]
        values = [distribution(a.logits, a.log_z, scale).value for a in (alone, batched)]
        # bfloat16 has 8 bits: other summation orders move these ×5-scaled logits; float32 is the exact test.
        assert abs(values[0] - values[1]) < 0.15


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_logits_are_those_of_the_plain_forward_pass(family: str, folder: Path) -> None:
    import torch

    backend = _load(family, folder)
    request = _request(7)
    text = backend.text(request)
    inputs = backend.processor(text=[text], images=[list(request.images)], return_tensors="pt")
    with torch.inference_mode():
        row = backend.model(**inputs).logits[0, -1].double()
    words = [backend.processor.tokenizer(f"{text} {w}")["input_ids"][-1] for w in WORDS]
    answer = _ask(backend, request)[0]
    np.testing.assert_allclose(answer.logits, row[words].numpy(), atol=2e-5)
    assert answer.log_z == pytest.approx(torch.logsumexp(row, 0).item(), abs=2e-5)


@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_every_frame_counts_and_so_does_their_order(family: str, n: int, folder: Path) -> None:
    backend = _load(family, folder)
    request = _request(3, n=n, video=backend.native_video)
    base = _ask(backend, request)[0]
    for i in range(n):
        images = list(request.images)
        images[i] = photo_pixels(56, 56, seed=999)
        other = _ask(backend, Request(request.prompt, tuple(images), request.clip))[0]
        assert _difference(base, other) > 1e-4, f"frame {i} of {n} is not looked at"
    if n > 1:
        mirrored = _ask(backend, Request(request.prompt, request.images[::-1], request.clip))[0]
        assert _difference(base, mirrored) > 1e-4


@pytest.mark.parametrize("family", sorted(tiny_models.NATIVE_VIDEO))
def test_videos_alone_equal_videos_in_a_batch(family: str, folder: Path) -> None:
    backend = _load(family, folder)
    requests = [_request(1, n=8, video=True), _request(2, LONG, n=8, video=True), _request(3, n=1, video=True)]
    for request, batched in zip(requests, _ask(backend, *requests), strict=True):
        assert _difference(_ask(backend, request)[0], batched) < 2e-5


@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_a_model_without_video_input_refuses_clips(family: str, folder: Path) -> None:
    backend = _load(family, folder)
    (answer,) = backend.level_logits([_request(1, n=2, video=True)], WORDS)
    assert isinstance(answer, UsageError)
    assert "no video input" in str(answer)


def test_a_bad_request_does_not_take_the_batch_with_it(folder: Path) -> None:
    backend = _load("llava", folder)
    broken = Request(SHORT, (np.zeros((0, 0, 3), np.uint8),))
    good, bad, also_good = backend.level_logits([_request(1), broken, _request(2)], WORDS)
    assert isinstance(good, LevelLogits)
    assert isinstance(also_good, LevelLogits)
    assert isinstance(bad, MllmqaError)
    assert "\n" not in str(bad)


def test_level_words_that_are_not_single_tokens(folder: Path) -> None:
    place = tiny_models.build("llava", folder / "split", split_levels=True)
    backend = load_backend(resolve(str(place)), device="cpu")
    with pytest.raises(LevelTokenError, match="'excellent' is"):
        backend.check_words(SHORT, WORDS)


def test_a_prompt_is_laid_out_once_for_all_frames(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another count of pictures and another prompt are other texts."""
    loaded = _load("llava", folder)
    backend, rendered, times = _another(loaded), loaded.processor.apply_chat_template, []
    monkeypatch.setattr(
        loaded.processor, "apply_chat_template", lambda *a, **k: times.append(1) or rendered(*a, **k)
    )
    requests = [*(_request(seed) for seed in range(3)), _request(0, n=2), _request(0, LONG)]
    texts = [backend.text(request) for request in requests]
    assert len(times) == len(set(texts)) == 3
    assert texts == [_another(loaded).text(request) for request in requests]
    assert len(times) == 3 + len(requests)


def test_a_back_end_is_freed_with_its_last_reference(folder: Path) -> None:
    """A cycle would keep its model, and the memory of a GPU, until the garbage collector comes by."""
    backend = _another(_load("llava", folder))
    backend.text(_request(0))
    left, enabled = weakref.ref(backend), gc.isenabled()
    gc.disable()
    try:
        del backend
        assert left() is None
    finally:
        if enabled:
            gc.enable()


def test_generate_continues_the_answer(folder: Path) -> None:
    backend = _load("llava", folder)
    one, two = backend.generate([_request(1), _request(2)], max_new_tokens=5)
    assert isinstance(one, str)
    assert backend.generate([_request(2)], max_new_tokens=5) == [two]
    assert SHORT.question not in one


def test_a_template_that_writes_bos_gives_one_bos(folder: Path) -> None:
    place = tiny_models.build("llava", folder / "bos")
    plain = load_backend(resolve(str(place)), device="cpu")
    template = place / "chat_template.jinja"
    template.write_text("{{ '<s>' }}" + template.read_text(encoding="utf-8"), encoding="utf-8")
    with_bos = load_backend(resolve(str(place)), device="cpu")
    assert with_bos.text(_request(1)).startswith("<s>")
    assert _difference(_ask(plain, _request(1))[0], _ask(with_bos, _request(1))[0]) == 0


def test_an_empty_answer_start_reads_the_first_word_of_the_answer(folder: Path) -> None:
    plain = _load("llava", folder)
    layout = presets()["q-instruct"].layout
    asked = plain.preset.model_copy(update={"layout": layout, "words": "good-poor"})
    backend = HFBackend(plain.model, plain.processor, asked, plain.info)
    request = _request(1, prompts.render(prompts.load("score/rate"), medium="image"))
    assert backend.text(request).endswith("USER: <image>\nRate the quality of the image. ASSISTANT:")
    good, poor = prompts.word_scale("good-poor").words
    (two,) = backend.level_logits([request], (good, poor))
    assert isinstance(two, LevelLogits)
    (five,) = _ask(backend, request)
    np.testing.assert_array_equal(two.logits, five.logits[[WORDS.index(good), WORDS.index(poor)]])
    assert plain.text(request).endswith("ASSISTANT:")


def test_words_apart_are_single_tokens_or_refused(folder: Path) -> None:
    plain = _load("llava_onevision", folder)
    asked = plain.preset.model_copy(update={"words_apart": True})
    backend = HFBackend(plain.model, plain.processor, asked, plain.info)
    prompt = prompts.render(prompts.load("score/qsit"), medium="image")
    text = backend.text(_request(1, prompt))
    assert text.endswith("assistant\nThe quality of this image is ")
    with pytest.raises(LevelTokenError, match="'Excellent' is 9 tokens"):  # bytes, in this tokenizer
        backend.level_ids(text, prompts.word_scale("levels-capital").words)
    letters = backend.level_ids(text, ("E", "G", "F", "P", "B"))
    assert letters == [backend.processor.tokenizer.convert_tokens_to_ids(x) for x in "EGFPB"]


@pytest.mark.parametrize(
    "template", ["{{ messages[0]['wrong']['key'] }}", "{% if %}", "{{ raise_exception('no pictures') }}"]
)
def test_a_broken_chat_template_is_one_line(template: str, folder: Path, tmp_path: Path) -> None:
    backend = load_backend(resolve(str(tiny_models.build("llava", tmp_path / "m"))), device="cpu")
    backend.processor.chat_template = template
    with pytest.raises(
        ModelLoadError, match=r"its chat template fails: .*; expected one that takes a user's turn"
    ) as caught:
        backend.check_words(SHORT, WORDS)
    assert str(caught.value).startswith(f"{tmp_path / 'm'}: ")
    assert "\n" not in str(caught.value)


def _with_positions(place: Path, **fields: Any) -> HFBackend:
    path = place / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["text_config"].update(fields)
    path.write_text(json.dumps(config), encoding="utf-8")
    return load_backend(resolve(str(place)), device="cpu")


def test_as_many_tokens_as_positions_and_no_more(tmp_path: Path) -> None:
    place = tiny_models.build("llava", tmp_path / "m")
    backend = load_backend(resolve(str(place)), device="cpu")
    n = backend.encode([_request(1)]).inputs["input_ids"].shape[1]
    (expected,) = _ask(backend, _request(1))
    (fits,) = _ask(_with_positions(place, max_position_embeddings=n), _request(1))
    assert _difference(fits, expected) == 0
    small = _with_positions(place, max_position_embeddings=n - 1)
    (answer,) = small.level_logits([_request(1)], WORDS)
    assert isinstance(answer, MediaLimitError)
    assert f"pictures and prompt are {n} tokens, the model has positions for {n - 1}; use fewer frames" in str(
        answer
    )
    with pytest.raises(MediaLimitError):
        small.generate([_request(1)], max_new_tokens=1)


def test_only_the_request_that_is_too_long_is_lost(tmp_path: Path) -> None:
    place = tiny_models.build("llava", tmp_path / "m")
    plain = load_backend(resolve(str(place)), device="cpu")
    n = plain.encode([_request(1)]).inputs["input_ids"].shape[1]
    backend = _with_positions(place, max_position_embeddings=n)
    short, long, also_short = backend.level_logits([_request(1), _request(2, LONG), _request(3)], WORDS)
    assert isinstance(long, MediaLimitError)
    expected = _ask(plain, _request(1), _request(3))
    for answer, other in zip((short, also_short), expected, strict=True):
        assert isinstance(answer, LevelLogits)
        assert _difference(answer, other) < 2e-5


def test_stretched_positions_are_not_counted(tmp_path: Path) -> None:
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    place = tiny_models.build("llava", tmp_path / "m")
    assert _ask(_with_positions(place, max_position_embeddings=8, rope_parameters=rope), _request(1))
