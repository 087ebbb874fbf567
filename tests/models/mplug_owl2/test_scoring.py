"""Clips through score(): the same frames, the same prompt, one placeholder; batches of unequal clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mllmqa
from mllmqa import media
from mllmqa.models.base import Clip, Request, Turn
from mllmqa.models.hf import HFBackend
from mllmqa.models.presets import presets
from mllmqa.prompts import load, render
from tests.media.made import make_video
from tests.models.mplug_owl2.conftest import Case
from tests.models.mplug_owl2.original import FIXTURES

VIDEO = "USER: How would you rate the quality of this video?\n<|image|>\nASSISTANT: The quality of the video is"


@pytest.fixture
def scorer(videos: Case) -> Any:
    return mllmqa.load(str(videos.folder), device="cpu")


def _direct(videos: Case, clip: Path, times: tuple[float, ...]) -> float:
    """Score decoded frames by a call of the model itself."""
    from PIL import Image

    frames = media.decode_frames(media.open_media(clip), times).frames_THWC
    inputs = videos.processor(videos=[[Image.fromarray(frame) for frame in frames]], text=VIDEO)
    with torch.inference_mode():
        logits = videos.model(**inputs).logits[:, -1]
    return float(videos.level_scores(logits)[0])


def test_a_clip_is_scored_from_one_frame_per_second(scorer: Any, videos: Case, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4", 35)
    score = scorer.score(clip)
    made = score.provenance
    assert (made.video_mode, made.frame_rule, made.preset) == ("joint", "1fps", "one-align")
    assert len(made.timestamps_s) == 3
    assert score.value == pytest.approx(_direct(videos, clip, made.timestamps_s), abs=2e-5)


def test_one_and_eight_frames(scorer: Any, videos: Case, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4", 20)
    for count in (1, 8):
        score = scorer.score(clip, mllmqa.ScoreOptions(frames=f"uniform:{count}", per_frame=True))
        times = score.provenance.timestamps_s
        assert len(times) == len(score.frames) == count
        assert score.value == pytest.approx(_direct(videos, clip, times), abs=2e-5)


def test_unequal_clips_and_pictures_in_one_run(scorer: Any, tmp_path: Path, photo: Path) -> None:
    """In any order and batch size, every score is the one that the input has alone."""
    sources = [make_video(tmp_path / f"{count}.mp4", count) for count in (5, 35, 22)] + [photo]
    alone = [scorer.score(source).value for source in sources]
    batch = [score.value for score in scorer.stream(sources, batch_size=8)]
    np.testing.assert_allclose(batch, alone, atol=2e-5, rtol=0)
    turned = [score.value for score in scorer.stream(sources[::-1], batch_size=3)]
    np.testing.assert_allclose(turned[::-1], alone, atol=2e-5, rtol=0)
    assert len({round(value, 3) for value in alone}) == 4


def test_a_batch_of_clips_is_padded_and_masked(scorer: Any) -> None:
    """Clips of one frame size and unequal length share a forward pass where the back end groups them so."""
    draw, prompt = np.random.default_rng(0), render(load("score/quality"), medium="video")
    requests = []
    for count in (2, 5, 2, 1):
        frames = tuple(draw.integers(0, 255, (56, 56, 3), dtype=np.uint8) for _ in range(count))
        requests.append(Request(prompt, frames, Clip(tuple(map(float, range(count))), float(count))))
    words = list(scorer.scale.words)
    together = scorer.backend.level_logits(requests, words)
    for request, answer in zip(requests, together, strict=True):
        (single,) = scorer.backend.level_logits([request], words)
        np.testing.assert_allclose(answer.logits, single.logits, atol=5e-5, rtol=0)
        assert answer.log_z == pytest.approx(single.log_z, abs=5e-5)


def test_free_questions_are_answered(scorer: Any, photo: Path) -> None:
    prompt = render(load("score/quality"), medium="image")
    picture = np.random.default_rng(0).integers(0, 255, (56, 56, 3), dtype=np.uint8)
    (answer,) = scorer.backend.generate([Request(prompt, (picture,))], max_new_tokens=5)
    assert isinstance(answer, str)
    assert answer == scorer.backend.generate([Request(prompt, (picture,))], max_new_tokens=5)[0]


def test_a_talk_of_several_turns(scorer: Any) -> None:
    draw = np.random.default_rng(0)
    first, second = (draw.integers(0, 255, (56, 56, 3), dtype=np.uint8) for _ in range(2))
    asked = Turn("user", ("Image A:", first, "Image B:", second, "Which is better?"))
    talk = (asked, Turn("assistant", ("B.",)), Turn("user", ("Why?",)))
    told: list[str] = []
    spoken = scorer.backend.talk(talk, max_new_tokens=6, on_text=told.append)
    assert spoken.text == "".join(told)
    processor = scorer.backend.processor
    text = "USER: Image A:<|image|>Image B:<|image|>Which is better? ASSISTANT: B.</s>USER: Why? ASSISTANT: It"
    inputs = processor(images=[[first, second]], text=[text], input_data_format="channels_last")
    with torch.inference_mode():
        row = scorer.backend.model(**inputs).logits[0, -1].double().log_softmax(-1)
    one = scorer.backend.talk(talk, max_new_tokens=1, start="It")
    assert one.logprobs == pytest.approx((float(row.max()),), abs=1e-4)


def test_a_converted_copy_scores_the_same_and_keeps_its_preset(videos: Case, photo: Path, tmp_path: Path) -> None:
    from mllmqa.convert import convert

    made = convert(str(videos.folder), tmp_path / "copy")
    assert (made.preset, made.dtype) == ("one-align", "float32")
    value = mllmqa.load(str(made.folder), device="cpu").score(photo).value
    assert value == mllmqa.load(str(videos.folder), device="cpu").score(photo).value


def test_questions_about_one_picture_share_its_features(images: Case) -> None:
    """The picture is encoded once; the answers are those that each question has alone."""
    backend: Any = mllmqa.load(str(images.folder), device="cpu").backend
    draw = np.random.default_rng(3)
    first, second = (draw.integers(0, 255, (56, 56, 3), dtype=np.uint8) for _ in range(2))
    prompts = [render(load(name), medium="image") for name in ("score/quality", "score/aesthetics")]
    requests = [
        Request(prompt, pictures) for pictures in ((first,), (second,), (first, second)) for prompt in prompts
    ]
    words = ["excellent", "good", "fair", "poor", "bad"]
    encoded: list[int] = []
    hook = backend.model.model.vision_model.register_forward_hook(lambda _m, args, _o: encoded.append(len(args[0])))
    single = [backend.level_logits([request], words)[0].logits for request in requests]
    alone = sum(encoded)
    encoded.clear()
    together = [answer.logits for answer in backend.level_logits(requests, words)]
    hook.remove()
    np.testing.assert_allclose(together, single, atol=5e-5, rtol=0)
    assert alone == 8
    assert sum(encoded) < alone


PUBLISHED = json.loads((FIXTURES / "llama2_prompt_ids.json").read_text())["prompts"]


@pytest.mark.parametrize(
    ("preset", "aspect", "medium", "published"),
    [
        ("one-align", "quality", "image", "scorer_class_quality_image"),
        ("one-align", "quality", "video", "scorer_class_quality_video"),
        ("one-align", "aesthetics", "image", "scorer_class_aesthetics_image"),
        ("one-align-compat", "quality", "image", "model_score_method_quality_image(words swapped)"),
        ("one-align-compat", "quality", "video", "model_score_method_quality_video(words swapped)"),
        ("one-align-compat", "aesthetics", "image", "model_score_method_aesthetics_image(words swapped)"),
        ("one-align-eval", "quality", "image", "eval_script_iqa"),
        ("one-align-eval", "quality", "video", "eval_script_vqa"),
        ("deqa-mix3", "quality", "image", "scorer_class_quality_image"),
    ],
)
def test_prompts_are_the_published_texts(
    preset: str, aspect: str, medium: Any, published: str, images: Case, scorer: Any
) -> None:
    chosen = presets()[preset]
    prompt = render(load(chosen.aspects[aspect]), medium=medium)
    backend = HFBackend(scorer.backend.model, scorer.backend.processor, chosen, scorer.backend.info)
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    request = Request(prompt, (picture,), Clip((0.0,), 1.0) if medium == "video" else None)
    assert backend.text(request) == PUBLISHED[published]["text"]
