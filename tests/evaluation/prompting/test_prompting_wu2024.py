"""The published protocol: its samplers draw what they drew, its scores are as recorded."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mllmqa.errors import UsageError
from mllmqa.evaluation.prompting import wu2024
from mllmqa.evaluation.prompting.answers import Answer
from mllmqa.evaluation.prompting.published_modes import Published
from mllmqa.evaluation.prompting.strategies import Listwise
from mllmqa.evaluation.prompting.trials import Trial
from tests.evaluation.prompting.synthetic import without_files

FOLDER = Path(__file__).parents[2] / "fixtures" / "evaluation"
DRAWN: dict[str, Any] = json.loads((FOLDER / "group_sampling.json").read_text())
LISTS: list[dict[str, Any]] = json.loads((FOLDER / "ranking_lists.json").read_text())["cases"]


def named(groups: list[tuple[int, ...]]) -> list[list[str]]:
    return [[DRAWN["names"][i] for i in group] for group in groups]


def with_reference(groups: list[tuple[int, ...]]) -> list[list[str]]:
    items = DRAWN["fr_items"]
    return [[items[group[0]][0], *(items[i][1] for i in group)] for group in groups]


def test_pairs_and_groups_are_drawn_as_published() -> None:
    assert named(wu2024.pairs(12)) == DRAWN["nr_double_5_opponents"]
    assert named(wu2024.groups(12)) == DRAWN["nr_multiple_2_groups_of_4"]


def test_pairs_and_groups_inside_references_are_drawn_as_published() -> None:
    inside = [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert with_reference(wu2024.pairs_inside(inside)) == DRAWN["fr_double_5_opponents"]
    assert with_reference(wu2024.groups_inside(inside)) == DRAWN["fr_multiple_2_groups_of_4"]


def test_rounds_of_2afc_are_drawn_as_published() -> None:
    found = wu2024.rounds(7, 4)
    assert [[list(pair) for pair in one] for one in found] == [r["pairs"] for r in DRAWN["two_afc_rounds_n7"]]


def test_a_reference_with_one_picture_is_refused_instead_of_looping_for_ever() -> None:
    with pytest.raises(UsageError, match="never end"):
        wu2024.pairs_inside([[0], [1, 2]])


def test_the_plan_has_the_published_counts() -> None:
    items = without_files(150)
    counts = [len(Published(s).plan(items, 7)) for s in ("single", "double", "multiple")]  # type: ignore[arg-type]
    assert counts == [150, 750, 300]  # 3,600 with the three strategies
    first = Counter(trial.shown[0] for trial in Published("double").plan(items, 7))
    assert set(first.values()) == {5}  # every picture leads, always shown first


@pytest.mark.parametrize("case", LISTS, ids=[case["name"] for case in LISTS])
def test_lists_become_the_recorded_scores(case: dict[str, Any]) -> None:
    items = without_files(case["n"])
    answered = [
        (Trial("multiple", k, "multiple", tuple(group["shown"])), Answer(tuple(map(float, group["rank_scores"]))))
        for k, group in enumerate(case["groups"])
    ]
    scores = Published("multiple").score(items, answered).values
    np.testing.assert_allclose(scores, case["original_scaled_0_100"], atol=0.02)
    latent = np.array(case["exact_map_latent"])
    np.testing.assert_allclose(scores, 100 * (latent - latent.min()) / np.ptp(latent), atol=1e-6)
    ours = Listwise().score(items, answered).values  # ties, prior and order effect differ, the order hardly
    assert np.corrcoef(ours, latent)[0, 1] > 0.85


def test_equal_wins_give_no_scores() -> None:
    assert np.isnan(wu2024.scaled(np.array([[0, 1.0], [1, 0]]))).all()


def test_a_choice_of_three_is_accepted_and_ignored_as_published() -> None:
    items = without_files(3)
    mode = Published("double")
    said = [((0, 1), 3.0), ((1, 2), 1.0)]
    answered = [(Trial("double", k, "double", pair), Answer((x,))) for k, (pair, x) in enumerate(said)]
    found = mode.score(items, answered)
    assert found.answers.tolist() == [0, 1, 1]
    assert found.values.tolist() == [50, 100, 0]
