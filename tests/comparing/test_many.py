"""Rankings: a known order is found again, by words and by scores; failures cost themselves only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mllmqa import ranking
from mllmqa.comparing import many, rank_many
from mllmqa.comparing.preference import thurstone
from mllmqa.errors import MllmqaError, UsageError
from mllmqa.schema import Ranked, read_comparison
from mllmqa.scoring import Input, Scorer
from tests.observer import Observer, comparing, grey, scoring


def inputs(levels: list[int]) -> list[Input]:
    return [Input(grey(level), f"{level}") for level in levels]


def ranked(scorer: Scorer, levels: list[int], **how: object) -> Ranked:
    found = rank_many(scorer, inputs(levels), **how)  # type: ignore[arg-type]
    assert read_comparison(found.model_dump_json()) == found
    return found


def order(found: Ranked) -> list[str]:
    return [item.source for item in found.items]


# ---------------------------------------------------------------- a known order


@settings(max_examples=10)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=10, unique=True), st.floats(-1, 1))
def test_a_known_order_is_found_by_words_and_by_scores(steps: list[int], bias: float) -> None:
    levels = [20 * step for step in steps]
    expected = [str(level) for level in sorted(levels, reverse=True)]
    for make in (comparing, scoring):
        found = ranked(make(Observer(bias=bias)), levels)
        assert order(found) == expected
        assert [item.rank for item in found.items] == list(range(1, len(levels) + 1))
        assert sum(item.map_score for item in found.items) == pytest.approx(0, abs=1e-9)


def test_a_noisy_observer_is_seen_through() -> None:
    """Noise of half a step of the scale on every pair; ten percent of the brightness range between neighbours."""
    levels = [int(x) for x in np.random.default_rng(3).permutation(np.arange(0, 250, 25))]
    found = ranked(comparing(Observer(noise=0.4, bias=0.5)), levels)
    places = [int(name) for name in order(found)]
    far = [(i, j) for i in range(10) for j in range(i + 1, 10) if abs(places[i] - places[j]) > 50]
    assert all(places[i] > places[j] for i, j in far)
    more = ranked(comparing(Observer(noise=0.4, bias=0.5)), levels, budget=45)
    assert more.choice == "all"
    assert (found.choice, found.n_pairs, found.n_possible) == ("information-gain", 40, 45)
    assert np.mean([i.standard_error for i in more.items]) < np.mean([i.standard_error for i in found.items])


def test_the_order_of_the_inputs_has_no_say_where_all_pairs_are_asked() -> None:
    levels = [10, 60, 120, 180, 240]
    one, two = (ranked(comparing(Observer(noise=0.5)), listed) for listed in (levels, levels[::-1]))
    assert order(one) == order(two)
    for a, b in zip(one.items, two.items, strict=True):
        assert a.map_score == pytest.approx(b.map_score, abs=1e-6)
        assert a.standard_error == pytest.approx(b.standard_error, abs=1e-6)


def test_scores_and_errors_are_the_map_estimate_of_what_was_answered() -> None:
    found = ranked(comparing(Observer(noise=0.5)), [0, 40, 80, 120, 160, 200], budget=9)
    assert (len(found.pairs), found.n_pairs, found.n_possible) == (9, 9, 15)
    wins = np.zeros((6, 6))
    for pair in found.pairs:
        assert pair.p_a_better == pytest.approx(sum(pair.by_order) / 2, abs=1e-12)
        wins[pair.a, pair.b], wins[pair.b, pair.a] = pair.p_a_better, 1 - pair.p_a_better
    expected = ranking.rank(wins)
    np.testing.assert_allclose([item.map_score for item in found.items], expected.scores, atol=1e-9)
    np.testing.assert_allclose([item.standard_error for item in found.items], expected.standard_errors, atol=1e-9)
    assert [item.n_pairs for item in found.items] == np.count_nonzero(wins + wins.T, axis=1).tolist()


def test_scores_give_every_pair_at_once() -> None:
    eye = Observer()
    found = ranked(scoring(eye), [0, 100, 200, 250])
    assert (found.method, found.n_pairs, found.pairs, found.choice) == ("scores", 6, (), "all")
    assert (len(eye.asked), found.position_bias) == (4, None)
    scores = [item.score for item in found.items]
    wins = np.array([[0 if a is b or not a or not b else thurstone(a, b) for b in scores] for a in scores])
    np.testing.assert_allclose([i.map_score for i in found.items], ranking.rank(wins).scores, atol=1e-9)


def test_groups_tell_what_cannot_be_told_apart() -> None:
    near = ranked(scoring(Observer(spread=0.3)), [0, 2, 250, 252])
    assert [item.groups for item in near.items] == [(1,), (1,), (2,), (2,)]
    equal = ranked(comparing(Observer()), [100, 101, 102])
    assert [item.groups for item in equal.items] == [(1,)] * 3


# ---------------------------------------------------------------- questions


def test_no_pair_is_asked_twice_and_every_file_is_reached() -> None:
    eye = Observer()
    told: list[tuple[int, int]] = []
    found = ranked(comparing(eye), list(range(0, 160, 20)), budget=12, progress=lambda *done: told.append(done))
    asked = [tuple(sorted(int(i.mean()) for i in r.images)) for r in eye.asked if r.labels]
    assert len(asked) == 24
    assert all(asked.count(pair) == 2 for pair in asked)  # both orders
    assert told == [(7, 12), (12, 12)]
    assert all(item.n_pairs >= 1 for item in found.items)
    assert found.position_bias == pytest.approx(0, abs=1e-6)


def test_the_first_questions_are_about_neighbours_by_score() -> None:
    levels = [0, 200, 50, 250, 100, 150]
    found = ranked(comparing(Observer()), levels, budget=5)
    assert {tuple(sorted((pair.a, pair.b))) for pair in found.pairs} == {(k, k + 1) for k in range(5)}


def test_a_reference_goes_with_every_pair() -> None:
    eye = Observer()
    found = ranked(comparing(eye), [10, 20, 30], reference=grey(255))
    assert found.reference_used is True
    assert all(len(r.images) == 3 and int(r.images[0].mean()) == 255 for r in eye.asked if r.labels)
    assert ranked(scoring(Observer()), [10, 20], reference=grey(255)).reference_used is False
    with pytest.raises(MllmqaError, match="no such file"):
        rank_many(comparing(Observer()), inputs([1, 2]), reference="/no/such/reference.png")


@pytest.mark.parametrize(
    ("make", "budget", "message"),
    [
        (comparing, 2, "a budget of 2 pairs for 4 files; expected at least 3"),
        (scoring, 9, "not asked about pairs"),
    ],
)
def test_budgets_that_make_no_sense(make: object, budget: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rank_many(make(Observer()), inputs([1, 2, 3, 4]), budget=budget)  # type: ignore[operator]


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("make", [comparing, scoring])
def test_a_file_that_fails_is_one_record_and_the_others_go_on(make: object, tmp_path: Path) -> None:
    for level in (40, 80, 120):
        Image.fromarray(grey(level)).save(tmp_path / f"{level}.png")
    (tmp_path / "broken.png").write_text("no")
    names = ["40.png", "broken.png", "120.png", "none.png", "80.png"]
    frames = Input(np.stack([grey(1), grey(2)]), "clip")
    found = rank_many(make(Observer()), [*(str(tmp_path / name) for name in names), frames])  # type: ignore[operator]
    assert [Path(item.source).stem for item in found.items] == ["120", "80", "40"]
    assert [Path(one.source).name for one in found.unscored] == ["broken.png", "none.png", "clip"]
    assert found.unscored[2].message.startswith("clip: is of the kind video")


def test_a_file_that_the_model_says_nothing_about_is_unscored() -> None:
    for make in (comparing, scoring):
        found = ranked(make(Observer(refuses=(90,))), [30, 90, 150])
        assert order(found) == ["150", "30"]
        (lost,) = found.unscored
        assert (lost.source, lost.reason, lost.message) == ("90", "inference", "no opinion about this one")


class _Choosy(Observer):
    """Has scores for all, and no opinion about pairs with one of them."""

    def _one(self, request, words):  # type: ignore[no-untyped-def]
        self.refuses = (90,) if request.labels else ()
        return super()._one(request, words)


def test_pairs_without_an_answer_are_counted_and_who_has_none_is_dropped() -> None:
    found = ranked(comparing(_Choosy()), [30, 90, 150, 210])
    assert order(found) == ["210", "150", "30"]
    assert [one.source for one in found.unscored] == ["90"]
    assert (found.n_failed, found.n_pairs, found.n_possible) == (3, 3, 3)
    assert {(pair.a, pair.b) for pair in found.pairs} <= {(a, b) for a in range(3) for b in range(3)}
    nobody = ranked(comparing(Observer(refuses=(30, 90))), [30, 90])
    assert (nobody.items, len(nobody.unscored)) == ((), 2)


@pytest.mark.parametrize("levels", [[], [7]])
def test_nothing_and_one_are_rankings_too(levels: list[int]) -> None:
    for make in (comparing, scoring):
        found = ranked(make(Observer()), levels)
        assert (len(found.items), found.n_pairs, found.n_possible) == (len(levels), 0, 0)
        assert [(i.map_score, i.groups) for i in found.items] == [(0, (1,))] * len(levels)


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "MAX_ITEMS", 5)
    with pytest.raises(UsageError, match="more than 5 files to rank"):
        ranked(scoring(Observer()), list(range(9)))
