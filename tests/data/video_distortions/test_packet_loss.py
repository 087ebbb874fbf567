"""Packet loss: errors begin at a loss, stay in their box, and end at a key frame."""

from __future__ import annotations

import numpy as np
import pytest

from mllmqa.data.video_distortions import Clip, apply
from mllmqa.errors import DataError
from tests.data.video_distortions.clips import generator, moving

CLIP = moving(80)


def one_loss(seed: int = 0, clip: Clip = CLIP) -> tuple[Clip, object]:
    done = apply(clip, "packet_loss", 1, np.random.default_rng(seed), within=(1.0, 2.0))
    (record,) = done.applied
    return done.clip, record


@pytest.mark.parametrize("seed", range(6))
def test_damage_is_where_and_when_the_record_says(seed: int) -> None:
    seen, record = one_loss(seed)
    apart = np.abs(seen.frames_THWC.astype(int) - CLIP.frames_THWC).max(axis=3)
    numbers = CLIP.numbers(record.span_s)
    hit = np.flatnonzero(apart.any(axis=(1, 2)))
    assert hit.tolist() == numbers.tolist()
    x0, y0, x1, y1 = (round(f * s) for f, s in zip(record.box, (96, 64, 96, 64), strict=True))
    inside = np.zeros((64, 96), bool)
    inside[y0:y1, x0:x1] = True
    assert apart[:, ~inside].max() == 0
    assert record.effect > 1


@pytest.mark.parametrize("seed", range(6))
def test_it_lasts_until_the_next_key_frame(seed: int) -> None:
    _, record = one_loss(seed)
    assert record.parameters["key_interval_frames"] == 20
    assert record.span_s[1] == pytest.approx(2.0)
    assert record.span_s[0] > 1.0


def test_span_ends_at_the_bound_where_no_key_frame_comes() -> None:
    done = apply(CLIP, "packet_loss", 1, generator(), within=(1.0, 1.5))
    assert done.applied[0].span_s[1] == pytest.approx(1.5)


def test_blocks_are_counted_by_mode() -> None:
    done = apply(CLIP, "packet_loss", 5, generator())
    for record in done.applied:
        assert sum(record.parameters["modes"].values()) == record.parameters["blocks"] == round(0.45 * 24)
    modes = {mode for record in done.applied for mode, count in record.parameters["modes"].items() if count}
    assert modes == {"copied", "shifted", "grey"}


def test_grey_blocks_are_grey_at_the_loss() -> None:
    done = apply(CLIP, "packet_loss", 5, generator(2), within=(1.0, 1.6))
    first = min(done.applied, key=lambda one: one.span_s)
    frame = done.clip.frames_THWC[CLIP.at(first.span_s[0])]
    blocks = frame.reshape(4, 16, 6, 16, 3).swapaxes(1, 2).reshape(24, -1)
    assert int((blocks == 128).all(axis=1).sum()) == first.parameters["modes"]["grey"] > 0


def test_error_is_carried_on_with_the_motion() -> None:
    still = Clip.of(np.repeat(CLIP.frames_THWC[:1], 40, axis=0), 20)
    seen, record = one_loss(1, still)
    pictures = seen.frames_THWC[seen.numbers(record.span_s)]
    assert all(np.array_equal(pictures[0], p) for p in pictures)


def test_number_of_losses_follows_severity() -> None:
    counts = [len(apply(CLIP, "packet_loss", s, generator()).applied) for s in (1, 2, 3, 4, 5)]
    assert counts == [2, 3, 4, 7, 10]


def test_damage_grows_with_severity() -> None:
    damage = []
    for severity in (1, 2, 3, 4, 5):
        seen = [apply(CLIP, "packet_loss", severity, generator(s)).clip.frames_THWC for s in range(4)]
        damage.append(np.mean([np.abs(f.astype(int) - CLIP.frames_THWC).mean() for f in seen]))
    assert damage == sorted(damage)


def test_records_stand_in_order_of_time() -> None:
    spans = [one.span_s for one in apply(CLIP, "packet_loss", 5, generator()).applied]
    assert spans == sorted(spans)


def test_sides_that_are_no_multiple_of_16() -> None:
    clip = moving(30, width=70, height=50)
    done = apply(clip, "packet_loss", 5, generator())
    assert done.clip.frames_THWC.shape == clip.frames_THWC.shape
    for record in done.applied:
        assert record.box is not None
        assert 0 <= record.box[0] < record.box[2] <= 1
        assert 0 <= record.box[1] < record.box[3] <= 1


def test_key_frames_alone_cannot_be_hit() -> None:
    with pytest.raises(DataError, match="only key frames"):
        apply(CLIP, "packet_loss", 1, generator(), within=(1.0, 1.05))
