"""Readings of files: by an endpoint, by a tiny random model that has the words, by one that has not, by nano."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mllmqa import media, prompts
from mllmqa.asking import Depth, ask, compose, gather, thresholds
from mllmqa.asking.answer import answer
from mllmqa.asking.listening import Listener, severity_scale
from mllmqa.asking.records import Evidence, FileEvidence
from mllmqa.asking.scope import Asked
from mllmqa.asking.speaking import How, shown_of, speak
from mllmqa.data import distortions
from mllmqa.data.distortions.engine import CATEGORIES
from mllmqa.data.tasks.wording import vocabulary, wording
from mllmqa.data.video_distortions import IN_TIME, apply, read_clip, write_clip
from mllmqa.loading import load
from mllmqa.models.base import Request
from mllmqa.prepare import Prepared, ScoreOptions, make_plan, prepare
from mllmqa.scoring import Scorer
from tests import slices_made, tiny_models, tiny_nano
from tests.asking.conftest import Eye, Make
from tests.conftest import photo_pixels

FLOWER = Path(__file__).parents[2] / "docs" / "samples" / "flower.mp4"


@pytest.fixture
def any_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights give a word its share of the vocabulary and no more."""
    monkeypatch.setattr(thresholds, "LEAST_COVERAGE", 0.0)


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A tiny random LLaVA whose tokenizer has Yes, No and the severities as single tokens."""
    known = tiny_models.COMPARISONS
    with pytest.MonkeyPatch.context() as patch:
        more = (" Yes", " No", *(f" {word}" for word in vocabulary().severities))
        patch.setattr(tiny_models, "COMPARISONS", (*known, *more))
        folder = tiny_models.build("llava", tmp_path_factory.mktemp("knowing"))
    return load(str(folder), device="cpu")


@pytest.fixture(scope="module")
def splitting(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """The same without those words."""
    return load(str(tiny_models.build("llava", tmp_path_factory.mktemp("splitting"))), device="cpu")


# ------------------------------------------------------------------ words and wordings


def test_the_scales() -> None:
    assert prompts.word_scale("yes_no").words == ("Yes", "No")
    assert severity_scale().words == ("catastrophic", "serious", "obvious", "moderate", "slight")
    assert severity_scale().values == (5, 4, 3, 2, 1)


@pytest.mark.parametrize(("name", "pool"), [("yes_no", "question_yes_no"), ("how", "question_how")])
def test_plain_questions_are_wordings_that_nano_is_trained_on(name: str, pool: str) -> None:
    assert prompts.load(f"ask/{name}").question in wording("open").pools[pool]
    assert prompts.load(f"ask/{name}_word").question.startswith(prompts.load(f"ask/{name}").question)


# ------------------------------------------------------------------ an endpoint


def test_an_endpoint_reads_what_it_sees(scorer: Scorer, eye: Eye, make: Make) -> None:
    found = gather(scorer, [make("a.png", "poor", blur="serious", noise="slight"), make("b.png", seed=1)]).evidence
    a, b = found.files
    assert (a.key, b.key, a.level, b.level) == ("A", "B", "poor", "good")
    assert [one.category for one in a.presence] == list(CATEGORIES)
    assert found.found("A") == ["blur", "noise"]
    assert found.found("B") == []
    assert [(s.category, s.value) for s in a.severities] == [("blur", 4), ("noise", 1)]
    assert found.pairs[0].first_better == pytest.approx(0.1)
    assert found.pairs[0].order_gap == pytest.approx(0)
    assert Evidence.model_validate_json(found.model_dump_json()) == found


def test_distortions_are_read_only_where_wanted(scorer: Scorer, eye: Eye, make: Make) -> None:
    (file,) = gather(scorer, [make("a.png")], depth=Depth(distortions=False)).evidence.files
    assert (file.presence, file.why_unread) == ((), "no distortion was asked about")
    assert len(eye.received) == 1


def test_only_what_is_likely_is_graded(scorer: Scorer, eye: Eye, make: Make) -> None:
    gather(scorer, [make("a.png", blur="obvious")])
    asked = [text for one in eye.received for text in one.texts]
    assert sum(text.startswith("How strong") for text in asked) == 1
    assert sum(text.startswith("Is there any") for text in asked) == 12


def test_tiles_are_scored_and_searched_for_what_is_there(scorer: Scorer, eye: Eye, make: Make) -> None:
    one = make("a.png", blur="serious")
    grid = gather(scorer, [one], depth=Depth(grid=(4, 4))).evidence.files[0].tiles
    assert grid is not None
    assert (grid.rows, grid.columns) == (1, 1)  # 96×64 pixels: tiles have at least 64
    big = photo_pixels(200, 140)
    grid = gather(scorer, [big], depth=Depth(grid=(4, 4))).evidence.files[0].tiles
    assert grid is not None
    assert (grid.rows, grid.columns, len(grid.values), grid.presence) == (2, 3, 6, {})


def test_an_answer_in_other_words_costs_its_own_reading_only(scorer: Scorer, eye: Eye, make: Make) -> None:
    label = vocabulary().label("noise")
    eye.otherwise.add(f"any {label}")
    (file,) = gather(scorer, [make("a.png", blur="serious")]).evidence.files
    assert len(file.presence) == 11
    assert file.probability("noise") is None
    assert "the answer is no level word: 'Perhaps'" in file.unread["presence:noise"]
    eye.otherwise.add("How strong")
    (file,) = gather(scorer, [make("b.png", seed=1, blur="serious")]).evidence.files
    assert (file.severities, "severity:blur" in file.unread) == ((), True)


# ------------------------------------------------------------------ a model on this machine


def test_a_model_that_answers_something_else_is_not_read(knowing: Scorer) -> None:
    """Its words hold next to nothing: what is between Yes and No then says nothing of the picture."""
    found = ask(knowing, "what is wrong with this image?", [photo_pixels(64, 48)])
    assert found.evidence is not None
    (file,) = found.evidence.files
    assert (file.presence, file.severities) == ((), ())
    assert len(file.unread) == 12
    assert all("of its probability" in why for why in file.unread.values())
    assert found.text.endswith("what was not read: this model cannot be asked about distortions.")


@pytest.mark.usefixtures("any_coverage")
def test_a_model_with_the_words_is_read_by_logits(knowing: Scorer) -> None:
    found = gather(knowing, [photo_pixels(64, 48), photo_pixels(64, 48, seed=1)]).evidence
    for file in found.files:
        assert len(file.presence) == 12
        assert all(0 < one.probability < 1 and one.coverage for one in file.presence)
        assert file.unread == {}
        graded = [one for one in file.presence if one.probability >= 0.35]
        assert len(file.severities) == len(graded)
        assert all(sum(one.words.values()) == pytest.approx(1) for one in file.severities)
    assert found.pairs[0].method == "scores"


@pytest.mark.usefixtures("any_coverage")
def test_each_question_alone_reads_the_same(knowing: Scorer) -> None:
    blank = prompts.render(prompts.load("score/quality"), medium="image")
    shown = [Request(blank, (photo_pixels(64, 48),))]
    together, _ = Listener(knowing).presence(shown, CATEGORIES, "image")
    for one in together[:3]:
        (alone,), _ = Listener(knowing).presence(shown, [one.category], "image")
        assert alone.probability == pytest.approx(one.probability, abs=1e-4)


@pytest.mark.usefixtures("any_coverage")
def test_frames_are_read_each_and_two_in_a_row_decide(knowing: Scorer) -> None:
    clip = np.stack([photo_pixels(64, 48, seed=k) for k in range(3)])
    plain = knowing.preset.model_copy(
        update={"video": knowing.preset.video.model_copy(update={"mode": "per-frame"})}
    )
    file = gather(Scorer(knowing.backend, plain), [clip], depth=Depth(frames="uniform:3")).evidence.files[0]
    assert file.score.frames is not None
    assert len(file.score.frames) == 3
    first = file.presence[0]
    assert first.per_frame is not None
    a, b, c = first.per_frame
    assert first.probability == pytest.approx(max((a + b) / 2, (b + c) / 2))
    assert len(file.presence) == 12  # what is in time only cannot be seen in single frames


@pytest.mark.usefixtures("any_coverage")
def test_what_happens_in_time_is_asked_of_the_clip_and_its_slices(knowing: Scorer) -> None:
    clip = np.stack([photo_pixels(64, 48, seed=k) for k in range(10)])
    how = {"mode": "per-frame", "slices": True, "frames": "uniform:3"}
    preset = knowing.preset.model_copy(update={"video": knowing.preset.video.model_copy(update=how)})
    file = gather(Scorer(knowing.backend, preset), [clip]).evidence.files[0]
    read = {one.category: one for one in file.presence}
    in_time = set(vocabulary().video_only)
    assert in_time
    assert set(read) == {*CATEGORIES, *in_time}
    assert all(len(read[c].per_frame or ()) == 3 for c in CATEGORIES)
    assert all(read[c].per_frame is None for c in in_time)
    assert not file.unread


# ------------------------------------------------------------------ a model with heads of its own


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A tiny random nano whose heads for distortions in time know a freeze from a flicker."""
    folder = tiny_nano.write(tmp_path_factory.mktemp("headed"), slices_made.trained())
    return load(str(folder), device="cpu")


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[float, float]]:
    """A real clip of three seconds that stands still for a while, and when."""
    clip = read_clip(FLOWER, short_side=96, span_s=(0.0, 3.0))
    done = apply(clip, "freeze", 4, np.random.default_rng(1), within=(0.5, 2.5))
    path = write_clip(done.clip, tmp_path_factory.mktemp("clips") / "frozen.mp4", writer="ffv1")
    return path, done.applied[0].span_s


