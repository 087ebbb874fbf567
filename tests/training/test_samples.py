"""Training batches depend on their index alone; epochs see every photo once."""

import numpy as np
import pytest
import torch
from PIL import Image

from mllmqa.data import distortions, registry
from mllmqa.training.samples import Mixture, MixtureBatches, make_smoke_set, random_crop


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
    assert small.kind.shape == small.severity.shape == (4,)


def test_a_batch_depends_on_its_index_alone(rows: list[registry.Levelled]) -> None:
    first, again = mixture(rows)[3], mixture(rows)[3]
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.severity, again.severity)
    assert not torch.equal(first.pixels, mixture(rows)[4].pixels)


def test_pairs_are_ordered_and_untouched_means_kind_zero(rows: list[registry.Levelled]) -> None:
    data = mixture(rows, rated_rows=0, pairs=4)
    for index in range(5):
        batch = data[index]
        assert bool((batch.severity[:4] < batch.severity[4:]).all())
        assert torch.equal(batch.kind == 0, batch.severity == 0)
        assert int(batch.kind.max()) <= len(distortions.NANO_NAMES)


def test_an_epoch_sees_every_photo_once(rows: list[registry.Levelled]) -> None:
    data = mixture(rows, rated_rows=3, pairs=0)
    seen = torch.cat([data[0].level, data[1].level])
    assert sorted(seen.tolist()) == pytest.approx(sorted(row.level for row in rows))


def test_crops_of_photos_smaller_than_the_crop_are_enlarged() -> None:
    image = Image.fromarray(np.zeros((20, 50, 3), np.uint8))
    assert random_crop(image, 32, 1.5, np.random.default_rng(0)).shape == (32, 32, 3)
