"""Scores by comparison with anchors: the published matrices, and a tiny random LLaVA end to end."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mllmqa import levels, prompts
from mllmqa.anchored import MAX_STD, AnchoredScorer, anchors_for, place, with_input
from mllmqa.anchors import AnchorSet
from mllmqa.data.ratings import Columns, RatingScale
from mllmqa.data.select_anchors import select_set
from mllmqa.errors import (
    DataError,
    InferenceError,
    LevelTokenError,
    UnknownNameError,
    UsageError,
)
from mllmqa.loading import load
from mllmqa.models.base import Request
from mllmqa.models.presets import AnchoredPreset, Preset, presets
from mllmqa.prepare import ScoreOptions
from mllmqa.ranking import Link
from mllmqa.schema import Score, Unscored, read_result
from mllmqa.scoring import Input
from tests import tiny_models
from tests.conftest import photo_pixels

FIXTURE = Path(__file__).parent / "fixtures" / "compare2score" / "map.npz"
SCALE = prompts.word_scale("comparison")
PUBLISHED = presets()["compare2score"]
N = 4


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    with np.load(FIXTURE) as file:
        return dict(file)


# ---------------------------------------------------------------- the published numbers


def test_preferences_from_the_published_logits(published: dict[str, np.ndarray]) -> None:
    """The fixture has the words worst first and the logits after the division by the temperature; the preferences
    of its last four rows were set by hand."""
    words, settings = published["level_logits_already_divided_by_T"][..., ::-1], PUBLISHED.anchored
    assert settings is not None
    for logits, expected in zip(words[:36], published["preference_vs_anchor"][:36], strict=True):
        found = [
            levels.expectation(row.astype(np.float64) * 100, 1e4, SCALE, settings.temperature)[0] for row in logits
        ]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_preset_has_the_published_matrix(published: dict[str, np.ndarray]) -> None:
    assert PUBLISHED.anchored is not None
    np.testing.assert_allclose(PUBLISHED.anchored.matrix, published["anchor_matrix"], rtol=1e-6)
    assert (PUBLISHED.anchored.temperature, PUBLISHED.anchored.link) == (100, "normal")
    assert PUBLISHED.anchored.orders == "anchor-first"


@pytest.mark.parametrize(("link", "key"), [("normal", "phi"), ("logistic", "sigmoid")])
def test_places_are_the_published_ones(link: Link, key: str, published: dict[str, np.ndarray]) -> None:
    for i, preferences in enumerate(published["preference_vs_anchor"]):
        np.testing.assert_allclose(
            with_input(preferences, published["anchor_matrix"]), published["matrices"][i], atol=1e-7
        )
        found = place(preferences, published["anchor_matrix"], link)
        assert found.published_100 == pytest.approx(published[f"{key}_converged__score"][i], abs=1e-4)
        assert found.published_100 == pytest.approx(published[f"{key}_100__score"][i], abs=0.5)
        np.testing.assert_allclose(found.items, published[f"{key}_converged__all_unscaled"][i], atol=1e-6)
        assert found.score == found.items[-1]


def test_saturated_scores_are_told_apart_by_the_map_score(published: dict[str, np.ndarray]) -> None:
    found = [place(row, published["anchor_matrix"]) for row in published["preference_vs_anchor"]]
    best = [one.score for one in found if one.published_100 == 100]
    worst = [one.score for one in found if one.published_100 == 0]
    ends = published["phi_converged__score"]
    assert (len(best), len(worst)) == ((ends == 100).sum(), (ends == 0).sum())
    assert len(best) + len(worst) == 10  # a quarter of the images; 9 with 100 Adam steps
    assert len(set(best)) == len(best)
    assert len(set(worst)) == len(worst)


@given(hnp.arrays(np.float64, 5, elements=st.floats(0, 1)), st.integers(0, 99))
def test_the_order_of_the_anchors_has_no_say(preferences: np.ndarray, seed: int) -> None:
    assert PUBLISHED.anchored is not None
    among = np.array(PUBLISHED.anchored.matrix)
    order = np.random.default_rng(seed).permutation(5)
    one, two = place(preferences, among), place(preferences[order], among[np.ix_(order, order)])
    assert two.score == pytest.approx(one.score, abs=1e-9)
    assert two.published_100 == pytest.approx(one.published_100, abs=1e-7)
    assert two.standard_error_100 == pytest.approx(one.standard_error_100, abs=1e-7)
    assert 0 <= one.published_100 <= 100


@given(hnp.arrays(np.float64, 5, elements=st.floats(0, 0.9)), st.integers(0, 4), st.floats(0.001, 0.1))
def test_a_stronger_preference_is_a_better_score(preferences: np.ndarray, which: int, more: float) -> None:
    assert PUBLISHED.anchored is not None
    among = np.array(PUBLISHED.anchored.matrix)
    stronger = preferences.copy()
    stronger[which] += more
    assert place(stronger, among).score > place(preferences, among).score


def test_malformed_preferences_are_named() -> None:
    half = np.full((2, 2), 0.5)
    for row, among, message in (
        ([0.5], half, r"\(n,\) and \(n, n\)"),
        ([0.5, 1.5], half, "expected probabilities"),
        ([0.5, np.nan], half, "expected probabilities"),
        ([0.5, 0.6], [[0.5, np.nan], [0.5, 0.5]], "is nan"),
    ):
        with pytest.raises(DataError, match=message):
            place(row, among)


def test_a_model_without_opinions_gets_no_number() -> None:
    with pytest.raises(InferenceError, match="prefers nothing to anything"):
        place([0.5, 0.5], np.full((2, 2), 0.5))


# ---------------------------------------------------------------- end to end


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.build("llava", tmp_path_factory.mktemp("tiny") / "llava")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen photos with ratings."""
    folder = tmp_path_factory.mktemp("photos")
    lines = ["file,mos,sd"]
    for i in range(16):
        Image.fromarray(photo_pixels(48 + i, 40, seed=i)).save(folder / f"{i:02}.png")
        lines.append(f"{i:02}.png,{10 + 5 * i},{20 - i}")
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Path:
    """Four anchors, not yet measured."""
    out = tmp_path / "anchors"
    with select_set(photos / "ratings.csv", Columns("file", "mos", "sd"), RatingScale("mos", 0, 100), out, n=N):
        pass
    return out


