"""Views: exact where they must be, the right shape everywhere, the frame left alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.media import MEAN_COLOR, decode_image, open_media, parse_view
from mllmqa.media.views import fragment_corners, fragments, resize, square_tiles, tiles
from tests.media.made import SHARED, scene

VIEWS = {
    "native": None,
    "pad-square:56": (56, 56),
    "resize:40": None,
    "resize:30x20": (20, 30),
    "fit:40": None,
    "fit-short:40": None,
    "center-crop:24": (24, 24),
    "random-crop:24": (24, 24),
    "fragments:7x4": (28, 28),
    "tiles:2x3": None,
    "square-tiles:32": (32, 32),
}
frames = st.tuples(st.integers(16, 90), st.integers(16, 90)).flatmap(
    lambda s: arrays(np.uint8, (*s, 3), fill=st.just(7))
)


@settings(max_examples=40, deadline=None)
@given(frame=frames, name=st.sampled_from(sorted(VIEWS)))
def test_shape_type_and_an_untouched_input(frame: np.ndarray, name: str) -> None:
    before = frame.copy()
    view = parse_view(name)
    seen = view(frame, np.random.default_rng(0))
    assert len(seen) >= 1
    for picture in seen:
        assert picture.dtype == np.uint8
        assert picture.flags.c_contiguous
        assert picture.shape[2:] == (3,)
        assert VIEWS[name] in (None, picture.shape[:2])
    np.testing.assert_array_equal(frame, before)
    assert view.pad_color == MEAN_COLOR


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("native", 48),
        ("pad-square:48", 48),
        ("resize:48", 48),
        ("resize:48x48", 48),
        ("center-crop:48", 48),
        ("square-tiles:48", 48),
        ("tiles:1x1", 48),
        ("fragments:3x16", 48),
    ],
)
def test_a_frame_of_the_right_size_stays_itself(name: str, side: int) -> None:
    frame = scene(3, side, side)
    (seen,) = parse_view(name)(frame)
    np.testing.assert_array_equal(seen, frame)


def test_pad_square_is_the_published_preprocessing() -> None:
    folder = SHARED / "fixtures/mplug_owl2/preprocess_448"
    if not folder.exists():
        pytest.skip("shared fixtures are not on this machine")
    view = parse_view("pad-square:448")
    cases = json.loads((folder / "meta.json").read_text())
    checked = 0
    for name, case in cases.items():
        if not (folder / f"{name}.png").exists() or not name.startswith("rgb_"):
            continue
        frame = np.array(Image.open(folder / f"{name}.png").convert("RGB"))
        (seen,) = view(frame)
        chw = np.ascontiguousarray(seen.transpose(2, 0, 1))
        expected = case["convert_rgb_first"]["sha256_resized_uint8_chw"]
        assert hashlib.sha256(chw.tobytes()).hexdigest() == expected, name
        checked += 1
    assert checked >= 5


def test_padding_is_centred_and_rounded_down() -> None:
    (seen,) = parse_view("pad-square:21")(np.full((16, 21, 3), 200, np.uint8))
    assert (seen[:2] == MEAN_COLOR).all()
    assert (seen[2:18] == 200).all()
    assert (seen[18:] == MEAN_COLOR).all()


class Drawn:
    """Gives the shifts that the original drew: rows first, then columns."""

    def __init__(self, shifts: Iterable[np.ndarray]) -> None:
        self.shifts = list(shifts)

    def integers(self, low: int, high: int, size: int) -> np.ndarray:
        return self.shifts.pop(0).reshape(-1)


def test_fragments_are_those_of_the_original() -> None:
    path = SHARED / "fixtures/classic/sampling/sampling.json"
    if not path.exists():
        pytest.skip("shared fixtures are not on this machine")
    cases = json.loads(path.read_text())["spatial"]
    assert len(cases) == 8
    for case in cases:
        rows, room_y = fragment_corners(case["H"], case["grid"], case["fsize"])
        columns, room_x = fragment_corners(case["W"], case["grid"], case["fsize"])
        assert (rows, columns) == (case["row_anchors"], case["col_anchors"])
        assert (room_y, room_x) == (
            max(case["max_row_shift_exclusive"], 0),
            max(case["max_col_shift_exclusive"], 0),
        )
        corners = np.array(case["top_left_per_grid_per_alignedblock"])[:, :, 0]
        shifts = np.stack([corners[..., 0] - np.array(rows)[:, None], corners[..., 1] - np.array(columns)[None]])
        y, x = np.mgrid[0 : case["H"], 0 : case["W"]]
        frame = np.stack([y % 251, x % 251, (y // 251) * 16 + x // 251], axis=-1).astype(np.uint8)

        if min(case["H"], case["W"]) < case["grid"] * case["fsize"]:
            continue
        seen = fragments(
            frame,
            case["grid"],
            case["fsize"],
            Drawn(s for s, room in zip(shifts, (room_y, room_x), strict=True) if room),
        )
        for row in range(case["grid"]):
            for column in range(case["grid"]):
                top, left = corners[row, column]
                size = case["fsize"]
                patch = seen[row * size : (row + 1) * size, column * size : (column + 1) * size]
                np.testing.assert_array_equal(patch, frame[top : top + size, left : left + size])


def test_fragments_lie_in_the_centre_of_their_cells() -> None:
    y, x = np.mgrid[0:60, 0:80].astype(np.uint8)
    seen = fragments(np.stack([y, x, y], axis=-1), 2, 10)
    assert seen[0, 0].tolist() == [10, 15, 10]
    assert seen[10, 10].tolist() == [40, 55, 40]


@settings(max_examples=30, deadline=None)
@given(frame=frames, rows=st.integers(1, 5), columns=st.integers(1, 5))
def test_tiles_cover_every_pixel_once(frame: np.ndarray, rows: int, columns: int) -> None:
    cut = tiles(frame, rows, columns)
    bands = [np.concatenate(cut[r * columns : (r + 1) * columns], axis=1) for r in range(rows)]
    np.testing.assert_array_equal(np.concatenate(bands), frame)


@pytest.mark.parametrize(
    ("width", "height", "count"),
    [
        (512, 512, 1),
        (537, 512, 1),
        (540, 512, 2),
        (1024, 512, 2),
        (1920, 1080, 2),
        (1080, 1920, 2),
        (512, 1100, 3),
        (5000, 512, 4),
    ],
)
def test_square_tiles_are_as_many_as_the_aspect_asks_for(width: int, height: int, count: int) -> None:
    frame = np.zeros((height, width, 3), np.uint8)
    frame[0, 0], frame[-1, -1] = 255, 255
    seen = square_tiles(frame, min(width, height))
    assert len(seen) == count
    if count > 1:
        assert seen[0][0, 0].tolist() == seen[-1][-1, -1].tolist() == [255, 255, 255]


def test_resizing_is_pillows_bicubic() -> None:
    frame = scene(3, 120, 90)
    (seen,) = parse_view("resize:45")(frame)
    np.testing.assert_array_equal(seen, np.array(Image.fromarray(frame).resize((60, 45), Image.Resampling.BICUBIC)))


def test_crops() -> None:
    frame = scene(3, 100, 60)
    (centre,) = parse_view("center-crop:40")(frame, np.random.default_rng(0))
    np.testing.assert_array_equal(centre, frame[10:50, 30:70])
    draws = {parse_view("random-crop:40")(frame, np.random.default_rng(s))[0].tobytes() for s in range(5)}
    assert len(draws) > 1
    (enlarged,) = parse_view("center-crop:90")(frame)
    assert enlarged.shape == (90, 90, 3)
    with pytest.raises(UsageError, match="random-crop:40 is random; pass a numpy Generator"):
        parse_view("random-crop:40")(frame)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "native:3",
        "pad-square",
        "pad-square:0",
        "resize:3x",
        "resize:99999",
        "fragments:7",
        "fragments:9999x9999",
        "tiles:2",
        "zoom:2",
    ],
)
def test_wrong_names_list_the_views(text: str) -> None:
    with pytest.raises(UnknownNameError, match=r"no view is called .*one of native, pad-square:N"):
        parse_view(text)


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_names_are_canonical(name: str) -> None:
    assert parse_view(parse_view(f" {name.upper()}").name) == parse_view(name)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3)),
        np.zeros((0, 20, 3), np.uint8),
    ],
)
def test_only_rgb_frames_are_viewed(bad: np.ndarray) -> None:
    with pytest.raises(UsageError, match="takes uint8 RGB HWC"):
        parse_view("native")(bad)


def test_a_view_of_a_real_photo() -> None:
    path = SHARED / "media/pristine/p0007.jpg"
    if not path.exists():
        pytest.skip("shared media are not on this machine")
    seen = parse_view("square-tiles:512")(decode_image(open_media(path)))
    assert {s.shape for s in seen} == {(512, 512, 3)}


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(90, 60, (45, 30)), (60, 90, (30, 45)), (45, 20, (45, 20)), (30, 30, (30, 30)), (800, 16, (45, 1))],
)
def test_fit_shrinks_to_the_long_side_and_never_enlarges(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    (seen,) = parse_view("fit:45")(np.zeros((height, width, 3), np.uint8))
    assert seen.shape[:2] == expected
    assert max(int(width * 45 / max(height, width)), 1) == expected[1] or max(height, width) <= 45


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(1080, 1920, (45, 80)), (1920, 1080, (80, 45)), (45, 90, (45, 90)), (20, 900, (20, 900)), (46, 46, (45, 45))],
)
def test_fit_short_shrinks_to_the_short_side_and_never_enlarges(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    (seen,) = parse_view("fit-short:45")(np.zeros((height, width, 3), np.uint8))
    assert seen.shape[:2] == expected


@pytest.mark.parametrize("kept", ["as they are", "read-only", "turned over"])
def test_fit_short_is_pillows_bicubic_filter_for_any_array(kept: str) -> None:
    frame = scene(3, 300, 170)
    if kept == "read-only":
        frame.flags.writeable = False
    if kept == "turned over":
        frame = frame[::-1, ::-1]
    (seen,) = parse_view("fit-short:64")(frame)
    wanted = resize(np.ascontiguousarray(frame), seen.shape[1], seen.shape[0])
    assert seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(
    ("height", "width", "short_px"),
    [(450, 700, 448), (1080, 1920, 448), (1080, 1440, 224), (500, 2, 1), (60, 3, 2), (90, 47, 31), (90, 47, 32)],
)
def test_fit_short_is_pillows_filter_to_two_grey_levels(height: int, width: int, short_px: int) -> None:
    """Black and white pixels are the hardest: the filter overshoots everywhere."""
    frame = np.random.default_rng(5).integers(0, 2, (height, width, 3)).astype(np.uint8) * 255
    (seen,) = parse_view(f"fit-short:{short_px}")(frame)
    off = np.abs(seen.astype(int) - resize(frame, seen.shape[1], seen.shape[0]))
    assert off.max() <= (2 if short_px >= 32 else 0)
    assert off.mean() < 0.1


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_views_of_many_frames_are_those_of_each_in_order(name: str) -> None:
    """Also where places are drawn: the stream is read in the order of the frames, whatever threads do."""
    several = np.stack([scene(k, 90, 60) for k in range(9)])
    view = parse_view(name)
    one_by_one = np.random.default_rng(3)
    wanted = [view(frame, one_by_one) for frame in several]
    found = view.each(several, np.random.default_rng(3))
    assert [len(views) for views in found] == [len(views) for views in wanted]
    for mine, theirs in zip(found, wanted, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert np.array_equal(a, b)
            assert not np.shares_memory(a, several), "a copy: the decoder's frames may be let go"


def test_what_a_view_of_many_frames_cannot_take_is_said_as_for_one() -> None:
    with pytest.raises(UsageError, match="uint8 RGB HWC"):
        parse_view("fit:40").each(np.zeros((3, 20, 20, 3), np.float32))  # type: ignore[arg-type]
