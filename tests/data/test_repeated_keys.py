"""Keys that are there twice are named with their place, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mllmqa.data.problems import iter_problems
from mllmqa.data.repeated_keys import RepeatedKeys, repeated_key_flaws
from mllmqa.data.sample import parse_sample
from mllmqa.data.text_check import TextCheck, iter_text_problems
from mllmqa.errors import DataError
from tests.data.samples_made import plain

JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def places(text: str | bytes) -> list[str]:
    return [flaw.field for flaw in repeated_key_flaws(text)]


@given(JSON)
def test_sound_texts_have_none(value: Any) -> None:
    assert places(json.dumps(value)) == places(json.dumps(value).encode()) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1, "a": 1}', ["a"]),
        ('{"a": 1, "a": 2, "a": 3, "b": 0}', ["a"]),
        ('{"m": [{"x": 1}, {"x": {"y": 1, "y": 2, "z": 0, "z": 0}}]}', ["m.1.x.y", "m.1.x.z"]),
        ('[{"x": 1, "x": 2}, {"x": 1}, {"x": 1, "x": 1}]', ["0.x", "2.x"]),
        ('{"a": {"b": 1, "b": 2}, "a": 3}', ["a"]),  # the inner one is gone with its object
        (f'{{"a": {"9" * 5000}, "a": 1.5, "b": NaN}}', ["a"]),
        ('{"a": 1, "a"', []),  # not JSON: told by others
        ("[" * 100_000, []),
    ],
)
def test_places(text: str, found: list[str]) -> None:
    assert places(text) == places(text.encode()) == found


def test_a_watch_forgets_what_it_has_told() -> None:
    watch = RepeatedKeys()
    assert watch.places(json.loads('{"a": 1, "a": 2}', object_pairs_hook=watch)) == ["a"]
    assert watch.places(json.loads('{"a": 1}', object_pairs_hook=watch)) == []


def test_a_sample_with_a_key_twice_is_refused() -> None:
    text = plain().to_json()
    assert parse_sample(text) == plain()
    twice = text.replace('"id":', '"id":"other","id":')
    assert twice != text
    with pytest.raises(DataError, match=r"s\.jsonl, line 3: field id is there twice; expected each key once"):
        parse_sample(twice, "s.jsonl, line 3")


def test_all_of_a_file_are_listed(tmp_path: Path) -> None:
    path, text = tmp_path / "s.jsonl", plain().to_json()
    wrong = text.replace('"kind":"image"', '"kind":"video","kind":"image"').replace('"id":', '"id":"x","id":')
    path.write_text(f"{wrong}\n" + text.replace('"id":"one"', '"id":"two"') + '\n{"id":1,"id":1}\n')
    found = [(one.line, one.flaw.field) for one in iter_problems(path, "none") if "twice" in one.flaw.found]
    assert found == [(1, "id"), (1, "media.0.kind"), (3, "id")]
    counts = TextCheck()
    assert list(iter_text_problems(path, counts)) == [] and counts.n == 1
