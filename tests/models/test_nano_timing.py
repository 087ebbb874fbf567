"""Nano's heads for the time of a clip: any length, no neighbours, a freeze told from a flicker, and when it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mllmqa.data.video_distortions import IN_TIME
from mllmqa.media.slices import STRIP, WIDTH, slices
from mllmqa.models.nano.diagnosis import examined_in_time
from mllmqa.models.nano.timing import DILATIONS, GAIN, InTime, Moments, TimeHeads
from tests import slices_made
from tests.slices_made import FLICKER, FREEZE

SOME = range(15, 26)


@pytest.fixture(scope="module")
def heads() -> TimeHeads:
    """Random ones."""
    torch.manual_seed(3)
    return TimeHeads(WIDTH, 8, 4).eval()


def chance(batch: int, rows: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, rows, WIDTH, 3), generator=generator, dtype=torch.uint8)


def found(picture: torch.Tensor) -> InTime:
    heads = slices_made.trained()
    with torch.inference_mode():
        return heads.found(picture[None])


# ------------------------------------------------------------------ shapes and bounds


@pytest.mark.parametrize("rows", [1, 2, 3, 17, 256])
def test_any_number_of_moments(heads: TimeHeads, rows: int) -> None:
    with torch.inference_mode():
        presence, severity, moments = heads(chance(2, rows))
        told = heads.found(chance(2, rows))
    assert (presence.shape, severity.shape, moments.shape) == ((2, 4), (2, 4), (2, rows, 4))
    assert (told.presence.shape, told.severity.shape, told.rows.shape) == ((2, 4), (2, 4), (2, rows, 4))
    assert all(bool(values.isfinite().all()) for values in (presence, severity, moments))


def test_what_is_found_lies_within_its_bounds(heads: TimeHeads) -> None:
    """Logits become probabilities, a severity is cut to 1..5."""
    picture = chance(3, 12)
    with torch.no_grad():
        presence, severity, moments = heads(picture)
        told = heads.found(picture)
        assert torch.allclose(told.presence, presence.sigmoid())
        assert torch.allclose(told.rows, moments.sigmoid())
        assert torch.allclose(told.severity, severity.clamp(1, 5))
        for bias, wanted in ((-50.0, 1.0), (50.0, 5.0)):
            kept = heads.severity.bias.clone()
            heads.severity.bias.fill_(bias)
            assert bool((heads.found(picture).severity == wanted).all())
            heads.severity.bias.copy_(kept)


def test_a_clip_does_not_depend_on_its_batch(heads: TimeHeads) -> None:
    pictures = chance(4, 20)
    with torch.inference_mode():
        together = heads(pictures)
        for row in range(4):
            for whole, one in zip(together, heads(pictures[row : row + 1]), strict=True):
                assert torch.allclose(whole[row], one[0], atol=1e-5)
    assert float((together[0][0] - together[0][1]).abs().max()) > 1e-5  # the check can fail


def test_nothing_is_dropped_outside_of_training(heads: TimeHeads) -> None:
    picture = chance(1, 9)
    with torch.no_grad():
        assert torch.equal(heads(picture)[0], heads(picture)[0])
        torch.manual_seed(0)
        first = heads(picture, drop=0.5)[0]
        assert not torch.equal(first, heads(picture, drop=0.5)[0])


def test_gradients_reach_every_weight() -> None:
    torch.manual_seed(0)
    heads = TimeHeads(WIDTH, 8, 3)
    presence, severity, moments = heads(chance(2, 10))
    (presence.square().sum() + severity.square().sum() + moments.square().sum()).backward()
    assert not [name for name, weight in heads.named_parameters() if weight.grad is None]


# ------------------------------------------------------------------ by hand


def test_a_moment_sees_as_far_as_it_says(heads: TimeHeads) -> None:
    """63 moments to each side: the sum of the dilations; the difference to the row before reaches one further."""
    reach = sum(DILATIONS)
    assert 2 * reach + 1 == 127
    rows = 2 * reach + 40
    picture = chance(1, rows)
    other = picture.clone()
    other[0, 0] = 255 - other[0, 0]
    with torch.inference_mode():
        moved = (heads(picture)[2] - heads(other)[2]).abs().amax(dim=(0, 2))
    assert float(moved[0]) > 1e-6
    assert float(moved[reach + 2 :].max()) < 1e-6


def test_blocks_leave_the_shape_and_start_from_what_they_get() -> None:
    block = Moments(6, 4)
    x = torch.randn(2, 6, 11)
    assert block(x).shape == x.shape
    with torch.no_grad():
        block.mix.weight.zero_()
        block.mix.bias.zero_()
    assert torch.equal(block(x), x)


def test_lines_and_their_change_are_what_is_seen() -> None:
    """Six maps: red, green and blue from -1 to 1, and how much they differ from the row before."""
    heads = TimeHeads(32, 2, 1)
    seen: list[torch.Tensor] = []
    heads.lines.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    picture = torch.zeros(1, 3, 32, 3, dtype=torch.uint8)
    picture[0, 1, :, 0] = 51
    picture[0, 2, :, 0] = 255
    with torch.inference_mode():
        heads(picture)
    (maps,) = seen
    assert maps.shape == (1, 6, 3, 32)
    assert maps[0, 0, :, 0].tolist() == pytest.approx([-1, -0.6, 1])
    assert maps[0, 3, :, 0].tolist() == pytest.approx([0, GAIN * 0.4, GAIN * 1.6])  # nothing came before the first
    assert bool((maps[0, 1:3] == -1).all()) and bool((maps[0, 4:] == 0).all())


# ------------------------------------------------------------------ what they learn


@pytest.mark.parametrize(
    ("kind", "there", "not_there"), [("freeze", FREEZE, FLICKER), ("flicker", FLICKER, FREEZE)]
)
def test_a_freeze_is_told_from_a_flicker_and_when(kind: str, there: int, not_there: int) -> None:
    """On a clip that was not trained on, and on the same with its lines mirrored."""
    one = slices_made.moments(31, 40, **{kind: SOME})
    mirrored = one.slices.reshape(40, -1, STRIP, 3).flip(2).flatten(1, 2)
    assert not torch.equal(mirrored, one.slices)
    for picture in (one.slices, mirrored):
        told = found(picture)
        assert float(told.presence[0, there]) > 0.5 > float(told.presence[0, not_there])
        moments = set((told.rows[0, :, there] > 0.5).nonzero()[:, 0].tolist())
        assert len(moments & set(SOME)) >= len(SOME) - 3
        assert len(moments - set(SOME)) <= 3
    assert float(found(one.slices).severity[0, there]) == pytest.approx({"freeze": 4, "flicker": 2}[kind], abs=1.5)


def test_nothing_is_found_where_nothing_happens() -> None:
    told = found(slices_made.moments(31, 40).slices)
    assert float(told.presence[0].max()) < 0.5
    assert float(told.rows.max()) < 0.5


def test_examined_in_time_names_all_categories_in_order() -> None:
    """What the back end hands over is what the heads find, also of an array that does not lie in one piece."""
    picture = slices(slices_made.frames(32, 24, freeze=range(8, 16)), [1] * 24)
    told, given = found(torch.from_numpy(picture)), examined_in_time(slices_made.trained(), picture)
    assert [one.found.category for one in given] == list(IN_TIME)
    assert [one.found.probability for one in given] == pytest.approx(told.presence[0].tolist(), abs=1e-6)
    assert [one.found.severity for one in given] == pytest.approx(told.severity[0].tolist(), abs=1e-5)
    assert pytest.approx(told.rows[0].numpy(), abs=1e-6) == np.array([one.rows for one in given]).T
    backwards = examined_in_time(slices_made.trained(), picture[::-1])
    assert backwards == examined_in_time(slices_made.trained(), np.ascontiguousarray(picture[::-1]))
