"""Lifting image distortions to clips, and draws that wander in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mllmqa.data import distortions
from mllmqa.data.video_distortions import Clip, lift
from mllmqa.data.video_distortions.lift import DriftingGenerator
from mllmqa.errors import DataError, UsageError
from tests.data.video_distortions.clips import generator, moving

CLIP = moving(20, width=48, height=32)


@dataclass
class Made:
    pixels: np.ndarray
    parameters: Mapping[str, Any]


def noise(pixels: np.ndarray, name: str, severity: int, rng: np.random.Generator) -> Made:
    grain = rng.standard_normal(pixels.shape[:2])[..., None] * 3 * severity
    return Made(np.clip(pixels + np.rint(grain), 0, 255).astype(np.uint8), {"sigma": 3 * severity})


def tint(pixels: np.ndarray, name: str, severity: int, rng: np.random.Generator) -> Made:
    shift = int(rng.integers(0, 60))
    return Made(np.clip(pixels.astype(int) + shift, 0, 255).astype(np.uint8), {"shift": shift})


def added(done: Clip, source: Clip = CLIP) -> np.ndarray:
    return done.frames_THWC.astype(int) - source.frames_THWC


@pytest.mark.parametrize("draws", ["shared", "drifting", "independent"])
@pytest.mark.parametrize("name", distortions.NAMES)
def test_distortions_of_the_image_engine_can_be_lifted(name: str, draws: Any) -> None:
    function: Any = distortions.apply
    done = lift(function, CLIP, name, 3, generator(), within=(0.25, 0.5), draws=draws)
    (record,) = done.applied
    assert record.name == name
    assert record.effect is not None
    assert record.effect > 0
    assert record.span_s == pytest.approx((0.25, 0.5))
    outside = ~np.isin(np.arange(20), CLIP.numbers((0.25, 0.5)))
    assert np.array_equal(done.clip.frames_THWC[outside], CLIP.frames_THWC[outside])
    assert not np.array_equal(done.clip.frames_THWC, CLIP.frames_THWC)


def grey_clip(count: int = 60) -> Clip:
    return Clip.of(np.full((count, 32, 32, 3), 128, np.uint8), 20)


def neighbours(done: Clip, apart: int = 1) -> float:
    """Mean correlation of what was added to frames some way apart."""
    grain = added(done, grey_clip(len(done)))[..., 0].reshape(len(done), -1)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(grain[:-apart], grain[apart:], strict=True)]))


def test_shared_draws_are_the_same_in_every_frame() -> None:
    grain = added(lift(noise, grey_clip(), "noise", 3, generator()).clip, grey_clip())
    assert all(np.array_equal(grain[0], one) for one in grain)


def test_independent_draws_are_new_in_every_frame() -> None:
    done = lift(noise, grey_clip(), "noise", 3, generator(), draws="independent")
    assert abs(neighbours(done.clip)) < 0.03


def test_drifting_draws_forget_slowly() -> None:
    done = lift(noise, grey_clip(), "noise", 3, generator(), draws="drifting")
    memory = np.exp(-1 / (20 * 0.5))
    assert neighbours(done.clip) == pytest.approx(memory, abs=0.02)
    assert neighbours(done.clip, 10) == pytest.approx(memory**10, abs=0.05)


@pytest.mark.parametrize("draws", ["shared", "drifting", "independent"])
def test_strength_does_not_depend_on_how_it_is_drawn(draws: Any) -> None:
    grain = added(lift(noise, grey_clip(), "noise", 3, generator(), draws=draws).clip, grey_clip())[..., 0]
    for frame in (grain[0], grain[30], grain[-1]):
        assert frame.std() == pytest.approx(9, rel=0.1)


def test_single_values_wander_too() -> None:
    clip = grey_clip()
    done = lift(tint, clip, "tint", 1, generator(), draws="drifting")
    shifts = added(done.clip, clip)[:, 0, 0, 0]
    steps = np.abs(np.diff(shifts))
    assert len(set(shifts.tolist())) > 5
    assert np.minimum(steps, 60 - steps).max() <= 4
    assert done.applied[0].parameters == {"shift": shifts[0], "draws": "drifting"}


def test_the_same_seed_gives_the_same_clip_whatever_the_span() -> None:
    whole = lift(noise, CLIP, "noise", 2, generator())
    again = lift(noise, CLIP, "noise", 2, generator())
    part = lift(noise, CLIP, "noise", 2, generator(), within=(0.5, 1.0))
    other = lift(noise, CLIP, "noise", 2, generator(8))
    assert np.array_equal(whole.clip.frames_THWC, again.clip.frames_THWC)
    assert np.array_equal(whole.clip.frames_THWC[10:], part.clip.frames_THWC[10:])
    assert not np.array_equal(whole.clip.frames_THWC, other.clip.frames_THWC)


def test_one_number_is_drawn_from_the_generator() -> None:
    a, b = generator(), generator()
    lift(noise, CLIP, "noise", 2, a, draws="independent")
    b.integers(2**63)
    assert a.random() == b.random()


def test_source_is_not_changed() -> None:
    kept = CLIP.frames_THWC.copy()
    lift(noise, CLIP, "noise", 5, generator())
    assert np.array_equal(CLIP.frames_THWC, kept)


def test_refusals() -> None:
    def smaller(pixels: np.ndarray, name: str, severity: int, rng: np.random.Generator) -> Made:
        return Made(pixels[::2], {})

    def floats(pixels: np.ndarray, name: str, severity: int, rng: np.random.Generator) -> Made:
        return Made(pixels / 255, {})

    with pytest.raises(DataError, match=r"half: a frame came back as uint8 \(16, 48, 3\); expected uint8 \(32, 48"):
        lift(smaller, CLIP, "half", 1, generator())
    with pytest.raises(DataError, match="float64"):
        lift(floats, CLIP, "floats", 1, generator())
    with pytest.raises(UsageError, match=r"'random'; expected shared \| drifting \| independent"):
        lift(noise, CLIP, "noise", 1, generator(), draws="random")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="severity is 7"):
        lift(noise, CLIP, "noise", 7, generator())
    with pytest.raises(DataError, match="0 frames lie"):
        lift(noise, CLIP, "noise", 1, generator(), within=(5.0, 6.0))


class TestDriftingGenerator:
    def drawn(self, memory: float, frames: int = 4000) -> dict[str, np.ndarray]:
        rng = DriftingGenerator(11, memory)
        rows: dict[str, list[Any]] = {"uniform": [], "normal": [], "integer": []}
        for _ in range(frames):
            rng.next_frame()
            rows["uniform"].append(rng.uniform(2, 4))
            rows["normal"].append(rng.normal(5, 2, size=3)[1])
            rows["integer"].append(rng.integers(1, 6, endpoint=True))
        return {name: np.array(row) for name, row in rows.items()}

    def test_distributions_are_those_of_single_draws(self) -> None:
        rows = self.drawn(0.5)
        assert rows["uniform"].min() >= 2
        assert rows["uniform"].max() < 4
        assert np.histogram(rows["uniform"], 4, (2, 4))[0] == pytest.approx(1000, rel=0.15)
        assert rows["normal"].mean() == pytest.approx(5, abs=0.2)
        assert rows["normal"].std() == pytest.approx(2, rel=0.08)
        assert sorted(set(rows["integer"].tolist())) == [1, 2, 3, 4, 5, 6]

    def test_it_is_a_generator_and_other_draws_are_shared(self) -> None:
        rng = DriftingGenerator(4, 0.9)
        assert isinstance(rng, np.random.Generator)
        rows = []
        for _ in range(3):
            rng.next_frame()
            rows.append((rng.poisson(50, 4).tolist(), rng.permutation(6).tolist()))
        assert rows[0] == rows[1] == rows[2]

    def test_shapes_and_types_are_those_asked_for(self) -> None:
        rng = DriftingGenerator(4, 0.9)
        assert isinstance(rng.random(), float)
        assert rng.random((2, 3), dtype=np.float32).dtype == np.float32
        assert rng.uniform([0, 10], [1, 20]).shape == (2,)
        assert rng.standard_normal(5).shape == (5,)
        assert isinstance(rng.integers(7), int)
        assert rng.integers(0, 9, size=(2, 2), dtype=np.int32).dtype == np.int32
        out = np.empty(3)
        assert rng.random(out=out, size=3) is out

    def test_another_shape_in_the_next_frame_is_drawn_anew(self) -> None:
        rng = DriftingGenerator(4, 0.99)
        rng.next_frame()
        rng.random(4)
        rng.next_frame()
        assert rng.random(7).shape == (7,)
        assert np.isfinite(rng.normal())
