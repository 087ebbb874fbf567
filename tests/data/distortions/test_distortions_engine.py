"""The engine: names, pairs, parameters, purity, determinism, monotone damage, refusals."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.data import distortions
from mllmqa.data.distortions import tables
from mllmqa.errors import DataError, MissingExtraError
from tests.conftest import photo_pixels

PHOTO = photo_pixels(120, 96)
EVERY = (*distortions.NAMES, *distortions.KADID_NAMES)
UNORDERED = {"kadid_mean_shift", "kadid_contrast_change"}
# Draw nothing: the same picture whatever the generator.
DRAWLESS = {
    name
    for name in distortions.NAMES
    if distortions.category_of(name) != "noise" and name not in {"blur_motion", "blur_glass", "blur_jitter"}
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def made(name: str, severity: float, seed: int = 0, pixels: np.ndarray = PHOTO) -> np.ndarray:
    return distortions.apply(pixels, name, severity, rng(seed)).pixels


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.square(one.astype(float) - other).mean())


def test_the_sets_have_their_published_sizes() -> None:
    assert len(distortions.NAMES) == 35
    assert len(distortions.CATEGORIES) == 12
    assert len(distortions.KADID_NAMES) == 25
    assert len(set(EVERY)) == len(EVERY)
    sizes = {category: len(distortions.names_of(category)) for category in distortions.CATEGORIES}
    assert sizes == {
        "blur": 6, "noise": 6, "compression": 2, "brighten": 4, "darken": 4, "contrast_strengthen": 2,
        "contrast_weaken": 2, "saturate_strengthen": 2, "saturate_weaken": 2, "oversharpen": 1, "pixelate": 1,
        "quantization": 3,
    }  # fmt: skip


def test_kadid_follows_the_numbers_of_its_files() -> None:
    places = {name.removeprefix("kadid_"): index + 1 for index, name in enumerate(distortions.KADID_NAMES)}
    assert places["gaussian_blur"] == 1
    assert places["jpeg2000"] == 9
    assert places["jpeg"] == 10
    assert places["white_noise"] == 11
    assert places["denoise"] == 15
    assert places["pixelate"] == 21
    assert places["contrast_change"] == 25


def test_the_78_ordered_pairs() -> None:
    pairs = distortions.ordered_pairs()
    assert len(pairs) == len(set(pairs)) == 78
    after = {first: {b for a, b in pairs if a == first} for first in distortions.CATEGORIES}
    assert {first: len(found) for first, found in after.items()} == {
        "blur": 9, "noise": 10, "compression": 8, "brighten": 5, "darken": 5, "contrast_strengthen": 5,
        "contrast_weaken": 5, "saturate_strengthen": 6, "saturate_weaken": 6, "pixelate": 9, "quantization": 9,
        "oversharpen": 1,
    }  # fmt: skip
    assert all(first != second for first, second in pairs)
    tones = {"brighten", "darken", "contrast_strengthen", "contrast_weaken"}
    assert not any({first, second} <= tones for first, second in pairs)
    assert ("blur", "pixelate") not in pairs
    assert ("pixelate", "blur") not in pairs
    assert ("blur", "oversharpen") not in pairs
    assert ("quantization", "compression") not in pairs
    assert ("brighten", "saturate_weaken") not in pairs
    assert ("saturate_weaken", "brighten") not in pairs
    assert after["oversharpen"] == {"brighten"}


def test_pairs_of_functions_are_those_of_their_categories() -> None:
    pairs = distortions.ordered_name_pairs()
    sizes = {category: len(distortions.names_of(category)) for category in distortions.CATEGORIES}
    assert len(pairs) == sum(sizes[a] * sizes[b] for a, b in distortions.ordered_pairs())
    assert ("blur_lens", "noise_poisson") in pairs
    assert ("blur_lens", "pixelate") not in pairs


@pytest.mark.parametrize("name", EVERY)
def test_pure_and_of_the_same_shape(name: str) -> None:
    before = PHOTO.copy()
    locked = PHOTO.copy()
    locked.flags.writeable = False
    for severity in (1, 3, 5):
        one = distortions.apply(locked, name, severity, rng(4))
        other = distortions.apply(PHOTO.copy(), name, severity, rng(4))
        assert one.pixels.dtype == np.uint8
        assert one.pixels.shape == PHOTO.shape
        assert one.pixels.flags.c_contiguous
        assert one.pixels.flags.writeable
        assert not np.shares_memory(one.pixels, locked)
        assert np.array_equal(one.pixels, other.pixels)
        assert one.parameters == other.parameters
    assert np.array_equal(locked, before)


@pytest.mark.parametrize("name", EVERY)
def test_a_view_gives_the_same_as_its_copy(name: str) -> None:
    view = photo_pixels(200, 180)[::2, 20:140][:, ::-1]
    assert np.array_equal(made(name, 2, pixels=view), made(name, 2, pixels=np.ascontiguousarray(view)))


@settings(max_examples=60)
@given(
    name=st.sampled_from(EVERY),
    height=st.integers(32, 70),
    width=st.integers(32, 70),
    severity=st.integers(1, 5),
    kind=st.sampled_from(["noise", "black", "white", "two levels"]),
)
def test_any_size_and_content(name: str, height: int, width: int, severity: int, kind: str) -> None:
    pixels = {
        "noise": rng().integers(0, 256, (height, width, 3), dtype=np.uint8),
        "black": np.zeros((height, width, 3), np.uint8),
        "white": np.full((height, width, 3), 255, np.uint8),
        "two levels": rng().integers(0, 2, (height, width, 3), dtype=np.uint8) * np.uint8(200),
    }[kind]
    assert made(name, severity, pixels=pixels).shape == pixels.shape


@pytest.mark.parametrize("name", distortions.NAMES)
def test_damage_grows_with_severity(name: str) -> None:
    damage = [error(made(name, severity, 3), PHOTO) for severity in (1, 2, 3, 4, 5)]
    assert damage[0] > 0
    if name in {"blur_motion", "pixelate"}:  # lines and blocks may suit the period of a made wave
        assert damage[0] < damage[2] < damage[4]
    else:
        assert all(low < high for low, high in itertools.pairwise(damage)), damage


@pytest.mark.parametrize("name", sorted(set(EVERY) - set(distortions.NAMES) - UNORDERED))
def test_damage_of_the_other_sets_does_not_shrink(name: str) -> None:
    damage = [error(made(name, severity, 3), PHOTO) for severity in (1, 3, 5)]
    assert damage[0] <= damage[1] <= damage[2]
    assert damage[0] < damage[2]


@pytest.mark.parametrize("name", distortions.NAMES)
def test_fractions_lie_in_between(name: str) -> None:
    low, middle, high = (distortions.parameters_at(name, severity) for severity in (2, 2.5, 3))
    for key, value in middle.items():
        assert min(low[key], high[key]) <= value <= max(low[key], high[key])
        assert isinstance(value, type(low[key]))
    between = error(made(name, 2.5, 3), PHOTO)
    assert error(made(name, 1, 3), PHOTO) < between < error(made(name, 5, 3), PHOTO)


def test_parameters_are_those_of_the_table() -> None:
    assert distortions.parameters_at("blur_gaussian", 2.5) == {"sigma": 2.5}
    assert distortions.parameters_at("blur_motion", 4) == {"radius": 15, "sigma": 9.0}
    assert distortions.parameters_at("compression_jpeg", 1.5) == {"quality": 22}
    assert distortions.parameters_at("quantization_otsu", 5) == {"classes": 3}
    assert distortions.parameters_at("kadid_mean_shift", 3) == {"amount": -0.08}
    found = distortions.apply(PHOTO, "blur_motion", 4, rng()).parameters
    assert set(found) == {"radius", "sigma", "angle_deg"}
    assert -90 <= found["angle_deg"] <= 90
    for name, entry in tables.ALL.items():
        for severity in (1, 2, 3, 4, 5):
            expected = {column: values[severity - 1] for column, values in entry.columns.items()}
            assert distortions.parameters_at(name, severity) == pytest.approx(expected), name


def test_ends_go_beyond_the_table_in_its_direction() -> None:
    for name, entry in tables.ALL.items():
        assert set(entry.ends) in (set(), set(entry.columns)), name
        for column, (mild, strong) in entry.ends.items():
            values = [mild, *entry.columns[column], strong]
            steps = np.diff(values)
            assert (steps >= 0).all() or (steps <= 0).all(), (name, column)


def test_all_randomness_comes_from_the_generator() -> None:
    for name in distortions.NAMES:
        np.random.seed(0)  # noqa: NPY002 - the global state must not matter
        one = made(name, 3, 5)
        np.random.seed(1)  # noqa: NPY002
        assert np.array_equal(one, made(name, 3, 5)), name
        same = all(np.array_equal(one, made(name, 3, seed)) for seed in range(6, 9))
        assert same == (name in DRAWLESS), name


def test_a_generator_goes_on() -> None:
    shared = rng(1)
    first = distortions.apply(PHOTO, "noise_speckle", 3, shared).pixels
    assert not np.array_equal(first, distortions.apply(PHOTO, "noise_speckle", 3, shared).pixels)


@pytest.mark.parametrize(
    ("name", "pixels", "severity"),
    [
        ("melting", PHOTO, 1),
        ("noise_poisson", PHOTO.astype(np.float32), 1),
        ("noise_poisson", PHOTO[:, :, 0], 1),
        ("noise_poisson", PHOTO[:31], 1),
        ("noise_poisson", PHOTO[:0], 1),
        ("noise_poisson", np.concatenate([PHOTO, PHOTO], axis=2), 1),
        ("noise_poisson", PHOTO, 0),
        ("noise_poisson", PHOTO, 5.1),
        ("noise_poisson", PHOTO, float("nan")),
        ("noise_poisson", PHOTO, True),
        ("noise_poisson", PHOTO, "3"),
        ("kadid_mean_shift", PHOTO, 2.5),
        ("kadid_contrast_change", PHOTO, 1.01),
        ("noise_poisson", [[1]], 1),
    ],
)
def test_refusals(name: str, pixels: np.ndarray, severity: float) -> None:
    with pytest.raises(DataError):
        distortions.apply(pixels, name, severity, rng())


def test_messages_name_what_was_expected() -> None:
    with pytest.raises(DataError, match=r"unknown distortion 'melting'; expected one of blur_gaussian"):
        distortions.category_of("melting")
    with pytest.raises(DataError, match=r"kadid_mean_shift: severity is 2.5; .*alternate in sign"):
        distortions.parameters_at("kadid_mean_shift", 2.5)
    with pytest.raises(DataError, match=r"120×31 px is too small"):
        distortions.apply(PHOTO[:31], "pixelate", 1, rng())
    with pytest.raises(DataError, match="unknown category"):
        distortions.names_of("melting")


def test_apply_many_is_one_after_the_other() -> None:
    steps = [("blur_lens", 2), ("noise_gaussian_rgb", 1.5)]
    both = distortions.apply_many(PHOTO, steps, rng(2))
    shared = rng(2)
    first = distortions.apply(PHOTO, *steps[0], shared)
    second = distortions.apply(first.pixels, *steps[1], shared)
    assert np.array_equal(both.pixels, second.pixels)
    assert both.parameters["steps"] == [
        {"name": "blur_lens", "severity": 2, "parameters": first.parameters},
        {"name": "noise_gaussian_rgb", "severity": 1.5, "parameters": second.parameters},
    ]
    turned = distortions.apply_many(PHOTO, steps[::-1], rng(2))
    assert not np.array_equal(both.pixels, turned.pixels)


def test_apply_many_of_nothing_is_a_copy() -> None:
    clean = distortions.apply_many(PHOTO, [], rng())
    assert np.array_equal(clean.pixels, PHOTO)
    assert not np.shares_memory(clean.pixels, PHOTO)
    assert clean.parameters == {"steps": []}


def test_apply_many_checks_all_steps_first() -> None:
    generator = rng(3)
    with pytest.raises(DataError):
        distortions.apply_many(PHOTO, [("noise_speckle", 1), ("melting", 1)], generator)
    assert generator.random() == rng(3).random()  # nothing was drawn


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)  # what Python itself does for a package that is not there
    with pytest.raises(MissingExtraError, match=r'pip install "mllmqa\[data\]"'):
        made("blur_gaussian", 1)


def test_importing_the_room_imports_nothing_heavy() -> None:
    code = "import sys, mllmqa.data.distortions; print(sorted({'cv2', 'PIL', 'torch', 'av'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