def scorer(tiny: Path, folder: Path, preset: Preset | None = None) -> AnchoredScorer:
    made = load(str(tiny), device="cpu", anchors=folder)
    assert isinstance(made, AnchoredScorer)
    return made if preset is None else AnchoredScorer(made.backend, preset, made.anchors)


def one_order(**changes: object) -> Preset:
    settings = AnchoredPreset(orders="anchor-first", **changes)  # type: ignore[arg-type]
    return presets()["generic"].model_copy(update={"anchored": settings})


def asked(made: AnchoredScorer, first: Path, second: Path) -> float:
    """The model's preference for the second picture, by hand."""
    settings = made.settings
    prompt = prompts.render(prompts.load("compare/second_to_first"))
    pair = tuple(np.asarray(Image.open(path).convert("RGB")) for path in (first, second))
    (answer,) = made.backend.level_logits([Request(prompt, pair)], SCALE.words)
    logits = np.asarray(answer.logits, np.float64) / settings.temperature  # type: ignore[union-attr]
    p = np.exp(logits - logits.max())
    return float(p @ np.array(SCALE.values) / p.sum())


def test_a_score_is_what_the_formulas_say(tiny: Path, folder: Path, photos: Path) -> None:
    made = scorer(tiny, folder, one_order(temperature=0.05, link="logistic"))
    anchors = AnchorSet.read(folder).paths
    expected = [asked(made, anchor, photos / "05.png") for anchor in anchors]
    among = np.full((N, N), 0.5)
    for i in range(N):
        for j in range(N):
            if i != j:
                among[i, j] = (asked(made, anchors[j], anchors[i]) + 1 - asked(made, anchors[i], anchors[j])) / 2
    found = made.score(photos / "05.png")
    where = place(expected, among, "logistic")
    assert found.anchored is not None
    np.testing.assert_allclose(found.anchored.preferences, expected, atol=1e-6)
    np.testing.assert_allclose(made.matrix(made.plan()), among, atol=1e-6)
    assert found.anchored.score == pytest.approx(where.score, abs=1e-5)
    assert found.anchored.published_100 == pytest.approx(where.published_100, abs=1e-3)
    assert found.value == pytest.approx(1 + found.anchored.published_100 / 25, abs=1e-12)
    assert found.std == pytest.approx(min(MAX_STD, where.standard_error_100 / 25), abs=1e-4)
    assert (found.levels, found.anchored.matrix) == ({}, "measured")
    assert (found.anchored.link, found.anchored.temperature) == ("logistic", 0.05)
    assert 0 < found.coverage < 1
    assert found.provenance.prompt_id == "compare/second_to_first@1"


