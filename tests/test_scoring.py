"""The scorer on real files and objects, with the embedded model."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mllmqa import prompts
from mllmqa.errors import (
    InferenceError,
    MediaAccessError,
    MediaCorruptError,
    MediaNotFoundError,
    UnknownNameError,
    UsageError,
)
from mllmqa.models.base import LevelLogits
from mllmqa.prepare import ScoreOptions
from mllmqa.schema import Score, Unscored, read_result
from mllmqa.scoring import Input, Scorer
from tests.conftest import photo_pixels


def write_clip(path: Path, pictures: list[np.ndarray], fps: int = 5) -> Path:
    """Write pictures as an H.264 clip."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = [photo_pixels(128, 96, seed=i) for i in range(15)]
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", pictures)


def _score(scorer: Scorer, source: object, **options: object) -> Score:
    return scorer.score(source, ScoreOptions(**options))  # type: ignore[call-overload, arg-type, no-any-return]


def test_path_stream_bytes_picture_and_array_agree(nano: Scorer, photo: Path) -> None:
    pixels = np.asarray(Image.open(photo))
    sources = [str(photo), photo, io.BytesIO(photo.read_bytes()), photo.read_bytes(), Image.open(photo), pixels]
    values = {_score(nano, source).value for source in sources}
    assert len(values) == 1


def test_an_array_of_frames_is_a_video(nano: Scorer) -> None:
    frames = np.stack([photo_pixels(64, 48, seed=i) for i in range(4)])
    found = _score(nano, frames, frames="all", per_frame=True)
    assert found.media.kind == "video"
    assert found.frames is not None
    for frame, picture in zip(found.frames, frames, strict=True):
        assert frame.value == pytest.approx(_score(nano, picture).value, abs=1e-5)


def test_a_clip_is_the_mixture_of_its_frames(nano: Scorer, clip: Path) -> None:
    found = _score(nano, clip, frames="uniform:5", per_frame=True)
    assert found.frames is not None
    assert len(found.frames) == 5
    assert found.value == pytest.approx(np.mean([f.value for f in found.frames]), abs=1e-9)
    second = np.mean([f.std**2 + f.value**2 for f in found.frames]) - found.value**2
    assert found.std == pytest.approx(np.sqrt(second), abs=1e-9)
    assert [f.timestamp_s for f in found.frames] == list(found.provenance.timestamps_s)
    assert _score(nano, clip, frames="uniform:5").frames is None


def test_provenance_tells_how(nano: Scorer, clip: Path) -> None:
    found = _score(nano, clip)
    made = found.provenance
    assert (made.model, made.preset, made.prompt_id) == ("nano", "nano", "score/quality@1")
    assert (made.view, made.frame_rule, made.video_mode) == ("fit-short:224", "uniform:8", "per-frame")
    assert made.decoder.startswith("pyav ")
    assert made.weights_sha256
    assert len(made.timestamps_s) == 8
    assert found.media.sha256
    assert read_result(found.model_dump_json()) == found


def test_the_spec_changes_with_everything_that_decides(nano: Scorer) -> None:
    variants = [
        ScoreOptions(),
        ScoreOptions(frames="uniform:4"),
        ScoreOptions(view="pad-square:512"),
        ScoreOptions(per_frame=True),
        ScoreOptions(decoder="pyav"),
    ]
    specs = [nano.plan(options).spec for options in variants]
    assert len(set(specs)) == len(specs)
    assert nano.plan(ScoreOptions(frames=" Uniform:8 ")).spec == nano.plan(ScoreOptions()).spec


def test_a_row_scores_the_same_in_any_batch(nano: Scorer, clip: Path, tmp_path: Path) -> None:
    sources: list[object] = [photo_pixels(100 + 30 * i, 90, seed=i) for i in range(5)]
    sources.insert(2, clip)
    alone = [_score(nano, source).value for source in sources]
    inputs = [Input.of(source) for source in sources]  # type: ignore[arg-type]
    for size, workers in ((1, 1), (3, 2), (64, 3)):
        batched = list(nano.stream(inputs, workers=workers, batch_size=size))
        values = [r.value for r in batched if isinstance(r, Score)]
        np.testing.assert_allclose(values, alone, atol=2e-5)


