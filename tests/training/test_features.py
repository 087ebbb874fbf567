"""Cached features: a view is what its name says, the order of photos is kept, and a second run reads the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.heads import TowerWithHeads
from mllmqa.models.nano.vision import NanoVisionModel
from mllmqa.training.features import cached, make_view
from tests.conftest import photo_pixels


@pytest.fixture(scope="module")
def model() -> TowerWithHeads:
    torch.manual_seed(0)
    config = NanoVisionConfig(
        hidden_size=12, stage_channels=[8, 8, 8, 8], stage_depths=[0, 1, 1, 1], learned_channels=4, patch_grid=2
    )
    return TowerWithHeads(NanoVisionModel(config), categories=3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eighteen different photos, so that there are two chunks of unequal length."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(18):
        Image.fromarray(photo_pixels(80, 72, seed=number)).save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in range(18)]


def test_shapes_types_and_distributions(model: TowerWithHeads, photos: list[Path], tmp_path: Path) -> None:
    found = cached(tmp_path, "crop", model, photos, "crop", 32, seed=1)
    assert (found.tokens.shape, found.tokens.dtype) == ((18, 2 + 4, 12), np.float16)
    assert (found.teacher.shape, found.teacher.dtype) == ((18, 5), np.float32)
    assert np.isfinite(found.tokens).all()
    assert found.teacher.sum(axis=1) == pytest.approx(np.ones(18), abs=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["crop.npz"]  # nothing half-written stays


def test_a_row_is_what_the_tower_says_of_that_very_view(
    model: TowerWithHeads, photos: list[Path], tmp_path: Path
) -> None:
    """Row 17 is the second of the second chunk: its generator starts at [seed, 16] and has drawn one view."""
    found = cached(tmp_path, "x", model, photos, "distorted", 32, seed=4)
    for number, start in ((0, 0), (5, 0), (17, 16)):
        rng = np.random.default_rng([4, start])
        for path in photos[start : number + 1]:
            view = make_view(path, "distorted", 32, rng)
        pixels = torch.from_numpy(view).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            out = model.eval().tower(pixels)
            teacher = model.levels(out.pooler_output).softmax(1)[0].numpy()
        assert found.tokens[number].astype(np.float32) == pytest.approx(out.last_hidden_state[0].numpy(), abs=2e-3)
        assert found.teacher[number] == pytest.approx(teacher, abs=1e-5)


def test_a_longer_list_keeps_the_rows_of_its_whole_chunks(
    model: TowerWithHeads, photos: list[Path], tmp_path: Path
) -> None:
    few = cached(tmp_path / "few", "x", model, photos[:16], "crop", 32, seed=2)
    many = cached(tmp_path / "many", "x", model, photos, "crop", 32, seed=2)
    assert np.array_equal(few.tokens, many.tokens[:16])
    again = cached(tmp_path / "again", "x", model, photos, "crop", 32, seed=2)
    assert np.array_equal(again.tokens, many.tokens)  # two threads, one result
    other = cached(tmp_path / "other", "x", model, photos, "crop", 32, seed=3)
    assert not np.array_equal(other.tokens, many.tokens)


def test_a_second_run_needs_neither_photos_nor_model(
    model: TowerWithHeads, photos: list[Path], tmp_path: Path
) -> None:
    copies = [Path(shutil.copy(path, tmp_path)) for path in photos[:3]]
    first = cached(tmp_path / "cache", "full", model, copies, "full", 32, seed=1)
    for path in copies:
        path.unlink()
    second = cached(tmp_path / "cache", "full", model, copies, "full", 32, seed=1)
    assert np.array_equal(first.tokens, second.tokens)
    assert np.array_equal(first.teacher, second.teacher)
    with pytest.raises(FileNotFoundError):
        cached(tmp_path / "cache", "crop", model, copies, "crop", 32, seed=1)
    assert not (tmp_path / "cache" / "crop.npz").exists()


def test_a_crop_is_a_piece_of_the_photo_maybe_mirrored(photos: list[Path]) -> None:
    whole = np.asarray(Image.open(photos[0]))
    windows = np.lib.stride_tricks.sliding_window_view(whole, (32, 32), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    mirrored = 0
    for seed in range(12):
        crop = make_view(photos[0], "crop", 32, np.random.default_rng(seed))
        straight = (windows == crop).all(axis=(2, 3, 4)).any()
        flipped = (windows == crop[:, ::-1]).all(axis=(2, 3, 4)).any()
        assert straight != flipped
        mirrored += int(flipped)
    assert 0 < mirrored < 12


def test_the_full_view_is_the_view_of_the_preset(tmp_path: Path) -> None:
    from mllmqa.media.views import parse_view
    from mllmqa.models.resolve import resolve

    path = tmp_path / "wide.png"
    Image.fromarray(photo_pixels(200, 80)).save(path)
    tiles = parse_view(resolve("nano").preset.view)(np.asarray(Image.open(path)))
    assert len(tiles) > 1
    seen = [make_view(path, "full", 32, np.random.default_rng(seed)) for seed in range(20)]
    which = [[bool(np.array_equal(one, tile)) for tile in tiles].index(True) for one in seen]
    assert set(which) == set(range(len(tiles)))  # every tile is drawn


def test_a_distorted_view_is_the_same_crop_damaged(photos: list[Path]) -> None:
    for seed in range(6):
        plain = make_view(photos[1], "crop", 64, np.random.default_rng(seed)).astype(int)
        damaged = make_view(photos[1], "distorted", 64, np.random.default_rng(seed)).astype(int)
        assert damaged.shape == plain.shape == (64, 64, 3)
        assert np.abs(damaged - plain).mean() > 0