def read(scorer: Scorer, source: object, **depth: object) -> tuple[FileEvidence, tiny_nano.Observed]:
    backend = tiny_nano.Observed(scorer.backend)
    watched = Scorer(backend, scorer.preset)  # type: ignore[arg-type]
    return gather(watched, [source], depth=Depth(**depth)).evidence.files[0], backend  # type: ignore[arg-type, list-item]


def test_heads_tell_what_happens_in_the_time_of_a_real_clip(
    nano: Scorer, frozen: tuple[Path, tuple[float, float]]
) -> None:
    path, (start, end) = frozen
    file, backend = read(nano, path, frames="uniform:3")
    told = {one.category: one for one in file.presence}
    assert set(told) == {*CATEGORIES, *IN_TIME}
    assert len(told) == len(file.presence)
    assert not file.unread
    assert all(len(told[c].per_frame or ()) == 3 and told[c].spans_s is None for c in CATEGORIES)
    duration = media.open_media(path).info.duration_s
    assert duration == pytest.approx(3, abs=0.1)
    for category in IN_TIME:
        one = told[category]
        assert (one.per_frame, one.coverage) == (None, None)
        assert one.spans_s is not None
        assert all(0 <= a < b <= duration + 1e-3 for a, b in one.spans_s)
        assert one.spans_s == () or one.probability >= thresholds.PRESENT
    assert told["freeze"].probability > 0.5 > told["flicker"].probability
    covered = sum(max(0.0, min(b, end) - max(a, start)) for a, b in told["freeze"].spans_s or ())
    assert covered > 0.6 * (end - start)
    strengths = {one.category: one for one in file.severities}
    assert strengths["freeze"].readout == "heads"
    assert {c for c in IN_TIME if c in strengths} == {
        c for c in IN_TIME if told[c].probability >= thresholds.ABSENT_BELOW
    }
    assert compose.places_of(file, "freeze") == ([], list(told["freeze"].spans_s or ()))
    assert FileEvidence.model_validate_json(file.model_dump_json()) == file
    # one look at the frames, one at the slices, and no question besides the score of each frame
    assert (backend.examined, len(backend.slices)) == ([3], 1)
    assert backend.asked == 3
    assert file.fidelity == pytest.approx(_fidelity(nano, path), abs=1e-4)


