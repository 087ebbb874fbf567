"""Flaws: all of a record, each with field, found and expected."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import Field, ValidationError

from mllmqa.data.flaws import Checked, Flaw, flaws_of, shown


class Inner(Checked):
    low: float
    high: float

    def flaws(self) -> Iterator[Flaw]:
        if self.low > self.high:
            yield Flaw("low", f"{self.low:g}", f"at most {self.high:g}")
            yield Flaw("high", f"{self.high:g}", f"at least {self.low:g}")


class Outer(Checked):
    name: str
    parts: tuple[Inner, ...] = ()


def found(text: str) -> list[Flaw]:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate_json(text)
    return flaws_of(caught.value)


def test_every_flaw_of_every_part_is_told_with_its_place() -> None:
    flaws = found('{"name": "a", "parts": [{"low": 1, "high": 2}, {"low": 3, "high": 2}, {"low": 9, "high": 8}]}')
    assert [flaw.field for flaw in flaws] == ["parts.1.low", "parts.1.high", "parts.2.low", "parts.2.high"]
    assert flaws[0] == Flaw("parts.1.low", "3", "at most 2")


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ('{"parts": []}', Flaw("name", "missing", "a value")),
        ('{"name": "a", "nick": 1}', Flaw("nick", "unknown", "only fields of this record")),
        ('{"name": 3}', Flaw("name", "3", "a valid string")),
        ('{"name": "a", "parts": [{"low": NaN, "high": 1}]}', Flaw("parts.0.low", "nan", "a finite number")),
        ("[]", Flaw("", "[]", "an object")),
    ],
)
def test_what_pydantic_finds_is_told_alike(text: str, flaw: Flaw) -> None:
    assert found(text) == [flaw]


def test_a_list_whose_entries_are_refused_is_not_called_short_as_well() -> None:
    class Several(Checked):
        parts: tuple[Inner, ...] = Field(min_length=1)

    for text, fields in (
        ('{"parts": [{"low": 3, "high": 2}]}', ["parts.0.low", "parts.0.high"]),
        ('{"parts": []}', ["parts"]),
    ):
        with pytest.raises(ValidationError) as caught:
            Several.model_validate_json(text)
        assert [flaw.field for flaw in flaws_of(caught.value)] == fields


def test_text_that_is_not_json() -> None:
    (flaw,) = found('{"name": ')
    assert flaw.field == ""
    assert flaw.found.startswith("not JSON (EOF")


def test_the_error_names_place_field_found_and_expected() -> None:
    error = Flaw("a.0.b", "3", "1 to 2").error("f.jsonl, line 7")
    assert str(error) == "f.jsonl, line 7: field a.0.b is 3; expected 1 to 2"
    assert str(Flaw("", "empty", "a text").error("f")) == "f: the record is empty; expected a text"


def test_a_record_made_in_python_says_in_words_what_is_wrong() -> None:
    with pytest.raises(ValidationError, match="field low is 2; expected at most 1"):
        Inner(low=2, high=1)


def test_found_values_are_short_and_on_one_line() -> None:
    assert shown("2.82 ") == "'2.82 '"
    assert len(shown("x" * 1000)) < 70
    assert "\n" not in shown("a\nb")
    assert shown(tuple(range(100))).endswith("...)")
