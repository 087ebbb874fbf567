"""Batches as encoded: equal pictures are found, padding is found, only floats change their type."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mllmqa import prompts
from mllmqa.models import batches
from mllmqa.models.base import Request
from tests.conftest import photo_pixels

PROMPT = prompts.render(prompts.load("score/quality"), medium="image")


def test_equal_pictures_have_equal_keys_and_others_do_not() -> None:
    a = photo_pixels(56, 56, seed=1)
    views = [
        a,
        a.copy(),
        a[:, ::-1],
        np.ascontiguousarray(a[:, ::-1]),
        a.reshape(28, 112, 3),
        photo_pixels(56, 56, seed=2),
    ]
    (keys,) = batches.picture_keys([Request(PROMPT, tuple(views))])
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("mask", "expected"), [([[1, 1, 0], [1, 1, 1]], [1, 2]), ([[0, 1, 1], [0, 0, 1]], [2, 2]), ([[1, 0, 0]], [0])]
)
def test_the_last_real_token_is_found_for_both_sides(mask: list[list[int]], expected: list[int]) -> None:
    assert batches.last_positions(torch.tensor(mask)).tolist() == expected


def test_only_floats_change_their_type_on_the_way_to_the_device() -> None:
    given = {"input_ids": torch.tensor([[1]]), "pixel_values": torch.zeros(1), "note": None}
    moved = batches.to_device(given, torch.device("cpu"), torch.bfloat16)
    assert (moved["input_ids"].dtype, moved["pixel_values"].dtype) == (torch.int64, torch.bfloat16)
    assert moved["note"] is None


def test_rows_are_padded_on_the_right_with_the_pad_token() -> None:
    rows = [{"input_ids": torch.tensor(ids), "attention_mask": torch.ones(len(ids))} for ids in ([5, 6], [7, 8, 9])]
    made = batches.padded(rows, pad=3)
    assert made["input_ids"].tolist() == [[5, 6, 3], [7, 8, 9]]
    assert made["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]


def test_pixels_are_cut_by_picture() -> None:
    inputs = {"pixel_values": torch.arange(6.0)[:, None], "image_sizes": torch.tensor([[1, 1], [2, 2], [3, 3]])}
    batch = batches.Batch(inputs, [("a",), ("b",), ("c",)], counts=[1, 3, 2])
    made = batch.pixels([2, 0])
    assert made["pixel_values"][:, 0].tolist() == [4, 5, 0]
    assert made["image_sizes"].tolist() == [[3, 3], [1, 1]]


class _NoTiles:
    image_processor = object()


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"pixel_values": torch.zeros(2, 3, 8, 8)}, [1, 1]),
        ({"pixel_values": torch.zeros(10, 4), "image_grid_thw": torch.tensor([[1, 2, 2], [1, 2, 3]])}, [4, 6]),
        ({"pixel_values": torch.zeros(7, 4), "image_grid_thw": torch.tensor([[1, 2, 2], [1, 2, 3]])}, None),
        ({"pixel_values": torch.zeros(5, 3, 8, 8)}, None),
        ({"pixel_values": torch.zeros(2, 3, 8, 8), "something_new": torch.zeros(2)}, None),
    ],
)
def test_a_layout_that_is_not_known_is_not_guessed(inputs: dict[str, torch.Tensor], expected: object) -> None:
    requests = [Request(PROMPT, (photo_pixels(8, 8, seed=i),)) for i in range(2)]
    text = {"input_ids": torch.zeros(2, 4, dtype=torch.long), "attention_mask": torch.ones(2, 4)}
    assert batches.Batch.of(requests, {**text, **inputs}, _NoTiles()).counts == expected
