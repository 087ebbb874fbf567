"""What the heads for distortions learn from: rows that depend on their number alone, in parts that are kept."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mllmqa.data.distortions import CATEGORIES
from mllmqa.errors import DataError
from mllmqa.models.nano.categories import StatisticHeads
from mllmqa.models.nano.configuration import NanoVisionConfig
from mllmqa.models.nano.vision import NanoVisionModel
from mllmqa.training import wholes
from mllmqa.training.loop import Losses, Plan, fit, load_state, weighted
from mllmqa.training.wholes import (
    Rows,
    Wholes,
    batches,
    head_losses,
    read_rows,
    standardise,
    supposed,
    write_rows,
)
from tests.conftest import photo_pixels

PART = 3


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
    return Wholes(
        photos[:2],
        photos[2:],
        0.5,
        0.3,
        view_px=72,
        short_px=(48, 80),
        shrunk_px=(40, 60),
        zoom=0.7,
        reduced=1.0,
        judged=0.0,
        seed=5,
    )


def pristine_only(path: Path, short_px: int) -> Wholes:
    """One photo, whole, always at one size."""
    size = (short_px, short_px)
    return Wholes(
        [path], [], 1.0, 0.0, view_px=64, short_px=size, shrunk_px=size, zoom=1.0, reduced=1.0, judged=0.0, seed=1
    )


@pytest.fixture(scope="module")
def tower() -> NanoVisionModel:
    torch.manual_seed(1)
    shape = {"hidden_size": 8, "stage_channels": [4] * 4, "stage_depths": [0, 1, 1, 1], "learned_channels": 4}
    return NanoVisionModel(NanoVisionConfig(**shape, category_tokens=len(CATEGORIES))).eval()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wholes, "PART", PART)


def made_rows(count: int = 90) -> Rows:
    """The first category is where the first statistic is high, as strong as the second; a third is judged."""
    chance = torch.Generator().manual_seed(0)
    statistics = torch.randn(count, 3, generator=chance) * torch.tensor([1.0, 0.5, 20.0]) + torch.tensor(
        [0, 3.0, 7]
    )
    severity = torch.zeros(count, 2)
    severity[:, 0] = (statistics[:, 0] > 0) * statistics[:, 1].clamp(1, 5)
    judged = torch.full((count,), math.nan)
    judged[::3] = (3 + statistics[::3, 0]).clamp(1, 5)
    return Rows(statistics, severity, judged, supposed(severity, judged))


# ------------------------------------------------------------------ pictures


def test_a_picture_depends_on_seed_and_number_alone(drawn: Wholes) -> None:
    for index in (0, 7, 123_456):
        pixels, severity, judged = drawn[index]
        again, same, other = replace(drawn)[index]
        assert np.array_equal(pixels, again)
        assert severity == same
        assert math.isnan(judged) and math.isnan(other)
    moved = replace(drawn, seed=6)
    assert any(not np.array_equal(drawn[k][0], moved[k][0]) for k in range(3))
    assert any(not np.array_equal(drawn[k][0], drawn[k + 1][0]) for k in range(3))


def test_pictures_are_as_the_model_sees_them(drawn: Wholes) -> None:
    kinds = set()
    for index in range(24):
        pixels, severity, _ = drawn[index]
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
        assert min(pixels.shape[:2]) <= drawn.view_px
        assert len(severity) == len(CATEGORIES)
        assert all(value == 0 or 1 <= value <= 5 for value in severity)
        kinds.add(sum(value > 0 for value in severity))
    assert kinds == {0, 1, 2}  # none, one and two distortions


def test_severities_are_those_of_what_was_done(photos: list[Path]) -> None:
    """Without zoom, an undistorted one is the photo itself, or its mirror image; any other is not."""
    plain = pristine_only(photos[3], 64)
    with Image.open(photos[3]) as image:
        photo = np.asarray(image.convert("RGB"))
    told = []
    for index in range(16):
        pixels, severity, _ = plain[index]
        untouched = np.array_equal(pixels, photo) or np.array_equal(pixels, photo[:, ::-1])
        assert untouched == (sum(severity) == 0)
        told.append(untouched)
    assert any(told) and not all(told)


def test_good_photos_stand_in_for_undistorted_ones(drawn: Wholes, photos: list[Path]) -> None:
    only = replace(drawn, pristine_share=0.0, unshrunk=0.0, good=photos[3:], short_px=(64, 64))
    shapes = {only[k][0].shape for k in range(12)}
    assert all(height == width for height, width, _ in shapes), "the whole square one, always"
    assert len(shapes) > 3 and all(40 <= height <= 60 for height, _, _ in shapes), "shrunk"
    alone = replace(drawn, pristine_share=0.0, good=(), pristine=photos[3:], zoom=1.0, short_px=(64, 64))
    assert {alone[k][0].shape for k in range(4)} == {(64, 64, 3)}  # nothing else is there


def test_rated_photos_are_seen_as_they_are_or_smaller(drawn: Wholes, photos: list[Path]) -> None:
    only = replace(drawn, pristine_share=0.0, unshrunk=0.0, good=photos[3:], shrunk_px=(60, 60), reduced=0.5)
    sides = [only[k][0].shape[0] for k in range(40)]
    assert all(30 <= side <= 60 for side in sides)
    assert 10 < sum(side == 60 for side in sides) < 30, "half of them as they are"
    assert len(set(sides)) > 5


def test_rated_photos_that_are_not_shrunk_are_distorted(drawn: Wholes, photos: list[Path]) -> None:
    """As they are, they may have faults of their own: they never stand in for undistorted ones."""
    only = replace(drawn, pristine_share=0.0, unshrunk=1.0, good=photos[3:], short_px=(64, 64), shrunk_px=(40, 50))
    for index in range(24):
        pixels, severity, _ = only[index]
        assert (pixels.shape == (64, 64, 3)) == (sum(severity) > 0)


def test_photos_are_never_enlarged(drawn: Wholes) -> None:
    large = replace(drawn, short_px=(400, 400), view_px=400)
    assert all(min(large[k][0].shape[:2]) <= 100 for k in range(6))


def test_what_is_too_small_for_the_metrics_is_not_judged(drawn: Wholes) -> None:
    small = replace(drawn, judged=1.0)
    assert all(math.isnan(small[k][2]) for k in range(4))


def test_some_are_judged(tmp_path: Path) -> None:
    """By full-reference metrics, which want 161 pixels, against what was there before: the untouched is best."""
    path = tmp_path / "photo.png"
    Image.fromarray(photo_pixels(170, 164)).save(path)
    unjudged = pristine_only(path, 164)
    clean = next(k for k in range(40) if not any(unjudged[k][1]))
    worse = next(k for k in range(40) if any(unjudged[k][1]))
    judged = replace(unjudged, judged=1.0)
    best, other = judged[clean], judged[worse]
    assert best[2] == pytest.approx(5)
    assert 1 <= other[2] < 5
    assert min(best[0].shape[:2]) == 64  # judged as it was, shown as the model sees it
    assert np.array_equal(best[0], unjudged[clean][0])  # whether it is judged changes nothing else
    assert other[1] == unjudged[worse][1]


# ------------------------------------------------------------------ parts


def test_parts_are_written_once_and_rounded_up(drawn: Wholes, tower: NanoVisionModel, tmp_path: Path) -> None:
    write_rows(tower, drawn, PART + 1, tmp_path, 0, 1)
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == ["00000.pt", "00001.pt"]
    rows = read_rows(tmp_path)
    assert rows.statistics.shape == (2 * PART, 4 * 12)
    assert rows.severity.shape == (2 * PART, len(CATEGORIES))
    assert rows.judged.isnan().all()
    assert {rows.statistics.dtype, rows.severity.dtype, rows.judged.dtype} == {torch.float32}
    before = [path.stat().st_mtime_ns for path in paths]
    write_rows(tower, drawn, PART + 1, tmp_path, 0, 1)
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_a_killed_run_goes_on_and_processes_share(drawn: Wholes, tower: NanoVisionModel, tmp_path: Path) -> None:
    """Two processes, one of which lost a part and left half a file: the same rows as of one that ran through."""
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    write_rows(tower, drawn, 3 * PART, whole, 0, 1)
    for process in (1, 0):
        write_rows(tower, drawn, 3 * PART, shared, process, 2)
    (shared / "00002.pt").unlink()
    (shared / "00002.tmp").write_bytes(b"half of it")
    write_rows(tower, drawn, 3 * PART, shared, 0, 2)
    for one, other in zip(vars(read_rows(whole)).values(), vars(read_rows(shared)).values(), strict=True):
        assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))


def test_rows_are_what_the_tower_sees(drawn: Wholes, tower: NanoVisionModel, tmp_path: Path) -> None:
    write_rows(tower, drawn, PART, tmp_path, 0, 1)
    rows = read_rows(tmp_path)
    for index in range(PART):
        pixels, severity, _ = drawn[index]
        seen = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        with torch.inference_mode():
            expected = tower.statistics(seen)[0]
        assert torch.allclose(rows.statistics[index], expected, rtol=2e-3, atol=2e-3)  # kept as half precision
        assert rows.severity[index].tolist() == pytest.approx(severity)


# ------------------------------------------------------------------ fitting


def test_heads_know_mean_and_deviation_as_half_precision_keeps_them() -> None:
    rows = made_rows()
    rows.statistics[:, 1] = 4.0  # one that never varies
    heads = StatisticHeads(3, 4, 2)
    standardise(heads, rows)
    assert torch.equal(heads.centre, rows.statistics.mean(0).half().float())
    assert heads.spread[[0, 2]].tolist() == pytest.approx(rows.statistics.std(0)[[0, 2]].tolist(), rel=1e-3)
    assert float(heads.spread[1]) == pytest.approx(wholes.LEAST_SPREAD, rel=1e-3)
    assert bool((heads.standardised(rows.statistics)[:, 1].abs() < 0.1).all())
    assert float(heads.standardised(rows.statistics).std(0)[0]) == pytest.approx(1, abs=0.01)


def test_the_batch_of_a_step_depends_on_seed_and_step_alone() -> None:
    rows = made_rows()
    all_ = list(batches(rows, 8, (3, 0), range(6)))
    late = list(batches(rows, 8, (3, 0), range(4, 6)))
    for one, other in zip(all_[4:], late, strict=True):
        assert torch.equal(one.statistics, other.statistics)
        assert torch.equal(one.severity, other.severity)
    assert all(batch.statistics.shape == (8, 3) and batch.judged.shape == (8,) for batch in all_)
    assert not torch.equal(all_[0].statistics, all_[1].statistics)
    other_process = next(batches(rows, 8, (3, 1), range(1)))
    assert not torch.equal(all_[0].statistics, other_process.statistics)
    known = {tuple(row) for row in rows.statistics.tolist()}
    assert all(tuple(row) in known for batch in all_ for row in batch.statistics.tolist())


def test_what_is_supposed_follows_the_severities_of_those_judged() -> None:
    """Each category's own curve: one costs half a level a step, the other two levels at once and no more."""
    chance = torch.Generator().manual_seed(3)
    severity = torch.randint(0, 6, (400, 2), generator=chance).float() * (
        torch.rand(400, 2, generator=chance) < 0.5
    )
    truth = 5 - 0.4 * severity[:, 0] - 1.5 * (severity[:, 1] > 0)
    judged = torch.where(torch.rand(400, generator=chance) < 0.3, truth, math.nan)
    found = supposed(severity, judged)
    assert found.dtype == torch.float32
    assert float((found - truth)[judged.isnan()].abs().max()) < 0.25  # the penalty shrinks a little
    assert bool(((found >= 1) & (found <= 5)).all())
    assert bool((found[(severity == 0).all(1)] == 5).all()), "an undistorted picture is known to be"
    few = torch.where(torch.arange(400) < 2, truth, math.nan)
    assert bool(supposed(severity, few).isfinite().all())
    assert bool(supposed(severity, torch.full((400,), math.nan)).isnan().all())


