"""Comparing with tiny random models end to end: what is shown under which name, anchors, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mllmqa import prompts
from mllmqa.anchored import AnchoredScorer
from mllmqa.comparing import compare, rank_many
from mllmqa.errors import LevelTokenError
from mllmqa.loading import load
from mllmqa.models.base import Request
from mllmqa.models.presets import ComparisonPreset
from mllmqa.models.torchvision_shim import has_torchvision
from mllmqa.prepare import ScoreOptions
from mllmqa.schema import Comparison, Unscored
from mllmqa.scoring import Scorer
from tests import tiny_models
from tests.conftest import photo_pixels

FIVE = ComparisonPreset(words="comparison", favours="second")
"""Their tokenizer has the comparison words as tokens."""


def built(family: str, place: Path) -> Scorer:
    made = load(str(tiny_models.build(family, place)), device="cpu")
    return Scorer(made.backend, made.preset.model_copy(update={"comparison": FIVE}))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    if not has_torchvision():
        pytest.skip("its processor needs torchvision")
    return built("qwen2_5_vl", tmp_path_factory.mktemp("qwen") / "model")


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return built("llava", tmp_path_factory.mktemp("llava") / "model")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    place.mkdir()
    for i in range(4):
        Image.fromarray(photo_pixels(40 + 8 * i, 48, seed=i)).save(place / f"{i}.png")
    return place


def by_hand(scorer: Scorer, *shown: np.ndarray) -> float:
    """The preference for the second of two named pictures, from the logits of one plain request."""
    scale = prompts.word_scale("comparison")
    prompt = prompts.render(prompts.load("compare/better"), medium="image")
    request = Request(prompt, shown, labels=("Image A:", "Image B:"))
    (answer,) = scorer.backend.level_logits([request], scale.words)
    logits = np.asarray(answer.logits, np.float64)  # type: ignore[union-attr]
    p = np.exp(logits - logits.max())
    return float(p @ np.array(scale.values) / p.sum())


def test_a_preference_is_what_the_logits_say(qwen: Scorer) -> None:
    a, b = photo_pixels(56, 56, seed=1), photo_pixels(56, 84, seed=2)
    found = compare(qwen, a, b)
    assert isinstance(found, Comparison)
    expected = (1 - by_hand(qwen, a, b), by_hand(qwen, b, a))
    np.testing.assert_allclose(found.by_order or (), expected, atol=1e-5)
    assert found.p_a_better == pytest.approx(sum(expected) / 2, abs=1e-5)
    assert (found.readout, found.n_pairs) == ("logits", 1)
    assert found.coverage is not None
    assert 0 < found.coverage < 1
    assert found.a.score is not None
    assert found.a.score.value == pytest.approx(qwen.score(a).value, abs=1e-5)


def test_names_stand_in_front_of_their_pictures(qwen: Scorer) -> None:
    prompt = prompts.render(prompts.load("compare/better"), medium="image", reference=True)
    pictures = tuple(photo_pixels(40, 40, seed=i) for i in range(4))
    text = qwen.backend.text(  # type: ignore[attr-defined]
        Request(prompt, pictures, labels=("Reference:", "Image A:", "", "Image B:"))
    )
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    assert f"Reference:{picture}Image A:{picture}{picture}Image B:{picture}With the reference in view" in text
    assert text.endswith("assistant\nThe better one is")


def test_with_a_layout_names_stand_in_front_of_the_placeholders(llava: Scorer) -> None:
    layout = {"layout": "USER: {media} {question} ASSISTANT: {answer}", "media_separator": " "}
    backend = llava.backend
    before = backend.preset  # type: ignore[attr-defined]
    backend.preset = before.model_copy(update=layout)  # type: ignore[attr-defined]
    try:
        prompt = prompts.Prompt("x", "0", "Which?", "It is")
        request = Request(prompt, (photo_pixels(24, 24),) * 2, labels=("Image A:", "Image B:"))
        text = backend.text(request)  # type: ignore[attr-defined]
    finally:
        backend.preset = before  # type: ignore[attr-defined]
    assert text == "USER: Image A:<image> Image B:<image> Which? ASSISTANT: It is"


def test_a_template_that_tears_names_and_pictures_apart_is_refused(llava: Scorer) -> None:
    found = compare(llava, photo_pixels(40, 40), photo_pixels(40, 40, seed=1))
    assert isinstance(found, Unscored)
    assert found.reason == "model-load"
    assert "does not keep pictures behind the texts that name them" in found.message
    assert found.message.count("\n") == 0


def test_words_that_the_tokenizer_splits_are_an_error(llava: Scorer) -> None:
    scorer = Scorer(llava.backend, llava.preset.model_copy(update={"comparison": ComparisonPreset()}))
    with pytest.raises(LevelTokenError, match="'A' is 2 tokens"):
        compare(scorer, photo_pixels(40, 40), photo_pixels(40, 40, seed=1))


def test_videos_of_different_lengths(qwen: Scorer) -> None:
    """It has a video input of its own for scores; of two, it is shown the frames as pictures."""
    long = np.stack([photo_pixels(40, 40, seed=i) for i in range(5)])
    short = np.stack([photo_pixels(48, 32, seed=9 + i) for i in range(2)])
    found = compare(qwen, long, short, options=ScoreOptions(frames="all"))
    assert isinstance(found, Comparison)
    assert found.n_pairs == 1
    assert (len(found.a.provenance.timestamps_s), len(found.b.provenance.timestamps_s)) == (5, 2)
    again = compare(qwen, short, long, options=ScoreOptions(frames="all"))
    assert isinstance(again, Comparison)
    assert again.p_a_better == 1 - found.p_a_better


def test_batches_change_nothing_in_a_ranking(qwen: Scorer, folder: Path) -> None:
    files = [str(path) for path in sorted(folder.iterdir())]
    found = rank_many(qwen, files)
    assert (found.n_pairs, found.choice) == (6, "all")
    for pair in found.pairs:
        alone = compare(qwen, found.items[pair.a].source, found.items[pair.b].source)
        assert isinstance(alone, Comparison)
        assert pair.p_a_better == pytest.approx(alone.p_a_better, abs=1e-5)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_a_model_with_anchors_uses_its_own_words_and_scores(family: str, tmp_path: Path, folder: Path) -> None:
    if family in tiny_models.NEEDS_TORCHVISION and not has_torchvision():
        pytest.skip("its processor needs torchvision")
    place = tiny_models.build(family, tmp_path / "model")
    anchors = tmp_path / "anchors"
    anchors.mkdir()
    for i in range(3):
        Image.fromarray(photo_pixels(40, 40, seed=50 + i)).save(anchors / f"{i}.png")
    scorer = load(str(place), device="cpu", anchors=anchors)
    assert isinstance(scorer, AnchoredScorer)
    one, two = folder / "0.png", folder / "1.png"
    found = compare(scorer, one, two)
    assert isinstance(found, Comparison)
    assert found.method == "comparison-words"
    assert found.a.score is not None
    assert found.a.score.anchored is not None
    alone = scorer.score(one)
    assert found.a.score.anchored.score == pytest.approx(alone.anchored.score if alone.anchored else 0, abs=1e-5)
    assert found.a.score.provenance == alone.provenance
    plain = load(str(place), device="cpu", anchors=False)
    assert type(plain) is Scorer
    mirrored = compare(scorer, two, one)
    assert isinstance(mirrored, Comparison)
    assert mirrored.p_a_better == 1 - found.p_a_better
    assert found.by_order is not None
    shown = tuple(np.asarray(Image.open(path).convert("RGB")) for path in (one, two))
    scale, question = prompts.word_scale("comparison"), prompts.render(prompts.load("compare/second_to_first"))
    (answer,) = scorer.backend.level_logits([Request(question, shown)], scale.words)
    logits = np.asarray(answer.logits, np.float64)  # type: ignore[union-attr]
    p = np.exp(logits - logits.max())
    assert found.by_order[0] == pytest.approx(1 - float(p @ np.array(scale.values) / p.sum()), abs=1e-5)
