"""Two inputs: by comparison words and by scores, both orders, references, videos, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mllmqa
from mllmqa.comparing import compare
from mllmqa.comparing.preference import thurstone
from mllmqa.errors import UsageError
from mllmqa.models.presets import AnchoredPreset
from mllmqa.prepare import ScoreOptions
from mllmqa.schema import Comparison, Unscored, read_comparison
from mllmqa.scoring import Scorer
from tests.conftest import photo_pixels
from tests.observer import COVERAGE, Observer, comparing, grey, scoring

LEVELS = st.integers(0, 255)


def compared(scorer: Scorer, a: object, b: object, **how: object) -> Comparison:
    found = compare(scorer, a, b, **how)  # type: ignore[arg-type]
    assert isinstance(found, Comparison), found
    assert read_comparison(found.model_dump_json()) == found
    return found


def refused(scorer: Scorer, a: object, b: object, **how: object) -> Unscored:
    found = compare(scorer, a, b, **how)  # type: ignore[arg-type]
    assert isinstance(found, Unscored), found
    return found


# ---------------------------------------------------------------- by comparison words


def test_both_orders_are_asked_and_named() -> None:
    eye = Observer()
    found = compared(comparing(eye), grey(150), grey(90))
    assert (found.method, found.verdict, found.n_pairs) == ("comparison-words", "A", 1)
    pairs = [request for request in eye.asked if request.labels]
    assert [request.labels for request in pairs] == [("Image A:", "Image B:")] * 2
    shown = [tuple(int(image.mean()) for image in request.images) for request in pairs]
    assert sorted(shown) == [(90, 150), (150, 90)]
    assert {(r.prompt.question, r.prompt.answer) for r in pairs} == {
        ("Which image is better, A or B?", "The better one is")
    }
    logit = 2 * (4 * 60 / 255) / eye.spread
    assert found.p_a_better == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
    assert found.position_bias == pytest.approx(0, abs=1e-6)
    assert found.coverage == pytest.approx(COVERAGE, abs=1e-6)
    assert found.gap == pytest.approx(
        found.a.score.value - found.b.score.value if found.a.score and found.b.score else 0
    )


def test_a_liking_for_the_first_place_is_reported_and_averaged_out() -> None:
    fair, biased = (compared(comparing(Observer(bias=b)), grey(140), grey(130)) for b in (0, 0.8))
    assert fair.by_order is not None
    assert biased.by_order is not None
    assert biased.position_bias == pytest.approx(biased.by_order[0] - biased.by_order[1], abs=1e-12)
    assert biased.position_bias is not None
    assert biased.position_bias > 0.3
    assert biased.by_order[0] > fair.p_a_better > biased.by_order[1]
    assert biased.p_a_better == pytest.approx(sum(biased.by_order) / 2, abs=1e-12)
    assert abs(biased.p_a_better - fair.p_a_better) < 0.02
    assert compared(comparing(Observer(bias=-0.8)), grey(140), grey(130)).position_bias < 0  # type: ignore[operator]


@settings(max_examples=25)
@given(a=LEVELS, b=LEVELS, bias=st.floats(-2, 2), noise=st.floats(0, 1))
def test_swapping_mirrors_everything_exactly(a: int, b: int, bias: float, noise: float) -> None:
    for make in (comparing, scoring):
        one = compared(make(Observer(noise=noise, bias=bias)), grey(a), grey(b))
        two = compared(make(Observer(noise=noise, bias=bias)), grey(b), grey(a))
        assert two.p_a_better == 1 - one.p_a_better
        assert two.verdict == {"A": "B", "B": "A", "tie": "tie"}[one.verdict]
        assert two.position_bias == one.position_bias
        assert two.gap == (None if one.gap is None else -one.gap)
        assert (two.gap_std, two.coverage, two.spec) == (one.gap_std, one.coverage, one.spec)
        if a == b:
            assert (one.p_a_better, one.verdict) == (0.5, "tie")


@settings(max_examples=25)
@given(a=LEVELS, b=LEVELS, other=LEVELS)
def test_what_is_better_is_preferred_more(a: int, b: int, other: int) -> None:
    low, high = sorted((a, b))
    for make in (comparing, scoring):
        worse, better = (compared(make(Observer()), grey(x), grey(other)).p_a_better for x in (low, high))
        assert worse <= better + 1e-7


def test_equal_contents_are_asked_about_once(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        Image.fromarray(grey(77)).save(tmp_path / name)
    eye = Observer(bias=1.0)
    found = compared(comparing(eye), tmp_path / "one.png", str(tmp_path / "two.png"))
    assert (found.p_a_better, found.verdict) == (0.5, "tie")
    assert found.position_bias is not None
    assert found.position_bias > 0.3  # it is still told
    assert len(eye.asked) == 2  # one score, one pair
    assert (found.a.source, found.b.source) == (str(tmp_path / "one.png"), str(tmp_path / "two.png"))
    assert found.b.score is not None
    assert found.b.score.source == found.b.source
    assert found.text() == "neither is better (p = 0.50); A 2.2, B 2.2; position bias +0.46"


@pytest.mark.parametrize("make", [comparing, scoring])
def test_sizes_may_differ(make: object) -> None:
    found = compared(make(Observer()), grey(200, 64, 20), grey(20, 21, 90))  # type: ignore[operator]
    assert found.verdict == "A"
    assert (found.a.media.width, found.b.media.height) == (64, 90)


def test_five_words_about_the_second_picture() -> None:
    """As models are asked that compare with anchors: no names, no reference, no scores without anchors."""
    eye = Observer(bias=0.5)
    preset = scoring(eye).preset.model_copy(
        update={"anchored": AnchoredPreset(), "aspects": {"quality": "compare/second_to_first"}}
    )
    scorer = Scorer(eye, preset)
    found = compared(scorer, grey(180), grey(120), reference=grey(255))
    assert (found.method, found.verdict, found.reference_used) == ("comparison-words", "A", False)
    assert (found.a.score, found.gap) == (None, None)
    assert found.position_bias is not None
    assert found.position_bias > 0
    assert all(request.labels == () and len(request.images) == 2 for request in eye.asked)
    mirrored = compared(scorer, grey(120), grey(180))
    assert mirrored.p_a_better == 1 - found.p_a_better
    cut = refused(scorer, grey(180), grey(120), options=ScoreOptions(view="tiles:1x2"))
    assert cut.reason == "usage"
    assert "which this model cannot compare" in cut.message


# ---------------------------------------------------------------- by scores


def test_a_model_without_comparison_words_is_compared_by_its_scores() -> None:
    eye = Observer()
    found = compared(scoring(eye), grey(150), grey(90), reference=grey(255))
    assert (found.method, found.verdict, found.n_pairs) == ("scores", "A", 0)
    assert (found.by_order, found.position_bias, found.coverage) == (None, None, None)
    assert found.a.score is not None
    assert found.b.score is not None
    assert found.p_a_better == thurstone(found.a.score, found.b.score)
    assert found.gap_std == pytest.approx(np.hypot(found.a.score.std, found.b.score.std))
    assert found.reference_used is False
    assert found.reference is not None
    assert found.text().endswith("the reference was not used: this model scores one input at a time")
    assert len(eye.asked) == 2


def test_the_embedded_model_compares_files(nano: Scorer, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.jpg"
    Image.fromarray(photo_pixels(256, 256)).save(good)
    Image.fromarray(photo_pixels(200, 300)).save(bad, quality=1)
    found, again = mllmqa.compare(nano, good, bad), mllmqa.compare(nano, bad, good)
    assert isinstance(found, mllmqa.Comparison)
    assert isinstance(again, mllmqa.Comparison)
    assert again.p_a_better == 1 - found.p_a_better
    alone = nano.score(bad)
    assert found.b.score is not None
    assert found.b.score.value == pytest.approx(alone.value, abs=1e-5)
    assert found.b.score.provenance == alone.provenance
    assert found.a.score is not None
    if found.method == "scores":
        assert found.p_a_better == thurstone(found.a.score, found.b.score)


def test_scores_and_heads_of_nano_decide_with_its_words(nano: Scorer) -> None:
    """By hand from the parts, with the weights of the preset; the words alone are in ``by_order``."""
    how = nano.preset.comparison
    assert how is not None and how.joined is not None
    a, b = photo_pixels(90, 64, seed=1), grey(9)
    found = compared(nano, a, b)
    assert (found.method, found.by_order is None, found.gap is None) == ("joined", False, False)
    words = (found.by_order[0] + found.by_order[1]) / 2
    seen = nano.backend.examine([a, b])  # type: ignore[attr-defined]
    near = [one.fidelity for one in seen]
    damage = [sum(d.probability * d.severity for d in one.found) for one in seen]
    weights = how.joined
    odds = weights.words * math.log(words / (1 - words)) + weights.score * found.gap
    odds += weights.fidelity * (near[0] - near[1]) - weights.damage * (damage[0] - damage[1])
    assert abs(weights.damage * (damage[0] - damage[1])) > 1e-2  # it counts here
    assert found.p_a_better == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-6)
    assert compared(nano, b, a).p_a_better == 1 - found.p_a_better
    assert compared(nano, a, a).p_a_better == 0.5


def test_another_aspect_than_the_prompt_asks_about_is_compared_by_scores() -> None:
    scorer = comparing(Observer())
    aspects = {**scorer.preset.aspects, "aesthetics": "score/aesthetics"}
    both = Scorer(scorer.backend, scorer.preset.model_copy(update={"aspects": aspects}))
    found = compared(both, grey(9), grey(99), options=ScoreOptions(aspect="aesthetics"))
    assert (found.method, found.aspect) == ("scores", "aesthetics")
    assert compared(both, grey(9), grey(99)).method == "comparison-words"


# ---------------------------------------------------------------- references and videos


def test_a_reference_is_shown_in_front_under_its_name() -> None:
    eye = Observer()
    found = compared(comparing(eye), grey(150), grey(90), reference=grey(255))
    assert found.reference_used is True
    assert found.reference is not None
    assert found.reference.score is None
    pairs = [request for request in eye.asked if request.labels]
    assert {request.labels for request in pairs} == {("Reference:", "Image A:", "Image B:")}
    assert all(int(request.images[0].mean()) == 255 for request in pairs)
    assert pairs[0].prompt.question == "With the reference in view, which image is better, A or B?"
    plain = compared(comparing(Observer()), grey(150), grey(90))
    assert plain.spec == found.spec
    assert plain.reference_used is None


def test_frames_are_compared_at_the_same_share_of_the_duration() -> None:
    eye = Observer()
    long = np.stack([grey(level) for level in (10, 20, 30, 40)])
    short = np.stack([grey(level) for level in (100, 200)])
    found = compared(comparing(eye), long, short)
    assert (found.verdict, found.n_pairs) == ("B", 4)
    pairs = [tuple(int(i.mean()) for i in r.images) for r in eye.asked if r.labels]
    expected = {(10, 100), (20, 100), (30, 200), (40, 200)}
    assert set(pairs) == expected | {(b, a) for a, b in expected}
    assert {r.labels for r in eye.asked if r.labels} == {("Video A:", "Video B:")}
    assert found.a.provenance.timestamps_s != ()
    mirrored = compared(comparing(Observer()), short, long)
    assert mirrored.p_a_better == 1 - found.p_a_better


def test_a_model_that_sees_frames_together_gets_all_of_a_then_all_of_b() -> None:
    eye = Observer()
    scorer = comparing(eye)
    video = scorer.preset.video.model_copy(update={"mode": "images"})
    scorer = Scorer(eye, scorer.preset.model_copy(update={"video": video}))
    long = np.stack([grey(level) for level in (10, 20, 30)])
    short = np.stack([grey(level) for level in (100, 200)])
    found = compared(scorer, long, short, reference=np.stack([grey(255)] * 2))
    assert (found.verdict, found.n_pairs) == ("B", 1)
    (one, two) = [r for r in eye.asked if r.labels]
    names = ("Reference:", "")
    assert {one.labels, two.labels} == {
        (*names, "Video A:", "", "", "Video B:", ""),
        (*names, "Video A:", "", "Video B:", "", ""),
    }
    assert one.clip is None


# ---------------------------------------------------------------- what is refused


def test_the_record_names_the_file_that_cannot_be_used(tmp_path: Path, photo: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("not a picture")
    for make in (comparing, scoring):
        scorer = make(Observer())
        for a, b, third, named in (
            (broken, photo, None, broken),
            (photo, broken, None, broken),
            (photo, photo, broken, broken),
            (photo, tmp_path / "none.png", None, tmp_path / "none.png"),
        ):
            found = refused(scorer, a, b, reference=third)
            assert found.source == str(named)
            assert str(named) in found.message


def test_an_image_and_a_video_are_refused_with_one_line() -> None:
    frames = np.stack([grey(1), grey(2)])
    for a, b, third in ((grey(1), frames, None), (frames, grey(1), None), (grey(1), grey(2), frames)):
        found = refused(comparing(Observer()), a, b, reference=third)
        assert found.reason == "unknown-format"
        assert found.message.count("\n") == 0
        assert "expected images only or videos only" in found.message


def test_a_model_that_gives_no_answer_makes_an_unscored_record() -> None:
    for make in (comparing, scoring):
        found = refused(make(Observer(refuses=(90,))), grey(150), grey(90))
        assert (found.reason, found.message) == ("inference", "no opinion about this one")


def test_options_that_the_model_cannot_do_are_an_error() -> None:
    with pytest.raises(UsageError, match="no view is called"):
        compare(comparing(Observer()), grey(1), grey(2), options=ScoreOptions(view="sideways"))


def test_the_spec_holds_all_that_decides() -> None:
    specs = [
        compared(scorer, grey(1), grey(200), options=options).spec
        for scorer, options in (
            (comparing(Observer()), None),
            (comparing(Observer(), temperature=2.0), None),
            (comparing(Observer(), words="comparison", favours="second"), None),
            (comparing(Observer()), ScoreOptions(view="resize:24x24")),
            (scoring(Observer()), None),
        )
    ]
    assert len(set(specs)) == len(specs)
    first = compared(comparing(Observer()), grey(1), grey(200))
    assert first.a.score is not None
    alone = scoring(Observer()).score(grey(1))
    assert first.a.score.provenance.spec == alone.provenance.spec  # that it can compare decides no score