def constant(presence: float, severity: float, fidelity: float) -> StatisticHeads:
    heads = StatisticHeads(3, 4, 2)
    with torch.no_grad():
        for part, value in ((heads.presence, presence), (heads.severity, severity), (heads.fidelity, fidelity)):
            part.weight.zero_()
            part.bias.fill_(value)
    return heads


def plain(found: Losses) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in found.items()}


def test_losses_by_hand() -> None:
    """Of what is not there no severity is asked; a fidelity that is only supposed counts half."""
    batch = Rows(
        torch.zeros(3, 3),
        torch.tensor([[2.0, 0.0], [0.0, 5.0], [0.0, 0.0]]),
        torch.tensor([math.nan, 4.0, 2.9]),
        torch.tensor([5.0, 1.0, 1.0]),
    )
    found = plain(head_losses(constant(1.0, 2.5, 3.0), batch, drop=0.0, noise=0.0, clean=1.0))
    yes, no = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert found["presence"] == pytest.approx((2 * yes + 4 * no) / 6, rel=1e-5)
    assert found["severity"] == pytest.approx(((0.5 - 0.25) + 2 * (2.5 - 0.25)) / 3, rel=1e-5)  # 5 is an end
    assert found["fidelity"] == pytest.approx((0.5 * (2 - 0.15) + (1 - 0.15) + 0.5 * 0.1**2 / 0.3) / 3, rel=1e-4)


