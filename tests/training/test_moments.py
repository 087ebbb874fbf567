"""What the heads for the time of a clip learn from: slices, a severity for each moment, in parts that are kept."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mllmqa.data.build.pictures import Video
from mllmqa.data.video_distortions import IN_TIME, Clip, Step
from mllmqa.errors import DataError
from mllmqa.media.slices import STRIP, WIDTH, held, moments, runs, slices
from mllmqa.models.nano.timing import TimeHeads
from mllmqa.training import moments as recipe
from mllmqa.training.loop import Losses, Plan, fit, weighted
from mllmqa.training.moments import Clips, Moments, batches, read_clips, time_losses, write_clips
from tests import slices_made
from tests.conftest import photo_pixels

FLOWER = Path(__file__).parents[2] / "docs" / "samples" / "flower.mp4"
PART = 3


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{seed}.png" for seed in range(2)]
    for seed, path in enumerate(paths):
        Image.fromarray(photo_pixels(150, 100, seed)).save(path)
    return paths


@pytest.fixture(scope="module")
def drawn(photos: list[Path]) -> Clips:
    return Clips((), photos, real_share=0.0, short_px=48, seed=4)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "PART", PART)
    monkeypatch.setattr(recipe, "SECONDS", (1.4, 1.8))


def video(count: int = 60, fps: float = 20.0) -> Video:
    return Video(Clip.of(slices_made.frames(0, count), fps), Path("made.mp4"), "train")


def sliced(one: Video) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The only picture of a short clip, its severities, and when its rows are shown."""
    ((picture, severity),) = recipe._sliced(one)
    (times,) = moments(one.clip.timestamps_s)
    assert picture.shape == (len(times), WIDTH, 3)
    assert severity.shape == (len(times), len(IN_TIME))
    return picture, severity, times


# ------------------------------------------------------------------ clips


def test_a_clip_depends_on_seed_and_number_alone(drawn: Clips) -> None:
    for index in (0, 5):
        first, again = drawn[index], replace(drawn)[index]
        assert len(first) == len(again) <= 1
        for (picture, severity), (other, same) in zip(first, again, strict=True):
            assert np.array_equal(picture, other)
            assert np.array_equal(severity, same)
    found = [one[0][0].tobytes() for k in range(4) if (one := drawn[k])]
    assert len(set(found)) == len(found) > 1
    moved = [one[0][0].tobytes() for k in range(4) if (one := replace(drawn, seed=9)[k])]
    assert not set(found) & set(moved)


def test_pictures_of_made_up_clips(drawn: Clips) -> None:
    for picture, severity in (one for k in range(4) for one in drawn[k]):
        assert (picture.dtype, severity.dtype) == (np.uint8, np.float32)
        assert picture.shape[1:] == (WIDTH, 3)
        assert severity.shape == (len(picture), len(IN_TIME))
        assert np.isin(severity, range(6)).all()
        assert sum(severity.any(0)) <= 2
        assert picture[1:, 6 * STRIP :].any()  # there is grain: what stands still was made to


def test_real_clips_are_cut_turned_and_read_once() -> None:
    real = Clips([FLOWER], (), real_share=1.0, short_px=48, seed=1)
    found = [one for k in range(3) for one in real[k]]
    assert found
    assert list(real._read) == [FLOWER]
    whole = real._read[FLOWER]
    assert min(whole.frames_THWC.shape[1:3]) == 48
    again = [one for k in range(3) for one in replace(real)[k]]  # the clips that were read are kept
    assert all(np.array_equal(one[0], other[0]) for one, other in zip(found, again, strict=True))
    for seed in range(3):
        clip, path = real._real(np.random.default_rng(seed))
        assert path == FLOWER
        assert clip.fps == whole.fps
        assert clip.duration_s <= recipe.SECONDS[1] + 0.1
        height, width = clip.frames_THWC.shape[1:3]
        assert (height % 2, width % 2) == (0, 0)
    assert np.array_equal(real._read[FLOWER].frames_THWC, whole.frames_THWC)


