"""Rows of a batch joined: padding on the right, tokens without a kind, tiles filled up, shapes that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mllmqa.training.conversation import Written
from mllmqa.training.joining import Encoded, fits, joined, usual
from mllmqa.training.rows import Lost, Row

TILES = "pixel_values"


def tokens(*ids: int, **more: Tensor) -> dict[str, Any]:
    made = {"input_ids": torch.tensor(ids), "attention_mask": torch.ones(len(ids), dtype=torch.long)}
    return {**made, **more}


def row(name: str, **media: Tensor) -> Encoded:
    return Row(name, "set", "", Written("", (1,), ()), ()), tokens(1, **media)


def test_tokens_are_padded_on_the_right() -> None:
    batch = joined([tokens(5, 6, 7), tokens(8)], pad=9)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_what_only_some_rows_say_of_their_tokens_is_text_for_the_others() -> None:
    kinds = torch.tensor([0, 1, 0])
    batch = joined([tokens(3), tokens(5, 6, 7, mm_token_type_ids=kinds)], pad=0)
    assert batch["mm_token_type_ids"].tolist() == [[0, 0, 0], [0, 1, 0]]
    assert "mm_token_type_ids" not in joined([tokens(3)], pad=0)


def test_media_stand_behind_one_another() -> None:
    rows = [tokens(1, grid=torch.full((2, 3), 4)), tokens(1), tokens(1, grid=torch.full((1, 3), 5))]
    assert joined(rows, pad=0)["grid"].tolist() == [[4] * 3, [4] * 3, [5] * 3]


def test_tiles_are_filled_up_to_the_most() -> None:
    """LLaVA-NeXT: (pictures, tiles, 3, S, S); the model cuts what was filled by the sizes of the pictures."""
    few, many = torch.ones(1, 2, 3, 4, 4), torch.full((2, 5, 3, 4, 4), 2.0)
    pixels = joined([tokens(1, pixel_values=few), tokens(1, pixel_values=many)], pad=0)[TILES]
    assert pixels.shape == (3, 5, 3, 4, 4)
    assert pixels[0, :2].eq(1).all()
    assert pixels[0, 2:].eq(0).all()
    assert pixels[1:].eq(2).all()


@pytest.mark.parametrize(
    ("frames", "kept"),
    [([4, 2, 4], [True, False, True]), ([2, 4], [True, False]), ([3, 2, 2], [False, True, True])],
)
def test_most_rows_decide_which_shape_a_batch_has(frames: list[int], kept: list[bool]) -> None:
    rows = [row(f"r{k}", pixel_values_videos=torch.zeros(1, n, 3, 2, 2)) for k, n in enumerate(frames)]
    found = [fits(one, usual(rows)) for one in rows]
    assert [not isinstance(one, Lost) for one in found] == kept
    (lost,) = (one for one in found if isinstance(one, Lost))
    assert lost.reason == "uneven"
    assert lost.message.startswith(
        f"sample {lost.id}: pixel_values_videos of the shape ({frames[kept.index(False)]},"
    )


def test_tiles_and_counts_may_differ() -> None:
    rows = [
        row("a", pixel_values=torch.zeros(1, 2, 3, 4, 4), image_sizes=torch.zeros(1, 2)),
        row("b", pixel_values=torch.zeros(2, 5, 3, 4, 4), image_sizes=torch.zeros(2, 2)),
        row("c"),
    ]
    assert [fits(one, usual(rows)) for one in rows] == rows


def test_pictures_of_any_size_are_filled_up_with_nan() -> None:
    wide, tall = torch.ones(1, 3, 2, 5), torch.full((2, 3, 4, 3), 2.0)
    rows = [row("wide", pixel_values=wide), row("tall", pixel_values=tall)]
    shapes = usual(rows, any_size=True)
    assert all(fits(one, shapes, any_size=True) is one for one in rows)
    pixels = joined([made for _, made in rows], pad=0, any_size=True)[TILES]
    assert pixels.shape == (3, 3, 4, 5)
    assert pixels[0, :, :2].eq(1).all()
    assert pixels[0, :, 2:].isnan().all()
    assert pixels[1:, :, :, :3].eq(2).all()
    assert pixels[1:, :, :, 3:].isnan().all()


def test_other_models_take_one_size_only() -> None:
    rows = [row("a", pixel_values=torch.ones(1, 3, 4, 4)), row("b", pixel_values=torch.ones(1, 3, 4, 5))]
    assert isinstance(fits(rows[1], usual(rows)), Lost)
