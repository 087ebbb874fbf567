"""Modes: what is shown, what is asked, and that all strategies share their pictures."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mllmqa.anchored import place
from mllmqa.evaluation.prompting.anchoring import Anchored
from mllmqa.evaluation.prompting.answers import Answer, Failure
from mllmqa.evaluation.prompting.preference import effect, fit
from mllmqa.evaluation.prompting.published_modes import Published, PublishedExample
from mllmqa.evaluation.prompting.strategies import (
    ChainOfThought,
    InContext,
    Levels,
    Listwise,
    Pairwise,
    Response,
    Single,
    Strategy,
    TwoAlternatives,
    choices_of,
)
from mllmqa.evaluation.prompting.trials import Trial, files, prompt_of
from tests.evaluation.prompting.synthetic import without_files

GOLDEN = Path(__file__).parents[2] / "golden" / "nine.txt"
NR, FR = without_files(24), without_files(24, references=3)
STIMULI: tuple[Strategy, ...] = (Single(), Pairwise(), Listwise())


def test_all_texts_are_as_committed() -> None:
    """18 prompts and 2AFC; a change of a word is a change of the benchmark."""
    lines = []
    for items, kind in ((NR, "nr"), (FR, "fr")):
        for inner in STIMULI:
            for mode in (inner, InContext(inner), ChainOfThought(inner)):
                trial = mode.plan(items, 0)[0]
                prompt = prompt_of(trial, items)
                lines.append(f"{mode.name} {kind} [{prompt.id} {prompt.sha256[:12]}]\n{prompt.question}\n\n")
    lines.append(f"2afc\n{prompt_of(TwoAlternatives().plan(NR, 0)[0], NR).question}\n")
    assert "".join(lines) == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("inner", "nr", "fr"), [(Single(), (1, 2), (2, 4)), (Pairwise(), (2, 4), (3, 6)), (Listwise(), (4, 8), (5, 10))]
)
def test_requests_hold_the_published_numbers_of_images(
    inner: Strategy, nr: tuple[int, int], fr: tuple[int, int]
) -> None:
    for items, (plain, example) in ((NR, nr), (FR, fr)):
        counts = [
            len(files(mode.plan(items, 0)[0], items)) for mode in (inner, ChainOfThought(inner), InContext(inner))
        ]
        assert counts == [plain, plain, example]


def test_images_stand_as_the_text_says() -> None:
    trial = InContext(Pairwise()).plan(FR, 0)[0]
    shown = [path.name for path in files(trial, FR)]
    a, b = (FR.rated[i] for i in trial.shown)
    assert shown[0] == "re.png"
    assert set(shown[1:3]) == {"e0.png", "e3.png"}
    assert shown[3:] == [a.reference.name, a.path.name, b.path.name]  # type: ignore[union-attr]


@pytest.mark.parametrize("inner", STIMULI, ids=lambda s: s.name)
def test_strategies_of_a_stimulus_share_their_pictures(inner: Strategy) -> None:
    plans = [mode.plan(FR, 5) for mode in (inner, ChainOfThought(inner), InContext(inner))]
    assert len({tuple(t.shown for t in plan) for plan in plans}) == 1
    assert len({t.id for plan in plans for t in plan}) == sum(map(len, plans))
    for trial in plans[0]:
        assert len({FR.rated[i].reference for i in trial.shown}) == 1


def test_the_example_tells_the_truth_in_both_orders() -> None:
    doubles = InContext(Pairwise()).plan(NR, 0)
    told = Counter(trial.told for trial in doubles)
    assert set(told) == {"the first better than the second", "the second better than the first"}
    assert min(told.values()) > len(doubles) / 4
    for trial in doubles:
        first, second = (NR.exemplars[k].opinion for k in trial.example)
        assert ("the first better" in trial.told) == (first > second)
    single = InContext(Single()).plan(NR, 0)[0]
    assert single.told == f"{100 * NR.exemplars[single.example[0]].opinion:.0f}"
    multiple = InContext(Listwise()).plan(NR, 0)[3]
    ranks = [int(x) for x in multiple.told.strip("[]").split(", ")]
    assert np.argsort(ranks).tolist() == np.argsort([NR.exemplars[k].opinion for k in multiple.example]).tolist()


def test_the_published_example_has_its_fixed_labels() -> None:
    told = {s: PublishedExample(Published(s)).plan(NR, 0)[0] for s in ("single", "double", "multiple")}  # type: ignore[arg-type]
    assert told["single"].told == "50"
    assert told["double"].told == "the first better than the second"
    assert [NR.exemplars[k].opinion for k in told["double"].example] == [0.875, 0.125]
    assert told["multiple"].told == "[0, 1, 2, 3]"
    assert told["multiple"].example == (0, 1, 2, 3)


def test_decorators_nest() -> None:
    mode = ChainOfThought(InContext(Single()))
    assert mode.name == "single-ic-cot"
    trial = mode.plan(NR, 0)[0]
    assert trial.think
    assert trial.example


def test_repeats_are_asked_one_by_one_and_averaged() -> None:
    mode = Single(repeats=3)
    trials = mode.plan(NR, 0)
    assert len({t.id for t in trials}) == 72
    answered = [(t, Answer((float(10 * t.repeat),))) for t in trials[:6]]
    scores = mode.score(NR, answered)
    assert scores.values[:2].tolist() == [10, 10]
    assert scores.errors[0] == pytest.approx(10 / math.sqrt(3))
    assert scores.answers.tolist() == [3, 3, *[0] * 22]
    assert np.isnan(scores.values[2:]).all()


def _by_opinion(mode: Strategy, opinions: np.ndarray) -> list[tuple[Trial, Answer]]:
    made = []
    for trial in mode.plan(NR, 0):
        seen = opinions[list(trial.shown)]
        if len(seen) == 2:
            made.append((trial, Answer((float(seen[0] > seen[1]),))))
        else:
            made.append((trial, Answer(tuple(np.argsort(np.argsort(seen)).astype(float)))))
    return made


@pytest.mark.parametrize("mode", [Pairwise(), Listwise(), TwoAlternatives()], ids=lambda m: m.name)
def test_answers_that_follow_the_opinions_give_their_order(mode: Strategy) -> None:
    scores = mode.score(NR, _by_opinion(mode, NR.opinions))
    assert np.corrcoef(np.argsort(np.argsort(scores.values)), np.argsort(np.argsort(NR.opinions)))[0, 1] > 0.88
    assert scores.parts == 1


def test_2afc_drops_what_a_swap_changes() -> None:
    mode = TwoAlternatives()
    always_first = [(trial, Answer((1.0,))) for trial in mode.plan(NR, 0)]
    assert np.isnan(mode.score(NR, always_first).values).all()


def test_2afc_counts_a_pair_once_and_needs_both_answers() -> None:
    mode = TwoAlternatives(rounds=2)
    trials = mode.plan(NR, 0)
    both = [(t, Answer((float(NR.opinions[t.shown[0]] > NR.opinions[t.shown[1]]),))) for t in trials]
    whole, half = mode.score(NR, both), mode.score(NR, both[::2])
    assert whole.answers.sum() == len(trials)  # two pictures of each pair
    assert np.isnan(half.values).all()
    assert math.isnan(whole.order)


def test_the_pairs_of_a_list_are_worth_what_they_add() -> None:
    for n, worth in ((2, 1.0), (4, 0.6)):
        trial = Trial("multiple", 0, "multiple", tuple(range(n)))
        made = choices_of(trial, Answer(tuple(map(float, range(n)))))
        assert len(made) == n * (n - 1) / 2
        assert all(choice.weight == pytest.approx(worth) and choice.share == 0 for choice in made)


def test_errors_of_lists_are_those_that_the_scores_have() -> None:
    """Ranked at random, 24 pictures in 96 lists: the spread of the scores is what their errors say."""
    rng, mode = np.random.default_rng(5), Listwise(per_item=4)
    found = []
    for _ in range(12):
        said = [(t, Answer(tuple(map(float, rng.permutation(len(t.shown)))))) for t in mode.plan(NR, 0)]
        choices = [c for trial, answer in said for c in choices_of(trial, answer)]
        one = fit(len(NR.rated), choices, precision=0.02)
        found.append(float(np.mean((one.scores / one.errors) ** 2)))
    assert 0.8 < np.mean(found) < 1.2  # 1.7 if every pair counted as one comparison


def test_the_errors_of_a_mode_know_what_its_comparisons_are_worth() -> None:
    mode, rng = Listwise(), np.random.default_rng(6)
    said = [(t, Answer(tuple(map(float, rng.permutation(len(t.shown)))))) for t in mode.plan(NR, 0)]
    choices = [c for trial, answer in said for c in choices_of(trial, answer)]
    common = effect([choices])
    expected = fit(len(NR.rated), choices, order=common.order, precision=common.precision)
    np.testing.assert_allclose(mode.score(NR, said).errors, expected.errors, rtol=1e-6)


def test_levels_are_the_expectation_over_the_words() -> None:
    mode = Levels()
    trial = mode.plan(NR, 0)[0]
    even = mode.read(trial, Response(None, logits=(0.0,) * 5))
    assert even == Answer((3.0,))
    assert mode.read(trial, Response(None, logits=(0.0, -np.inf, -np.inf, -np.inf, -np.inf))) == Answer((5.0,))
    none = mode.read(trial, Response(None, logits=(-np.inf,) * 5))
    assert isinstance(none, Failure)
    assert none.kind == "format"


def test_anchored_places_a_picture_as_the_scorer_does() -> None:
    mode, rng = Anchored(), np.random.default_rng(0)
    trials = mode.plan(NR, 0)
    assert len(trials) == 4 * 3 + 24 * 4 * 2
    preference = {t.shown: float(rng.uniform(0.2, 0.8)) for t in trials}  # for the second
    scores = mode.score(NR, [(t, Answer((preference[t.shown],))) for t in trials])
    among, own = np.full((4, 4), 0.5), np.zeros(4)
    for i in range(4):
        own[i] = (preference[-1 - i, 7] + 1 - preference[7, -1 - i]) / 2
        for j in range(4):
            if i != j:
                among[i, j] = (preference[-1 - j, -1 - i] + 1 - preference[-1 - i, -1 - j]) / 2
    exact = place(own, among)
    assert scores.values[7] == pytest.approx(exact.score, abs=1e-6)
    assert scores.errors[7] == pytest.approx(exact.standard_error, abs=1e-4)
    assert len(files(trials[0], NR)) == 2
    assert files(trials[0], NR)[0].name.startswith("e")
