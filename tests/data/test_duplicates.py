"""Perceptual hashes: small changes stay near, other photos are far, distances are right."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mllmqa.data.duplicates import hash_files, near_duplicates, nearest, perceptual_hash


def scene(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((256, 192), Image.Resampling.BICUBIC)


def bits(a: int, b: int) -> int:
    return (a ^ b).bit_count()


@pytest.mark.parametrize("seed", range(4))
def test_the_same_scene_stays_near(seed: int) -> None:
    image = scene(seed)
    reference = perceptual_hash(image)
    darker = image.point([int(i * 0.8) for i in range(256)] * 3)
    for other in (image.resize((128, 96)), image.filter(ImageFilter.GaussianBlur(2)), darker):
        assert bits(reference, perceptual_hash(other)) <= 6


def test_other_scenes_are_far() -> None:
    values = [perceptual_hash(scene(seed)) for seed in range(30)]
    distances = [bits(a, b) for i, a in enumerate(values) for b in values[:i]]
    assert min(distances) > 12
    assert 28 < np.mean(distances) < 36


def test_nearest_against_counting_by_hand() -> None:
    queries = np.array([0b0, 0b1111, 0b1000], dtype=np.uint64)
    others = np.array([0b1, 0b1110], dtype=np.uint64)
    assert nearest(queries, others).tolist() == [1, 1, 2]
    assert nearest(queries, queries, same_set=True, rows=2).tolist() == [1, 3, 1]
    assert nearest(queries, np.array([], dtype=np.uint64)).tolist() == [65, 65, 65]
    assert near_duplicates(queries, others, threshold=1).tolist() == [True, True, False]


def test_hash_files_reads_files_in_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        scene(seed).save(path)
    assert hash_files(paths).tolist() == [perceptual_hash(scene(seed)) for seed in range(3)]
