"""Full-reference metrics: by hand, at identity, under growing damage, and what they refuse."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mllmqa.data.fullref import METRICS, NAMES, measure, psnr
from mllmqa.data.fullref.metrics import measure_many, piq_module
from mllmqa.errors import DataError, MissingExtraError, UnknownNameError
from tests.data.fullref.pictures import PHOTO, SPOILERS, STEPS, noisy


@pytest.fixture
def piq() -> None:
    """Skips where piq is not installed; it is in the test extra."""
    try:
        piq_module()
    except MissingExtraError:
        pytest.skip('needs piq: pip install "mllmqa[fullref]"')


def test_psnr_by_hand() -> None:
    """Squares 100, 0, 0, 0 over 12 values: 10·log10(65025 / (100·3/12))."""
    a = np.zeros((2, 2, 3), np.uint8)
    b = a.copy()
    b[0, 0] = 10
    assert psnr(a, b) == pytest.approx(10 * np.log10(65025 / 25), abs=1e-12)
    assert psnr(a, b) == pytest.approx(34.1514, abs=1e-4)
    assert psnr(a, a) == 80.0
    assert psnr(a, a + np.uint8(255)) == pytest.approx(0)


def test_psnr_does_not_wrap_around() -> None:
    a, b = np.full((1, 1, 3), 250, np.uint8), np.full((1, 1, 3), 5, np.uint8)
    assert psnr(a, b) == psnr(b, a) == pytest.approx(10 * np.log10(65025 / 245**2))


@settings(max_examples=50)
@given(st.integers(1, 255), st.integers(0, 2**32))
def test_psnr_of_a_constant_offset(offset: int, seed: int) -> None:
    a = np.random.default_rng(seed).integers(0, 256 - offset, (4, 5, 3)).astype(np.uint8)
    assert psnr(a, a + np.uint8(offset)) == pytest.approx(20 * np.log10(255 / offset), abs=1e-9)


def test_the_set_is_the_stated_one() -> None:
    assert NAMES == ("psnr", "ssim", "ms_ssim", "vsi", "fsim", "gmsd", "vif", "mdsi", "haarpsi")
    assert {one.name for one in METRICS.values() if not one.higher_is_better} == {"gmsd", "mdsi"}
    for one in METRICS.values():
        assert one.variant
        assert one.paper
        assert one.goodness(99) == (one.perfect if one.higher_is_better else -99)
        assert one.goodness(0.3) == (0.3 if one.higher_is_better else -0.3)


@pytest.mark.usefixtures("piq")
@pytest.mark.parametrize("name", NAMES)
def test_equal_pictures_have_the_perfect_value(name: str) -> None:
    assert measure(PHOTO, PHOTO, [name])[name] == pytest.approx(METRICS[name].perfect, abs=1e-4)


@pytest.mark.usefixtures("piq")
@pytest.mark.parametrize("spoiler", SPOILERS)
def test_every_metric_finds_more_damage_worse(spoiler: str) -> None:
    rows = [measure(PHOTO, SPOILERS[spoiler](PHOTO, step)) for step in STEPS]
    for name in NAMES:
        good = [METRICS[name].goodness(row[name]) for row in rows]
        assert good == sorted(good, reverse=True), name
        assert good[0] < METRICS[name].goodness(METRICS[name].perfect), name


@pytest.mark.usefixtures("piq")
def test_values_are_those_of_this_variant() -> None:
    """Pins piq 0.8: another version, colour or window would change these numbers."""
    found = measure(PHOTO, noisy(PHOTO, 2))
    import piq
    import torch

    a, b = (torch.from_numpy(p.transpose(2, 0, 1).copy())[None] / 255 for p in (PHOTO, noisy(PHOTO, 2)))
    assert found["ssim"] == pytest.approx(float(piq.ssim(b, a, data_range=1.0)), abs=1e-6)
    assert found["vif"] == pytest.approx(float(piq.vif_p(b, a, data_range=1.0)), abs=1e-6)
    assert found["psnr"] == pytest.approx(float(piq.psnr(b, a, data_range=1.0)), abs=1e-3)
    assert list(found) == list(NAMES)


@pytest.mark.usefixtures("piq")
def test_vif_is_not_symmetric_and_the_reference_comes_first() -> None:
    worse = noisy(PHOTO, 4)
    assert measure(PHOTO, worse, ["vif"]) != measure(worse, PHOTO, ["vif"])


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (PHOTO, PHOTO[:, :100], r"the reference is 192×176, the distorted picture 100×176; expected one size"),
        (PHOTO / 255, PHOTO, r"the reference is float64 \(176, 192, 3\)"),
        (PHOTO, PHOTO[..., 0], r"the distorted picture is uint8 \(176, 192\)"),
        (PHOTO[:0], PHOTO[:0], "expected uint8"),
    ],
)
def test_pairs_that_are_none(a: np.ndarray, b: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        measure(a, b, ["psnr"])


@pytest.mark.parametrize("name", [n for n in NAMES if METRICS[n].min_side_px > 1])
def test_small_pictures_name_the_metric(name: str) -> None:
    side = METRICS[name].min_side_px - 1
    small = np.zeros((side, 300, 3), np.uint8)
    with pytest.raises(DataError, match=rf"300×{side} is too small for {name}; expected at least {side + 1}"):
        measure(small, small, [name])


@pytest.mark.usefixtures("piq")
@pytest.mark.parametrize("name", [n for n in NAMES if METRICS[n].min_side_px > 1])
def test_the_smallest_side_is_enough(name: str) -> None:
    side = METRICS[name].min_side_px
    small = PHOTO[:side, : side + 3]
    assert measure(small, small, [name])[name] == pytest.approx(METRICS[name].perfect, abs=1e-4)


def test_unknown_metric() -> None:
    with pytest.raises(UnknownNameError, match=r"'lpips'; expected one of psnr, ssim"):
        measure(PHOTO, PHOTO, ["psnr", "lpips"])
    with pytest.raises(UnknownNameError):
        measure(PHOTO, PHOTO, [])


def test_without_piq_the_extra_is_named_and_psnr_works(monkeypatch: pytest.MonkeyPatch) -> None:
    piq_module.cache_clear()
    monkeypatch.setitem(sys.modules, "piq", None)
    with pytest.raises(MissingExtraError, match=r'pip install "mllmqa\[fullref\]"'):
        measure(PHOTO, PHOTO, ["psnr", "ssim"])
    assert measure(PHOTO, PHOTO, ["psnr"]) == {"psnr": 80.0}
    piq_module.cache_clear()


@pytest.mark.usefixtures("piq")
def test_values_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(piq_module(), "gmsd", lambda *_, **__: torch.tensor(float("nan")))
    with pytest.raises(DataError, match="gmsd is nan"):
        measure(PHOTO, PHOTO, ["gmsd"])


def batch(pictures: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())


def test_many_pairs_at_once_are_measured_as_each_alone() -> None:
    """References that differ, one pair that does not."""
    references = [PHOTO, PHOTO[::-1].copy(), PHOTO[:, ::-1].copy()]
    distorted = [noisy(references[0], 2), references[1], SPOILERS["blur"](references[2], 3)]
    found = measure_many(batch(references), batch(distorted))
    assert tuple(found) == NAMES
    for place, pair in enumerate(zip(references, distorted, strict=True)):
        alone = measure(*pair)
        for name in NAMES:
            assert found[name].shape == (3,)
            assert found[name][place] == pytest.approx(alone[name], rel=1e-3, abs=1e-4), name


def test_many_pairs_are_of_one_size_and_large_enough() -> None:
    with pytest.raises(DataError, match="one shape"):
        measure_many(batch([PHOTO]), batch([PHOTO, PHOTO]))
    with pytest.raises(DataError, match="too small for ms_ssim"):
        measure_many(batch([PHOTO[:100]]), batch([PHOTO[:100]]))


def test_what_a_metric_cannot_tell_of_a_pair_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.tensor([0.5, torch.inf])
    monkeypatch.setattr(piq_module(), "gmsd", lambda *_, **__: values)
    found = measure_many(batch([PHOTO, PHOTO]), batch([PHOTO, PHOTO]), ["gmsd", "psnr"])
    assert found["gmsd"][0] == 0.5 and np.isnan(found["gmsd"][1])
    assert found["psnr"].tolist() == [80, 80]
