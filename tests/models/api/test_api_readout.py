"""Answers as level logits: hand-made answers, hand arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa import levels, prompts
from mllmqa.errors import ApiAnswerError, ApiRefusedError, ApiTruncatedError, ApiUnparsedError
from mllmqa.models.api.readout import has_logprobs, of_chat, of_decision, parse_word, text_of
from mllmqa.models.base import LevelLogits
from tests.loopback import chat

SCALE = prompts.level_scale()
WORDS = SCALE.words


def _item(token: str, p: float) -> dict[str, Any]:
    return {"token": token, "logprob": math.log(p)}


def _answer(*positions: dict[str, float], text: str | None = None) -> dict[str, Any]:
    """A chat answer whose tokens are the first of each position."""
    content = [
        {**_item(*next(iter(position.items()))), "top_logprobs": [_item(t, p) for t, p in position.items()]}
        for position in positions
    ]
    answer = chat("".join(entry["token"] for entry in content) if text is None else text)
    answer["choices"][0]["logprobs"] = {"content": content}
    return answer


def _mass(found: LevelLogits) -> dict[str, float]:
    return {w: round(math.exp(x), 6) for w, x in zip(WORDS, found.logits, strict=True) if x > -math.inf}


def _read(answer: dict[str, Any]) -> LevelLogits:
    return of_chat(answer, WORDS, "m", logprobs=True)


def test_variants_of_a_word_are_summed() -> None:
    found = _read(_answer({" good": 0.3, "good": 0.1, "Good": 0.05, "GOOD": 0.05, "Ġfair": 0.1, "▁Poor": 0.1}))
    assert _mass(found) == {"good": 0.5, "fair": 0.1, "poor": 0.1}
    assert (found.log_z, found.readout) == (0.0, "logprobs")
    made = levels.distribution(found.logits, found.log_z, SCALE, found.readout)
    assert made.coverage == pytest.approx(0.7)
    assert made.absent == ("excellent", "bad")
    assert made.levels["bad"] == 0.0


def test_the_position_is_the_first_with_a_letter() -> None:
    found = _read(_answer({"\n": 0.9, "good": 0.1}, {"**": 0.9}, {"fair": 0.8, "poor": 0.1}))
    assert _mass(found) == {"fair": 0.8, "poor": 0.1}


def test_a_token_listed_twice_counts_once_but_twins_with_other_mass_do_not() -> None:
    answer = _answer({"good": 0.5, "fair": 0.1})
    top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    top += [_item("good", 0.5), _item("good", 0.2)]
    assert _mass(_read(answer)) == {"good": 0.7, "fair": 0.1}


def test_a_chosen_token_that_is_not_listed_counts() -> None:
    answer = _answer({"good": 0.5})
    answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"] = [_item("fair", 0.3)]
    assert _mass(_read(answer)) == {"good": 0.5, "fair": 0.3}


def test_minus_9999_means_absent() -> None:
    answer = _answer({"good": 0.5})
    answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"].append({"token": "bad", "logprob": -9999.0})
    assert _mass(_read(answer)) == {"good": 0.5}


def test_a_word_of_several_tokens_counts_where_the_answer_spells_it() -> None:
    spelled = _answer({" ex": 0.6, " good": 0.3, " po": 0.05}, {"cellent": 0.9}, {".": 1.0})
    assert _mass(_read(spelled)) == {"excellent": 0.6, "good": 0.3}
    other = _answer({" ex": 0.6, " good": 0.3}, {"tremely": 0.9})
    assert _mass(_read(other)) == {"good": 0.3}


def test_an_answer_that_goes_another_way_is_read_as_text() -> None:
    found = _read(_answer({"Overall": 0.97, "good": 0.02}, text="Fair"))
    assert (found.readout, found.log_z, _mass(found)) == ("text", None, {"fair": 1.0})
    with pytest.raises(ApiUnparsedError):
        _read(_answer({"Overall": 0.97, "good": 0.02}))


@pytest.mark.parametrize(
    "top", [[{"token": "good", "logprob": 0.7}], [_item("good", 0.9), _item("fair", 0.9)], [{"token": "good"}],
            [{"token": 3, "logprob": -1}], [{"token": "good", "logprob": math.nan}],
            [{"token": "a", "logprob": True}]],
)  # fmt: skip
def test_numbers_that_are_no_log_probabilities(top: list[dict[str, Any]]) -> None:
    answer = _answer({"good": 0.5})
    answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"] = top
    with pytest.raises(ApiAnswerError):
        _read(answer)


@given(st.dictionaries(st.sampled_from([" good", "Good", "bad", " FAIR", "poor", "the"]), st.floats(0.01, 1)))
def test_mass_is_kept(weights: dict[str, float]) -> None:
    total = sum(weights.values()) or 1
    tokens = {t: w / total for t, w in weights.items()}
    found = _read(_answer({"excellent": 1e-9, **tokens}, text="good"))
    if found.readout == "logprobs":
        covered = sum(p for t, p in tokens.items() if t.strip() != "the") + 1e-9
        assert math.fsum(np.exp(found.logits)) == pytest.approx(covered, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "word"),
    [("good", "good"), (" Good.", "good"), ("**EXCELLENT**!", "excellent"), ('"Poor."', "poor"), ("`bad`\n", "bad"),
     ("“fair”", "fair"), ("goodness", None), ("not good", None), ("good or fair", None), ("", None), ("4", None),
     ("<think>good</think>", None), ("Answer: good", None)],
)  # fmt: skip
def test_words_are_parsed_strictly(text: str, word: str | None) -> None:
    assert parse_word(text, WORDS) == word


def test_parts_of_text_are_joined() -> None:
    assert text_of(chat([{"type": "text", "text": "go"}, {"type": "text", "text": "od"}]), "m") == "good"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (chat(None, refusal="I will not"), ApiRefusedError),
        (chat("good", "content_filter"), ApiRefusedError),
        (chat("", "length"), ApiTruncatedError),
        (chat("The quality", "length"), ApiTruncatedError),
        (chat("It is fine."), ApiUnparsedError),
        (chat(""), ApiUnparsedError),
        (chat(None, "tool_calls"), ApiAnswerError),
        ({"choices": [{"message": None}]}, ApiAnswerError),
    ],
)
def test_useless_answers(answer: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        of_chat(answer, WORDS, "m", logprobs=False)


def test_logprobs_are_seen() -> None:
    assert has_logprobs(_answer({"good": 1.0}))
    assert not has_logprobs(chat("good"))
    empty = _answer({"good": 1.0})
    empty["choices"][0]["logprobs"]["content"][0]["top_logprobs"] = []
    assert not has_logprobs(empty)


def _decision(**probabilities: float) -> dict[str, Any]:
    items = [{"label": w, "value": 0, "probability": p} for w, p in probabilities.items()]
    return {"answers": [{"type": "score", "score": 99.0, "confidence": 1.0, "probabilities": items}]}


def test_decisions_are_read_by_label() -> None:
    found = of_decision(_decision(bad=0.1, excellent=0.2, good=0.7, fair=0.0, poor=0.0), WORDS, "m")
    assert _mass(found) == {"excellent": 0.2, "good": 0.7, "bad": 0.1}
    made = levels.distribution(found.logits, found.log_z, SCALE, found.readout)
    assert made.value == pytest.approx(0.2 * 5 + 0.7 * 4 + 0.1)
    assert (made.coverage, made.absent) == (None, ())


@pytest.mark.parametrize(
    "answer",
    [
        _decision(good=1.0),
        _decision(bad=0.1, excellent=0.2, good=0.7, fair=0.0, poor=0.5),
        _decision(bad=-0.1, excellent=0.4, good=0.7, fair=0.0, poor=0.0),
        _decision(bad=math.nan, excellent=0.3, good=0.7, fair=0.0, poor=0.0),
        {"answers": [{"type": "choice", "choice": "good", "probabilities": []}]},
        {"answers": [{}]},
    ],
)
def test_decisions_that_are_no_distribution(answer: dict[str, Any]) -> None:
    with pytest.raises(ApiAnswerError, match="no distribution"):
        of_decision(answer, WORDS, "m")


def test_a_decision_may_be_refused() -> None:
    with pytest.raises(ApiRefusedError):
        of_decision({"answers": [{"type": "refusal", "name": None}]}, WORDS, "m")
