"""Lots of distorted pictures: functions of their number, as the model sees them, kept and drawn from again."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mllmqa.data.distortions import NAMES
from mllmqa.data.fullref import PseudoMos, measure
from mllmqa.errors import DataError
from mllmqa.models.torchvision_shim import ensure_torchvision
from mllmqa.training import wholes
from mllmqa.training.wholes import Format, Lot, Wholes, batches, dark_more_often, judged
from tests.conftest import photo_pixels

CPU = torch.device("cpu")
SMALL = Format(40, 1.0, {"pristine": [(64, 48), (48, 40)], "good": [(64, 48)], "shrunk": [(40, 40)]})


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for seed, (width, height) in enumerate(((120, 90), (90, 120), (150, 100), (64, 64))):
        paths.append(folder / f"{seed}.png")
        Image.fromarray(photo_pixels(width, height, seed)).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def drawn(photos: list[Path]) -> Wholes:
    return Wholes(photos[:2], photos[2:], photos[2:], [SMALL], lot=12, zoom=0.7, judged=0.0, seed=5)


def same(one: Lot, other: Lot) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(torch.equal(torch.as_tensor(x).nan_to_num(-1), torch.as_tensor(y).nan_to_num(-1)) for x, y in pairs)


# ------------------------------------------------------------------ lots


def test_a_lot_depends_on_seed_and_number_alone(drawn: Wholes) -> None:
    for index in (0, 7, 123_456):
        assert same(drawn[index], replace(drawn)[index])
    assert not torch.equal(drawn[0].pixels, drawn[1].pixels)
    assert not torch.equal(drawn[0].pixels, replace(drawn, seed=6)[0].pixels)


def test_pictures_of_a_lot_are_of_one_size_and_of_all_kinds(drawn: Wholes) -> None:
    counts = set()
    for index in range(4):
        lot = drawn[index]
        assert (lot.pixels.shape, lot.pixels.dtype) == ((12, 3, 40, 40), torch.uint8)
        assert lot.severity.shape == (12, len(NAMES))
        assert bool(((lot.severity == 0) | ((lot.severity >= 1) & (lot.severity <= 5))).all())
        there = (lot.severity > 0).sum(1)
        assert bool((there[4:8] > 0).all()), "rated photos as they are never stand in for undistorted ones"
        assert torch.equal(lot.fidelity == 5, there == 0)
        assert set(lot.short_side[:4].tolist()) in ({64.0}, {48.0})
        assert lot.short_side[4:].tolist() == 4 * [64.0] + 4 * [40.0], "as they are distorted, not as they are seen"
        assert len(lot.reference) == len(lot.distorted) == 0
        counts |= set(there.tolist())
    assert counts == {0, 1, 2}  # none, one and two distortions


def test_rows_are_two_versions_of_the_same_part_of_a_photo(photos: list[Path]) -> None:
    """Of a ladder the second has more of one distortion; both are cut at the same place."""
    only = Format(40, 1.0, {"pristine": [(64, 48)], "good": [(64, 48)]})
    lots = Wholes(photos, photos, [], [only], lot=60, zoom=1.0, judged=0.0, seed=7)
    ladders = 0
    for lot in (lots[0], lots[1]):
        light, heavy = lot.severity[::2], lot.severity[1::2]
        steps = (heavy - light).sum(1)
        assert lot.gap.shape == (30,)
        known = lot.gap.isfinite()
        assert torch.allclose(steps[known], lot.gap[known], atol=1e-4) and bool((lot.gap[known] >= 0.7).all())
        assert bool(((heavy[known] > 0).sum(1) == 1).all())
        assert bool((((light > 0) & (heavy == 0)).sum(1)[known] == 0).all())
        assert bool((light[known][-5:].sum(1) > 0).all()), "the last are rated photos, never undistorted"
        ladders += int(known.sum())
        near, far = (
            (lot.pixels[::2].float() - other.float()).abs().mean((1, 2, 3))
            for other in (lot.pixels[1::2], lot.pixels[1::2].roll(1, 0))
        )
        assert float(near.median()) < 0.6 * float(far.median())
    assert 15 < ladders < 45


def test_formats_are_drawn_by_their_shares(photos: list[Path]) -> None:
    formats = [Format(side, share, {"pristine": [(48, side)]}) for side, share in ((40, 1.0), (48, 3.0), (32, 0.0))]
    lots = Wholes(photos, [], [], formats, lot=2, zoom=1.0, judged=0.0, seed=2)
    sides = [lots[k].pixels.shape[-1] for k in range(60)]
    assert 32 not in sides
    assert 1.5 < sides.count(48) / sides.count(40) < 8


def test_severities_are_those_of_what_was_done(photos: list[Path]) -> None:
    """A photo of the size that is asked for, taken whole: undistorted it is itself, turned or mirrored."""
    only = Format(64, 1.0, {"pristine": [(64, 64)]})
    lot = Wholes(photos[3:], [], [], [only], lot=72, zoom=1.0, judged=0.0, seed=1)[0]
    with Image.open(photos[3]) as image:
        photo = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
    ways = [turned.rot90(k, (1, 2)) for turned in (photo, photo.flip(2)) for k in range(4)]
    shown = torch.tensor([[torch.equal(one, way) for way in ways] for one in lot.pixels])
    assert torch.equal(shown.any(1), (lot.severity == 0).all(1))
    assert int(shown.any(0).sum()) > 4, "photos are turned and mirrored"
    assert not bool(shown.any(1).all())


def test_shrunk_photos_lose_a_third_of_their_sides_at_least(tmp_path: Path) -> None:
    """A rated photo of 64 px with a white frame: cut to 62 or more, of which 40 are left."""
    path = tmp_path / "framed.png"
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, :2] = pixels[:, -2:] = 255
    Image.fromarray(pixels).save(path)
    only = Format(40, 1.0, {"shrunk": [(40, 40)]})
    lot = Wholes([], [], [path], [only], lot=60, zoom=0.1, judged=0.0, seed=3)[0]
    clean = lot.pixels[(lot.severity == 0).all(1)]
    assert len(clean) > 5
    seen = clean[:, 0].float() > 60
    bright = torch.minimum(seen.any(1).sum(1), seen.any(2).sum(1))  # columns or rows with something of the frame
    assert bool(((bright >= 1) & (bright <= 5)).all()), bright


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"pristine": [(64, 48)], "good": [(64, 48)]}, "no good photos"),
        ({"pristine": [(64, 30)]}, "at least 40"),
        ({"pristine": [(38, 48)]}, "at least 40"),
    ],
)
def test_what_no_lot_can_be_made_of_is_refused(
    photos: list[Path], sizes: dict[str, list[tuple[int, int]]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Wholes(photos, [], [], [Format(40, 1.0, sizes)], lot=4, zoom=1.0, judged=0.0, seed=1)


def test_a_lot_has_room_for_two_versions_of_each_kind(drawn: Wholes) -> None:
    assert len(replace(drawn, lot=7)[0].gap) == 3
    with pytest.raises(DataError, match="at least 6"):
        replace(drawn, lot=5)


def test_a_format_has_undistorted_pictures(photos: list[Path]) -> None:
    with pytest.raises(DataError, match="all distorted"):
        Wholes([], photos, photos, [Format(40, 1.0, {"good": [(64, 48)]})], lot=4, zoom=1.0, judged=0.0, seed=1)


def test_photos_that_are_too_small_are_passed_over(photos: list[Path], drawn: Wholes) -> None:
    large = Format(80, 1.0, {"pristine": [(80, 80)]})
    lot = replace(drawn, pristine=[photos[0], photos[3]], formats=[large])[0]
    assert lot.pixels.shape[-1] == 80
    with pytest.raises(DataError, match="no photo of at least 80 px"):
        replace(drawn, pristine=photos[3:], formats=[large])[0]
    hardly = Format(44, 1.0, {"shrunk": [(44, 44)]})
    with pytest.raises(DataError, match="no photo of at least 68 px"):  # 64 px would hardly be shrunk
        replace(drawn, shrunk=photos[3:], formats=[hardly])[0]


def test_wide_pictures_all_lie_or_all_stand(photos: list[Path]) -> None:
    """Photos of 120×90, 90×120 and 150×100; one of 64×64 has no part of that shape and is passed over."""
    wide = Format(40, 1.0, {"pristine": [(64, 48), (48, 40)]}, long=56)
    lots = Wholes(photos, [], [], [wide], lot=12, zoom=0.7, judged=0.0, seed=3)
    shapes = {tuple(lots[k].pixels.shape[1:]) for k in range(8)}
    assert shapes == {(3, 40, 56), (3, 56, 40)}
    with pytest.raises(DataError, match="less long parts"):
        replace(lots, pristine=photos[3:])[0]


@given(
    st.integers(64, 200), st.integers(64, 200), st.integers(32, 64), st.integers(0, 40), st.integers(0, 16),
    st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_what_is_cut_of_a_photo_of_any_shape_is_of_one_size(
    height: int, width: int, side: int, longer: int, shrunk: int, index: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.png"
        Image.fromarray(photo_pixels(width, height, 1)).save(path)
        look = Format(side, 1.0, {"pristine": [(side + shrunk, side), (side, side)]}, long=side + longer)
        lots = Wholes([path], [], [], [look], lot=4, zoom=0.5, judged=0.0, seed=1)
        try:
            lot = lots[index]
        except DataError:
            assert max(height, width) < look.longer(side + shrunk) or min(height, width) < side + shrunk
        else:
            assert sorted(lot.pixels.shape[2:]) == [side, side + longer]


def test_dark_photos_are_drawn_more_often(tmp_path: Path) -> None:
    paths = []
    for grey in (20, 44, 46, 200):
        paths.append(tmp_path / f"{grey}.jpg")
        Image.new("RGB", (64, 48), (grey, grey, grey)).save(paths[-1])
    assert dark_more_often(paths, 45, 3) == [paths[0]] * 3 + [paths[1]] * 3 + paths[2:]
    assert dark_more_often(paths, 45, 1) == paths


# ------------------------------------------------------------------ pseudo-MOS


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    folder = tmp_path_factory.mktemp("large")
    paths = []
    for seed in range(2):
        paths.append(folder / f"{seed}.png")
        Image.fromarray(photo_pixels(200, 180, seed)).save(paths[-1])
    look = Format(96, 1.0, {"pristine": [(168, 120)], "good": [(168, 120)]})
    return Wholes(paths, paths, [], [look], lot=8, zoom=1.0, judged=1.0, seed=4)


def test_the_pseudo_mos_is_that_of_the_picture_before_it_is_seen(
    large: Wholes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wholes, "MEASURED_AT_ONCE", 3)  # of four
    ensure_torchvision()
    pytest.importorskip("piq")
    lot, scale = next(lot for lot in map(large.__getitem__, range(9)) if not lot.first), PseudoMos.default()
    assert lot.reference.shape == lot.distorted.shape == (4, 3, 168, 168)
    found = judged(lot, CPU)
    assert torch.equal(found.pixels, lot.pixels)
    kept = (found.reference, found.distorted, *vars(found.of(torch.tensor([0]))).values())
    assert sum(one.untyped_storage().nbytes() for one in kept if isinstance(one, torch.Tensor)) < 1e5, (
        "it is dropped"
    )
    for row in range(4):
        pair = [one[row].permute(1, 2, 0).numpy().copy() for one in (lot.reference, lot.distorted)]
        expected = scale.score(measure(*pair, scale.names))
        assert float(found.fidelity[row]) == pytest.approx(expected, abs=1e-3)
    assert bool(found.fidelity[4:].isnan().all()), "one kind of photo is measured"


def test_each_kind_of_photo_is_measured_in_its_turn(large: Wholes) -> None:
    """Also the better rated ones, as they are: there are far more of them than of undistorted ones."""
    assert {large[index].first for index in range(9)} == {0, 4}


def test_only_some_lots_are_judged_and_small_ones_never(large: Wholes, drawn: Wholes) -> None:
    some = [len(replace(large, judged=0.5, lot=4)[index].reference) for index in range(12)]
    assert set(some) == {0, 2}
    small = replace(drawn, judged=1.0)[0]
    assert len(small.reference) == 0
    assert same(judged(small, CPU), small)


# ------------------------------------------------------------------ batches


def told(number: int, rows: int = 6) -> Lot:
    """A lot whose rows say which it is and which they are."""
    severity = torch.zeros(rows, len(NAMES))
    severity[:, 0], severity[:, 1] = number, torch.arange(rows)
    none = torch.empty(0, 3, 0, 0, dtype=torch.uint8)
    pixels = torch.zeros(rows, 3, 2, 2, dtype=torch.uint8)
    gap = torch.arange(rows // 2) / 10
    return Lot(pixels, severity, torch.full((rows,), 2.0), torch.full((rows,), math.nan), gap, 0, none, none)


def lots(start: int) -> Iterator[Lot]:
    return (told(number) for number in range(start, 8))


def test_each_new_lot_gives_a_batch_and_kept_ones_the_rest() -> None:
    all_ = list(batches(lots, 0, size=4, repeats=3, kept=2, seed=(1, 0)))
    assert len(all_) == 8 * 3
    for step, batch in enumerate(all_):
        (number,) = set(batch.severity[:, 0].int().tolist())
        newest = step // 3
        assert number == newest if step % 3 == 0 else number in {newest, max(0, newest - 1)}
        rows = batch.severity[:, 1].reshape(2, 2)
        assert torch.equal(rows[:, 1], rows[:, 0] + 1) and len(set(rows[:, 0].tolist())) == 2, "photos stay whole"
        assert torch.equal(batch.gap, rows[:, 0] / 20)
    again = {int(batch.severity[0, 0]) != step // 3 for step, batch in enumerate(all_)}
    assert again == {True, False}, "older lots are drawn from, too"


@pytest.mark.parametrize("start", [1, 6, 17])
def test_a_resumed_run_sees_the_same_batches(start: int) -> None:
    through = list(batches(lots, 0, size=4, repeats=3, kept=3, seed=(1, 0)))[start:]
    resumed = list(batches(lots, start, size=4, repeats=3, kept=3, seed=(1, 0)))
    assert len(resumed) == len(through) == 24 - start
    assert all(map(same, through, resumed))
    other = list(batches(lots, start, size=4, repeats=3, kept=3, seed=(1, 1)))
    assert not all(map(same, through, other))