def test_undistorted_pictures_count_as_much_as_is_said() -> None:
    unknown = torch.full((2,), math.nan)
    batch = Rows(torch.zeros(2, 3), torch.tensor([[3.0, 0.0], [0.0, 0.0]]), unknown, unknown)
    found = plain(head_losses(constant(1.0, 3.0, 3.0), batch, drop=0.0, noise=0.0, clean=4.0))
    yes, no = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert found["presence"] == pytest.approx(((yes + no) / 2 + 4 * no) / 5, rel=1e-5)


def test_nothing_there_and_nothing_judged_costs_nothing() -> None:
    unknown = torch.full((2,), math.nan)
    batch = Rows(torch.zeros(2, 3), torch.zeros(2, 2), unknown, unknown)
    found = plain(head_losses(constant(0.0, 3.0, 3.0), batch, drop=0.0, noise=0.0, clean=1.0))
    assert (found["severity"], found["fidelity"]) == (0, 0)
    assert found["presence"] == pytest.approx(math.log(2))


def test_noise_is_measured_in_deviations() -> None:
    """A statistic with a spread of nothing is not shaken, whatever the noise."""
    torch.manual_seed(0)
    heads, batch = StatisticHeads(3, 4, 2), made_rows(12)
    heads.spread.fill_(1e-12)
    still = head_losses(heads, batch, drop=0.0, noise=0.0, clean=1.0)["presence"]
    assert torch.equal(head_losses(heads, batch, drop=0.0, noise=5.0, clean=1.0)["presence"], still)
    standardise(heads, batch)
    still = head_losses(heads, batch, drop=0.0, noise=0.0, clean=1.0)["presence"]
    assert not torch.equal(head_losses(heads, batch, drop=0.0, noise=5.0, clean=1.0)["presence"], still)


