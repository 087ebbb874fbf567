"""What several recipes draw: distortions, pairs and ladders whose truth is known, boxes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data import distortions
from mllmqa.data.build import Picture, draw
from mllmqa.data.distortions.local import apply_in
from mllmqa.data.sample_labels import Distortion
from mllmqa.errors import DataError
from tests.conftest import photo_pixels

PHOTO = Picture(photo_pixels(64, 48), Path("photo.png"), "train")
seeds = st.integers(0, 2**32).map(np.random.default_rng)


def test_categories_and_functions_are_drawn_evenly() -> None:
    chance = np.random.default_rng(0)
    drawn = Counter(draw.one_name(chance) for _ in range(6000))
    assert set(drawn) == set(distortions.NAMES)
    by_category = Counter()  # type: Counter[str]
    for name, count in drawn.items():
        by_category[distortions.category_of(name)] += count
    assert all(400 < count < 600 for count in by_category.values())  # 500 each
    ordered = {draw.one_name(chance, ordered=True) for _ in range(3000)}
    assert ordered == set(distortions.NAMES) - draw.NOT_MONOTONE


@given(seeds)
def test_one_distortion_is_recorded(chance: np.random.Generator) -> None:
    made = draw.one(PHOTO, chance)
    (found,) = made.distortions
    assert found.name is not None and found.category == distortions.category_of(found.name)
    assert found.severity in (1, 2, 3, 4, 5) and found.order == 1 and found.box is None
    assert made.path == PHOTO.path and PHOTO.distortions == ()


@given(seeds)
def test_two_distortions_are_an_allowed_pair_in_their_order(chance: np.random.Generator) -> None:
    found = draw.two(PHOTO, chance).distortions
    assert tuple(one.category for one in found) in distortions.ordered_pairs()
    assert [one.order for one in found] == [1, 2]
    assert all(one.severity in (1, 2, 3) for one in found)


@given(seeds, st.integers(2, 6))
def test_a_ladder_has_one_function_at_different_severities(chance: np.random.Generator, count: int) -> None:
    made = draw.ladder(PHOTO, count, chance)
    severities = [one.distortions[0].severity if one.distortions else 0 for one in made]
    assert len(set(severities)) == count
    names = {one.distortions[0].name for one in made if one.distortions}
    assert len(names) == 1 and not names & draw.NOT_MONOTONE
    a, b = made[:2]
    assert draw.preferred(a, b).better == ("A" if severities[0] < severities[1] else "B")


def test_what_is_not_known_is_not_preferred() -> None:
    chance = np.random.default_rng(0)
    blur, noise = (PHOTO.distorted([(name, 3)], chance) for name in ("blur_gaussian", "noise_impulse"))
    with pytest.raises(DataError, match="which of two versions is better is not known; expected one category, two"):
        draw.preferred(blur, noise)
    with pytest.raises(DataError, match="is not known"):
        draw.preferred(PHOTO, PHOTO)
    assert draw.preferred(blur, PHOTO).better == "B"


@pytest.mark.parametrize(
    ("category", "severity", "seen"),
    [("brighten", 1.0, False), ("brighten", 2.0, True), ("blur", 1.0, True), ("quantization", 1.5, False)],
)
def test_slight_tones_need_the_reference(category: str, severity: float, seen: bool) -> None:
    one = Distortion(media="A", category=category, severity=severity)
    assert draw.visible([one]) is seen
    assert draw.visible([one, Distortion(media="A", category="blur", severity=1.0)]) is seen
    assert draw.visible([])


def test_the_categories_that_need_the_reference_exist() -> None:
    assert set(distortions.CATEGORIES) >= draw.NEEDS_REFERENCE
    assert set(distortions.NAMES) >= draw.NOT_MONOTONE


@given(st.integers(32, 300), st.integers(32, 300), seeds)
def test_boxes_lie_inside_and_are_large_enough(height: int, width: int, chance: np.random.Generator) -> None:
    x0, y0, x1, y1 = draw.box_in(height, width, chance)
    assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    assert min(x1 - x0, y1 - y0) >= distortions.SMALLEST_PX
    assert x1 - x0 <= max(32, round(0.6 * width)) and y1 - y0 <= max(32, round(0.6 * height))


def test_a_picture_that_is_too_small_for_a_box_is_refused_by_the_distortion() -> None:
    small = photo_pixels(40, 20)
    box = draw.box_in(20, 40, np.random.default_rng(0))
    with pytest.raises(DataError, match="too small to be distorted; expected at least 32 px on both sides"):
        apply_in(small, box, "blur_gaussian", 3, np.random.default_rng(0))
