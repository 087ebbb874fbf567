"""Plans and requests: what a model will be asked about images and clips, in each video mode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa import media
from mllmqa.errors import UnknownNameError, UsageError
from mllmqa.models.base import ModelInfo
from mllmqa.models.load import load_backend
from mllmqa.models.presets import Preset, VideoPreset, presets
from mllmqa.models.resolve import resolve
from mllmqa.models.torchvision_shim import has_torchvision
from mllmqa.prepare import Plan, Prepared, Refused, ScoreOptions, make_plan, prepare
from mllmqa.schema import Score
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.conftest import photo_pixels

INFO = ModelInfo("m", None, "0", "1", "float32", "cpu")


def _preset(**changes: object) -> Preset:
    return presets()["generic"].model_copy(update=changes)


def _plan(
    mode: str = "auto", *, native: bool = False, options: ScoreOptions | None = None, **changes: object
) -> Plan:
    video = VideoPreset(mode=mode, frames="uniform:4")  # type: ignore[arg-type]
    return make_plan(_preset(video=video, **changes), INFO, native, options or ScoreOptions())


def _frames(n: int = 6) -> np.ndarray:
    return np.stack([photo_pixels(64, 48, seed=i) for i in range(n)])


def _prepared(source: object, plan: Plan) -> Prepared:
    found = prepare(source, "x", plan)  # type: ignore[arg-type]
    assert isinstance(found, Prepared), found
    return found


def test_auto_is_native_where_the_model_can_else_images() -> None:
    assert _plan("auto", native=True).video_mode == "native"
    assert _plan("auto", native=False).video_mode == "images"
    with pytest.raises(UsageError, match="its processor has none"):
        _plan("native", native=False)


def test_an_image_is_one_request_with_its_view() -> None:
    picture = photo_pixels(64, 48)
    found = _prepared(picture, _plan(view="native"))
    assert len(found.requests) == 1
    np.testing.assert_array_equal(found.requests[0].images[0], picture)
    assert found.requests[0].clip is None
    assert "this image" in found.requests[0].prompt.question
    assert found.provenance.frame_rule is None
    assert found.provenance.timestamps_s == ()


def test_files_are_made_for_remote_models_only(tmp_path: Path) -> None:
    photo = tmp_path / "p.png"
    Image.fromarray(photo_pixels(64, 48)).save(photo)
    local = _prepared(photo, _plan(view="native"))
    assert (local.requests[0].encoded, local.provenance.sent) == (None, None)
    far = replace(INFO, base_url="http://h/v1", readout="text")
    plan = make_plan(presets()["api"], far, True, ScoreOptions(per_frame=True, frames="uniform:2"))
    (request,) = _prepared(photo, plan).requests
    assert request.encoded is not None
    assert (request.encoded[0].data, request.encoded[0].original) == (photo.read_bytes(), True)
    clip = _prepared(_frames(), plan)
    whole, *single = clip.requests
    assert [len(r.encoded or ()) for r in clip.requests] == [2, 1, 1]
    assert whole.encoded == tuple(file for r in single for file in r.encoded or ())
    assert clip.provenance.sent is not None
    assert [(s.mime, s.original) for s in clip.provenance.sent] == [("image/png", False)] * 2


def test_native_video_carries_frames_and_their_times() -> None:
    found = _prepared(_frames(), _plan("native", native=True))
    (request,) = found.requests
    assert request.clip is not None
    assert len(request.images) == len(request.clip.timestamps_s) == 4
    assert request.clip.timestamps_s == found.provenance.timestamps_s
    assert request.clip.duration_s == 6.0  # frames of an array stand one second each
    assert "this video" in request.prompt.question
    assert found.provenance.video_mode == "joint"


def test_images_mode_puts_all_frames_into_one_prompt() -> None:
    (request,) = _prepared(_frames(), _plan("images", view="tiles:1x2")).requests
    assert request.clip is None
    assert len(request.images) == 4 * 2
    assert "this video" in request.prompt.question


def test_per_frame_mode_asks_about_each_frame_as_an_image() -> None:
    found = _prepared(_frames(), _plan("per-frame"))
    assert [len(r.images) for r in found.requests] == [1, 1, 1, 1]
    assert not found.joint
    assert all("this image" in r.prompt.question for r in found.requests)
    assert found.provenance.video_mode == "per-frame"


def test_per_frame_scores_come_on_top_of_the_joint_one() -> None:
    found = _prepared(_frames(), _plan("images", options=ScoreOptions(per_frame=True)))
    assert found.joint
    assert [len(r.images) for r in found.requests] == [4, 1, 1, 1, 1]


def test_a_view_of_parts_cannot_be_a_video_input() -> None:
    found = prepare(_frames(), "x", _plan("native", native=True, view="tiles:2x2"))
    assert isinstance(found, Refused)
    assert "cuts frames into parts" in str(found.error)


def test_random_views_are_the_same_for_the_same_content() -> None:
    plan = _plan(view="random-crop:16")
    first, again = (_prepared(photo_pixels(64, 48), plan) for _ in range(2))
    np.testing.assert_array_equal(first.requests[0].images[0], again.requests[0].images[0])
    crops = {_prepared(photo_pixels(64, 48, seed=i), plan).requests[0].images[0].tobytes() for i in range(5)}
    assert len(crops) == 5


def test_what_the_user_says_it_is_must_be_true() -> None:
    plan = _plan()
    refused = prepare(_frames(), "x", plan, "image")
    assert isinstance(refused, Refused)
    assert "of the kind video" in str(refused.error)
    assert refused.media is not None
    assert isinstance(prepare(_frames(), "x", plan, "video"), Prepared)


def test_what_is_done_is_not_decoded_again() -> None:
    asked = []

    def is_done(name: str, sha256: str | None) -> bool:
        asked.append((name, sha256))
        return True

    assert prepare(_frames(), "x", _plan(), is_done=is_done) is None
    assert asked == [("x", _prepared(_frames(), _plan()).media.sha256)]


def test_long_clips_are_decoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _prepared(_frames(), _plan("images", options=ScoreOptions(frames="all")))
    monkeypatch.setattr("mllmqa.prepare.CHUNK_BYTES", 3 * 64 * 48 * 2)  # two frames
    parts = _prepared(_frames(), _plan("images", options=ScoreOptions(frames="all")))
    assert parts.provenance == whole.provenance
    for one, two in zip(parts.requests[0].images, whole.requests[0].images, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_surprise_costs_one_input_only() -> None:
    class Stream:
        def read(self, size: int = -1) -> bytes:
            raise ZeroDivisionError("surprise")

    found = prepare(Stream(), "x", _plan())  # type: ignore[arg-type]
    assert isinstance(found, Refused)
    assert "ZeroDivisionError: surprise" in str(found.error)


@pytest.mark.parametrize(
    "change",
    [
        {"answer_separator": ""},
        {"view": "resize:100"},
        {"aspects": {"quality": "score/aesthetics"}},
        {"video": VideoPreset(mode="images", frames="uniform:5")},
    ],
)
def test_the_spec_covers_the_preset(change: dict[str, object]) -> None:
    base = make_plan(_preset(), INFO, False, ScoreOptions())
    assert make_plan(_preset(**change), INFO, False, ScoreOptions()).spec != base.spec


def test_the_spec_covers_the_model_but_not_how_it_was_spelled() -> None:
    def spec(**changes: object) -> str:
        return make_plan(_preset(), replace(INFO, **changes), False, ScoreOptions()).spec  # type: ignore[arg-type]

    assert spec(model="./m") == spec(model="m") == spec(device="cuda")
    assert spec(readout="anything") == spec()  # of a model on this machine there is one readout only
    assert len({spec(base_url=u, readout=r) for u in ("http://a", "http://b") for r in ("text", "logprobs")}) == 4
    assert len({spec(), spec(weights_sha256="2"), spec(settings_sha256="2"), spec(dtype="bfloat16")}) == 4


def test_unknown_aspects_list_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="quality"):
        make_plan(presets()["nano"], INFO, False, ScoreOptions(aspect="aesthetics"))


def test_decoders_are_those_of_media() -> None:
    for name in media.DECODERS:
        assert _plan(options=ScoreOptions(decoder=name)).decoder == name


@pytest.mark.parametrize("family", ["llava", "qwen3_vl", "internvl"])
def test_a_clip_through_the_whole_pipeline(family: str, tmp_path: Path) -> None:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip(f"{family}: its processor needs torchvision")
    folder = tiny_models.build(family, tmp_path / family)
    source = resolve(str(folder))
    scorer = Scorer(load_backend(source, device="cpu"), source.preset)
    frames = np.stack([photo_pixels(56, 56, seed=i) for i in range(8)])
    options = ScoreOptions(per_frame=True)
    results = scorer.score([frames, frames[:1], photo_pixels(56, 56)], options)
    assert [type(r) for r in results] == [Score] * 3, results
    clip, one, image = results
    assert isinstance(clip, Score)
    assert isinstance(one, Score)
    assert isinstance(image, Score)
    assert clip.provenance.video_mode == "joint"
    assert clip.frames is not None
    assert one.frames is not None
    assert (len(clip.frames), len(one.frames), image.frames) == (8, 1, None)
    # A frame on its own is asked about as the image that it is.
    assert clip.frames[0].value == pytest.approx(scorer.score(frames[0]).value, abs=1e-4)
    assert clip.value == pytest.approx(scorer.score(frames, options).value, abs=1e-4)


def test_with_anchors_each_picture_is_asked_about_beside_each_of_them() -> None:
    anchors = tuple(photo_pixels(32, 24, seed=i) for i in (7, 8))
    plan = replace(_plan("per-frame", view="native"), anchors=anchors)
    picture = photo_pixels(64, 48)
    for found, order in ((_prepared(picture, plan), 1), (_prepared(picture, replace(plan, both_orders=True)), 2)):
        assert len(found.requests) == 2 * order
        for i, request in enumerate(found.requests):
            pair = request.images if i % order == 0 else request.images[::-1]
            np.testing.assert_array_equal(pair[0], anchors[i // order])
            np.testing.assert_array_equal(pair[1], picture)
    clip = _prepared(_frames(), plan)
    assert not clip.joint
    assert len(clip.requests) == 4 * 2  # frames, anchors


def test_parts_of_a_picture_cannot_be_compared_with_an_anchor() -> None:
    plan = replace(_plan("per-frame", view="tiles:1x2"), anchors=(photo_pixels(32, 24),))
    found = prepare(photo_pixels(64, 48), "x", plan)
    assert isinstance(found, Refused)
    assert "cuts pictures into parts" in str(found.error)