def test_in_both_orders_a_liking_for_one_place_cancels(tiny: Path, folder: Path, photos: Path) -> None:
    made = scorer(tiny, folder)
    anchors = AnchorSet.read(folder).paths
    found = made.score(photos / "05.png").anchored
    assert found is not None
    assert found.orders == "both"
    for anchor, preference in zip(anchors, found.preferences, strict=True):
        after, before = asked(made, anchor, photos / "05.png"), asked(made, photos / "05.png", anchor)
        assert preference == pytest.approx((after + 1 - before) / 2, abs=1e-6)
    itself = made.score(anchors[1]).anchored
    assert itself is not None
    assert itself.preferences[1] == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(itself.preferences, made.matrix(made.plan())[1], atol=1e-6)


def test_batches_streams_and_failures_change_nothing(tiny: Path, folder: Path, photos: Path) -> None:
    made = scorer(tiny, folder)
    sources = [photos / "02.png", photos / "ratings.csv", photos / "09.png", photos / "13.png"]
    inputs = [Input.of(str(source)) for source in sources]
    one, many = (list(made.stream(inputs, batch_size=size)) for size in (1, 16))
    assert [r.status for r in one] == ["scored", "unscored", "scored", "scored"]
    for a, b in zip(one, many, strict=True):
        if isinstance(a, Score) and isinstance(b, Score):
            assert a.anchored is not None and b.anchored is not None
            np.testing.assert_allclose(a.anchored.preferences, b.anchored.preferences, atol=1e-6)
            assert a.anchored.score == pytest.approx(b.anchored.score, abs=1e-6)
            assert read_result(a.model_dump_json()) == a
        else:
            assert isinstance(a, Unscored)
            assert a == b


def test_a_video_has_the_mean_preference_of_its_frames(tiny: Path, folder: Path) -> None:
    made = scorer(tiny, folder)
    pictures = np.stack([photo_pixels(40, 32, seed=i) for i in range(3)])
    whole = made.score(pictures, ScoreOptions(frames="all", per_frame=True))
    alone = [made.score(picture) for picture in pictures]
    assert whole.anchored is not None
    assert whole.frames is not None
    mean = np.mean([one.anchored.preferences for one in alone if one.anchored], axis=0)
    np.testing.assert_allclose(whole.anchored.preferences, mean, atol=1e-6)
    for frame, one in zip(whole.frames, alone, strict=True):
        assert frame.value == pytest.approx(one.value, abs=0.05)  # the scale magnifies float noise here
        assert frame.levels == {}
    assert whole.provenance.video_mode == "per-frame"
    assert made.score(pictures, ScoreOptions(frames="all")).frames is None


def test_the_matrix_is_measured_once_and_kept_beside_the_anchors(tiny: Path, folder: Path, photos: Path) -> None:
    first = scorer(tiny, folder).score(photos / "03.png")
    stored = json.loads((folder / "anchors.json").read_text())["matrices"]
    assert len(stored) == 1
    np.testing.assert_allclose(np.array(stored[0]["matrix"]) + np.array(stored[0]["matrix"]).T, 1, atol=1e-12)
    again = scorer(tiny, folder).score(photos / "03.png")
    assert again == first
    assert len(json.loads((folder / "anchors.json").read_text())["matrices"]) == 1
    about = json.loads((folder / "anchors.json").read_text())
    turned = np.array(about["matrices"][0]["matrix"]).T * 0.5 + 0.25
    about["matrices"][0]["matrix"] = turned.tolist()
    (folder / "anchors.json").write_text(json.dumps(about))
    np.testing.assert_array_equal(scorer(tiny, folder).matrix(scorer(tiny, folder).plan()), turned)


