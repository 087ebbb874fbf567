"""Scores of a file: mixed scales are named, and so is a DMOS that is declared as a MOS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.sample import Sample
from mllmqa.data.sample_labels import Distortion, Labels, Level, Preference
from mllmqa.data.scale_check import LEAST_PAIRS, Correlation, ScaleCheck
from tests.data.samples_made import WORDS, medium, mos, plain


def conclusions(samples: list[Sample]) -> list[str]:
    check = ScaleCheck()
    for line, sample in enumerate(samples, 1):
        assert list(check.flaws(sample, line)) == []
    return [f"{flaw.field} {flaw.found}" for flaw in check.conclusions()]


def test_another_scale_of_the_same_source_is_named() -> None:
    check = ScaleCheck()
    scales: list[dict[str, Any]] = [{}, {}, {"high": 100.0}, {"direction": "lower-better"}, {"low": 0.0}]
    found = [
        [flaw.field for flaw in check.flaws(plain(labels=Labels(mos=(mos(**scale),))), line)]
        for line, scale in enumerate(scales, 1)
    ]
    assert found == [[], [], ["labels.mos.0"], ["labels.mos.0"], ["labels.mos.0"]]
    other = plain(source="other", labels=Labels(mos=(mos(high=100.0),)))
    assert list(check.flaws(other, 9)) == []
    aspect = plain(labels=Labels(mos=(mos(aspect="alignment", high=10.0),)))
    assert list(check.flaws(aspect, 10)) == []


def scored(value: float, direction: str, severity: float) -> Sample:
    labels = Labels(
        mos=(mos(value, direction=direction),),
        distortions=(Distortion(media="A", category="blur", severity=severity),),
    )
    return plain(labels=labels)


@pytest.mark.parametrize(("declared", "wrong"), [("lower-better", 0), ("higher-better", 1)])
def test_a_dmos_declared_as_mos_shows_in_the_severities(declared: str, wrong: int) -> None:
    """The scores rise with the severity: they are DMOS."""
    rng = np.random.default_rng(0)
    severities = rng.integers(1, 6, 50)
    noisy = [scored(float(np.clip(s + rng.normal(0, 0.7), 1, 5)), declared, float(s)) for s in severities]
    found = conclusions(noisy)
    assert len(found) == wrong
    if wrong:
        assert "severities correlate with -0." in found[0]
        assert "n=50" in found[0]


def test_levels_and_preferences_tell_as_well() -> None:
    def levelled(k: int) -> Sample:
        level = Level(media="A", word=WORDS[k % 5], scale=WORDS)
        return plain(labels=Labels(mos=(mos(float(1 + k % 5)),), levels=(level,)))  # best word, lowest score

    assert "levels correlate with -1.00" in conclusions([levelled(k) for k in range(LEAST_PAIRS)])[0]

    def preferred(k: int) -> Sample:
        pair = (mos(2.0 + k % 3 / 10), mos(4.0 + k % 2 / 10, media="B"))
        labels = Labels(mos=pair, preference=Preference(among=("A", "B"), better="A"))
        return plain(media=(medium("A"), medium("B")), labels=labels)

    assert "preferences correlate" in conclusions([preferred(k) for k in range(LEAST_PAIRS)])[0]


def test_nothing_is_concluded_from_few_or_unlabelled() -> None:
    assert conclusions([scored(s, "higher-better", s) for s in (1.0, 2.0, 3.0, 4.0, 5.0)]) == []
    unknown = Labels(mos=(mos(),), distortions=(Distortion(media="A", category="blur"),))
    assert conclusions([plain(labels=unknown)] * 50) == []
    assert conclusions([scored(3.0, "higher-better", 2.0)] * 50) == []


def test_clean_samples_count_as_the_least_distorted() -> None:
    clean = [plain(labels=Labels(mos=(mos(1.2 + k % 5 / 10),), distortions=())) for k in range(20)]
    assert len(conclusions([*clean, *(scored(4.5, "higher-better", 4.0) for _ in range(20))])) == 1


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), min_size=2, max_size=40))
def test_the_running_correlation_is_that_of_numpy(pairs: list[tuple[int, int]]) -> None:
    running = Correlation()
    for x, y in pairs:
        running.add(x, y)
    xs, ys = np.array(pairs, dtype=float).T
    if xs.std() == 0 or ys.std() == 0:
        assert running.value is None
    else:
        assert running.value == pytest.approx(np.corrcoef(xs, ys)[0, 1], abs=1e-9)


def test_a_loose_order_of_few_scores_is_chance() -> None:
    """Found in a set of 20,000: 21 scores of one photo, r −0.35 with the severities of different distortions."""
    chance = np.random.default_rng(4)
    for n, turned in ((21, False), (400, True)):
        scores = chance.uniform(1, 5, n)
        severities = np.clip(scores + chance.normal(0, 1.4, n), 1, 5)  # the worse label with the better score
        assert np.corrcoef(scores, severities)[0, 1] > 0.3
        pairs = zip(scores.tolist(), severities.tolist(), strict=True)
        assert bool(conclusions([scored(s, "higher-better", t) for s, t in pairs])) == turned
