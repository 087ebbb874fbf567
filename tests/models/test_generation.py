"""Batched greedy answers are those that each request gets alone; what is rendered is what training writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mllmqa.models.base import ChatMessage, Request
from mllmqa.models.generation import equal_shapes, until_end
from mllmqa.models.hf import HFBackend
from mllmqa.prompts import Prompt
from tests.conftest import photo_pixels
from tests.training.training_made import opened

FAMILIES = ("llava", "llava_next", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "internvl", "mplug_owl2")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


def asked(question: str, *seeds: int, side: int = 24) -> Request:
    images = tuple(photo_pixels(side, side, seed) for seed in seeds)
    return Request(Prompt("test", "0", question, ""), images)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_answers_as_each_request_alone(family: str, places: Path) -> None:
    backend = opened(family, places / family).backend()
    requests = [asked(q, s) for q in ("How good?", "What is it?", "Is it?") for s in range(3)]
    requests.append(asked("How good?", 1, 2))
    together = backend.generate(requests, 6)
    assert together == [backend.generate([request], 6)[0] for request in requests]
    assert len(set(together)) > 1


def test_nano_answers_in_batches_as_alone(nano: object) -> None:
    backend = nano.backend  # type: ignore[attr-defined]
    requests = [asked("Rate the quality of this image.", seed, side=512) for seed in range(3)]
    assert backend.generate(requests, 8) == [backend.generate([request], 8)[0] for request in requests]


def test_groups_have_equal_tokens_and_pictures(places: Path) -> None:
    backend = opened("llava", places / "llava").backend()
    requests = [asked("One", 0), asked("Two", 1), asked("Three", 2), asked("Two", 0, 1)]
    encoded = [backend._encode([r], [backend.text(r)]) for r in requests]
    assert equal_shapes(encoded) == [[0, 1], [2], [3]]
    assert equal_shapes([{"input_ids": "text"}, {"input_ids": "text"}]) == [[0], [1]]


def test_what_stands_behind_the_end_is_left_out() -> None:
    assert until_end([1, 2, 3], None) == [1, 2, 3]
    assert until_end([1, 9, 3, 7], [7, 9]) == [1]


def test_a_text_without_pictures_is_answered(places: Path) -> None:
    backend = opened("llava", places / "llava").backend()
    assert isinstance(backend.generate([asked("Well?")], 3)[0], str)


def conversation(backend: HFBackend, *content: str | None) -> str:
    images = tuple(np.zeros((24, 24, 3), np.uint8) for part in content if part is None)
    return backend.text(Request(Prompt("t", "0", "", ""), images, messages=(ChatMessage("user", content),)))


def test_texts_stand_between_pictures_where_the_template_has_them_there(places: Path) -> None:
    text = conversation(opened("qwen3_vl", places / "qwen3_vl").backend(), "Image A:", None, "Image B:", None, "Q?")
    order = [text.index(part) for part in ("Image A:", "<|image_pad|>", "Image B:", "Q?")]
    assert order == sorted(order)
    assert text.count("<|image_pad|>") == 2
