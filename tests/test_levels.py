"""Level words to distributions: hand arithmetic, properties, token checks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mllmqa import levels, prompts
from mllmqa.errors import InferenceError, LevelTokenError

SCALE = prompts.level_scale()
LOGITS = hnp.arrays(np.float32, 5, elements=st.floats(-50, 50, width=32))


def test_hand_arithmetic() -> None:
    # Odds 2:1 between excellent (5) and good (4), the rest nil: mean 5·2/3 + 4/3 = 14/3, variance 2/9.
    logits = np.array([math.log(2), 0, -80, -80, -80], np.float32)
    found = levels.distribution(logits, math.log(6), SCALE)
    assert found.value == pytest.approx(14 / 3, abs=1e-7)
    assert found.std == pytest.approx(math.sqrt(2 / 9), abs=1e-7)
    assert found.coverage == pytest.approx(0.5, abs=1e-7)  # the words have mass 3 of 6
    assert found.levels["excellent"] == pytest.approx(2 / 3, abs=1e-7)


@given(LOGITS, st.floats(0, 5))
def test_is_a_distribution_on_the_scale(logits: np.ndarray, rest: float) -> None:
    log_z = float(np.logaddexp.reduce(logits.astype(float))) + rest
    found = levels.distribution(logits, log_z, SCALE)
    assert sum(found.levels.values()) == pytest.approx(1, abs=1e-12)
    assert 1 <= found.value <= 5
    assert 0 <= found.std <= 2
    assert found.coverage == pytest.approx(math.exp(-rest), rel=1e-9)


@given(LOGITS, st.floats(-30, 30))
def test_a_common_shift_of_the_logits_changes_nothing(logits: np.ndarray, shift: float) -> None:
    wide = logits.astype(np.float64)
    one = levels.distribution(wide, 100.0, SCALE)
    two = levels.distribution(wide + shift, 100.0 + shift, SCALE)
    assert two.value == pytest.approx(one.value, abs=1e-9)


def test_more_mass_on_better_words_is_a_better_score() -> None:
    rising = [levels.distribution(np.array([t, t / 2, 0, 0, 0], np.float32), 9, SCALE).value for t in range(5)]
    assert rising == sorted(rising)
    assert len(set(rising)) == 5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(InferenceError, match="not finite"):
        levels.distribution(np.array([bad, 0, 0, 0, 0], np.float32), 1.0, SCALE)
    with pytest.raises(InferenceError, match="not finite"):
        levels.distribution(np.zeros(5, np.float32), bad, SCALE)


def test_words_that_an_endpoint_did_not_report_have_no_mass_and_are_named() -> None:
    logits = np.array([-np.inf, math.log(0.6), math.log(0.2), -np.inf, -np.inf], np.float32)
    found = levels.distribution(logits, 0.0, SCALE, "logprobs")
    assert found.value == pytest.approx(0.75 * 4 + 0.25 * 3)
    assert found.coverage == pytest.approx(0.8)
    assert found.absent == ("excellent", "poor", "bad")
    one_hot = levels.distribution(np.array([-np.inf] * 4 + [0.0], np.float32), None, SCALE, "text")
    assert (one_hot.value, one_hot.std, one_hot.coverage, one_hot.absent) == (1, 0, None, ())
    with pytest.raises(InferenceError, match="not finite"):
        levels.distribution(np.full(5, -np.inf, np.float32), None, SCALE)


def test_average_of_different_readouts() -> None:
    one = levels.distribution(np.array([0, -np.inf, -1, -1, -1], np.float32), 1.0, SCALE, "logprobs")
    two = levels.distribution(np.array([-np.inf] * 4 + [0.0], np.float32), None, SCALE, "text")
    assert levels.average([one, one], SCALE).readout == "logprobs"
    assert levels.average([one, one], SCALE).coverage == pytest.approx(one.coverage)
    both = levels.average([one, two], SCALE)
    assert (both.readout, both.coverage, both.absent) == ("mixed", None, ("good",))


def test_wrong_number_of_logits_is_refused() -> None:
    with pytest.raises(InferenceError, match=r"\(4,\)"):
        levels.distribution(np.zeros(4, np.float32), 1.0, SCALE)


def test_average_is_the_mixture() -> None:
    low = levels.distribution(np.array([-80, -80, -80, -80, 0], np.float32), 0.0, SCALE)
    high = levels.distribution(np.array([0, -80, -80, -80, -80], np.float32), 0.0, SCALE)
    both = levels.average([low, high], SCALE)
    assert both.value == pytest.approx(3)
    assert both.std == pytest.approx(2)  # half at 1, half at 5: the mixture's deviation, not the mean of 0 and 0
    with pytest.raises(InferenceError, match="no frame"):
        levels.average([], SCALE)


def _encoder(pieces: dict[str, list[int]]) -> levels.Encode:
    def encode(text: str) -> list[int]:
        head, _, word = text.rpartition(" ")
        return [1, 2, 3] if text == "it is" else [1, 2, 3, *pieces[word]] if head == "it is" else [0]

    return encode


def test_token_ids_are_those_after_the_prefix() -> None:
    encode = _encoder({"good": [7], "bad": [9]})
    assert levels.token_ids(encode, "it is", ["good", "bad"]) == [7, 9]


def test_words_apart_are_tokenised_by_themselves() -> None:
    """Q-SiT: "… is " and "Good" are not what "… is Good" is cut into."""
    alone = {"Good": [17], "Bad": [19], "Excellent": [3, 4]}
    encode = _encoder({"Good": [7], "Bad": [9], "": []})
    assert levels.token_ids(encode, "it is ", ["Good", "Bad"], alone=alone.__getitem__) == [17, 19]
    with pytest.raises(LevelTokenError, match="'Excellent' is 2 tokens"):
        levels.token_ids(encode, "it is ", ["Excellent", "Bad"], alone=alone.__getitem__)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ({"good": [7, 8], "bad": [9]}, "'good' is 2 tokens"),
        ({"good": [], "bad": [9]}, "'good' is 0 tokens"),
        ({"good": [7], "bad": [7]}, "share tokens"),
    ],
)
def test_unusable_level_words_are_named(pieces: dict[str, list[int]], message: str) -> None:
    with pytest.raises(LevelTokenError, match=message):
        levels.token_ids(_encoder(pieces), "it is", ["good", "bad"], model="m")


def test_a_word_that_changes_the_prefix_is_refused() -> None:
    def encode(text: str) -> list[int]:
        return [1, 2] if text == "it is" else [1, 5, 6]

    with pytest.raises(LevelTokenError):
        levels.token_ids(encode, "it is", ["good"])


@pytest.mark.parametrize(("value", "word"), [(5, "excellent"), (4.4, "good"), (4.5, "excellent"), (1.2, "bad")])
def test_nearest_level(value: float, word: str) -> None:
    assert levels.nearest_level(value, SCALE) == word


def test_display_scale_ends() -> None:
    assert [levels.on_display_scale(v, 100) for v in (1, 3, 5)] == [0, 50, 100]
    assert levels.on_display_scale(3.21, 5) == 3.21


@pytest.mark.parametrize("scale_max", [5, 100])
@given(value=st.floats(1, 5))
def test_display_scales_are_turned_back(scale_max: int, value: float) -> None:
    assert levels.from_display_scale(levels.on_display_scale(value, scale_max), scale_max) == pytest.approx(value)


COMPARISON = prompts.word_scale("comparison")


@given(LOGITS, st.floats(0, 5), st.floats(0.01, 200))
def test_an_expectation_is_on_the_scale_of_its_words(logits: np.ndarray, rest: float, temperature: float) -> None:
    log_z = float(np.logaddexp.reduce(logits.astype(float))) + rest
    value, coverage = levels.expectation(logits, log_z, COMPARISON, temperature)
    assert 0 <= value <= 1
    assert coverage == pytest.approx(math.exp(-rest), rel=1e-9)  # whatever the temperature


def test_an_expectation_by_hand() -> None:
    # Divided by 100: odds 3:1 between superior (1) and worse (0.25), the rest nil: 3/4 + 1/16.
    logits = np.array([100 * math.log(3), -9e3, -9e3, 0, -9e3], np.float32)
    assert levels.expectation(logits, 1e3, COMPARISON, 100)[0] == pytest.approx(13 / 16, abs=1e-7)
    even, _ = levels.expectation(np.zeros(5, np.float32), 9.0, COMPARISON, 1)
    assert even == pytest.approx(0.5, abs=1e-15)


@given(LOGITS)
def test_at_temperature_one_it_is_the_value_of_the_distribution(logits: np.ndarray) -> None:
    value, coverage = levels.expectation(logits, 100.0, SCALE, 1)
    found = levels.distribution(logits, 100.0, SCALE)
    assert (value, coverage) == (pytest.approx(found.value, abs=1e-12), found.coverage)