def test_every_input_gives_one_result_in_order(nano: Scorer, photo: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    cut = tmp_path / "cut.png"
    cut.write_bytes(photo.read_bytes()[:2000])
    sources = [photo, tmp_path / "none.png", text, photo, cut, tmp_path]
    results = nano.score(sources)
    assert [r.source for r in results] == [str(s) for s in sources]
    assert [r.status == "scored" for r in results] == [True, False, False, True, False, False]
    reasons = [r.reason for r in results if isinstance(r, Unscored)]
    assert reasons == ["not-found", "unknown-format", "corrupt", "media"]
    assert all("\n" not in r.message for r in results if isinstance(r, Unscored))


def test_one_bad_source_raises(nano: Scorer, tmp_path: Path, photo: Path) -> None:
    with pytest.raises(MediaNotFoundError, match=r"none\.png: no such file"):
        nano.score(tmp_path / "none.png")
    cut = tmp_path / "cut.png"
    cut.write_bytes(photo.read_bytes()[:2000])
    with pytest.raises(MediaCorruptError):
        nano.score(cut)
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(MediaAccessError, match="closed file"):
        nano.score(closed)
    with pytest.raises(UsageError, match="cannot open an object of type int"):
        nano.score(3)  # type: ignore[call-overload]


def test_a_rule_that_would_fill_the_memory_is_refused(
    nano: Scorer, monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    monkeypatch.setattr("mllmqa.prepare.MAX_VIEW_BYTES", 100_000)
    (result,) = nano.score([clip], ScoreOptions(frames="all"))
    assert isinstance(result, Unscored)
    assert result.reason == "limit"
    assert "uniform:32" in result.message


def test_the_stream_reads_no_further_than_it_must(nano: Scorer, photo: Path) -> None:
    taken = 0

    def endless() -> Iterator[Input]:
        nonlocal taken
        while True:
            taken += 1
            yield Input.of(photo)

    assert [r.status for r in nano.stream([photo, str(photo)])] == ["scored"] * 2
    stream = nano.stream(endless(), workers=2, batch_size=2)
    for _ in range(6):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert taken <= 6 + 2 + 4  # results, one batch, workers + 2 ahead


class _Broken:
    """A back end of a user that gives NaN for the second request."""

    def __init__(self, scorer: Scorer) -> None:
        self.info = scorer.backend.info
        self.native_video = False

    def check_words(self, prompt: object, words: object) -> None:
        return None

    def level_logits(self, requests: object, words: object) -> list[LevelLogits]:
        good = LevelLogits(np.zeros(5, np.float32), 3.0)
        bad = LevelLogits(np.full(5, np.nan, np.float32), 3.0)
        return [good, bad, good][: len(requests)]  # type: ignore[arg-type]

    def generate(self, requests: object, max_new_tokens: int = 1) -> list[str]:
        return []


def test_logits_that_are_not_finite_cost_one_input_only(nano: Scorer, photo: Path) -> None:
    scorer = Scorer(_Broken(nano), nano.preset)  # type: ignore[arg-type]
    results = list(scorer.stream([Input.of(photo)] * 3, batch_size=3))
    assert [r.status for r in results] == ["scored", "unscored", "scored"]
    with pytest.raises(InferenceError, match="not finite"):
        Scorer(_OnlyBad(nano), nano.preset).score(photo)  # type: ignore[arg-type]


class _OnlyBad(_Broken):
    def level_logits(self, requests: object, words: object) -> list[LevelLogits]:
        return [LevelLogits(np.full(5, np.inf, np.float32), 3.0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aspect": "beauty"}, "no aspect 'beauty'"),
        ({"frames": "sometimes"}, "frame rule"),
        ({"view": "sideways"}, "view"),
        ({"decoder": "vlc"}, "no decoder 'vlc'"),
    ],
)
def test_unknown_names(options: dict[str, str], message: str, nano: Scorer, photo: Path) -> None:
    with pytest.raises(UnknownNameError, match=message):
        nano.score(photo, ScoreOptions(**options))  # type: ignore[arg-type]


def test_levels_are_the_five_words(nano: Scorer, photo: Path) -> None:
    found = _score(nano, photo)
    assert tuple(found.levels) == prompts.level_scale().words
    assert 0 < found.coverage <= 1