def test_what_decides_a_score_is_in_its_spec(tiny: Path, folder: Path, photos: Path, tmp_path: Path) -> None:
    made = scorer(tiny, folder)
    base = made.plan().spec
    assert scorer(tiny, folder).plan().spec == base
    others = [
        scorer(tiny, folder, one_order(**c)).plan().spec for c in ({}, {"temperature": 2}, {"link": "logistic"})
    ]
    less = tmp_path / "less"
    with select_set(photos / "ratings.csv", Columns("file", "mos", "sd"), RatingScale("mos", 0, 100), less, n=3):
        pass
    others += [scorer(tiny, less).plan().spec, made.plan(ScoreOptions(view="resize:24x24")).spec]
    others += [load(str(tiny), device="cpu").plan().spec]
    assert len({base, *others}) == 7
    assert len(json.loads((folder / "anchors.json").read_text())["matrices"]) == 5  # each view and setting its own


def test_a_plain_folder_is_measured_unless_the_preset_has_its_matrix(
    tiny: Path, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for i in (1, 5, 9):
        shutil.copy(photos / f"{i:02}.png", plain / f"{i}.png")
    measured = scorer(tiny, plain).score(photos / "03.png").anchored
    assert measured is not None
    assert measured.matrix == "measured"
    assert len(list(plain.iterdir())) == 3
    among = ((0.5, 0.2, 0.1), (0.8, 0.5, 0.3), (0.9, 0.7, 0.5))
    with caplog.at_level(logging.WARNING):
        taken = scorer(tiny, plain, one_order(matrix=among))
        found = taken.score(photos / "03.png").anchored
    assert "worst first: 1.png, 5.png, 9.png" in caplog.text
    assert found is not None
    assert found.matrix == "published"
    np.testing.assert_array_equal(taken.matrix(taken.plan()), among)
    with pytest.raises(UsageError, match=r"3 images without anchors\.json: not the published anchors"):
        scorer(tiny, plain, one_order(matrix=((0.5, 0.2), (0.8, 0.5)))).plan()


def test_own_anchors_are_measured_even_where_the_preset_has_a_matrix(tiny: Path, folder: Path) -> None:
    made = scorer(tiny, folder, one_order(matrix=PUBLISHED.anchored.matrix if PUBLISHED.anchored else None))
    assert made.matrix(made.plan()).shape == (N, N)


# ---------------------------------------------------------------- what is refused


def test_a_model_that_needs_anchors_says_what_to_do_before_it_is_loaded() -> None:
    with pytest.raises(UsageError) as caught:
        load("compare2score")
    for part in ("compare2score", "--anchors FOLDER", "VQA-CityU/Anchor_images", "mllmqa anchors select"):
        assert part in str(caught.value)
    with pytest.raises(UsageError, match="choose your own"):
        anchors_for(presets()["generic"], None)


def test_words_that_the_tokenizer_splits_are_named(folder: Path) -> None:
    with pytest.raises(LevelTokenError, match="'superior' is"):
        load("nano", device="cpu", anchors=folder).plan()


def test_only_quality_is_compared(tiny: Path, folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="no aspect 'aesthetics'; expected quality"):
        scorer(tiny, folder).plan(ScoreOptions(aspect="aesthetics"))


def test_views_in_parts_are_refused(tiny: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match="cuts pictures into parts"):
        scorer(tiny, folder).plan(ScoreOptions(view="tiles:1x2"))


def test_an_anchor_that_is_no_image_is_named(tiny: Path, photos: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    shutil.copy(photos / "01.png", plain / "1.png")
    (plain / "2.png").write_text("no picture")
    with pytest.raises(DataError, match=r"2\.png: the anchor cannot be used"):
        scorer(tiny, plain).plan()