def test_a_fit_lowers_all_losses_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """As train/nano.py fits them: by the training loop, with a checkpoint; the same when it was interrupted."""
    rows, weights = made_rows(), {"presence": 3.0, "severity": 0.4, "fidelity": 0.3}

    def run(folder: Path, steps: int, save_every: int) -> StatisticHeads:
        torch.manual_seed(0)
        heads = StatisticHeads(3, 8, 2)
        standardise(heads, rows)
        optimizer = torch.optim.AdamW(heads.parameters(), lr=2e-2)
        plan = Plan("heads", folder, 80, warmup=5, save_every=save_every)
        fit(
            plan, heads, optimizer,
            lambda start: batches(rows, 32, (1, 0), range(start, steps)),
            lambda batch: weighted(head_losses(heads, batch, 0.0, 0.0, 2.0), weights),
        )  # fmt: skip
        return heads

    torch.manual_seed(0)
    fresh = StatisticHeads(3, 8, 2)
    standardise(fresh, rows)
    heads = run(tmp_path / "through", 80, 200)
    with torch.no_grad():
        before, after = (head_losses(one, rows, 0.0, 0.0, 2.0) for one in (fresh, heads))
    assert all(float(after[name]) < 0.7 * float(before[name]) for name in before)
    with pytest.raises(DataError, match="the batches ended after step 60"):
        run(tmp_path / "killed", 60, 40)
    again = run(tmp_path / "killed", 80, 40)
    for name, value in heads.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], atol=1e-6), name
    kept = load_state(tmp_path / "through" / "heads.pt")["model"]
    assert torch.equal(kept["centre"], heads.centre)
