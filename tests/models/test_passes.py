"""What requests share is computed once, and no request's answer depends on who shares its batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa import prompts
from mllmqa.models import passes
from mllmqa.models.base import LevelLogits, Request
from mllmqa.models.hf import HFBackend
from mllmqa.models.load import load_backend
from mllmqa.models.resolve import resolve
from mllmqa.models.torchvision_shim import has_torchvision
from tests import tiny_models
from tests.conftest import photo_pixels

WORDS = prompts.level_scale().words
ANSWER = prompts.render(prompts.load("score/quality"), medium="image").answer
BEGIN = "Please look at the picture and say how it is, in one word, for "
SHARP, CLEAN, LONG = (
    prompts.Prompt("test", str(i), BEGIN + end, ANSWER)
    for i, end in enumerate(["sharpness?", "noise?", "its colours and its light, each by itself?"])
)
OTHER = prompts.Prompt("test", "3", "Rate it: " + BEGIN * 2, ANSWER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@cache
def _load(family: str, folder: Path, side: str = "left", dtype: str = "float32") -> HFBackend:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip(f"{family}: its processor needs torchvision")
    if not (place := folder / f"{family}-{side}").is_dir():
        tiny_models.build(family, place, padding_side=side)
    return load_backend(resolve(str(place)), device="cpu", dtype=dtype)


def _picture(seed: int, height: int = 56, width: int = 56) -> np.ndarray:
    return photo_pixels(width, height, seed=seed)


def _ask(backend: HFBackend, requests: list[Request]) -> list[LevelLogits]:
    answers = backend.level_logits(requests, WORDS)
    assert all(isinstance(a, LevelLogits) for a in answers), answers
    return answers  # type: ignore[return-value]


def _check_alone_equals_together(backend: HFBackend, requests: list[Request], tolerance: float = 2e-5) -> None:
    together = _ask(backend, requests)
    for request, batched in zip(requests, together, strict=True):
        (alone,) = _ask(backend, [request])
        np.testing.assert_allclose(batched.logits, alone.logits, atol=tolerance)
        assert batched.log_z == pytest.approx(alone.log_z, abs=tolerance)
    for one, two in itertools.combinations(together, 2):
        assert np.abs(one.logits - two.logits).max() > 1e-3  # negative control: all requests differ


@contextmanager
def _counted(backend: HFBackend) -> Iterator[dict[str, Any]]:
    """Count pictures (entries of pixel_values) that the tower sees, and tokens that the language model sees."""
    seen: dict[str, Any] = {"pixels": 0, "passes": []}
    inner = backend.model.model
    tower = inner.visual if hasattr(inner, "visual") else inner.vision_tower

    def saw_pixels(module: Any, args: Any, kwargs: Any) -> None:
        pixels = args[0] if args else kwargs.get("pixel_values", kwargs.get("hidden_states"))
        seen["pixels"] += len(pixels)

    def saw_tokens(module: Any, args: Any, kwargs: Any) -> None:
        seen["passes"].append(tuple(kwargs["inputs_embeds"].shape[:2]))

    hooks = [
        tower.register_forward_pre_hook(saw_pixels, with_kwargs=True),
        inner.language_model.register_forward_pre_hook(saw_tokens, with_kwargs=True),
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_several_prompts_on_one_picture(family: str, side: str, folder: Path) -> None:
    backend = _load(family, folder, side)
    shared, copied = _picture(1), _picture(1)
    requests = [
        Request(SHARP, (shared,)),
        Request(SHARP, (_picture(2),)),
        Request(LONG, (copied,)),  # equal content in another array
        Request(OTHER, (shared,)),
        Request(CLEAN, (shared,)),
        Request(CLEAN, (_picture(2),)),
    ]
    _check_alone_equals_together(backend, requests)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_pictures_of_unequal_size_and_pairs_that_share_one(family: str, folder: Path) -> None:
    backend = _load(family, folder)
    a, b, c = _picture(1), _picture(2, 40, 90), _picture(3, 90, 40)
    requests = [
        *(Request(p, pair) for p in (SHARP, CLEAN) for pair in ((a, b), (a, c), (b, a))),
        Request(SHARP, (b,)),
        Request(LONG, (b,)),
        Request(OTHER, (c,)),
    ]
    _check_alone_equals_together(backend, requests)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_the_tower_sees_each_picture_once(family: str, folder: Path) -> None:
    backend = _load(family, folder)
    a, b = _picture(1), _picture(2)
    with _counted(backend) as once:
        _ask(backend, [Request(SHARP, (a,)), Request(SHARP, (b,))])
    with _counted(backend) as shared:
        _ask(backend, [Request(p, (x,)) for p in (SHARP, OTHER, CLEAN) for x in (a, b, a)])
    assert shared["pixels"] == once["pixels"] > 0
    with _counted(backend) as pairs:  # LLaVA-OneVision sees fewer tiles of a picture that is one of a pair
        _ask(backend, [Request(SHARP, (a, b)), Request(OTHER, (b, a))])
    assert 0 < pairs["pixels"] <= once["pixels"]


@pytest.mark.parametrize("family", sorted(passes.PREFIX_FAMILIES))
def test_a_common_prefix_is_computed_once(family: str, folder: Path) -> None:
    backend = _load(family, folder)
    a, b = _picture(1), _picture(2)
    requests = [Request(p, (x,)) for p in (SHARP, CLEAN, LONG) for x in (a, b)]
    with _counted(backend) as seen:
        together = _ask(backend, requests)
    (heads, prefix), (rows, rest) = seen["passes"]
    assert (heads, rows) == (2, 6)
    with _counted(backend) as alone:
        for request, batched in zip(requests, together, strict=True):
            np.testing.assert_allclose(batched.logits, _ask(backend, [request])[0].logits, atol=2e-5)
    assert all(prefix < length <= prefix + rest for _, length in alone["passes"])
    assert heads * prefix + rows * rest < 0.8 * sum(length for _, length in alone["passes"])


def test_where_little_is_common_there_is_one_pass(folder: Path) -> None:
    backend = _load("llava", folder)
    ends = prompts.Prompt("test", "4", "Say how good it is, please. " * 4, ANSWER)
    with _counted(backend) as seen:
        _ask(backend, [Request(OTHER, (_picture(1),)), Request(ends, (_picture(1),))])
    assert len(seen["passes"]) == 1


def test_layers_that_forget_or_remember_otherwise_share_no_prefix(folder: Path) -> None:
    model = _load("llava", folder).model
    text = model.config.text_config
    assert passes._may_share_prefix(model)
    try:
        text.layer_types = ["full_attention", "linear_attention"]
        assert not passes._may_share_prefix(model)
        text.layer_types, text.sliding_window = None, 8
        assert not passes._may_share_prefix(model)
    finally:
        text.layer_types, text.sliding_window = None, None
        model.config.text_config = text


def test_in_bfloat16_shared_and_alone_agree_as_well_as_any_two_batches(folder: Path) -> None:
    backend = _load("llava", folder, dtype="bfloat16")
    requests = [Request(p, (_picture(1),)) for p in (SHARP, CLEAN, LONG)]
    for request, batched in zip(requests, _ask(backend, requests), strict=True):
        # 8 bits of mantissa; these logits have a spread of about 1.
        np.testing.assert_allclose(batched.logits, _ask(backend, [request])[0].logits, atol=0.1)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=40))
def test_buckets_hold_each_row_once_and_little_padding(lengths: list[int]) -> None:
    buckets = passes._buckets(list(range(len(lengths))), lengths)
    assert sorted(itertools.chain.from_iterable(buckets)) == list(range(len(lengths)))
    for bucket in buckets:
        computed = max(lengths[r] for r in bucket) * len(bucket)
        assert sum(lengths[r] for r in bucket) >= (1 - passes.MAX_PADDING) * computed
    if max(lengths) <= min(lengths) / (1 - passes.MAX_PADDING):
        assert len(buckets) == 1


def test_answers_come_back_in_the_order_of_the_requests(folder: Path) -> None:
    backend = _load("llava", folder)
    asked = [
        prompts.Prompt("test", str(n), f"Rate picture {n}: " + "say how good it is. " * n, ANSWER)
        for n in (9, 1, 30, 2, 14, 1)
    ]
    requests = [Request(prompt, (_picture(i),)) for i, prompt in enumerate(asked)]
    with _counted(backend) as seen:
        _ask(backend, requests)
    assert 2 <= len(seen["passes"]) <= 5
    _check_alone_equals_together(backend, requests)
