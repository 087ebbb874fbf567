"""Server-sent events: bytes cut anywhere give the same text; whatever is no event is an error that says so."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.errors import ApiAnswerError
from mllmqa.models.api.events import Gathered, events, logprobs_of
from tests.loopback import chat, streamed


def _event(**choice: Any) -> str:
    return json.dumps({"model": "m", "choices": [{"index": 0, **choice}]})


@given(st.text(), st.lists(st.integers(0, 400), max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_cuts_anywhere_give_the_same_text(text: str, cuts: list[int], end: str) -> None:
    data = [json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False), "[DONE]"]
    if "\n" in data[0] or "\r" in data[0]:  # never: JSON writes them as escapes
        raise AssertionError
    raw = "".join(f"data: {one}{end}{end}" for one in data).encode("utf-8", "replace")
    places = sorted({min(c, len(raw)) for c in cuts} | {0, len(raw)})
    chunks = [raw[a:b] for a, b in itertools.pairwise(places)]
    gathered = Gathered()
    pieces = [gathered.take(one) for one in events(chunks)]
    assert pieces == [text.encode("utf-8", "replace").decode(), ""]
    assert gathered.done


def test_comments_names_and_several_lines() -> None:
    raw = b": hello\n\nevent: x\nid: 7\ndata: a\ndata:b\nretry: 3\n\ndata: last without an end"
    assert list(events([raw])) == ["a\nb", "last without an end"]
    assert list(events([])) == []


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(ApiAnswerError, match="does not end"):
        list(events([b"data: " + b"x" * 300_000] * 5))


def test_the_whole_answer_is_that_of_an_endpoint_that_does_not_stream() -> None:
    told = chat("A is good", finish="length")
    told["choices"][0]["logprobs"] = {"content": []}
    gathered = Gathered()
    for one in events(streamed(told, usage=True)):
        gathered.take(one)
    answer = gathered.answer()
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "A is good"}
    assert answer["choices"][0]["finish_reason"] == "length"
    assert (answer["model"], answer["usage"]) == ("served-1", told["usage"])
    assert logprobs_of(answer) == (-0.5, -1.0, -1.5)
    assert logprobs_of(answer, dropped=4) == (-1.5,)  # "A" and " is" lie within the first four characters
    assert logprobs_of(answer, dropped=3) == (-1.0, -1.5)


def test_refusals_are_gathered() -> None:
    gathered = Gathered()
    gathered.take(_event(delta={"refusal": "I can"}))
    gathered.take(_event(delta={"refusal": "not"}, finish_reason="stop"))
    assert gathered.answer()["choices"][0]["message"]["refusal"] == "I cannot"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("{", "no JSON object"),
        ("[1]", "no JSON object"),
        ('{"error": {"message": "overloaded"}}', "overloaded"),
    ],
)
def test_what_is_no_event(data: str, what: str) -> None:
    with pytest.raises(ApiAnswerError, match=what):
        Gathered().take(data)


@pytest.mark.parametrize("data", ["{}", '{"choices": []}', '{"choices": [3]}', '{"choices": [{"delta": null}]}'])
def test_events_without_text_say_nothing(data: str) -> None:
    gathered = Gathered()
    assert gathered.take(data) == ""
    assert gathered.text == ""


@pytest.mark.parametrize("value", [None, "x", True, float("nan"), float("inf")])
def test_log_probabilities_that_are_none(value: object) -> None:
    answer = chat("a b")
    assert logprobs_of(answer) is None
    entries: list[dict[str, Any]] = [{"token": "a", "logprob": -1}, {"token": "b", "logprob": value}]
    answer["choices"][0]["logprobs"] = {"content": entries}
    assert logprobs_of(answer) is None
    entries[1]["logprob"] = 1e-9
    assert logprobs_of(answer) == (-1.0, 0.0)
