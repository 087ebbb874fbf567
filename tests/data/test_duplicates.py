"""Perceptual hashes: small changes stay near, other photos are far, distances are right."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from mllmqa.data.duplicates import hash_files, near_duplicates, nearest, perceptual_hash
from mllmqa.errors import MllmqaError


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


@settings(max_examples=40, deadline=None)
@given(
    queries=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12),
    others=st.lists(st.integers(0, 2**64 - 1), max_size=12),
    rows=st.integers(1, 5),
)
def test_nearest_is_the_smallest_of_all_distances(queries: list[int], others: list[int], rows: int) -> None:
    """Whatever the size of the blocks in which it is worked out."""
    q, o = np.array(queries, dtype=np.uint64), np.array(others, dtype=np.uint64)
    assert nearest(q, o, rows=rows).tolist() == [min((bits(a, b) for b in others), default=65) for a in queries]
    alone = [min((bits(a, b) for j, b in enumerate(queries) if j != i), default=65) for i, a in enumerate(queries)]
    assert nearest(q, q, same_set=True, rows=rows).tolist() == alone


@given(threshold=st.integers(-1, 64))
def test_the_threshold_itself_is_a_duplicate(threshold: int) -> None:
    queries = np.array([(1 << n) - 1 for n in range(65)], dtype=np.uint64)  # n bits away from 0
    found = near_duplicates(queries, np.array([0], dtype=np.uint64), threshold=threshold)
    assert found.tolist() == [n <= threshold for n in range(65)]


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (32, 32), (3000, 40)])
def test_any_size_and_mode_has_a_hash_of_64_bits(size: tuple[int, int]) -> None:
    for mode in ("L", "RGB", "RGBA", "CMYK", "1"):
        assert 0 <= perceptual_hash(scene(1).convert(mode).resize(size)) < 2**64


def test_mirrored_and_turned_pictures_are_other_pictures() -> None:
    reference = perceptual_hash(scene(3))
    for turn in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180):
        assert bits(reference, perceptual_hash(scene(3).transpose(turn))) > 16


def test_recoding_a_file_keeps_it_near_and_the_draft_mode_of_jpeg_changes_little(tmp_path: Path) -> None:
    large = scene(5).resize((1600, 1200), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.png")
    large.save(tmp_path / "b.jpg", quality=60)
    lossless, lossy = hash_files([tmp_path / "a.png", tmp_path / "b.jpg"]).tolist()
    assert bits(lossless, lossy) <= 4


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(MllmqaError, match=r"broken\.jpg"):
        hash_files([path])
