"""Vision tower and abstractor: position codes, layouts, sizes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mllmqa.errors import InferenceError
from mllmqa.models.mplug_owl2.abstractor import sincos_1d, sincos_2d
from mllmqa.models.mplug_owl2.vision import quick_gelu
from tests.models.mplug_owl2.conftest import Case, load
from tests.models.mplug_owl2.original import code_1d, code_2d, config, weights, write
from tests.models.mplug_owl2.reference import Reference


@pytest.mark.parametrize(("count", "width"), [(64, 1024), (5, 32), (1, 4)])
def test_codes_of_the_queries(count: int, width: int) -> None:
    assert torch.equal(sincos_1d(torch.arange(count), width), code_1d(range(count), width).float())


@pytest.mark.parametrize(("side", "width"), [(32, 1024), (3, 32)])
def test_codes_of_the_grid(side: int, width: int) -> None:
    codes = sincos_2d(side, width)
    torch.testing.assert_close(codes, code_2d(side**2, width).float(), atol=1e-7, rtol=0)
    assert codes[0].abs().sum() == 0, "the class token has none"
    row, column = 2, 1
    cell = codes[1 + row * side + column]
    assert cell[0] == pytest.approx(math.sin(column))  # the first half is the column
    assert cell[width // 2] == pytest.approx(math.sin(row))


@pytest.mark.parametrize("name", ["img_mha_q8", "video_mha_q16_4f"])
def test_codes_are_those_that_the_original_stored(name: str, request: pytest.FixtureRequest) -> None:
    case: Case = request.getfixturevalue({"img_mha_q8": "images", "video_mha_q16_4f": "videos"}[name])
    for layer in case.model.model.visual_abstractor.encoder.layers:
        attention = layer.crossattention.attention
        torch.testing.assert_close(attention.q_pos_embed, attention.query_codes(), atol=1e-6, rtol=0)
        torch.testing.assert_close(attention.k_pos_embed, attention.key_codes(), atol=1e-6, rtol=0)


def test_stored_codes_are_used_and_not_computed_again(tmp_path: Path) -> None:
    shape, changed = config(), weights(config())
    for name in changed:
        if name.endswith("pos_embed"):
            changed[name] = changed[name] + 0.5 * torch.randn(changed[name].shape)
    model, picture = load(write(tmp_path, shape, changed)), torch.randn(1, 3, 42, 42)
    with torch.inference_mode():
        got = model.get_image_features(picture).pooler_output[0]
    reference = Reference(shape, changed)
    np.testing.assert_allclose(got, reference.read(reference.vision(picture[0])), atol=2e-5, rtol=0)
    plain = Reference(shape, weights(shape))
    assert (plain.read(plain.vision(picture[0])) - got).abs().max() > 0.1


def test_features_of_every_layer_size_agree_with_the_reference(tmp_path: Path) -> None:
    shape = config(visual__image_size=70, reader__grid_size=5, reader__num_hidden_layers=3)
    model, pictures = load(write(tmp_path, shape)), torch.randn(3, 3, 70, 70)
    reference = Reference(shape, weights(shape))
    with torch.inference_mode():
        seen = model.get_image_features(pictures)
    for i, picture in enumerate(pictures):
        np.testing.assert_allclose(seen.last_hidden_state[i], reference.vision(picture), atol=2e-5, rtol=0)
        want = reference.read(reference.vision(picture))
        np.testing.assert_allclose(seen.pooler_output[i], want, atol=5e-5, rtol=0)
        assert torch.equal(seen.pooler_output[i][-1], model.model.visual_abstractor.vit_eos[0, 0])


@pytest.mark.parametrize("shape", [(2, 3, 56, 56), (2, 1, 3, 56, 56), (1, 2, 3, 56, 56)])
def test_frames_in_a_further_axis_are_flattened(shape: tuple[int, ...], images: Case) -> None:
    pixels = torch.from_numpy(images.arrays["pixel_values"])
    with torch.inference_mode():
        flat = images.model.get_image_features(pixels).pooler_output
        folded = images.model.get_image_features(pixels.reshape(shape)).pooler_output
    assert torch.equal(torch.stack(flat), torch.stack(folded))


def test_only_the_trained_size_is_taken(images: Case) -> None:
    with pytest.raises(InferenceError, match="pictures of 112x112; expected 56x56"):
        images.model.get_image_features(torch.zeros(1, 3, 112, 112))


def test_the_activation_is_the_approximation() -> None:
    x = torch.linspace(-4, 4, 33)
    torch.testing.assert_close(quick_gelu(x), x / (1 + torch.exp(-1.702 * x)))
    assert (quick_gelu(x) - torch.nn.functional.gelu(x)).abs().max() > 0.01


def test_eager_and_sdpa_agree_on_the_tower(images: Case) -> None:
    pixels: Any = torch.from_numpy(images.arrays["pixel_values"])
    with torch.inference_mode():
        seen = [
            load(images.folder, attn_implementation=name).get_image_features(pixels).last_hidden_state
            for name in ("eager", "sdpa")
        ]
    torch.testing.assert_close(seen[0], seen[1], atol=1e-5, rtol=0)