def _fidelity(scorer: Scorer, path: Path) -> float:
    """The mean over the frames that were looked at, each by itself."""
    plan = make_plan(scorer.preset, scorer.backend.info, False, ScoreOptions(frames="uniform:3"))
    ready = prepare(path, "clip", plan)
    assert isinstance(ready, Prepared)
    found = [scorer.backend.examine([one.images[0]])[0].fidelity for one in ready.requests]  # type: ignore[attr-defined]
    return float(np.mean(found))


def test_a_photo_has_a_fidelity_and_nothing_in_time(headed: Scorer) -> None:
    """Its tiles are looked at one by one where something may be there, and each picture once."""
    file, backend = read(headed, photo_pixels(200, 140), grid=(2, 2))
    assert [one.category for one in file.presence] == list(CATEGORIES)
    assert file.fidelity is not None
    assert 1 <= file.fidelity <= 5
    assert backend.slices == []
    assert file.tiles is not None
    named = [one for one in file.presence if one.probability >= thresholds.ABSENT_BELOW]
    assert backend.examined == [1] * (1 + (4 if named else 0))


def test_nothing_is_looked_at_where_no_distortion_is_asked_about(
    headed: Scorer, frozen: tuple[Path, tuple[float, float]]
) -> None:
    file, backend = read(headed, frozen[0], frames="uniform:2", distortions=False)
    assert (file.presence, file.severities, file.fidelity) == ((), (), None)
    assert (backend.examined, backend.slices) == ([], [])


