"""Blurs: widths, sums, permutations of the pixel shuffle."""

import numpy as np
import pytest

from mllmqa.data.distortions import blur
from tests.conftest import photo_pixels


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def point(size: int = 81) -> np.ndarray:
    """A square of 5×5 white pixels on black: its own variance is 2 px² along each axis."""
    pixels = np.zeros((size, size, 3), np.uint8)
    middle = size // 2
    pixels[middle - 2 : middle + 3, middle - 2 : middle + 3] = 255
    return pixels


def variance(pixels: np.ndarray) -> float:
    mass = pixels[:, :, 0].astype(float).sum(axis=0)
    x = np.arange(len(mass)) - len(mass) // 2
    return float((mass * x**2).sum() / mass.sum())


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_gaussian_has_its_stated_width(sigma: float) -> None:
    assert variance(blur.gaussian(point(), rng(), sigma=sigma)) - 2 == pytest.approx(sigma**2, rel=0.12)


@pytest.mark.parametrize("radius", [2.0, 3.5, 6.0])
def test_lens_is_a_flat_disk(radius: float) -> None:
    kernel = blur.disk_kernel(radius)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert np.array_equal(kernel, kernel.T)
    assert np.array_equal(kernel, kernel[::-1])
    assert kernel.max() == pytest.approx(1 / (np.pi * radius**2), rel=0.02)
    reach = len(kernel) // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    assert (kernel * x**2).sum() == pytest.approx(
        radius**2 / 4 + 1 / 12, rel=0.03
    )  # a pixel has a width of its own
    assert kernel[np.hypot(x, y) > radius + 0.8].sum() == 0


@pytest.mark.parametrize("operation", [blur.motion, blur.line])
def test_a_flat_picture_stays_flat(operation: object) -> None:
    flat = np.full((40, 50, 3), 77, np.uint8)
    options = {"radius": 20, "sigma": 12.0} if operation is blur.motion else {"length": 10.0}
    assert (operation(flat, rng(), **options).pixels == 77).all()
    assert (blur.gaussian(flat, rng(), sigma=12.0) == 77).all()
    assert (blur.lens(flat, rng(), radius=8.0) == 77).all()
    assert (blur.zoom(flat, rng(), limit=1.21) == 77).all()
    assert (blur.glass(flat, rng(), sigma=1.6, shift=4.0, iterations=2) == 77).all()


def test_motion_is_one_sided_along_its_angle() -> None:
    made = blur.motion(point(), rng(3), radius=10, sigma=5.0)
    angle = np.radians(made.parameters["angle_deg"])
    weights = made.pixels[:, :, 0].astype(float)
    y, x = np.mgrid[0:81, 0:81] - 40
    centre = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
    steps = np.arange(21)
    share = np.exp(-(steps**2) / 50)
    expected = (steps * share).sum() / share.sum()
    assert np.hypot(*centre) == pytest.approx(expected, abs=0.4)
    assert abs(centre[0] * np.sin(angle) - centre[1] * np.cos(angle)) < 0.4  # on the line


def test_angles_of_motion_cover_the_half_circle() -> None:
    small = photo_pixels(32, 32)
    angles = [blur.motion(small, rng(seed), radius=2, sigma=1.0).parameters["angle_deg"] for seed in range(200)]
    assert np.histogram(angles, bins=4, range=(-90, 90))[0].min() > 25


def test_line_is_symmetric_and_as_long_as_stated() -> None:
    made = blur.line(point(), rng(5), length=10.0)
    weights = made.pixels[:, :, 0].astype(float)
    y, x = np.mgrid[0:81, 0:81] - 40
    assert abs((weights * x).sum()) / weights.sum() < 0.1
    angle = np.radians(made.parameters["angle_deg"])
    along = x * np.cos(angle) + y * np.sin(angle)
    spread = (weights * along**2).sum() / weights.sum() - 2
    assert spread == pytest.approx((10 + 1) ** 2 / 12, rel=0.15)


@pytest.mark.parametrize(("limit", "count"), [(1.03, 2), (1.06, 4), (1.10, 6), (1.15, 8), (1.21, 11)])
def test_zoom_averages_as_many_enlargements_as_published(limit: float, count: int) -> None:
    """A step edge right of the centre moves out with each factor: as many plateaus as factors."""
    pixels = np.zeros((33, 801, 3), np.uint8)
    pixels[:, 700:] = 240
    row = blur.zoom(pixels, rng(), limit=limit)[16, :, 0]
    levels = [int(level) for level in np.unique(row) if (row == level).sum() >= 3]
    assert len(levels) == count + 1
    assert levels[0] == 0
    assert levels[-1] == 240


@pytest.mark.parametrize("shift", [1.0, 2.5, 5.0])
@pytest.mark.parametrize("size", [(64, 64), (33, 90)])
def test_swaps_are_real(shift: float, size: tuple[int, int]) -> None:
    """A permutation made of disjoint swaps, none farther than the shift: no pixel is lost or doubled."""
    height, width = size
    order = blur.swap_order(height, width, shift, rng(2))
    assert np.array_equal(np.sort(order), np.arange(height * width))
    assert np.array_equal(order[order], np.arange(height * width))
    place = np.arange(height * width)
    reach = int(np.ceil(shift))
    assert np.abs(order // width - place // width).max() <= reach
    assert np.abs(order % width - place % width).max() <= reach
    assert (order != place).mean() > 0.5


def test_no_shift_moves_nothing() -> None:
    assert np.array_equal(blur.swap_order(40, 40, 0.0, rng()), np.arange(1600))


def test_offsets_prefer_no_direction() -> None:
    order = blur.swap_order(300, 300, 2.0, rng(1))
    place = np.arange(90000)
    down, right = order // 300 - place // 300, order % 300 - place % 300
    assert abs(down.mean()) < 1e-9  # every swap goes both ways
    assert abs((down * right).mean()) < 0.05
    assert np.var(down) == pytest.approx(np.var(right), rel=0.05)


def test_4096_different_pixels_all_survive_jitter() -> None:
    """Published code copies instead of swapping: 2843 of 4096 survive there."""
    values = np.arange(4096).reshape(64, 64)
    pixels = np.stack([values >> 8, values & 255, values * 0], axis=-1).astype(np.uint8)
    for made in (blur.jitter(pixels, rng(), shift=3.0), blur.shuffled(pixels, 4.0, 2, rng())):
        found = made[..., 0].astype(int) << 8 | made[..., 1]
        assert len(np.unique(found)) == 4096


def test_glass_blurs_before_and_after() -> None:
    photo = photo_pixels(96, 96)
    rough = np.abs(np.diff(photo.astype(float), axis=1)).mean()
    made = blur.glass(photo, rng(), sigma=1.2, shift=2.0, iterations=2)
    assert np.abs(np.diff(made.astype(float), axis=1)).mean() < 0.8 * rough
