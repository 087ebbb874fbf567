"""Training batches depend on their index alone; epochs see every photo once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mllmqa.data import distortions, registry
from mllmqa.training.samples import (
    CLEAN,
    TWO,
    Mixture,
    MixtureBatches,
    drawn,
    lightest,
    make_smoke_set,
    random_crop,
    severities,
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[registry.Levelled]:
    folder = make_smoke_set(tmp_path_factory.mktemp("set"), seed=1, photos=6, side=96)
    return registry.read(folder, "biq2021", part="train").levelled()


def mixture(rows: list[registry.Levelled], rated_rows: int = 3, pairs: int = 2) -> MixtureBatches:
    rated = [(row.path, row.level) for row in rows]
    return MixtureBatches(Mixture(rated, [row.path for row in rows], rated_rows, pairs, [(32, 2), (48, 3)], 7))


def test_batches_have_the_stated_shapes(rows: list[registry.Levelled]) -> None:
    data = mixture(rows)
    assert len(data) == 5
    small, large = data[1], data[2]
    assert small.pixels.shape == (3 + 4, 3, 32, 32)
    assert large.pixels.shape == (3 + 4, 3, 48, 48)
    assert small.pixels.dtype == torch.uint8
    assert small.level.shape == (3,)
    assert small.severity.shape == (4, len(distortions.CATEGORIES))
    assert small.gap.shape == (2,)


def test_a_batch_depends_on_its_index_alone(rows: list[registry.Levelled]) -> None:
    first, again = mixture(rows)[3], mixture(rows)[3]
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.severity, again.severity)
    assert not torch.equal(first.pixels, mixture(rows)[4].pixels)


def test_ladders_differ_by_their_gap_and_other_pairs_have_none(rows: list[registry.Levelled]) -> None:
    data = mixture(rows, rated_rows=0, pairs=12)
    ladders = 0
    for index in range(5):
        batch = data[index]
        first, second = batch.severity[:12], batch.severity[12:]
        for light, heavy, gap in zip(first, second, batch.gap.tolist(), strict=True):
            if np.isfinite(gap):
                ladders += 1
                assert gap >= 0.8 - 1e-6
                assert float((heavy - light).max()) == pytest.approx(gap, abs=1e-5)
                assert int((heavy > 0).sum()) == 1
    assert 10 < ladders < 50


def test_what_is_drawn_is_none_one_or_an_allowed_pair_and_can_be_seen() -> None:
    rng = np.random.default_rng(0)
    counts = {0: 0, 1: 0, 2: 0}
    for _ in range(600):
        recipe = drawn(rng)
        counts[len(recipe)] += 1
        row = severities(recipe)
        assert len(recipe) == sum(value > 0 for value in row)
        for name, severity in recipe:
            assert lightest(name) <= severity <= 5
            assert row[distortions.CATEGORIES.index(distortions.category_of(name))] == severity
        if len(recipe) == 2:
            assert tuple(distortions.category_of(name) for name, _ in recipe) in distortions.ordered_pairs()
    assert counts[0] / 600 == pytest.approx(CLEAN, abs=0.08)
    assert counts[2] / 600 == pytest.approx(TWO, abs=0.08)


def test_processes_share_the_rated_rows_and_draw_pairs_of_their_own(rows: list[registry.Levelled]) -> None:
    rated = [(row.path, row.level) for row in rows]
    paths = [row.path for row in rows]
    parts = [MixtureBatches(Mixture(rated, paths, 2, 2, [(32, 4)], 7, process, 2)) for process in range(2)]
    whole = MixtureBatches(Mixture(rated, paths, 4, 2, [(32, 4)], 7))
    for index in range(4):
        shared = torch.cat([part[index].level for part in parts])
        assert sorted(shared.tolist()) == sorted(whole[index].level.tolist())
        assert not torch.equal(parts[0][index].pixels[2:], parts[1][index].pixels[2:])


def test_an_epoch_sees_every_photo_once(rows: list[registry.Levelled]) -> None:
    data = mixture(rows, rated_rows=3, pairs=0)
    seen = torch.cat([data[0].level, data[1].level])
    assert sorted(seen.tolist()) == pytest.approx(sorted(row.level for row in rows))


def test_crops_of_photos_smaller_than_the_crop_are_enlarged() -> None:
    image = Image.fromarray(np.zeros((20, 50, 3), np.uint8))
    assert random_crop(image, 32, 1.5, np.random.default_rng(0)).shape == (32, 32, 3)


def test_zoom_shows_up_to_the_whole_photo(tmp_path: Path) -> None:
    """The photo's rows count from top to bottom: a crop's range of values is the share that it shows."""
    column = np.linspace(0, 255, 96).astype(np.uint8)
    Image.fromarray(np.repeat(np.repeat(column[:, None, None], 96, 1), 3, 2)).save(tmp_path / "p.png")
    for zoom, least in ((False, 0.3), (True, 0.45)):
        data = MixtureBatches(Mixture([(tmp_path / "p.png", 3.0)], [], 8, 0, [(32, 6)], 5, zoom=zoom))
        shares = [float(np.ptp(one.numpy())) / 255 for k in range(6) for one in data[k].pixels]
        assert max(shares) > 0.95 if zoom else max(shares) < 0.36
        assert min(shares) >= 0.3
        assert np.mean(shares) > least