def test_what_does_not_fit_gives_nothing(photos: list[Path], tmp_path: Path) -> None:
    """Nothing would be seen of a freeze in a grey clip: it is left out, it does not end the run."""
    grey = tmp_path / "grey.png"
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(grey)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "MOST_GRAIN", 0.0)
        patch.setattr(recipe, "UNDISTURBED", -1.0)
        patch.setattr(recipe, "TWO", 0.0)
        patch.setattr(recipe, "OFTEN", dict.fromkeys(("freeze",), 1e9))
        assert all(Clips((), [grey], 0.0, 48, seed)[0] == [] for seed in range(3))


# ------------------------------------------------------------------ labels


@pytest.mark.parametrize("name", ["flicker", "jitter"])
def test_what_fills_a_span_is_there_from_its_first_to_its_last_moment(name: str) -> None:
    done = video().distorted([Step(name, 4, (1.0, 2.0))], np.random.default_rng(0))
    (label,) = done.distortions
    _, severity, times = sliced(done)
    start, end = label.span_s or done.clip.whole
    inside = (times > start - 1e-6) & (times < end - 1e-6)
    assert 5 < inside.sum() < len(times)
    assert np.all(severity[inside, IN_TIME.index(name)] == 4)
    assert not severity[~inside].any()
    assert not np.delete(severity, IN_TIME.index(name), axis=1).any()


def test_a_freeze_is_marked_where_rows_are_equal() -> None:
    done = video().distorted([Step("freeze", 3)], np.random.default_rng(2))
    picture, severity, _ = sliced(done)
    frozen = severity[:, IN_TIME.index("freeze")] == 3
    lines = picture[:, : 6 * STRIP]
    still = np.array([False, *(lines[1:] == lines[:-1]).all(axis=(1, 2))])
    assert still.any()
    assert np.all(frozen[still])
    assert frozen.sum() - still.sum() <= 1  # the first moment of a freeze is the picture that stays


def test_dropped_frames_are_marked_while_others_fill_their_place() -> None:
    """The clip has a variable frame rate then: fewer frames, as many moments as before."""
    done = video().distorted([Step("frame_drop", 3, (1.0, 2.0))], np.random.default_rng(1))
    (label,) = done.distortions
    assert len(done.clip) < 60
    picture, severity, times = sliced(done)
    assert len(picture) == 60
    assert times == pytest.approx(np.arange(60) / 20)
    there = severity[:, IN_TIME.index("drop")] > 0
    start, end = label.span_s or done.clip.whole
    assert times[there].min() == pytest.approx(start)
    assert times[there].max() == pytest.approx(end - 1 / 20)
    missing = sorted(set(np.round(np.arange(60) / 20, 6)) - set(np.round(done.clip.timestamps_s, 6)))
    assert set(missing) <= set(np.round(times[there], 6).tolist())


def test_a_stall_lasts_as_long_as_it_lasts() -> None:
    done = video().distorted([Step("stall", 2)], np.random.default_rng(1))
    _, severity, times = sliced(done)
    there = severity[:, IN_TIME.index("stall")] > 0
    spans = [one.span_s for one in done.distortions]
    assert there.any()
    for time, marked in zip(times, there, strict=True):
        inside = any(span is None or span[0] - 1e-6 <= time < span[1] - 1e-6 for span in spans)
        assert marked == inside