def test_frames_are_judged_by_score_and_fidelity_where_it_is_asked_when(nano: Scorer, tmp_path: Path) -> None:
    """A span that is distorted is found by both together; a clip's own ups and downs are in the scores alone."""
    clip = read_clip(FLOWER, short_side=180, span_s=(0.0, 4.0))
    frames = clip.frames_THWC.copy()
    start, end = 1.0, 2.2
    for k in clip.numbers((start, end)):
        frames[k] = distortions.apply(frames[k], "noise_gaussian_rgb", 4, np.random.default_rng(int(k))).pixels
    path = write_clip(clip.with_frames(frames), tmp_path / "clip.mp4")
    file, _ = read(nano, path, frames="uniform:16", per_frame=True, distortions=False)
    assert file.fidelities is not None
    assert file.score.frames is not None
    assert len(file.fidelities) == len(file.score.frames) == 16
    assert file.fidelity == pytest.approx(np.mean(file.fidelities))
    boxes, spans = compose.worst_places(file)
    assert boxes == []
    assert any(a < end and start < b for a, b in spans)
    inside = [start <= one.timestamp_s < end for one in file.score.frames]
    near = np.array(file.fidelities)
    assert near[inside].mean() < near[np.logical_not(inside)].mean() - 0.3


def test_a_clip_of_two_pictures_of_slices_is_one_reading(headed: Scorer) -> None:
    """Times of the second go on where those of the first end; it counts by where it shows most."""
    clip = slices_made.frames(31, 300, freeze=range(200, 240))
    file, backend = read(headed, clip, frames="uniform:2")
    (freeze,) = (one for one in file.presence if one.category == "freeze")
    assert [len(picture) for picture in backend.slices] == [150, 150]
    each = [headed.backend.examine_in_time(picture) for picture in backend.slices]  # type: ignore[attr-defined]
    most = max(found[IN_TIME.index("freeze")].found.probability for found in each)
    assert freeze.probability == pytest.approx(most)
    assert all(0 <= a < b <= 300 for a, b in freeze.spans_s or ())
    for a, b in freeze.spans_s or ():
        assert b > 150, (a, b)


