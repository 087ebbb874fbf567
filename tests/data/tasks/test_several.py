"""Three or four at once: keys, order and findings are read back, and half of the answers are letters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.tasks import extract, extract_several, several
from mllmqa.data.tasks.phrases import written
from mllmqa.data.tasks.truth import Finding
from mllmqa.errors import DataError
from tests.data.tasks.labels_made import categories, findings, media, rngs

orders = st.sampled_from([3, 4]).flatmap(lambda count: st.permutations(several.KEYS[:count]))


@given(orders, media, rngs)
def test_best_and_worst_are_read_back(order: list[str], medium: str, rng: np.random.Generator) -> None:
    best, worst = several.best_of(order, medium, rng), several.worst_of(order, medium, rng)
    assert (best.task, worst.task) == ("best_of", "worst_of")
    assert extract_several.best(best.answer) == order[0]
    assert extract_several.worst(worst.answer) == order[-1]
    for turn in (best, worst):
        assert extract_several.best(turn.question) is extract_several.worst(turn.question) is None
        assert all(key in turn.question for key in order)
    if len(best.answer) > 1:
        assert extract_several.worst(best.answer) is None


@given(orders, media, rngs)
def test_the_order_is_read_back(order: list[str], medium: str, rng: np.random.Generator) -> None:
    turn = several.rank(order, medium, rng)
    assert extract_several.ranking(turn.answer) == order
    assert extract_several.ranking(turn.question) is None  # the keys of the question are no order
    assert ", ".join(order) in turn.answer


@given(orders, categories, media, rngs)
def test_the_one_that_has_it_is_read_back(
    keys: list[str], category: str, medium: str, rng: np.random.Generator
) -> None:
    turn = several.which_has(category, keys[0], keys, medium, rng)
    assert extract_several.shown_by(turn.answer) == keys[0]
    assert extract.categories(turn.question) == [category]
    assert extract.categories(turn.answer) == ([] if len(turn.answer) == 1 else [category])
    assert extract_several.shown_by(turn.question) is None


@given(orders, st.lists(findings(0, 3), min_size=4, max_size=4), media, rngs)
def test_what_each_shows_is_read_back(
    order: list[str], found: list[list[Finding]], medium: str, rng: np.random.Generator
) -> None:
    shown = dict(zip(order, found, strict=False))
    turn = several.describe_several(shown, order[-1], medium, rng)
    assert extract_several.each(turn.answer) == {key: list(map(written, shown[key])) for key in shown}
    assert list(extract_several.each(turn.answer)) == sorted(order)
    assert extract_several.best(turn.answer) == order[-1]
    assert turn.answer.count("no distortion") == sum(not shown[key] for key in shown)


def test_half_of_the_answers_are_letters() -> None:
    made = [several.best_of("CAB", "image", np.random.default_rng(seed)).answer for seed in range(400)]
    assert 160 < made.count("C") < 240
    has = [
        several.which_has("blur", "B", "ABC", "image", np.random.default_rng(seed)).answer for seed in range(400)
    ]
    assert 160 < has.count("B") < 240


def test_every_question_comes_up() -> None:
    made = {several.rank("DABC", "video", np.random.default_rng(seed)).question for seed in range(100)}
    assert len(made) == 4
    assert any("four videos A, B, C and D" in question for question in made)


@pytest.mark.parametrize("keys", ["AB", "ABCDE", "ABD", "AAB", "", "abc"])
def test_other_keys_are_refused(keys: str) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="A, B, C or A, B, C, D"):
        several.best_of(keys, "image", rng) if keys else several.rank(keys, "image", rng)
    with pytest.raises(DataError, match=r"each once|one of"):
        several.describe_several(dict.fromkeys(keys, ()), keys[:1], "image", rng)


def test_a_key_that_is_not_there_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="blur in 'D'; expected one of A, B, C"):
        several.which_has("blur", "D", "ABC", "image", rng)
    with pytest.raises(DataError, match="'D' is best"):
        several.describe_several({"A": [], "B": [], "C": []}, "D", "image", rng)


@pytest.mark.parametrize(
    ("text", "best", "worst"),
    [
        ("A is best, C is worst.", "A", "C"), ("B is the best and D is the best.", None, None), ("D.", "D", "D"),
        ("A best case.", None, None), ("The best one is C", "C", None), ("E", None, None),
        ("All are fine.", None, None),
    ],
)  # fmt: skip
def test_extremes_of_a_free_text(text: str, best: str | None, worst: str | None) -> None:
    assert (extract_several.best(text), extract_several.worst(text)) == (best, worst)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("B, A, C from best to worst.", ["B", "A", "C"]), ("From worst to best: C, A, B", ["B", "A", "C"]),
        ("A, B, A", None), ("A, B or B, A", None), ("A, B, C and D", None), ("A", None), ("A, B, and C", None),
        ("Apples, Bananas", None),
    ],
)  # fmt: skip
def test_rankings_of_a_free_text(text: str, order: list[str] | None) -> None:
    assert extract_several.ranking(text) == order


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("A shows no blur, B shows blur", "B"),
        ("A shows blur; C has noise", None),
        ("C", "C"),
        ("None of them", None),
        ("A is fine, and B shows blur", "B"),
        ("Which of A or B shows blur?", None),
    ],
)
def test_who_shows_it_in_a_free_text(text: str, key: str | None) -> None:
    assert extract_several.shown_by(text) == key