def test_an_earlier_distortion_moves_with_a_later_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall in front of a freeze delays it; its label must be where it now is, whichever was done first."""
    monkeypatch.setattr(recipe, "UNDISTURBED", 0.0)
    monkeypatch.setattr(recipe, "TWO", 1.0)
    monkeypatch.setattr(recipe, "OFTEN", {"stall": 1e6, "freeze": 1e6})
    both = 0
    for seed in range(12):
        try:
            done = recipe._disturbed(video(), np.random.default_rng(seed))
        except DataError:  # a freeze that is longer than the clip
            continue
        freezes = [one for one in done.distortions if one.category == "freeze"]
        if len(freezes) != 1 or freezes[0].span_s is None:
            continue
        numbers = done.clip.numbers(freezes[0].span_s)
        frozen = done.clip.frames_THWC[numbers]
        assert np.all(frozen == frozen[0]), seed
        both += any(one.category == "stall" for one in done.distortions)
    assert both >= 3


def test_a_clip_of_two_pictures_keeps_its_labels_apart() -> None:
    done = video(300, 30.0).distorted([Step("flicker", 5, (6.0, 8.0))], np.random.default_rng(0))
    first, second = recipe._sliced(done)
    assert [len(first[0]), len(second[0])] == [150, 150] == [len(run) for run in runs(300)]
    assert not first[1].any()
    there = second[1][:, IN_TIME.index("flicker")] == 5
    assert np.flatnonzero(there).tolist() == list(range(30, 90))
    expected = slices(done.clip.frames_THWC[150:], held(done.clip.timestamps_s)[150:])
    assert np.array_equal(second[0], expected)


# ------------------------------------------------------------------ parts


def equal(one: list[Moments], other: list[Moments]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.slices, b.slices) and torch.equal(a.severity, b.severity)
        for a, b in zip(one, other, strict=True)
    )


def test_parts_are_written_once_and_a_killed_run_goes_on(drawn: Clips, tmp_path: Path) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    write_clips(drawn, PART + 1, whole, 0, 1)
    assert [path.name for path in sorted(whole.iterdir())] == ["00000.pt", "00001.pt"]
    rows = read_clips(whole)
    expected = [one for index in range(2 * PART) for one in drawn[index]]
    assert len(rows) == len(expected)
    for row, (picture, severity) in zip(rows, expected, strict=True):
        assert np.array_equal(row.slices.numpy(), picture)
        assert np.array_equal(row.severity.numpy(), severity)
    before = [path.stat().st_mtime_ns for path in sorted(whole.iterdir())]
    write_clips(drawn, 2 * PART, whole, 0, 1)
    assert [path.stat().st_mtime_ns for path in sorted(whole.iterdir())] == before
    write_clips(drawn, 2 * PART, shared, 1, 2)  # the second of two processes, then a killed first one again
    assert [path.name for path in shared.iterdir()] == ["00001.pt"]
    (shared / "00000.tmp").write_bytes(b"half of it")
    write_clips(drawn, 2 * PART, shared, 0, 2)
    assert equal(read_clips(shared), rows)


# ------------------------------------------------------------------ fitting


def test_the_batch_of_a_step_depends_on_seed_and_step_alone() -> None:
    rows = slices_made.table()
    all_ = list(batches(rows, 3, (10, 20), (1, 0), range(6)))
    late = list(batches(rows, 3, (10, 20), (1, 0), range(4, 6)))
    assert equal(all_[4:], late)
    assert not equal(all_[:2], all_[2:4])
    assert not equal(all_[:1], list(batches(rows, 3, (10, 20), (1, 1), range(1))))
    lengths = {len(batch.slices[0]) for batch in all_}
    assert lengths <= set(range(10, 21)) and len(lengths) > 1
    for batch in all_:
        assert batch.slices.shape[0] == batch.severity.shape[0] == 3
        assert batch.slices.shape[:2] == batch.severity.shape[:2]


def test_pieces_are_parts_of_pictures_and_half_are_mirrored() -> None:
    row = slices_made.table()[1]
    turned = row.slices.reshape(len(row.slices), 8, STRIP, 3).flip(2).reshape(row.slices.shape)
    ways = {"as it is": 0, "mirrored": 0}
    for batch in batches([row], 5, (7, 12), (0,), range(8)):
        for piece, severity in zip(batch.slices, batch.severity, strict=True):
            n = len(piece)
            starts = range(len(row.slices) - n + 1)
            plain = [k for k in starts if torch.equal(row.slices[k : k + n], piece)]
            mirrored = [k for k in starts if torch.equal(turned[k : k + n], piece)]
            ways["as it is"] += bool(plain)
            ways["mirrored"] += bool(mirrored)
            assert any(torch.equal(row.severity[k : k + n], severity) for k in [*plain, *mirrored])
    assert min(ways.values()) >= 8
    assert sum(ways.values()) >= 40


def test_short_pictures_are_left_out_or_are_all_there_is() -> None:
    short, long = slices_made.moments(1, 6), slices_made.moments(2, 20)
    of_long = list(batches([short, long], 2, (12, 12), (0,), range(4)))
    assert all(batch.slices.shape[:2] == (2, 12) for batch in of_long)
    assert {batch.slices.shape[:2] for batch in batches([short], 2, (12, 12), (0,), range(2))} == {(2, 6)}


def constant(presence: float, severity: float, rows: float) -> TimeHeads:
    heads = TimeHeads(32, 4, 2)
    with torch.no_grad():
        for part, value in ((heads.presence, presence), (heads.severity, severity), (heads.rows, rows)):
            part.weight.zero_()
            part.bias.fill_(value)
    return heads


def plain(found: Losses) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in found.items()}


def test_losses_by_hand() -> None:
    """The first has three moments of one category, the second one moment of another: of that nothing is asked."""
    severity = torch.zeros(2, 4, 2)
    severity[0, 1:, 0] = 4.0
    severity[1, 2, 1] = 2.0
    batch = Moments(torch.zeros(2, 4, 32, 3, dtype=torch.uint8), severity)
    found = plain(time_losses(constant(1.0, 3.0, -2.0), batch, 0.0))
    yes, no = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert found["presence"] == pytest.approx((yes + 2 * no) / 3, rel=1e-5)
    absent, there = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert found["moments"] == pytest.approx((12 * absent + 4 * there) / 16, rel=1e-5)
    assert found["severity"] == pytest.approx(0.5, rel=1e-5)


def test_undisturbed_clips_have_no_severity() -> None:
    batch = Moments(torch.zeros(2, 4, 32, 3, dtype=torch.uint8), torch.zeros(2, 4, 2))
    found = plain(time_losses(constant(0.0, 3.0, 0.0), batch, 0.0))
    assert found["severity"] == 0
    assert found["presence"] == pytest.approx(math.log(2))


def test_pieces_that_hold_one_moment_of_everything_ask_nothing() -> None:
    severity = torch.zeros(2, 4, 2)
    severity[:, 1] = 3.0
    found = time_losses(
        constant(0.0, 3.0, 0.0), Moments(torch.zeros(2, 4, 32, 3, dtype=torch.uint8), severity), 0.0
    )
    assert (found["presence"], found["severity"]) == (0, 0)


def test_a_fit_lowers_all_losses(tmp_path: Path) -> None:
    """As train/nano.py fits them: by the training loop."""
    rows = slices_made.table()
    whole = Moments(*(torch.stack([getattr(row, name) for row in rows]) for name in ("slices", "severity")))
    torch.manual_seed(0)
    heads = TimeHeads(WIDTH, 8, len(IN_TIME))
    with torch.no_grad():
        before = time_losses(heads, whole, 0.0)
    plan = Plan("in_time", tmp_path, 30, warmup=3, clip=1.0)
    fit(
        plan,
        heads,
        torch.optim.AdamW(heads.parameters(), lr=6e-3),
        lambda start: batches(rows, 4, (20, 30), (0,), range(start, plan.steps)),
        lambda batch: weighted(time_losses(heads, batch, 0.1), {"presence": 5.0, "moments": 5.0, "severity": 0.3}),
    )
    with torch.no_grad():
        after = time_losses(heads, whole, 0.0)
    assert all(float(after[name]) < 0.9 * float(before[name]) for name in before)
