"""Decoders that are asked for by name agree with our index, or refuse in one line that names what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mllmqa.errors import MediaCorruptError, MediaError, MediaFormatError
from mllmqa.media import OpenMedia, decode_frames, open_media, video_index
from mllmqa.media.optional_decoders import (
    DECORD_FORMATS,
    _check_count,
    _check_times,
    _checked_shape,
    decord_name,
    torchcodec_loads,
)
from tests.media.made import make_video, number_of

pytest.importorskip("decord", reason="decord has no wheel here")

DECODERS = ["decord", *(["torchcodec"] if torchcodec_loads() else [])]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> OpenMedia:
    return open_media(make_video(tmp_path_factory.mktemp("named") / "clip.mp4", 20))


@pytest.mark.parametrize("decoder", DECODERS)
def test_paths_and_bytes_give_the_wanted_frames(clip: OpenMedia, decoder: str) -> None:
    for media in (clip, open_media(Path(clip.info.name).read_bytes())):
        shown = decode_frames(media, [1.9, 0.0, 0.75], decoder=decoder, threads=1)
        assert [number_of(f) for f in shown.frames_THWC] == [19, 0, 7]
        assert shown.timestamps_s == pytest.approx((1.9, 0.0, 0.7))
        assert shown.decoder.split()[0] == decoder


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(("factor", "drop"), [(1.0, 1), (1.01, 0)])
def test_a_decoder_that_counts_or_times_otherwise_refuses(
    clip: OpenMedia, decoder: str, factor: float, drop: int
) -> None:
    """The index is changed, as if it and the decoder read different files."""
    index = video_index(clip)
    kept = slice(0, len(index) - drop)
    other = replace(index, timestamps_s=index.timestamps_s[kept] * factor, keyframes=index.keyframes[kept])
    words = "counts 20 frames where 19 are shown" if drop else "gives frames at other times than the file states"
    with pytest.raises(MediaFormatError, match=rf"clip\.mp4: {decoder} {words}; use the decoder auto"):
        decode_frames(replace(clip, index=other), [0.0, 1.8], decoder=decoder)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_common_offset_of_all_times_is_a_convention(clip: OpenMedia, decoder: str) -> None:
    index = video_index(clip)
    shifted = replace(clip, index=replace(index, timestamps_s=index.timestamps_s + 0.5))
    shown = decode_frames(shifted, [0.5, 1.5], decoder=decoder)
    assert [number_of(f) for f in shown.frames_THWC] == [0, 10]


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_file_that_broke_after_it_was_opened_is_one_line(tmp_path: Path, decoder: str) -> None:
    path = make_video(tmp_path / "gone.mp4", 8)
    media = open_media(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(MediaCorruptError) as caught:
        decode_frames(media, [0.0, 0.7], decoder=decoder)
    assert str(caught.value) == f"{path}: {decoder} cannot decode it; use the decoder auto"


def test_decord_refuses_containers_in_which_it_guesses(tmp_path: Path) -> None:
    media = open_media(make_video(tmp_path / "a.ts", 6))
    assert media.info.format not in DECORD_FORMATS
    with pytest.raises(MediaFormatError, match=r"a\.ts: decord is not exact on mpegts files; use the decoder auto"):
        decode_frames(media, [0.0], decoder="decord")


def test_counts_and_times_at_their_limits(clip: OpenMedia) -> None:
    times = video_index(clip).timestamps_s
    _check_count("x", 20, clip)
    with pytest.raises(MediaError, match="x counts 21 frames where 20 are shown"):
        _check_count("x", 21, clip)
    wanted = [0, 3, 7]
    late = times[wanted] + np.array([0.0, 0.0, 0.0019])
    _check_times("x", late, wanted, clip)
    with pytest.raises(MediaError, match="other times"):
        _check_times("x", late + np.array([0.0, 0.0, 0.0002]), wanted, clip)


@pytest.mark.parametrize("shape", [(2, 96, 64, 3), (2, 64, 96, 4), (2, 64, 95, 3)])
def test_frames_of_another_shape_are_refused(clip: OpenMedia, shape: tuple[int, ...]) -> None:
    with pytest.raises(MediaFormatError, match=r"x gives frames of shape \(\d+, \d+, \d\); use the decoder auto"):
        _checked_shape("x", np.zeros(shape, np.uint8), clip)
    good = np.zeros((2, 64, 96, 3), np.uint8)
    assert _checked_shape("x", good, clip) is good


def test_an_image_goes_through_pillow_whatever_decoder_is_named() -> None:
    still = decode_frames(open_media(np.full((32, 32), 7, np.uint8)), decoder="decord")
    assert (still.decoder, still.timestamps_s, still.frames_THWC.shape) == ("array", (), (1, 32, 32, 3))
    assert decord_name().startswith("decord 0.")