def test_heads_in_time_alone_leave_the_rest_to_questions(tmp_path: Path) -> None:
    """A model whose tower has no heads for pictures is asked about those, in words."""
    folder = tiny_nano.write(tmp_path, slices_made.trained(), categories=False)
    file, backend = read(load(str(folder), device="cpu"), slices_made.frames(31, 12), frames="uniform:2")
    assert {*IN_TIME} <= {one.category for one in file.presence}
    assert file.fidelity is None
    assert backend.asked == 2 + 2 * len(CATEGORIES)


def test_without_heads_in_time_the_clip_is_asked_about(tmp_path: Path) -> None:
    """Its preset has slices, so they stand behind the frames of one more prompt; the frames have heads."""
    scorer = load(str(tiny_nano.write(tmp_path)), device="cpu")
    assert scorer.preset.video.slices
    file, backend = read(scorer, slices_made.frames(31, 12), frames="uniform:2")
    assert backend.slices == []
    in_words = len(vocabulary().video_only)
    graded = backend.asked - 2 - in_words
    assert 0 <= graded <= in_words
    assert {c.removeprefix("presence:") for c in file.unread if c.startswith("presence:")} | {
        one.category for one in file.presence
    } == {*CATEGORIES, *vocabulary().video_only}
    assert all(one.spans_s is None for one in file.presence)


def test_a_model_without_the_words_says_so(splitting: Scorer) -> None:
    found = ask(splitting, "what is wrong with this image?", [photo_pixels(64, 48)], options=None)
    assert found.source == "evidence"
    assert found.evidence is not None
    (file,) = found.evidence.files
    assert file.presence == ()
    assert "'Yes' is" in file.unread["presence"]
    assert found.text.endswith("what was not read: this model cannot be asked about distortions.")
    assert found.contradictions == () or all(one.threshold == "not read" for one in found.contradictions)


def test_a_random_model_answers_by_its_readings(knowing: Scorer) -> None:
    pictures = [photo_pixels(64, 48), photo_pixels(64, 48, seed=1)]
    found = ask(knowing, "why is A worse than B?", pictures)
    assert (found.source, found.model_text is None) == ("evidence", False)
    assert found.reason in ("says-nothing", "empty", "contradicted")
    assert " better than " in found.text or "about equal" in found.text
    turned = ask(knowing, "why is A worse than B?", pictures[::-1])
    assert found.evidence is not None
    assert turned.evidence is not None
    assert turned.evidence.pairs[0].first_better == pytest.approx(1 - found.evidence.pairs[0].first_better)


def test_what_is_too_long_loses_turns_then_frames_and_says_so(
    knowing: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = np.stack([photo_pixels(64, 48, seed=k) for k in range(8)])
    gathered = gather(knowing, [clip], depth=Depth(frames="uniform:8"))
    shown = [shown_of(gathered.files[0])]
    assert len(shown[0].parts) == 8
    settings = knowing.backend.model.config.get_text_config()  # type: ignore[attr-defined]
    monkeypatch.setattr(settings, "max_position_embeddings", 120)  # a frame is 9 tokens and 9 letters
    said = speak(knowing.backend, shown, ["Why?", "So.", "What?"], How(4))
    assert said.notes == ("earlier questions did not fit into the model", "frames kept: A at 0.0, 2.0, 4.0, 6.0 s")
    asked = Asked("identify", ("A",))
    found = answer(knowing, "what is wrong with this video?", asked, gathered)
    assert (found.source, found.reason) == ("evidence", "too-long")


# ------------------------------------------------------------------ nano


def test_nano_is_asked_plainly_and_its_answer_is_held_against_its_readings(nano: Scorer, photo: Path) -> None:
    found = ask(nano, "how good is it?", [photo])
    assert found.evidence is not None
    assert found.made is not None
    assert found.made.prompts[0] == "build"
    assert [claim.kind for claim in found.claims] == ["level"]
    assert found.contradictions == ()
